"""A release as a folder: which files it has, what its `release.json` says, and how one is told from a root.

A release is written as a whole: `release.json` goes first and comes back last, so that one that was cut short is none.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.files import Files
from csmv.pipeline.manifest import HEADER_FILE

FOLDER = "release"
"""Where a root keeps its release."""

ABOUT = "release.json"
SUMS = "SHA256SUMS"
CARD = "README.md"
KIND = "csmv-release"
FORMAT = 1
TABLES = ("videos", "comments", "labels")

_CHUNK = 1 << 24


@dataclass(frozen=True)
class About:
    """What a release says of itself in `release.json`."""

    name: str
    version: str
    license: str
    content: str
    """Digest of the released tables: equal for equal data, whatever stands in the papers."""
    made_from: str
    """Digest of the root's files and settings that the release was made from."""
    title: str = ""
    day: str | None = None
    doi: str = ""
    homepage: str = ""
    authors: list[str] = field(default_factory=list)
    citation: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    """Table -> rows, splits and feature sets among them."""
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Split -> part -> comments; the first is what is loaded where none is named."""
    features: dict[str, dict[str, str]] = field(default_factory=dict)
    """Feature set -> what its files' footers say of how it was made."""
    formats: list[str] = field(default_factory=list)
    merged: list[dict[str, str]] = field(default_factory=list)
    """Name, version and content of the releases that it was merged of."""
    changes: list[dict[str, Any]] = field(default_factory=list)
    """One entry a version, the newest first."""

    def to_json(self) -> bytes:
        """As it stands in the release."""
        text = json.dumps({"kind": KIND, "format": FORMAT, **vars(self)}, indent=1, ensure_ascii=False)
        return (text + "\n").encode()


def is_release(address: str) -> bool:
    """Whether a folder or URL is a release, and no root."""
    files = Files(address)
    return files.exists(ABOUT) and not files.exists(HEADER_FILE)


def read_about(files: Files) -> About:
    """What a release says of itself. Raises CsmvError if there is no release, or it is damaged or newer."""
    data = files.read_if_there(ABOUT)
    if data is None:
        raise CsmvError(f"'{files.root}' is no release: it has no {ABOUT}. `csmv release` makes one of a root.")
    said = parsed_json(data, f"{files.root}/{ABOUT}")
    if not isinstance(said, dict) or said.pop("kind", None) != KIND:
        raise CsmvError(f"{files.root}/{ABOUT}: expected what `csmv release` writes, found something else.")
    if (version := said.pop("format", None)) != FORMAT:
        raise CsmvError(
            f"{files.root}/{ABOUT}: this release has format {version} and this csmv reads format {FORMAT}: use a newer "
            "csmv."
        )
    try:
        return About(**said)
    except TypeError:
        raise CsmvError(f"{files.root}/{ABOUT} is damaged: get the release again.") from None


def sums_of(files: Files) -> dict[str, str]:
    """File -> SHA-256 as a release lists them; empty where it has no list. Raises CsmvError if that is damaged."""
    sums = {}
    for line in (files.read_if_there(SUMS) or b"").decode("utf-8", "replace").splitlines():
        sha256, gap, name = line.partition("  ")
        if not gap or len(sha256) != 64:
            raise CsmvError(f"{files.root}/{SUMS} is damaged: get the release again.")
        sums[name] = sha256
    return sums


def sums_text(sums: dict[str, str]) -> bytes:
    """The list as `sha256sum --check` reads it."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items())).encode()


def sha256_in(files: Files, name: str, size: int) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    for start in range(0, size, _CHUNK):
        digest.update(files.fs.cat_file(files.path(name), start=start, end=min(start + _CHUNK, size)))
    return digest.hexdigest()


def local_sums(folder: Path) -> dict[str, str]:
    """File -> SHA-256 of everything below a local folder."""
    sums = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        with path.open("rb") as file:
            sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def content_of(sums: dict[str, str]) -> str:
    """The digest of a release's tables: of all its Parquet files by name and SHA-256."""
    lines = [f"{name} {sha256}" for name, sha256 in sorted(sums.items()) if name.endswith(".parquet")]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_parquet(files: Files, name: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file of a release. Raises CsmvError if it is not there or is damaged."""
    data = files.read_file(name)
    try:
        return pq.read_table(pa.BufferReader(data), columns=columns, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        raise CsmvError(f"{files.root}/{name} is damaged: get the release again.") from None


def feature_files(files: Files, name: str) -> Iterator[str]:
    """The files of a feature set, in order."""
    yield from (one for one in files.files(f"features/{name}") if one.endswith(".parquet"))
