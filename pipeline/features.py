"""The feature stage: clip features of the videos of a shard, into Parquet.

Does only the videos that the shard lacks, commits now and then so that little is lost when it is killed, and ends in
the same bytes however often it was. Decoding and networks are in `extractors/`; nothing is trained here.
"""

import hashlib
import heapq
import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from csmv.extractors.decoders import DEFAULT, DecoderName, decoder_version, require_decoder
from csmv.extractors.errors import ExtractorError, UnknownChoiceError
from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.manifest import without_identity
from csmv.pipeline.parts import SHA, add_part, ids_in_parts, open_part, part_names, rows_made_from
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.schemas import FailureReason, MediaStatus, TableSpec, features_spec
from csmv.pipeline.store import Failure, Store, media_path
from csmv.pipeline.validated import Validated, parse
from csmv.pipeline.vccsa.features import load_features

if TYPE_CHECKING:
    from csmv.extractors.base import Extractor
    from csmv.extractors.engine import VideoResult

Vectors = NDArray[Any]

GROUP_ROWS = 64
"""Videos a row group: fixed, so that bytes do not depend on when the shard was committed before."""
COMMIT_SECONDS = 300.0
COMMIT_BYTES = 256 << 20
RETRIES = 3
"""How often a file is tried again that crashed or stalled its decoder; other reasons do not pass by themselves."""


class FeatureConfig(Validated):
    """One feature set of a dataset: which extractor, with which weights, how computed and stored."""

    extractor: str = Field(min_length=1, description="name of an extractor, of those that `csmv extractors` lists")
    weights: str = Field(default="default", description="weights of the network: default, random, a path or a URL")
    sha256: str | None = None
    granularity: Literal["clip", "temporal"] = Field(
        default="clip", description="vectors of a window: clip, one; temporal, several"
    )
    dtype: Literal["float32", "tf32", "bfloat16", "float16"] = Field(
        default="float32", description="numbers that the network computes with"
    )
    device: str = Field(
        default="cpu", description="where the network runs: cpu, cuda, or one of several such as cuda:1"
    )
    storage: Literal["float32", "float16"] = Field(default="float32", description="numbers that are stored")
    batch_size: int = Field(default=0, ge=0, description="windows a batch; 0 chooses by device")
    max_clips: int = Field(default=180, ge=1, le=100_000, description="windows of a video, at most")
    workers: int = Field(default=0, ge=0, description="decoding processes; 0 chooses by cores")
    decoder: DecoderName = Field(default=DEFAULT, description="what decodes pictures; sound and times are pyav's")

    @property
    def name(self) -> str:
        """The set's name in the root: the extractor's, made fit for a path, and _temporal for that granularity."""
        plain = self.extractor.replace(":", "-").replace("/", "-")
        return plain if self.granularity == "clip" else f"{plain}_{self.granularity}"

    @property
    def table(self) -> str:
        return f"features/{self.name}"


def extract_shard(
    store: Store, shard: int, *configs: FeatureConfig, tick: Callable[[int], None] = lambda _count: None
) -> None:
    """Bring a shard of one or more feature sets up to date, decoding each video once for all that lack it.

    `tick` gets the number of videos just finished. Videos that give nothing go to failures/features/<name>.
    CsmvError if what is there was made otherwise (other weights, dtype, clip rule) than asked for.
    """
    todo = {config: tuple(missing(store, shard, config)) for config in configs}
    for config in configs:
        _check_settings(store, shard, config)
        _tell_deleted(store, shard, config)
    for videos in dict.fromkeys(todo.values()):
        same = [config for config in configs if todo[config] == videos]
        for group in _passes(same):
            if videos:
                _extract(store, shard, videos, group, tick)
    for config in configs:
        compact(store, shard, config)


def missing(store: Store, shard: int, config: FeatureConfig) -> list[str]:
    """Ids, sorted, of the shard's videos whose file is there and that this set neither has nor gave up on.

    A row that was made from another file than the video has now does not count.
    """

    videos = _media_of(store, shard)
    done = _done(store, shard, config)
    given_up = {row["key"]: row for row in store.failure_rows(config.table, shard)}
    wanted = []
    for video, (sha, _status) in sorted(videos.items()):
        media = media_path(shard, video)
        if _is_current(sha, done.get(video, ())) or not store.exists(media):
            continue
        if video in given_up and not _worth_another_try(store, media, given_up[video], config):
            continue
        wanted.append(video)
    return wanted


def is_open(store: Store, shard: int, config: FeatureConfig) -> bool:
    """Whether `extract_shard` has anything to do: a video to extract, parts to merge, or rows that no longer count."""
    if missing(store, shard, config) or part_names(store, config.table, shard):
        return True
    rows = store.read_columns(config.table, shard, ["video_id", SHA], remake=True)
    files = {video: sha for video, (sha, _) in _media_of(store, shard).items()}
    return rows is not None and not _holds_only(rows, files)


def outdated(store: Store, shard: int, config: FeatureConfig) -> int:
    """How many rows of a shard were made from another file than their video has now."""
    rows = store.read_columns(config.table, shard, ["video_id", SHA], remake=True)
    files = _media_of(store, shard)
    found = [] if rows is None else list(rows_made_from(rows))
    return sum(video in files and not _is_current(files[video][0], (sha,)) for video, sha in found)


def _media_of(store: Store, shard: int) -> dict[str, tuple[str | None, str]]:
    """video_id -> (SHA-256 of its file, media status) of a shard's videos that were not forgotten."""

    rows = store.read_columns("videos", shard, ["video_id", "media_sha256", "media_status"])
    if rows is None:
        return {}
    columns = (rows[name].to_pylist() for name in ("video_id", "media_sha256", "media_status"))
    gone = Forgotten.of(store).videos
    return {video: (sha, status) for video, sha, status in zip(*columns, strict=True) if video not in gone}


def _done(store: Store, shard: int, config: FeatureConfig) -> dict[str, set[str | None]]:
    """video_id -> the files that rows of the shard and its parts were made from."""

    found = ids_in_parts(store, config.table, shard)
    rows = store.read_columns(config.table, shard, ["video_id", SHA], remake=True)
    for video, sha in [] if rows is None else rows_made_from(rows):
        found.setdefault(video, set()).add(sha)
    return found


def _is_current(sha: str | None, made_from: Collection[str | None]) -> bool:
    """Whether a row was made from the file that the video has; of old rows nobody recorded it."""
    return sha in made_from or None in made_from


def _tell_deleted(store: Store, shard: int, config: FeatureConfig) -> None:
    """Record the videos whose file the retention rule deleted before this set could use it."""

    done = _done(store, shard, config)
    told = {row["key"] for row in store.failure_rows(config.table, shard)}
    text = "its file was deleted by the retention rule before this feature set was asked for"
    lost = [
        Failure(video, FailureReason.MISSING_MEDIA, text)
        for video, (sha, status) in sorted(_media_of(store, shard).items())
        if status == MediaStatus.DELETED and not _is_current(sha, done.get(video, ())) and video not in told
    ]
    store.record_failures(config.table, shard, lost)


def _worth_another_try(store: Store, media: str, failure: Mapping[str, Any], config: FeatureConfig) -> bool:
    """Whether the file is newer than its failure, or failed in a way that may pass, or that the default decoder may."""
    if failure["reason"] == FailureReason.DECODER_LIMIT and config.decoder == DEFAULT:
        return True
    changed = store.fs.modified(store.path(media))
    if changed.tzinfo is None:
        changed = changed.replace(tzinfo=UTC)
    at: datetime = failure["at"]
    may_pass = not FailureReason(failure["reason"]).final
    return changed > at or (may_pass and failure["attempts"] < RETRIES)


def _passes(configs: Sequence[FeatureConfig]) -> Iterator[list[FeatureConfig]]:
    """Sets that can share one decoding pass: those on one device with one way of working."""
    ways = dict.fromkeys((c.device, c.batch_size, c.workers, c.decoder) for c in configs)
    for way in ways:
        yield [c for c in configs if (c.device, c.batch_size, c.workers, c.decoder) == way]


@lru_cache(maxsize=3)
def load(config: FeatureConfig) -> "Extractor":
    """The set's network, loaded; kept for the next shards."""
    from csmv.extractors import create

    try:
        require_decoder(config.decoder)
        return create(
            config.extractor,
            config.weights,
            granularity=config.granularity,
            device=config.device,
            dtype=config.dtype,
            sha256=config.sha256 or "",
            max_clips=config.max_clips,
            measure=True,
        )
    except UnknownChoiceError as error:
        raise UsageError(str(error)) from None
    except ExtractorError as error:
        raise CsmvError(str(error)) from None


def _extract(
    store: Store, shard: int, videos: Sequence[str], configs: list[FeatureConfig], tick: Callable[[int], None]
) -> None:
    from csmv.extractors.engine import Engine, Settings

    networks = {config.name: load(config) for config in configs}
    writers = [_ShardWriter(store, shard, config, networks[config.name]) for config in configs]
    way = configs[0]
    settings = Settings(workers=way.workers, batch_size=way.batch_size, decoder=way.decoder)
    with ExitStack() as files, Engine(networks, settings) as engine:
        for video, result in zip(videos, engine.run(_local_files(store, shard, videos, files)), strict=True):
            for writer in writers:
                writer.add(video, result)
            tick(1)
    for writer in writers:
        writer.commit()


def _local_files(store: Store, shard: int, videos: Sequence[str], files: ExitStack) -> Iterator[Path]:

    for video in videos:
        yield files.enter_context(store.local_file(media_path(shard, video)))


class _ShardWriter:
    """One set's shard while it grows: what has come since the last part was kept."""

    def __init__(self, store: Store, shard: int, config: FeatureConfig, network: "Extractor") -> None:

        self._store, self._shard, self._config = store, shard, config
        self._metadata = footer(config, network)
        self._spec = features_spec(network.dim, config.storage, self._metadata)
        self._files = {video: sha for video, (sha, _) in _media_of(store, shard).items()}
        self._new: dict[str, Vectors] = {}
        self._failed: dict[str, tuple[Any, str]] = {}
        self._bytes, self._since = 0, time.monotonic()
        _check_weights(store, shard, config, self._metadata)

    def add(self, video: str, result: "VideoResult") -> None:
        """Take a video's vectors or its failure."""
        if self._config.name in result.failures:
            self._failed[video] = result.failures[self._config.name]
        else:
            vectors = result.features[self._config.name].astype(self._config.storage)
            self._new[video] = vectors
            self._bytes += vectors.nbytes
        if self._bytes > COMMIT_BYTES or time.monotonic() - self._since > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Keep what has come as a part, which nobody else writes."""

        if self._new:
            rows = [Row(video, vectors, self._files.get(video)) for video, vectors in sorted(self._new.items())]
            add_part(self._store, self._config.table, self._shard, _as_table(rows, self._spec.schema))
        stage = self._config.table
        failures = [Failure(key, FailureReason(str(reason)), detail) for key, (reason, detail) in self._failed.items()]
        self._store.record_failures(stage, self._shard, failures)
        self._store.clear_failures(stage, self._shard, self._new)
        self._new, self._failed = {}, {}
        self._bytes, self._since = 0, time.monotonic()


class Row(NamedTuple):
    """A video's vectors (T, D) and the SHA-256 of the file that they were made from."""

    video: str
    vectors: Vectors
    media_sha256: str | None


def compact(store: Store, shard: int, config: FeatureConfig) -> None:
    """Merge a shard and its parts into the shard, each video once and from the file that it has now.

    Parts go only once the shard, read again, holds their rows: whatever two processes do at the same time, a row is
    either in a part or in the shard, or missing and made again by the next run.
    """

    while True:
        gone = Forgotten.of(store)
        parts = part_names(store, config.table, shard)
        files = {video: sha for video, (sha, _) in _media_of(store, shard).items()}
        done = store.read_columns(config.table, shard, ["video_id", "media_sha256"], remake=True)
        if done is None and not parts:
            return
        if parts or not _holds_only(done, files):
            _merge(store, shard, config, parts, files)
        _drop_parts(store, shard, config, parts, files)
        if Forgotten.of(store) == gone:
            return


def complete(store: Store, config: FeatureConfig) -> None:
    """Write the shards that have nothing to hold as empty ones, so that a missing one is a lost one.

    Only where some shard says what the set is made of; nothing is done for a shard that still misses a video.
    """
    like = next((found for shard in store.shards() if (found := _schema(store, shard, config)) is not None), None)
    if like is None:
        return
    for shard in store.shards():
        absent = not store.exists(f"{config.table}/{shard:04d}.parquet")
        if absent and store.exists(f"videos/{shard:04d}.parquet") and not missing(store, shard, config):
            with store.writing_table(config.table, shard, like, made_from=made_from_of_footer(like.metadata)):
                pass


def _schema(store: Store, shard: int, config: FeatureConfig) -> pa.Schema | None:
    if not store.exists(f"{config.table}/{shard:04d}.parquet"):
        return None
    with store.open_table(config.table, shard) as file:
        return None if file is None else file.schema_arrow


def _holds_only(rows: pa.Table | None, files: Mapping[str, str | None]) -> bool:
    """Whether a shard is there and every row of it is of a video that is there, made from the file that it has."""

    if rows is None:
        return False
    return all(video in files and _is_current(files[video], (sha,)) for video, sha in rows_made_from(rows))


def _merge(
    store: Store, shard: int, config: FeatureConfig, parts: Sequence[str], files: Mapping[str, str | None]
) -> None:

    with ExitStack() as stack:
        opened = [stack.enter_context(store.open_table(config.table, shard, remake=True))]
        opened += [stack.enter_context(open_part(store, name)) for name in parts]
        sources = [file for file in opened if file is not None]
        if not sources:
            return
        # Of two rows of one video the first source's counts: the shard's, then the parts' in the order of their names.
        rows = heapq.merge(*(_rows_in(file, files) for file in sources), key=lambda row: row.video)
        schema = _with_media_column(sources[0].schema_arrow)
        with store.writing_table(config.table, shard, schema, made_from=made_from_of_footer(schema.metadata)) as writer:
            for group in _groups(_once(rows)):
                writer.write_table(_as_table(group, writer.schema), row_group_size=GROUP_ROWS)


def _drop_parts(
    store: Store, shard: int, config: FeatureConfig, parts: Sequence[str], files: Mapping[str, str | None]
) -> None:

    now = store.read_columns(config.table, shard, ["video_id"], remake=True)
    held = set() if now is None else set(now["video_id"].to_pylist())
    for name in parts:
        with open_part(store, name) as file:
            rows = [] if file is None else list(rows_made_from(file.read(columns=["video_id", "media_sha256"])))
        if all(video in held for video, sha in rows if video in files and _is_current(files[video], (sha,))):
            store.remove(name)


def _rows_in(file: pq.ParquetFile, files: Mapping[str, str | None]) -> Iterator[Row]:
    """The rows of a file in order that still count, one row group in memory at a time."""
    for number in range(file.num_row_groups):
        for row in _rows_of(file.read_row_group(number)):
            if row.video in files and _is_current(files[row.video], (row.media_sha256,)):
                yield row


def _once(rows: Iterator[Row]) -> Iterator[Row]:
    before = None
    for row in rows:
        if row.video != before:
            yield row
        before = row.video


def _groups(rows: Iterator[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def upgrade(rows: pa.Table, files: Mapping[str, str | None]) -> tuple[pa.Table, TableSpec]:
    """Rows of a set as they were written before anyone recorded which file they were made from, and their spec.

    Args:
        rows: video_id and features.
        files: video_id -> SHA-256 of its file.
    """

    schema = _with_media_column(rows.schema)
    shas = [files.get(video) for video in rows["video_id"].to_pylist()]
    columns = [rows["video_id"], rows["features"], pa.array(shas, pa.string())]
    return pa.Table.from_arrays(columns, schema=schema), TableSpec(schema, key=("video_id",))


def _with_media_column(schema: pa.Schema) -> pa.Schema:
    """A features schema with the column that says which file the vectors were made from; old shards lack it."""

    vectors = schema.field("features").type.value_type
    spec = features_spec(vectors.list_size, {"float": "float32", "halffloat": "float16"}[str(vectors.value_type)])
    return spec.schema.with_metadata(schema.metadata)


def _as_table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Rows as a table of a features schema."""
    kind = schema.field("features").type
    flat = np.concatenate([row.vectors.reshape(-1) for row in rows])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type.value_type), type=kind.value_type)
    offsets = np.cumsum([0] + [len(row.vectors) for row in rows], dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), vectors, type=kind)
    files = pa.array([row.media_sha256 for row in rows], pa.string())
    return pa.Table.from_arrays([pa.array([row.video for row in rows]), lists, files], schema=schema)


def _rows_of(table: pa.Table) -> Iterator[Row]:
    """The rows of a table; their arrays are views of its memory."""
    for batch in table.to_batches():
        lists = batch.column("features")
        dim = lists.type.value_type.list_size
        vectors = lists.values  # not flatten(): offsets count from the start of the values
        numbers = vectors.values.to_numpy(zero_copy_only=True).reshape(-1, dim)[vectors.offset :]
        offsets = lists.offsets.to_numpy()
        there = "media_sha256" in batch.schema.names
        files = batch.column("media_sha256").to_pylist() if there else [None] * batch.num_rows
        for at, (video, sha) in enumerate(zip(batch.column("video_id").to_pylist(), files, strict=True)):
            yield Row(video, numbers[offsets[at] : offsets[at + 1]], sha)


# ---------------------------------------------------------------------------------------------- what made a shard


def footer(config: FeatureConfig, network: "Extractor") -> dict[str, str]:
    """What a shard's footer says of how its numbers were made."""
    import av
    import torch

    said = {
        "extractor": config.extractor,
        "weights": network.weights_origin,
        "weights_sha256": network.weights_sha256,
        "clip_rule": str(network.rule),
        "max_clips": str(network.rule.max_clips),
        "dtype": config.dtype,
        "granularity": config.granularity,
        "storage": config.storage,
        "device": network.device.type,
        "versions": f"torch {torch.__version__.split('+')[0]}, av {av.__version__}",
    }
    if (decoder := decoder_used(config)) != DEFAULT:  # left out for the default, so that old footers say the same
        said |= {"decoder": decoder, "versions": f"{said['versions']}, {decoder_version(decoder)}"}
    if network.device.type == "cpu":
        said["cpu_threads"] = str(torch.get_num_threads())  # the order of summation, so the last digits, hangs on it
    if network.deviation is not None:
        said["deviation_from_float32"] = str(network.deviation)
    return said


def decoder_used(config: FeatureConfig) -> DecoderName:
    """The decoder that decides a set's numbers: the default for a set of sound, which no other decodes."""
    if config.decoder == DEFAULT:
        return DEFAULT
    from csmv.extractors.registry import extractor_class

    try:
        return DEFAULT if extractor_class(config.extractor).kind == "audio" else config.decoder
    except ExtractorError:  # a plugin that this machine lacks
        return config.decoder


_DECIDES = ("extractor", "weights_sha256", "clip_rule", "granularity", "dtype", "storage")
"""What of a footer decides the numbers: the rest (threads, versions, device) moves their last digits only."""


def made_from_of_footer(metadata: Mapping[bytes, bytes]) -> str:
    """The digest of the settings that a set's shards are made with."""
    decides = (*_DECIDES, "decoder") if b"decoder" in metadata else _DECIDES
    said = {key: metadata.get(key.encode(), b"").decode() for key in decides}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read_footer(store: Store, table: str, shard: int) -> dict[str, str] | None:
    """The metadata of a feature shard, or of one of its parts; None where there is neither."""

    found = store.footer(table, shard, remake=True)
    for name in part_names(store, table, shard) if found is None else ():
        with open_part(store, name) as file:
            found = None if file is None else file.schema_arrow.metadata
        if found is not None:
            break
    if found is None:
        return None
    return {key.decode(): value.decode() for key, value in without_identity(found).items()}


def set_footer(store: Store, name: str) -> dict[str, str]:
    """The metadata of the feature set `name`, from its first shard; empty where there is none."""
    footers = (read_footer(store, f"features/{name}", shard) for shard in store.shards())
    return next((found for found in footers if found is not None), {})


def made_with(store: Store, name: str) -> FeatureConfig | None:
    """How the feature set `name` of a root was made, as its shards' footers say; None where they don't.

    A weights file is known by its name alone: it is looked for here, and among the downloaded weights.

    Raises:
        CsmvError: the footer says something that no feature set can be made with.
    """
    said = set_footer(store, name)
    if "extractor" not in said:
        return None
    kept = ("extractor", "granularity", "dtype", "storage", "decoder")
    asked: dict[str, Any] = {key: said[key] for key in kept if key in said}
    asked |= {"device": said.get("device", "cpu"), "weights": _weights_named(said.get("weights", "default"))}
    # Footers by earlier versions have the number only inside the rule.
    most = re.search(r"at most (\d+)", said.get("clip_rule", ""))
    if number := said.get("max_clips", most[1] if most else ""):
        asked["max_clips"] = number
    return parse(FeatureConfig, asked, f"The footers of features/{name}")


def _weights_named(origin: str) -> str:
    """What to ask an extractor for, so that it loads the weights of this origin."""
    from csmv.extractors.weights import cache_dir

    if origin == "none":
        return "default"
    downloaded = cache_dir() / origin
    return str(downloaded) if not Path(origin).exists() and downloaded.is_file() else origin


def disagreement(store: Store, shard: int, config: FeatureConfig) -> str:
    """How a shard that is there was made otherwise than is asked for, in a sentence; empty if it was not."""
    try:
        _check_settings(store, shard, config)
    except CsmvError as error:
        return str(error)
    there = read_footer(store, config.table, shard) or {}
    most = there.get("max_clips", str(config.max_clips))
    if most != str(config.max_clips):
        return (
            f"{config.table}, shard {shard}, was made with max_clips '{most}', and '{config.max_clips}' is asked for: "
            f"ask for the same, or delete {config.table} to make it anew."
        )
    return ""


def _check_settings(store: Store, shard: int, config: FeatureConfig) -> None:
    """What can be compared with a shard that is there without loading a network."""
    there = read_footer(store, config.table, shard)
    if there is None:
        return
    there = {"decoder": DEFAULT} | there
    asked = {"extractor": config.extractor, "dtype": config.dtype, "storage": config.storage}
    asked["decoder"] = decoder_used(config)
    if config.weights in ("random", "default") and there.get("weights") != "none":
        asked["weights"] = config.weights
    _compare(config, shard, there, asked)
    if config.sha256 and not there.get("weights_sha256", "").startswith(config.sha256):
        _compare(config, shard, there, {"weights_sha256": config.sha256})


def _check_weights(store: Store, shard: int, config: FeatureConfig, asked: dict[str, str]) -> None:
    there = read_footer(store, config.table, shard)
    if there is not None:
        kept = ("weights_sha256", "clip_rule", "granularity", "device")
        _compare(config, shard, there, {key: asked[key] for key in kept})


def _compare(config: FeatureConfig, shard: int, there: dict[str, str], asked: dict[str, str]) -> None:
    for key, value in asked.items():
        if there.get(key) != value:
            raise CsmvError(
                f"{config.table}, shard {shard}, was made with {key} '{there.get(key)}', and '{value}' is asked for: "
                f"ask for the same, or delete {config.table} to make it anew."
            )


# ---------------------------------------------------------------------------------------------- reading


def features(root: str | Store, extractor: str) -> Mapping[str, Vectors]:
    """(T, D) arrays by video id of a set (`i3d`, or `i3d_temporal`), views of what was read, never copies.

    What training reads too, so large sets are memory-mapped. CsmvError where the root has no such set.
    """

    return load_features(Store.open(root) if isinstance(root, str) else root, extractor).videos
