"""The feature stage: clip features of the videos of a shard, into Parquet.

Does only the videos that the shard lacks, commits now and then so that little is lost when it is killed, and ends in
the same bytes however often it was. Decoding and networks are in `extractors/`; nothing is trained here.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from csmv.extractors.decoders import DEFAULT, require_decoder
from csmv.extractors.extractor_errors import ExtractorError, UnknownChoiceError
from csmv.pipeline.compaction import compact
from csmv.pipeline.device_processes import DevicesFailedError, Share, devices_of, end_device_processes, shared_out
from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.failures import Failure, clear_failures, failure_rows, record_failures
from csmv.pipeline.feature_arrays import SHA, Row, Vectors, as_table, rows_made_from
from csmv.pipeline.feature_config import MAX_DAMAGE, FeatureConfig
from csmv.pipeline.feature_footer import footer
from csmv.pipeline.feature_rows import files_of, holds_only, is_current, media_of
from csmv.pipeline.feature_sets import check_settings, check_weights, made_from_of_footer
from csmv.pipeline.files import Listed
from csmv.pipeline.manifest import table_file
from csmv.pipeline.own_weights import located
from csmv.pipeline.parts import add_part, files_in_parts, part_names
from csmv.pipeline.processes import default_jobs
from csmv.pipeline.progress import Meter, Reading, did, did_not, expect, metered
from csmv.pipeline.root import media_folder, media_path
from csmv.pipeline.schemas import FailureReason, MediaStatus, features_spec
from csmv.pipeline.store import Store

if TYPE_CHECKING:
    from csmv.extractors.base import Extractor
    from csmv.extractors.engine import VideoResult

COMMIT_SECONDS = 300.0
COMMIT_BYTES = 256 << 20
RETRIES = 3
"""How often a file is tried again that crashed or stalled its decoder; other reasons do not pass by themselves."""


def extract_shard(
    store: Store, shard: int, *configs: FeatureConfig, tick: Callable[[int], None] = lambda _count: None
) -> None:
    """Bring a shard of one or more feature sets up to date, decoding each video once for all that lack it.

    `tick` gets the number of videos just finished. Videos that give nothing go to failures/features/<name>. Of
    several devices (`device: cuda:0,cuda:1`) each has a process, and takes a share of the videos after the other.

    Raises:
        CsmvError: what is there was made otherwise (other weights, dtype, clip rule) than asked for.
        DevicesFailedError: a device failed; what the others have done is kept.
    """
    with store.remembering():  # over a slow line, to ask a second time takes as long as to decode a film
        todo = {config: tuple(missing(store, shard, config)) for config in configs}
        for config in configs:
            check_settings(store, shard, config)
            _record_deleted(store, shard, config)
    failure: DevicesFailedError | None = None
    for videos in dict.fromkeys(todo.values()):
        same = [config for config in configs if todo[config] == videos]
        for group in _passes(same):
            if not videos:
                continue
            try:
                _extract(store, shard, videos, group, tick)
            except DevicesFailedError as error:
                failure = error
    for config in configs:
        compact(store, shard, config)
    if failure is not None:
        raise failure


def extract_shards(store: Store, *configs: FeatureConfig, tick: Callable[[int], None] = lambda _count: None) -> None:
    """`extract_shard` for every shard of a root; ends the processes of several devices."""
    try:
        for shard in store.shards():
            extract_shard(store, shard, *configs, tick=tick)
    finally:
        end_device_processes()


def missing(store: Store, shard: int, config: FeatureConfig) -> list[str]:
    """Ids, sorted, of the shard's videos whose file is there and that this set neither has nor gave up on.

    A row that was made from another file than the video has now does not count.
    """
    videos = media_of(store, shard)
    done = _done(store, shard, config)
    undone = [video for video, (sha, _status) in sorted(videos.items()) if not is_current(sha, done.get(video, ()))]
    if not undone:
        return []
    given_up = {row["key"]: row for row in failure_rows(store, config.table, shard)}
    media = store.listing(media_folder(shard))
    wanted = []
    for video in undone:
        file = media.get(media_path(shard, video))
        if file is None or (video in given_up and not _worth_another_try(file, given_up[video], config)):
            continue
        wanted.append(video)
    return wanted


def is_open(store: Store, shard: int, config: FeatureConfig) -> bool:
    """Whether `extract_shard` has anything to do: a video to extract, parts to merge, or rows that no longer count."""
    if missing(store, shard, config) or part_names(store, config.table, shard):
        return True
    rows = store.read_columns(config.table, shard, ["video_id", SHA], remake=True)
    files = files_of(store, shard)
    return rows is not None and not holds_only(rows, files)


def outdated(store: Store, shard: int, config: FeatureConfig) -> int:
    """How many rows of a shard were made from another file than their video has now."""
    rows = store.read_columns(config.table, shard, ["video_id", SHA], remake=True)
    files = files_of(store, shard)
    made_from = [] if rows is None else rows_made_from(rows)
    return sum(video in files and not is_current(files[video], (sha,)) for video, sha in made_from)


def _done(store: Store, shard: int, config: FeatureConfig) -> dict[str, set[str | None]]:
    """video_id -> the files that rows of the shard and its parts were made from."""
    files = files_in_parts(store, config.table, shard)
    rows = store.read_columns(config.table, shard, ["video_id", SHA], remake=True)
    for video, sha in [] if rows is None else rows_made_from(rows):
        files.setdefault(video, set()).add(sha)
    return files


def _record_deleted(store: Store, shard: int, config: FeatureConfig) -> None:
    """Record the videos whose file the retention rule deleted before this set could use it."""
    done = _done(store, shard, config)
    recorded = {row["key"] for row in failure_rows(store, config.table, shard)}
    text = "its file was deleted by the retention rule before this feature set was asked for"
    lost = [
        Failure(video, FailureReason.MISSING_MEDIA, text)
        for video, (sha, status) in sorted(media_of(store, shard).items())
        if status == MediaStatus.DELETED and not is_current(sha, done.get(video, ())) and video not in recorded
    ]
    record_failures(store, config.table, shard, lost)


def _worth_another_try(media: Listed, failure: Mapping[str, Any], config: FeatureConfig) -> bool:
    """Whether the file is newer than its failure, or failed in a way that may pass, or that the default decoder may."""
    if failure["reason"] == FailureReason.DECODER_LIMIT and config.decoder == DEFAULT:
        return True
    is_damaged = failure["reason"] in (FailureReason.DAMAGED, FailureReason.TRUNCATED)
    if is_damaged and config.max_damage > MAX_DAMAGE and failure["attempts"] < RETRIES:
        return True
    at: datetime = failure["at"]
    may_pass = not FailureReason(failure["reason"]).final
    return media.modified > at or (may_pass and failure["attempts"] < RETRIES)


def _passes(configs: Sequence[FeatureConfig]) -> Iterator[list[FeatureConfig]]:
    """Sets that can share one decoding pass: those on one device with one way of working."""
    ways = dict.fromkeys(map(_way, configs))
    for way in ways:
        yield [c for c in configs if _way(c) == way]


def _way(config: FeatureConfig) -> tuple[str, int, int, str, float]:
    return config.device, config.batch_size, config.workers, config.decoder, config.max_damage


@lru_cache(maxsize=3)
def load(config: FeatureConfig) -> "Extractor":
    """The set's network, loaded; kept for the next shards."""
    from csmv.extractors import create
    from csmv.extractors.weights import cache_dir

    try:
        require_decoder(config.decoder)
        network = create(
            config.extractor,
            config.weights,
            granularity=config.granularity,
            device=config.device,
            dtype=config.dtype,
            sha256=config.sha256 or "",
            max_clips=config.max_clips,
            compile=config.compile,
            measure=True,
        )
    except UnknownChoiceError as error:
        raise UsageError(str(error)) from None
    except ExtractorError as error:
        raise CsmvError(str(error)) from None
    if network.name != config.extractor:
        # Footers are published, and a path may say whose machine it was.
        prefix, _, name = network.name.partition(":")
        raise CsmvError(
            f"A feature set is published with its extractor's name, so that a folder can't be one: put the folder at "
            f"{cache_dir() / prefix / name} and ask for '{network.name}'."
        )
    return network


def _extract(
    store: Store, shard: int, videos: Sequence[str], configs: list[FeatureConfig], tick: Callable[[int], None]
) -> None:
    expect(len(videos))
    devices = devices_of(configs[0].device)

    def settle(outcome: Outcome) -> None:
        record(store, shard, outcome)

    if len(devices) == 1:
        for items in extract_videos(store, shard, videos, configs, settle):
            tick(items)
        return
    # Decoders of all devices share the cores.
    workers = configs[0].workers or max(1, default_jobs() // len(devices))
    sections = tuple(config.model_copy(update={"workers": workers}).model_dump_json() for config in configs)
    work = partial(_extract_share, store.root, shard, sections)
    for outcomes, reading in shared_out(devices, videos, work):
        for outcome in outcomes:
            settle(outcome)
        did(reading.items, **reading.amounts)
        for reason in reading.reasons.elements():
            did_not(reason)
        tick(reading.items)


def _extract_share(root: str, shard: int, sections: tuple[str, ...], share: Share) -> "tuple[list[Outcome], Reading]":
    """In the process of a device: extract a share of a shard's videos, and say what is to be recorded of them."""
    device, videos = share
    configs = [FeatureConfig.model_validate_json(one).model_copy(update={"device": device}) for one in sections]
    outcomes: list[Outcome] = []
    meter = Meter()
    with metered(meter):
        for _ in extract_videos(Store.open(root), shard, videos, configs, outcomes.append):
            pass
    return outcomes, meter.read()


def extract_videos(
    store: Store,
    shard: int,
    videos: Sequence[str],
    configs: Sequence[FeatureConfig],
    settle: "Callable[[Outcome], None]",
) -> Iterator[int]:
    """Extract videos of a shard into parts, on one device; gives the number of videos just finished.

    Args:
        store: the root.
        shard: which shard.
        videos: their ids.
        configs: sets that can share a pass.
        settle: is given what is to be recorded of the videos whose features have been kept.

    Raises:
        CsmvError: what is there was made with other weights, or the network can't be had.
    """
    from csmv.extractors.engine import Engine, Settings

    networks = {config.name: load(located(store, config)) for config in configs}
    writers = [_ShardWriter(store, shard, config, networks[config.name], settle) for config in configs]
    way = configs[0]
    settings = Settings(workers=way.workers, batch_size=way.batch_size, decoder=way.decoder, max_damage=way.max_damage)
    names = [media_path(shard, video) for video in videos]
    with store.local_files(names) as files, Engine(networks, settings) as engine:
        for video, result in zip(videos, engine.run(files.paths), strict=True):
            for writer in writers:
                writer.add(video, result)
            windows = sum(map(len, result.features.values()))
            size = result.path.stat().st_size
            did(1, videos=1, windows=windows, decode_seconds=result.decode_seconds, bytes=size)
            files.give_back(result.path)
            yield 1
    for writer in writers:
        writer.commit()


@dataclass(frozen=True)
class Outcome:
    """What is to be recorded of videos of a set, whose features are kept by now."""

    table: str
    done: frozenset[str]
    failed: tuple[Failure, ...]
    damaged: tuple[Failure, ...]


def record(store: Store, shard: int, outcome: Outcome) -> None:
    """Bring failures/features/<set> up to date. By one process at a time: it reads, and writes anew."""
    record_failures(store, outcome.table, shard, outcome.failed)
    clear_failures(store, outcome.table, shard, outcome.done - {one.key for one in outcome.damaged})
    record_failures(store, outcome.table, shard, outcome.damaged)


class _ShardWriter:
    """One set's shard while it grows: what has come since the last part was kept."""

    def __init__(
        self,
        store: Store,
        shard: int,
        config: FeatureConfig,
        network: "Extractor",
        settle: Callable[[Outcome], None],
    ) -> None:
        self._store, self._shard, self._config, self._settle = store, shard, config, settle
        self._metadata = footer(config, network)
        self._spec = features_spec(network.dim, config.storage, self._metadata)
        self._files = files_of(store, shard)
        self._new: dict[str, Vectors] = {}
        self._failed: dict[str, tuple[Any, str]] = {}
        self._damaged: dict[str, str] = {}
        self._bytes, self._since = 0, time.monotonic()
        check_weights(store, shard, config, self._metadata)

    def add(self, video: str, result: "VideoResult") -> None:
        """Take a video's vectors or its failure."""
        if self._config.name in result.failures:
            self._failed[video] = result.failures[self._config.name]
            did_not(str(result.failures[self._config.name][0]))
        else:
            vectors = result.features[self._config.name].astype(self._config.storage)
            self._new[video] = vectors
            if self._config.name in result.damage:
                self._damaged[video] = str(result.damage[self._config.name])
            self._bytes += vectors.nbytes
        if self._bytes > COMMIT_BYTES or time.monotonic() - self._since > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Keep what has come as a part, which nobody else writes."""
        if self._new:
            rows = [Row(video, vectors, self._files.get(video)) for video, vectors in sorted(self._new.items())]
            add_part(self._store, self._config.table, self._shard, as_table(rows, self._spec.schema))
        failed = [Failure(key, FailureReason(str(reason)), detail) for key, (reason, detail) in self._failed.items()]
        damaged = [Failure(key, FailureReason.PARTLY_DAMAGED, detail) for key, detail in self._damaged.items()]
        self._settle(Outcome(self._config.table, frozenset(self._new), tuple(failed), tuple(damaged)))
        self._new, self._failed, self._damaged = {}, {}, {}
        self._bytes, self._since = 0, time.monotonic()


def complete(store: Store, config: FeatureConfig) -> None:
    """Write the shards that have nothing to hold as empty ones, so that a missing one is a lost one.

    Only where some shard says what the set is made of; nothing is done for a shard that still misses a video.
    """
    written, videos = (set(store.files(table)) for table in (config.table, "videos"))
    shards = [shard for shard in store.shards() if table_file("videos", shard) in videos]
    absent = [shard for shard in shards if table_file(config.table, shard) not in written]
    if not absent or not written:
        return
    schemas = (store.schema(config.table, shard) for shard in store.shards() if shard not in absent)
    schema = next((schema for schema in schemas if schema is not None), None)
    if schema is None:
        return
    for shard in absent:
        if not missing(store, shard, config):
            with store.writing_table(config.table, shard, schema, made_from=made_from_of_footer(schema.metadata)):
                pass
