"""The feature stage: clip features of the videos of a shard, into Parquet.

Does only the videos that the shard lacks, commits now and then so that little is lost when it is killed, and ends in
the same bytes however often it was. Decoding and networks are in `extractors/`; nothing is trained here.
"""

import heapq
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from extractors.errors import ExtractorError
from extractors.reasons import MediaFailure
from pipeline.errors import CsmvError
from pipeline.schemas import FailureReason, TableSpec, features_spec
from pipeline.stage import DatasetView, Needs, ShardStage, Tick, shard_name
from pipeline.store import Failure, Store, media_path
from pipeline.validated import Validated, parse

if TYPE_CHECKING:
    from extractors.base import Extractor
    from extractors.engine import VideoResult

Vectors = NDArray[Any]

GROUP_ROWS = 64
"""Videos a row group: fixed, so that bytes do not depend on when the shard was committed before."""
COMMIT_SECONDS = 300.0
COMMIT_BYTES = 256 << 20
RETRIES = 3
"""How often a file is tried again that crashed or stalled its decoder; other reasons do not pass by themselves."""


class FeatureConfig(Validated):
    """One feature set of a dataset: which extractor, with which weights, how computed and stored."""

    extractor: str = Field(min_length=1)
    weights: str = Field(default="default", description="default, random, a path or a URL")
    sha256: str | None = None
    granularity: Literal["clip", "temporal"] = "clip"
    dtype: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"
    storage: Literal["float32", "float16"] = "float32"
    batch_size: int = Field(default=0, ge=0, description="windows a batch; 0 chooses by device")
    max_clips: int = Field(default=180, ge=1, le=100_000, description="windows of a video, at most")
    workers: int = Field(default=0, ge=0, description="decoding processes; 0 chooses by cores")

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
    for videos in dict.fromkeys(todo.values()):
        same = [config for config in configs if todo[config] == videos]
        for group in _passes(same):
            if videos:
                _extract(store, shard, videos, group, tick)


def missing(store: Store, shard: int, config: FeatureConfig) -> list[str]:
    """Ids, sorted, of the shard's videos whose file is there and that this set neither has nor gave up on."""
    videos = store.read("videos", shard)
    if videos is None:
        return []
    done = set(_ids(store, shard, config))
    failed = store.read(f"failures/{config.table}", shard)
    given_up = {} if failed is None else {row["key"]: row for row in failed.to_pylist()}
    wanted = []
    for video in sorted(videos["video_id"].to_pylist()):
        media = media_path(shard, video)
        if video in done or not store.exists(media):
            continue
        if video in given_up and not _worth_another_try(store, media, given_up[video]):
            continue
        wanted.append(video)
    return wanted


def _worth_another_try(store: Store, media: str, failure: Mapping[str, Any]) -> bool:
    """Whether the file is newer than its failure, or failed in a way that may pass."""
    changed = store.fs.modified(store.path(media))
    if changed.tzinfo is None:
        changed = changed.replace(tzinfo=UTC)
    at: datetime = failure["at"]
    may_pass = failure["reason"] in ("decoder_crashed", "decode_timeout")
    return changed > at or (may_pass and failure["attempts"] < RETRIES)


def _passes(configs: Sequence[FeatureConfig]) -> Iterator[list[FeatureConfig]]:
    """Sets that can share one decoding pass: those on one device with one way of working."""
    ways = dict.fromkeys((c.device, c.batch_size, c.workers) for c in configs)
    for way in ways:
        yield [c for c in configs if (c.device, c.batch_size, c.workers) == way]


@lru_cache(maxsize=3)
def load(config: FeatureConfig) -> "Extractor":
    """The set's network, loaded; kept for the next shards."""
    from extractors import create

    try:
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
    except ExtractorError as error:
        raise CsmvError(str(error)) from None


def _extract(
    store: Store, shard: int, videos: Sequence[str], configs: list[FeatureConfig], tick: Callable[[int], None]
) -> None:
    from extractors.engine import Engine, Settings

    networks = {config.name: load(config) for config in configs}
    writers = [_ShardWriter(store, shard, config, networks[config.name]) for config in configs]
    settings = Settings(workers=configs[0].workers, batch_size=configs[0].batch_size)
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
    """One set's shard while it grows: what was there, and what has come since, merged at every commit."""

    def __init__(self, store: Store, shard: int, config: FeatureConfig, network: "Extractor") -> None:
        self._store, self._shard, self._config = store, shard, config
        self._metadata = footer(config, network)
        self._spec = features_spec(network.dim, config.storage, self._metadata)
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
        """Write the whole shard anew, with everything so far."""
        if self._new:
            self._write()
        stage = self._config.table
        failures = [Failure(key, FailureReason(str(reason)), detail) for key, (reason, detail) in self._failed.items()]
        self._store.record_failures(stage, self._shard, failures)
        self._store.clear_failures(stage, self._shard, self._new)
        self._new, self._failed = {}, {}
        self._bytes, self._since = 0, time.monotonic()

    def _write(self) -> None:
        relative = f"{self._config.table}/{self._shard:04d}.parquet"
        old = _stored_rows(self._store, relative)
        rows = heapq.merge(old, iter(sorted(self._new.items())), key=lambda row: row[0])
        with (
            self._store.writing(relative) as file,
            pq.ParquetWriter(
                file, self._spec.schema, compression="zstd", compression_level=3, version="2.6", store_schema=True
            ) as writer,
        ):
            for group in _groups(rows):
                writer.write_table(_as_table(group, self._spec), row_group_size=GROUP_ROWS)


def _groups(rows: Iterator[tuple[str, Vectors]]) -> Iterator[list[tuple[str, Vectors]]]:
    group: list[tuple[str, Vectors]] = []
    for row in rows:
        group.append(row)
        if len(group) == GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _as_table(rows: list[tuple[str, Vectors]], spec: TableSpec) -> pa.Table:
    """(video id, (T, D)) rows as a table of the features schema."""
    kind = spec.schema.field("features").type
    flat = np.concatenate([vectors.reshape(-1) for _, vectors in rows])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type.value_type), type=kind.value_type)
    offsets = np.cumsum([0] + [len(vectors) for _, vectors in rows], dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), vectors, type=kind)
    return pa.Table.from_arrays([pa.array([video for video, _ in rows]), lists], schema=spec.schema)


def _stored_rows(store: Store, relative: str) -> Iterator[tuple[str, Vectors]]:
    """The rows of a shard in order, one row group in memory at a time; none where there is no shard."""
    if not store.exists(relative):
        return
    with store.local_file(relative) as path, pq.ParquetFile(path, memory_map=True) as file:
        for number in range(file.num_row_groups):
            yield from _rows_of(file.read_row_group(number))


def _rows_of(table: pa.Table) -> Iterator[tuple[str, Vectors]]:
    """(video id, (T, D) array) of each row; the arrays are views of the table's memory."""
    for batch in table.to_batches():
        lists = batch.column("features")
        dim = lists.type.value_type.list_size
        vectors = lists.values  # not flatten(): offsets count from the start of the values
        numbers = vectors.values.to_numpy(zero_copy_only=True).reshape(-1, dim)[vectors.offset :]
        offsets = lists.offsets.to_numpy()
        for at, video in enumerate(batch.column("video_id").to_pylist()):
            yield video, numbers[offsets[at] : offsets[at + 1]]


def _ids(store: Store, shard: int, config: FeatureConfig) -> list[str]:
    relative = f"{config.table}/{shard:04d}.parquet"
    if not store.exists(relative):
        return []
    with store.local_file(relative) as path:
        found: list[str] = pq.read_table(path, columns=["video_id"])["video_id"].to_pylist()
    return found


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
    if network.device.type == "cpu":
        said["cpu_threads"] = str(torch.get_num_threads())  # the order of summation, so the last digits, hangs on it
    if network.deviation is not None:
        said["deviation_from_float32"] = str(network.deviation)
    return said


def read_footer(store: Store, table: str, shard: int) -> dict[str, str] | None:
    """The metadata of a feature shard; None where there is no shard."""
    relative = f"{table}/{shard:04d}.parquet"
    if not store.exists(relative):
        return None
    with store.local_file(relative) as path:
        metadata = pq.read_schema(path).metadata or {}
    return {key.decode(): value.decode() for key, value in metadata.items()}


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
    asked: dict[str, Any] = {key: said[key] for key in ("extractor", "granularity", "dtype", "storage") if key in said}
    asked |= {"device": said.get("device", "cpu"), "weights": _weights_named(said.get("weights", "default"))}
    # Footers by earlier versions have the number only inside the rule.
    most = re.search(r"at most (\d+)", said.get("clip_rule", ""))
    if number := said.get("max_clips", most[1] if most else ""):
        asked["max_clips"] = number
    return parse(FeatureConfig, asked, f"The footers of features/{name}")


def _weights_named(origin: str) -> str:
    """What to ask an extractor for, so that it loads the weights of this origin."""
    from extractors.weights import cache_dir

    if origin == "none":
        return "default"
    downloaded = cache_dir() / origin
    return str(downloaded) if not Path(origin).exists() and downloaded.is_file() else origin


def _check_settings(store: Store, shard: int, config: FeatureConfig) -> None:
    """What can be compared with a shard that is there without loading a network."""
    there = read_footer(store, config.table, shard)
    if there is None:
        return
    asked = {"extractor": config.extractor, "dtype": config.dtype, "storage": config.storage}
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
    from pipeline.vccsa.features import load_features

    return load_features(Store.open(root) if isinstance(root, str) else root, extractor).videos


# ---------------------------------------------------------------------------------------------- the stage


class FeaturesStage(ShardStage):
    """Every feature set of the configuration, for every video whose file is in the root."""

    name = "features"
    summary = "clip features of every video, on a GPU where there is one"
    section = "features"
    reads = ("videos", "private/media")
    writes = ("features/<set>",)
    failures: ClassVar[tuple[FailureReason, ...]] = tuple(FailureReason(reason.value) for reason in MediaFailure)
    failure_tables = ("features",)
    # A shard of features fills a machine: the network uses every core, or the whole GPU.
    needs = Needs(gpu=True, network=True, memory_gb=8)
    everywhere = 16
    timeout_s = 24 * 3600.0
    when_stale = "refuse"

    def missing(self, dataset: DatasetView) -> list[str]:
        """Shards with a video whose file is there and that a set neither has nor gave up on."""
        configs = dataset.entries(self.section, FeatureConfig)
        return [
            shard_name(shard)
            for shard in dataset.store.shards()
            if any(missing(dataset.store, shard, config) for config in configs)
        ]

    def stale(self, dataset: DatasetView) -> dict[str, str]:
        """Shards of a set that were made with other weights, numbers or clip rule than are asked for."""
        found: dict[str, str] = {}
        for config in dataset.entries(self.section, FeatureConfig):
            for shard in dataset.store.shards():
                try:
                    _check_settings(dataset.store, shard, config)
                except CsmvError as error:
                    found.setdefault(shard_name(shard), str(error))
        return found

    def prepare(self, dataset: DatasetView) -> None:
        """Raises CsmvError if the configuration names no feature set."""
        if not dataset.entries(self.section, FeatureConfig):
            raise CsmvError(
                "There is nothing to extract: dataset.yaml has no features section. Add one, or use `csmv extract`."
            )

    def run(self, dataset: DatasetView, unit: str, tick: Tick) -> None:
        """One shard of every set, each video decoded once for all that lack it."""
        extract_shard(dataset.store, int(unit), *dataset.entries(self.section, FeatureConfig), tick=tick)
