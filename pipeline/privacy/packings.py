"""Unpacks what one program packed as a whole: gzip, zstd, bzip2, xz and LZ4."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa
import zstandard

from csmv.pipeline.privacy.pieces import BATCH, MOST_BYTES


class _Unpacking(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _lz4(data: bytes) -> tuple[bytes, bool, bytes]:
    with pa.CompressedInputStream(pa.BufferReader(data), "lz4") as stream:
        return stream.read(MOST_BYTES + 1), True, b""


def _in_frames(magic: bytes, make: Callable[[], _Unpacking]) -> Callable[[bytes], tuple[bytes, bool, bytes]]:
    """What unpacks one frame after the other: gives the content, whether it is whole, and what follows the last."""

    def unpack(data: bytes) -> tuple[bytes, bool, bytes]:
        content = bytearray()
        while data.startswith(magic):
            frame = make()
            at = 0
            while not frame.eof:
                chunk = data[at : at + BATCH]
                at += len(chunk)
                try:
                    content += frame.decompress(chunk)
                except (zlib.error, OSError, lzma.LZMAError, zstandard.ZstdError):
                    return bytes(content), False, b""
                if not frame.eof and (at >= len(data) or len(content) > MOST_BYTES):
                    return bytes(content), len(content) > MOST_BYTES, b""
            data = (frame.unused_data + data[at:]).lstrip(b"\0")
        return bytes(content), True, data

    return unpack


PACKINGS: tuple[tuple[bytes, str, Callable[[bytes], tuple[bytes, bool, bytes]]], ...] = (
    (b"\x1f\x8b", "gzip", _in_frames(b"\x1f\x8b", lambda: zlib.decompressobj(31))),
    (
        b"\x28\xb5\x2f\xfd",
        "zstd",
        _in_frames(b"\x28\xb5\x2f\xfd", lambda: zstandard.ZstdDecompressor().decompressobj()),
    ),
    (b"BZh", "bzip2", _in_frames(b"BZh", bz2.BZ2Decompressor)),
    (b"\xfd7zXZ\0", "xz", _in_frames(b"\xfd7zXZ\0", lzma.LZMADecompressor)),
    (b"\x04\x22\x4d\x18", "LZ4", _lz4),
)
"""How each begins, what it is called, and what unpacks it: gives the content, whether it is whole, and what follows."""
