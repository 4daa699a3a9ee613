"""Landing that a source parts by shard once, so that no shard reads what is another's.

A part is a compressed JSONL file a shard. A mark beside them says of which input files they were made: by size and time
at a glance, by SHA-256 where those differ, so that an untouched input is not read again and a changed one is.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import zstandard

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.store import Store

_MARK = "landed.json"
_PIECE_BYTES = 1 << 18


def land_parts(
    store: Store, folder: str, lines: Iterable[tuple[int, dict[str, Any]]], inputs: Mapping[str, Any]
) -> int:
    """Write every shard's part, then the mark; gives the number of lines.

    Args:
        store: The root.
        folder: The landing folder of the source.
        lines: A shard and a line of it, in the order in which they are to stand.
        inputs: What the parts were made of, for `is_landed`.
    """
    parts = {shard: _Growing() for shard in store.shards()}
    count = 0
    for shard, line in lines:
        parts[shard].add(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        count += 1
    digests = {}
    for shard in store.shards():
        data = parts.pop(shard).whole()
        digests[str(shard)] = hashlib.sha256(data).hexdigest()
        store.write_file(_part(folder, shard), zstandard.ZstdCompressor(level=6).compress(data))
    store.write_file(f"{folder}/{_MARK}", json.dumps({"inputs": inputs, "parts": digests}, indent=1).encode())
    return count


class _Growing:
    """The lines of a part before all are known: compressed, since those of all parts are in memory together."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._lines = bytearray()

    def add(self, line: bytes) -> None:
        """One line more."""
        self._lines += line
        if len(self._lines) > _PIECE_BYTES:
            self._pieces.append(zstandard.ZstdCompressor(level=1).compress(self._lines))
            self._lines.clear()

    def whole(self) -> bytes:
        """All lines."""
        return b"".join([*map(zstandard.ZstdDecompressor().decompress, self._pieces), self._lines])


def part_anew(
    old: Store,
    new: Store,
    folder: str,
    place_of: Callable[[dict[str, Any]], str],
    order: Callable[[dict[str, Any]], tuple[int, str, int]],
) -> None:
    """Part what landed in a root by the shards of another, which has another number of them.

    Args:
        old: the root in which it landed.
        new: the other root.
        folder: the landing folder of the source.
        place_of: what decides the shard of a line; a line without goes with the shard that has its number.
        order: how lines stand in a part; those that are equal in it stand as they stood.
    """
    inputs = inputs_of(old, folder)
    if not isinstance(inputs, dict):
        return
    lines: list[tuple[int, dict[str, Any]]] = []
    for shard in old.shards():
        for line in read_part(old, folder, shard):
            place = place_of(line)
            lines.append((new.shard_of(place) if place else shard % new.n_shards, line))
    lines.sort(key=lambda one: order(one[1]))
    land_parts(new, folder, lines, {**inputs, "n_shards": new.n_shards})


def read_part(store: Store, folder: str, shard: int) -> Iterator[dict[str, Any]]:
    """The lines of a shard's part. Raises CsmvError if it has not landed or is damaged."""
    if part_state(store, folder, shard) == "":
        raise CsmvError(f"Nothing has landed in the root '{store.root}' yet: run `csmv run collect` first.")
    name = _part(folder, shard)
    try:
        with zstandard.ZstdDecompressor().stream_reader(store.read_file(name)) as reader:
            data = reader.read()
        for line in data.splitlines():
            yield json.loads(line)
    except (zstandard.ZstdError, ValueError):
        raise CsmvError(f"'{name}' is damaged: delete '{folder}/{_MARK}', and the source lands anew.") from None


def part_state(store: Store, folder: str, shard: int) -> str:
    """The SHA-256 of a shard's part as it landed, or "" before."""
    return str(_mark(store, folder).get("parts", {}).get(str(shard), ""))


def inputs_of(store: Store, folder: str) -> Any:
    """What the parts were made of, or None before they landed."""
    return _mark(store, folder).get("inputs")


def is_landed(store: Store, folder: str, inputs: Mapping[str, Any], files: Mapping[str, Path]) -> bool:
    """Whether the parts were made of the same `inputs`, whose "files" are `files` as they are now.

    A file of the same size and time counts as the same; of another time, it is read and compared by its SHA-256.
    """
    before = inputs_of(store, folder)
    if not isinstance(before, dict) or {**before, "files": None} != {**inputs, "files": None}:
        return False
    looks = before.get("files", {})
    return looks.keys() == files.keys() and all(_is_same(looks[name], path) for name, path in files.items())


def look_of(path: Path) -> dict[str, Any]:
    """What is remembered of an input file."""
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256_of(path)}


def sha256_of(path: Path) -> str:
    """The SHA-256 of a local file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(values: Sequence[Any]) -> str:
    """SHA-256 of JSON values, hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()


def _is_same(look: Mapping[str, Any], path: Path) -> bool:
    status = path.stat()
    if look["size"] != status.st_size:
        return False
    return bool(look["mtime_ns"] == status.st_mtime_ns or look["sha256"] == sha256_of(path))


def _mark(store: Store, folder: str) -> Mapping[str, Any]:
    mark = store.read_if_there(f"{folder}/{_MARK}")
    return {} if mark is None else _parsed(mark)


@lru_cache(maxsize=4)
def _parsed(mark: bytes) -> Mapping[str, Any]:
    """A mark, which is asked for once a shard and says something of every shard: parsed once, not once a shard."""
    try:
        content = json.loads(mark)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _part(folder: str, shard: int) -> str:
    return f"{folder}/{shard:04d}.jsonl.zst"
