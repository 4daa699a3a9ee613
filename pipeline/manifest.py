"""What a root says of itself: its header, the identity in every table's footer, and the manifest of what should exist.

A manifest entry is a create-only file named by the SHA-256 of the Parquet file it speaks of, written before that file.
Every listed digest is valid, so neither a kill between the two nor a second writer looks like damage; what is not
listed, lies under another shard's number or was made for another root is damage.
"""

import hashlib
import json
import mmap
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from csmv.pipeline.errors import CsmvError

FORMAT = 2
"""Of the dataset root. A root of another format is refused, never guessed at."""

HEADER_FILE = "manifest/root.json"
PREFIX = b"csmv."
MADE_FROM = "made_from"
_FOOTER_TAIL = 8


@dataclass(frozen=True)
class Header:
    """What never changes in a root: name, kind of source, number of shards, fingerprint of the pseudonym key."""

    name: str
    source: str
    n_shards: int
    key: str
    format: int = FORMAT

    @property
    def root(self) -> str:
        """The root's identity: equal roots have equal ones, so that their tables are equal bytes."""
        parts = json.dumps([self.name, self.source, self.n_shards, self.key])
        return hashlib.sha256(parts.encode()).hexdigest()[:32]

    def to_json(self) -> bytes:
        """As it is kept in the root."""
        return (json.dumps(asdict(self) | {"root": self.root}, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "Header":
        """Raises CsmvError if it is damaged, edited, or of another format."""
        try:
            fields: dict[str, Any] = json.loads(data)
            header = cls(
                str(fields["name"]),
                str(fields["source"]),
                int(fields["n_shards"]),
                str(fields["key"]),
                int(fields["format"]),
            )
            root = fields["root"]
        except (ValueError, KeyError, TypeError):
            raise CsmvError(
                f"{where}: this file should say what the root is, and is damaged: put it back from a copy of the root."
            ) from None
        if header.format != FORMAT:
            raise CsmvError(
                f"{where}: this root has format {header.format} and this csmv reads format {FORMAT}: "
                "use the csmv that made it, or a newer one."
            )
        if root != header.root:
            raise CsmvError(
                f"{where}: this file was changed by hand (its fields don't give its root identity): put back what it "
                "said; to have another number of shards, make a new root."
            )
        return header


@dataclass(frozen=True)
class Entry:
    """One manifest entry: what a Parquet file holds and what it was made from."""

    table: str
    shard: int | None
    sha256: str
    footer_sha256: str
    size: int
    rows: int
    root: str
    n_shards: int
    key: str
    made_from: str
    columns: dict[str, str]
    """Of each column the SHA-256 of its bytes in the file, so that one can be read and checked without the rest."""

    @property
    def file(self) -> str:
        """The entry's own file."""
        return f"{entries_of(self.table, self.shard)}/{self.sha256}.json"

    def to_json(self) -> bytes:
        """As it is kept."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()


def entries_of(table: str, shard: int | None) -> str:
    """The folder of a shard's manifest entries; a table without shards (a split) has `shard` None."""
    return f"manifest/{table}" if shard is None else f"manifest/{table}/{shard:04d}"


def table_file(table: str, shard: int | None) -> str:
    """The file of a shard of a table."""
    return f"{table}.parquet" if shard is None else f"{table}/{shard:04d}.parquet"


def place_of(relative: str) -> tuple[str, int | None] | None:
    """(table, shard) of a table's file by its path; None for any other file."""
    if not relative.endswith(".parquet"):
        return None
    folder, _, name = relative.removesuffix(".parquet").rpartition("/")
    top = folder.split("/", 1)[0]
    if top == "splits":
        return f"{folder}/{name}", None
    if top in ("videos", "comments", "labels", "features", "failures") and len(name) == 4 and name.isdigit():
        return folder, int(name)
    return None


def identity(header: Header, table: str, shard: int | None, made_from: str) -> dict[bytes, bytes]:
    """What a footer says of where its file belongs."""
    said = {
        "root": header.root,
        "table": table,
        "shard": "" if shard is None else str(shard),
        "n_shards": str(header.n_shards),
        "format": str(header.format),
        MADE_FROM: made_from,
    }
    return {PREFIX + key.encode(): value.encode() for key, value in said.items()}


def with_identity(schema: pa.Schema, said: dict[bytes, bytes]) -> pa.Schema:
    """A schema whose metadata holds an identity instead of the one it had."""
    return schema.with_metadata({**without_identity(schema.metadata), **said})


def without_identity(metadata: dict[bytes, bytes] | None) -> dict[bytes, bytes]:
    """Schema metadata without where the file belongs."""
    return {key: value for key, value in (metadata or {}).items() if not key.startswith(PREFIX)}


def made_from_of(metadata: dict[bytes, bytes] | None) -> str:
    """The digest that a footer records of what its table was made from; empty if it records none."""
    return (metadata or {}).get(PREFIX + MADE_FROM.encode(), b"").decode()


def entry_for(
    header: Header, table: str, shard: int | None, data: "bytes | mmap.mmap | pa.Buffer", made_from: str
) -> Entry:
    """The entry of a Parquet file with these bytes."""
    metadata = pq.read_metadata(pa.BufferReader(data))
    return Entry(
        table=table,
        shard=shard,
        sha256=hashlib.sha256(data).hexdigest(),
        footer_sha256=footer_digest(data),
        size=len(memoryview(data)),
        rows=metadata.num_rows,
        root=header.root,
        n_shards=header.n_shards,
        key=header.key,
        made_from=made_from,
        columns=column_digests(data, metadata),
    )


def column_digests(
    data: "bytes | mmap.mmap | pa.Buffer", metadata: pq.FileMetaData, only: Collection[str] | None = None
) -> dict[str, str]:
    """SHA-256 of the bytes of each column, pages and their headers, over all row groups.

    Raises:
        ValueError: the footer names bytes that the file does not have.
    """
    view = memoryview(data)
    digests: dict[str, Any] = {}
    for column, start, end in _chunks(metadata):
        if only is not None and column not in only:
            continue
        if start < 0 or end > len(view):
            raise ValueError("a column lies outside its file")
        digests.setdefault(column, hashlib.sha256()).update(view[start:end])
    return {column: digest.hexdigest() for column, digest in digests.items()}


def column_ranges(metadata: pq.FileMetaData, columns: Collection[str]) -> list[tuple[int, int]]:
    """(first byte, byte after the last) of each piece of a file that these columns are in."""
    return [(start, end) for column, start, end in _chunks(metadata) if column in columns]


def _chunks(metadata: pq.FileMetaData) -> Iterator[tuple[str, int, int]]:
    """Column, first byte and byte after the last of every column chunk."""
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(metadata.num_columns):
            chunk = row_group.column(number)
            start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
            start = min(start, chunk.data_page_offset)
            yield chunk.path_in_schema.split(".", 1)[0], start, start + chunk.total_compressed_size


def footer_digest(data: "bytes | mmap.mmap | pa.Buffer") -> str:
    """SHA-256 of a Parquet file's footer, with its length and magic. Raises ValueError where there is none."""
    view = memoryview(data)
    if len(view) < 12 or bytes(view[-4:]) != b"PAR1":
        raise ValueError("no Parquet footer")
    length = int.from_bytes(view[-_FOOTER_TAIL:-4], "little")
    if length + _FOOTER_TAIL + 4 > len(view):
        raise ValueError("no Parquet footer")
    return hashlib.sha256(view[len(view) - length - _FOOTER_TAIL :]).hexdigest()
