"""`csmv merge`: one release of two, such as a published set and what was collected to expand it.

A row that both have stands once, as the first release has it. A split that both have is joined; a video that the first
has in one part takes the second's comments with it, so that a split without videos in two parts stays one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_sets import made_from_of_footer
from csmv.pipeline.files import Files
from csmv.pipeline.release.datasheet import MARKDOWN
from csmv.pipeline.release.datasheet_facts import table_facts
from csmv.pipeline.release.release_folder import (
    TABLES,
    About,
    content_of,
    feature_files,
    local_sums,
    read_parquet,
)
from csmv.pipeline.release.release_papers import answers_before, finish, papers_of
from csmv.pipeline.release.release_place import previous_release, put_release, staging
from csmv.pipeline.release.release_tables import SPLIT_SCHEMA, write
from csmv.pipeline.release.verify_release import verify_release
from csmv.pipeline.schemas import SPLIT_NAMES, spec_of
from csmv.pipeline.stage import digest

_VECTORS_A_GROUP = 64


@dataclass
class Merged:
    """A merged release, and what came of rows that both had: how many, and in how many the two differed."""

    address: str
    about: About
    shared: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    """Comments of the second release whose text the first has below the same video, under another id."""
    left_out: list[str] = field(default_factory=list)
    """Splits that only one of the two has."""


def merge_releases(
    first: str,
    second: str,
    out: str,
    *,
    name: str | None = None,
    license_name: str | None = None,
    version: str = "1.0.0",
) -> Merged:
    """Make one release of two.

    Args:
        first: the release whose rows stand where both have one.
        second: the other release.
        out: a folder or fsspec URL for the new one; a release that is there is replaced.
        name: of the new dataset; left out, the first's.
        license_name: of the new one; needed where the two have different ones.
        version: of the new one.

    Raises:
        CsmvError: one of the two is damaged, their licences differ and none was given, or a feature set of the same
            name was made otherwise.
    """
    releases = [Files(first), Files(second)]
    abouts = [_sound(address) for address in (first, second)]
    licences = {about.license for about in abouts}
    if license_name is None and len(licences) > 1:
        raise CsmvError(
            f"The releases are under {' and '.join(sorted(licences))}: say with --license under which one both may be "
            "given on."
        )
    target = Files(out)
    previous_release(target)
    with staging(None) as folder:
        merged = Merged(target.root, abouts[0])
        tables = _merge_tables(releases, folder, merged)
        parts, split_tables = _merge_splits(releases, abouts, tables, folder, merged)
        videos, said = _merge_features(releases, abouts, folder)
        rows = {table: tables[table].num_rows for table in TABLES}
        rows |= {f"splits/{split}": sum(counts.values()) for split, counts in parts.items()}
        about = About(
            name=name or abouts[0].name,
            version=version,
            license=license_name or abouts[0].license,
            content=content_of(local_sums(folder)),
            made_from=digest(*(one.content for one in abouts)),
            title=abouts[0].title if name is None else "",
            authors=list(dict.fromkeys(author for one in abouts for author in one.authors)),
            rows=rows | {f"features/{one}": count for one, count in videos.items()},
            splits=parts,
            features=said,
            merged=[{"name": one.name, "version": one.version, "content": one.content} for one in abouts],
        )
        for number, release in enumerate(releases, start=1):
            (folder / "merged" / str(number)).mkdir(parents=True)
            (folder / "merged" / str(number) / MARKDOWN).write_bytes(release.read_file(MARKDOWN))
        answers = answers_before(releases[1]) | answers_before(releases[0])
        facts = table_facts(about, tables["videos"], tables["comments"], tables["labels"], split_tables)
        finish(folder, about, papers_of(about, facts, answers, folder))
        put_release(folder, target)
    merged.about = about
    return merged


def _sound(address: str) -> About:
    verified = verify_release(address)
    if verified.problems:
        raise CsmvError(f"'{address}' can't be merged: {verified.problems[0][1]}")
    return verified.about


def _merge_tables(releases: list[Files], folder: Path, merged: Merged) -> dict[str, pa.Table]:
    """Write videos, comments and labels of both; gives them."""
    tables = {}
    for table in TABLES:
        spec = spec_of(table)
        assert spec is not None
        ours, theirs = (spec.conform(read_parquet(one, f"{table}.parquet")) for one in releases)
        keys = [pc.binary_join_element_wise(*(rows[key] for key in spec.key), "\n") for rows in (ours, theirs)]
        both = pc.is_in(keys[1], value_set=keys[0].combine_chunks())
        merged.shared[table] = int(pc.sum(both).as_py() or 0)
        merged.differing[table] = merged.shared[table] - _equal(ours, theirs.filter(both))
        if table == "comments":
            merged.repeated = _repeated(ours, theirs.filter(pc.invert(both)))
        whole = spec.conform(pa.concat_tables([ours, theirs.filter(pc.invert(both))]))
        tables[table] = whole.replace_schema_metadata(spec.schema.metadata)
        write(folder / f"{table}.parquet", tables[table])
    return tables


def _equal(ours: pa.Table, theirs: pa.Table) -> int:
    """How many rows of the second the first has just so."""
    present = {str(row) for row in ours.to_pylist()}
    return sum(str(row) in present for row in theirs.to_pylist())


def _repeated(ours: pa.Table, theirs: pa.Table) -> int:
    said = set(zip(ours["video_id"].to_pylist(), ours["text"].to_pylist(), strict=True))
    return sum(one in said for one in zip(theirs["video_id"].to_pylist(), theirs["text"].to_pylist(), strict=True))


def _merge_splits(
    releases: list[Files], abouts: list[About], tables: Mapping[str, pa.Table], folder: Path, merged: Merged
) -> tuple[dict[str, dict[str, int]], dict[str, pa.Table]]:
    """Write the splits that both have; gives the comments of each part, and each split as one table."""
    both = [name for name in abouts[0].splits if name in abouts[1].splits]
    merged.left_out = sorted({*abouts[0].splits, *abouts[1].splits} - {*both})
    counts: dict[str, dict[str, int]] = {}
    wholes = {}
    for name in both:
        ours, theirs = (_split(release, name, about) for release, about in zip(releases, abouts, strict=True))
        parts: dict[str, set[str]] = {}
        for video, part in zip(ours["video_id"].to_pylist(), ours["split"].to_pylist(), strict=True):
            parts.setdefault(video, set()).add(part)
        moved = [
            next(iter(parts[row["video_id"]])) if len(parts.get(row["video_id"], ())) == 1 else row["split"]
            for row in theirs.select(["video_id", "split"]).to_pylist()
        ]
        theirs = theirs.set_column(theirs.schema.get_field_index("split"), "split", pa.array(moved, pa.string()))
        new = pc.invert(pc.is_in(theirs["comment_id"], value_set=ours["comment_id"].combine_chunks()))
        whole = pa.concat_tables([ours, theirs.filter(new)]).sort_by("comment_id")
        counts[name] = {}
        for part in SPLIT_NAMES:
            rows = whole.filter(pc.equal(whole["split"], part)).select(SPLIT_SCHEMA.names)
            if rows.num_rows:
                write(folder / "splits" / name / f"{part}.parquet", rows.cast(SPLIT_SCHEMA))
                counts[name][part] = rows.num_rows
        wholes[name] = whole
    return counts, wholes


def _split(release: Files, name: str, about: About) -> pa.Table:
    parts = []
    for part in about.splits[name]:
        rows = read_parquet(release, f"splits/{name}/{part}.parquet").replace_schema_metadata(None)
        parts.append(rows.append_column("split", pa.array([part] * rows.num_rows, pa.string())))
    return pa.concat_tables(parts)


def _merge_features(
    releases: list[Files], abouts: list[About], folder: Path
) -> tuple[dict[str, int], dict[str, dict[str, str]]]:
    """Write the feature sets of both, the first's files before the second's; gives videos and how each was made."""
    rows: dict[str, int] = {}
    said: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(one for about in abouts for one in about.features):
        seen: set[str] = set()
        made: set[str] = set()
        number = vectors = 0
        for release in (one for one, about in zip(releases, abouts, strict=True) if name in about.features):
            for file in feature_files(release, name):
                table = read_parquet(release, file)
                made.add(made_from_of_footer(table.schema.metadata or {}))
                if len(made) > 1:
                    raise CsmvError(
                        f"features/{name} was made otherwise in one release than in the other (extractor, weights, "
                        "clip rule or numbers): release one of them without it."
                    )
                here = table["video_id"].to_pylist()
                table = table.filter(pa.array([video not in seen for video in here]))
                seen.update(here)
                if table.num_rows:
                    write(folder / "features" / name / f"{number:04d}.parquet", table, _VECTORS_A_GROUP)
                    vectors += int(pc.sum(pc.list_value_length(table["features"])).as_py() or 0)
                    number += 1
        rows[name] = len(seen)
        [first] = [about.features[name] for about in abouts if name in about.features][:1]
        said[name] = first | {"vectors": str(vectors)}
    return rows, said
