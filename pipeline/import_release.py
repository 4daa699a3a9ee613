"""`csmv import RELEASE`: a release into a root, tables, labels, every split and every feature set.

From there on it is a root like any other: media can be downloaded, other features extracted, models trained.
"""

from collections import defaultdict
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, create_root, read_config, refuse_another
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_arrays import SHA
from csmv.pipeline.feature_sets import made_from_of_footer
from csmv.pipeline.files import Files
from csmv.pipeline.manifest import HEADER_FILE
from csmv.pipeline.progress import track
from csmv.pipeline.release.release_config import ReleaseConfig
from csmv.pipeline.release.release_folder import About, feature_files, read_about, read_parquet
from csmv.pipeline.release.verify_release import verify_release
from csmv.pipeline.schemas import SPLIT_NAMES, features_spec
from csmv.pipeline.sources.released import Released, ReleasedSource
from csmv.pipeline.store import Store


@dataclass(frozen=True)
class ImportedRelease:
    """What was imported, and the rows of the root's tables, splits and feature sets."""

    about: About
    rows: dict[str, int]


def import_release(root: str, address: str, n_shards: int | None = None) -> ImportedRelease:
    """Read a release into a root. Importing it again gives the same bytes.

    Args:
        root: the dataset root, made if need be.
        address: the release, a folder or an fsspec URL.
        n_shards: the number of shards of a new root; None for what suits the number of videos.

    Raises:
        CsmvError: the release is damaged, or the root is made from something else.
    """
    verified = verify_release(address)
    if verified.problems:
        raise CsmvError(f"'{address}' can't be imported: {verified.problems[0][1]}")
    about = verified.about
    recorded = ReleasedSource(content=about.content)
    config = DatasetConfig(name=about.name, source=recorded, release=ReleaseConfig(license=about.license))
    store = Store(root)
    if store.exists(HEADER_FILE):
        before = read_config(Store.open(root))
        asked = config.model_copy(update={"name": before.name, "n_shards": n_shards or before.n_shards})
        refuse_another(root, before, asked)
        store, config = Store.open(root), before
    else:
        if n_shards is not None:
            config = config.model_copy(update={"n_shards": n_shards})
        store = create_root(root, config, expected_videos=about.rows["videos"])
    ingest(store, Released(ReleasedSource(path=address, content=about.content)), config.scrub, store.key())
    release = Files(address)
    rows = {table: store.num_rows(table) for table in ("videos", "comments", "labels")}
    rows |= {f"splits/{name}": _take_split(store, release, name, about) for name in about.splits}
    rows |= {f"features/{name}": _take_features(store, release, name) for name in about.features}
    return ImportedRelease(read_about(release), rows)


def _take_split(store: Store, release: Files, name: str, about: About) -> int:
    """Write a split with those of its comments that the root has; what was forgotten there stays so."""
    parts = []
    for part in SPLIT_NAMES:
        if part in about.splits[name]:
            rows = read_parquet(release, f"splits/{name}/{part}.parquet", ["comment_id", "video_id"])
            parts.append(rows.append_column("split", pa.array([part] * rows.num_rows)))
    whole = pa.concat_tables(parts).replace_schema_metadata(None)
    present = store.read_all("comments", ["comment_id"])["comment_id"].combine_chunks()
    whole = whole.filter(pc.is_in(whole["comment_id"], value_set=present))
    store.write_split(name, whole, made_from=f"release {about.content}")
    return int(whole.num_rows)


def _take_features(store: Store, release: Files, name: str) -> int:
    """Write a feature set, shard by shard; which media file a row was made from is nothing that this root has."""
    places: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    present = set(store.read_all("videos", ["video_id"])["video_id"].to_pylist())
    files = list(feature_files(release, name))
    for file in files:
        for video in read_parquet(release, file, ["video_id"])["video_id"].to_pylist():
            if video in present:
                places[store.shard_of(video)][file].append(video)
    schema = _schema(release, files[0])
    rows = 0
    with track(f"import features/{name}", store.n_shards) as tick:
        for shard in store.shards():
            pieces = [_rows(release, file, videos) for file, videos in places[shard].items()]
            table = pa.concat_tables(pieces) if pieces else schema.empty_table()
            spec = features_spec(_dim(schema), _storage(schema), _said(schema))
            store.write(f"features/{name}", shard, table, spec, made_from=made_from_of_footer(schema.metadata))
            rows += table.num_rows
            tick(1)
    return rows


def _rows(release: Files, file: str, videos: list[str]) -> pa.Table:
    rows = read_parquet(release, file)
    rows = rows.filter(pc.is_in(rows["video_id"], value_set=pa.array(videos)))
    return rows.set_column(rows.schema.get_field_index(SHA), SHA, pa.nulls(rows.num_rows, pa.string()))


def _schema(release: Files, file: str) -> pa.Schema:
    return pq.read_schema(pa.BufferReader(release.read_file(file)))


def _dim(schema: pa.Schema) -> int:
    return int(schema.field("features").type.value_type.list_size)


def _storage(schema: pa.Schema) -> str:
    return {"float": "float32", "halffloat": "float16"}[str(schema.field("features").type.value_type.value_type)]


def _said(schema: pa.Schema) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
