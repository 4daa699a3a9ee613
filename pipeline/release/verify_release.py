"""`csmv verify RELEASE`, for whoever gets one: is every byte as it was released, and do its tables fit together."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.files import Files
from csmv.pipeline.progress import track
from csmv.pipeline.release.release_folder import (
    ABOUT,
    SUMS,
    TABLES,
    About,
    content_of,
    feature_files,
    read_about,
    read_parquet,
    sha256_in,
    sums_of,
)
from csmv.pipeline.schemas import spec_of


@dataclass(frozen=True)
class ReleaseVerification:
    """What was read of a release, and what is wrong with it, a sentence each by file."""

    about: About
    files: int
    rows: int
    problems: tuple[tuple[str, str], ...]


def verify_release(address: str) -> ReleaseVerification:
    """Check a release: every file against the list of sums, then keys and references of the tables.

    Raises:
        CsmvError: it is no release, or can't be read at all.
    """
    files = Files(address)
    about, sums = read_about(files), sums_of(files)
    problems = list(_sums(files, sums))
    if not problems:
        problems += [(f"{table}.parquet", what) for table, what in _tables(files, about)]
        if content_of(sums) != about.content:
            problems.append((ABOUT, f"'{ABOUT}' speaks of other tables than there are: get the release again."))
    return ReleaseVerification(about, len(sums), sum(about.rows.values()), tuple(problems))


def _sums(files: Files, sums: dict[str, str]) -> Iterator[tuple[str, str]]:
    listing = files.listing()
    if ABOUT not in sums:
        yield SUMS, f"'{SUMS}' is not there or lists nothing: get the release again."
        return
    with track("verify release", len(sums)) as tick:
        for name, sha256 in sums.items():
            if name not in listing:
                yield name, f"'{name}' should be in the release and is not there: get it again."
            elif sha256_in(files, name, listing[name].size) != sha256:
                yield name, f"'{name}' is not what was released: get it again."
            tick(1)
    for name in listing:
        if name not in sums and name != SUMS:
            yield name, f"'{name}' is no part of the release: move it away."


def _tables(files: Files, about: About) -> Iterator[tuple[str, str]]:
    """What is wrong between tables whose bytes are as they were released."""
    ids: dict[str, pa.ChunkedArray] = {}
    for table in TABLES:
        spec = spec_of(table)
        assert spec is not None
        rows = read_parquet(files, f"{table}.parquet")
        try:
            spec.conform(rows)
        except CsmvError as error:
            yield table, f"'{table}.parquet': {error}"
            continue
        if rows.num_rows != about.rows.get(table):
            yield table, f"'{table}.parquet' has {rows.num_rows} rows where {ABOUT} says {about.rows.get(table)}."
        ids[table] = rows[spec.key[0]]
        if table == "comments":
            yield from _strays(table, rows["video_id"], ids.get("videos"), "videos")
    yield from _strays("labels", ids.get("labels"), ids.get("comments"), "comments")
    for name, parts in about.splits.items():
        for part in parts:
            rows = read_parquet(files, f"splits/{name}/{part}.parquet", ["comment_id"])
            yield from _strays(f"splits/{name}/{part}", rows["comment_id"], ids.get("comments"), "comments")
    for name in about.features:
        for file in feature_files(files, name):
            rows = read_parquet(files, file, ["video_id"])
            yield from _strays(file.removesuffix(".parquet"), rows["video_id"], ids.get("videos"), "videos")


def _strays(
    table: str, keys: pa.ChunkedArray | None, wanted: pa.ChunkedArray | None, of: str
) -> Iterator[tuple[str, str]]:
    if keys is None or wanted is None:
        return
    strays = pc.sum(pc.invert(pc.is_in(keys, value_set=wanted.combine_chunks()))).as_py() or 0
    if strays:
        yield table, f"'{table}.parquet' has {strays} row(s) of {of} that are not in '{of}.parquet'."
