"""How far a root is: of each stage its units, of each hashtag its videos, and who works on what.

The stages themselves say what is missing and stale. What they said of a shard is remembered in `private/cache`, with a
digest of the listing of the files that it was said of, so that looking again costs a listing and the shards that have
changed since. The memory holds counts and sentences, no id and no text.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_arrays import SHA, rows_made_from
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.feature_rows import is_current
from csmv.pipeline.schemas import FailureClass, MediaStatus
from csmv.pipeline.stage import DatasetView, HashtagCount, ShardStage, Stage, StageStatus, shard_name
from csmv.pipeline.store import Store
from csmv.pipeline.work import Work, work_in

MEMORY = "private/cache/status.json"
_RECIPE = 1
"""Of this module: what another version remembered is not believed."""
_MOST_HASHTAGS = 200
"""Of a shard of a source that has no hashtags of its own, so many of the most used are counted."""
_AT_ONCE = 8
_SHARD = re.compile(r"(?:^|/)(\d{4})(?:\.parquet|/[^/]+)$")
_OF_SHARDS = ("videos", "comments", "labels", "features", "failures", "manifest", "private/parts", "private/media")
_DONE, _MISSING = "done", "missing"


@dataclass(frozen=True)
class Overview:
    """A root at one moment: its stages in order, and every unit that somebody works on."""

    stages: list[StageStatus]
    working: list[Work]
    at: datetime


def look(dataset: DatasetView, stages: Sequence[Stage], settings: str) -> Overview:
    """How far a dataset is.

    Args:
        dataset: the dataset.
        stages: the pipeline.
        settings: all of its configuration, with what this run changes: other settings, other answers.

    Raises:
        CsmvError: a table is damaged, or can't be read.
    """
    store = dataset.store
    with store.remembering():
        working = work_in(store)
        memory = _Memory(store, settings)
        counts = _by_hashtag(dataset, memory)
        rows = [_status_of(stage, dataset, memory, counts, working) for stage in stages]
        memory.save()
    return Overview(rows, working, datetime.now(UTC))


def _status_of(
    stage: Stage, dataset: DatasetView, memory: "_Memory", counts: Mapping[str, Any], working: Iterable[Work]
) -> StageStatus:
    items: int | None = None
    if isinstance(stage, ShardStage):
        answers = memory.of_shards(f"stage/{stage.name}", stage.depends_on(dataset), lambda n: _ask(stage, dataset, n))
        units = [shard_name(shard) for shard in dataset.store.shards()]
        missing = {unit for unit, answer in zip(units, answers, strict=True) if answer["open"]}
        stale = {unit: answer["stale"] for unit, answer in zip(units, answers, strict=True) if answer["stale"]}
        lefts = [answer["left"] for answer in answers if answer["left"] is not None]
        items = sum(lefts) if lefts else None
        note = stage.note(dataset)
    else:
        asked = f"stage/{stage.name}{stage.code(dataset)}"
        answer = memory.of_root(asked, _folders_of(stage, dataset), lambda: _ask_whole(stage, dataset))
        units, missing, stale, note = answer["units"], set(answer["missing"]), answer["stale"], answer["note"]
    reasons: Counter[str] = Counter()
    for table, found in counts["failures"].items():
        if table.split("/", 1)[0] in stage.failure_tables:
            reasons.update(found)
    now = datetime.now(UTC)
    rates = [one.rate for one in working if one.stage == stage.name and one.rate and not one.is_silent(now)]
    return StageStatus(
        stage.name,
        str(stage.unit),
        len(units),
        len(missing - stale.keys()),
        stale,
        reasons,
        note,
        items,
        sum(rates) if rates else None,
        {tag: found[stage.name] for tag, found in counts["hashtags"].items() if stage.name in found},
    )


def _ask(stage: ShardStage, dataset: DatasetView, shard: int) -> dict[str, Any]:
    return {
        "open": stage.is_open(dataset, shard),
        "stale": stage.why_stale(dataset, shard),
        "left": stage.items_left(dataset, shard),
    }


def _ask_whole(stage: Stage, dataset: DatasetView) -> dict[str, Any]:
    return {
        "units": stage.units(dataset),
        "missing": stage.missing(dataset),
        "stale": stage.stale(dataset),
        "note": stage.note(dataset),
    }


def _folders_of(stage: Stage, dataset: DatasetView) -> tuple[str, ...] | None:
    """What decides the answers of a stage that does not work by shard; None if something outside the root does."""
    reach = dataset.reach
    asked = reach.again or reach.links is not None or reach.refresh_after is not None
    if not stage.reads and (asked or not dataset.source.online):
        return None
    folders = {
        folder if folder.startswith("private/") else folder.split("/")[0] for folder in stage.reads + stage.writes
    }
    return tuple(sorted({*folders, *(f"manifest/{folder}" for folder in folders)}))


# ---------------------------------------------------------------------- by hashtag


def _by_hashtag(dataset: DatasetView, memory: "_Memory") -> dict[str, Any]:
    """Failures by table and reason, and of each hashtag and stage its count."""
    shards = memory.of_shards("counts", (), lambda shard: _count(dataset, shard))
    failures: dict[str, Counter[str]] = {}
    total: Counter[tuple[str, str, str]] = Counter()
    for shard in shards:
        for table, reasons in shard["failures"].items():
            failures.setdefault(table, Counter()).update(reasons)
        for tag, stage, what, number in shard["hashtags"]:
            total[tag, stage, what] += number
    hashtags: dict[str, dict[str, HashtagCount]] = {tag: {} for tag in dataset.source.hashtags}
    for (tag, stage, what), number in total.items():
        count = hashtags.setdefault(tag, {}).setdefault(stage, HashtagCount())
        if what == _DONE:
            count.done += number
        elif what == _MISSING:
            count.missing += number
        else:
            count.failures[what] += number
    if dataset.source.hashtags:
        unread = memory.of_root("hashtags", ("private/landing",), lambda: dataset.source.open_hashtags(dataset.store))
        for tag in dataset.source.hashtags:
            hashtags[tag]["collect"] = HashtagCount(int(tag not in unread), int(tag in unread))
    return {"failures": failures, "hashtags": dict(sorted(hashtags.items(), key=lambda one: -_videos(one[1])))}


def _videos(stages: Mapping[str, HashtagCount]) -> int:
    return stages["tables"].done if "tables" in stages else 0


def _count(dataset: DatasetView, shard: int) -> dict[str, Any]:
    """What `_by_hashtag` needs of a shard."""
    store = dataset.store
    failures = {table: _failures(store, table, shard) for table in _failure_tables(store, shard)}
    videos = store.read_columns("videos", shard, ["video_id", "hashtags", "media_status", SHA], remake=True)
    counts: Counter[tuple[str, str, str]] = Counter()
    rows = [] if videos is None else videos.to_pylist()
    tags = _tags(dataset, rows)
    reasons = {table: dict(found) for table, found in failures.items()}
    done = {one.table: _rows_of_set(store, one.table, shard) for one in dataset.entries("features", FeatureConfig)}
    for row in rows:
        video, status = row["video_id"], row["media_status"]
        said = [("tables", _DONE)]
        if status == MediaStatus.PENDING:
            said.append(("media", _MISSING))
        elif status in (MediaStatus.OK, MediaStatus.DELETED):
            said.append(("media", _DONE))
        if "media" in reasons and video in reasons["media"]:
            said.append(("media", reasons["media"][video]))
        for table, made_from in done.items():
            if is_current(row[SHA], made_from.get(video, ())):
                said.append(("features", _DONE))
            elif video in reasons.get(table, ()):
                said.append(("features", reasons[table][video]))
            elif status == MediaStatus.OK:
                said.append(("features", _MISSING))
        for tag in {tag.casefold() for tag in row["hashtags"] or ()} & tags:
            counts.update((tag, *what) for what in said)
    return {
        "failures": {table: Counter(reason for _, reason in found) for table, found in failures.items()},
        "hashtags": [[*what, number] for what, number in sorted(counts.items())],
    }


def _tags(dataset: DatasetView, rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """The hashtags that count: the source's own, else the most used."""
    if dataset.source.hashtags:
        return set(dataset.source.hashtags)
    used = Counter(tag.casefold() for row in rows for tag in row["hashtags"] or ())
    return {tag for tag, _ in sorted(used.items(), key=lambda one: (-one[1], one[0]))[:_MOST_HASHTAGS]}


def _failure_tables(store: Store, shard: int) -> Iterator[str]:
    for name in store.files("failures"):
        if name.endswith(f"/{shard:04d}.parquet"):
            yield name.removeprefix("failures/").rpartition("/")[0]


def _failures(store: Store, table: str, shard: int) -> list[tuple[str, str]]:
    """(key, reason) of each that is one; warnings speak of what was done."""
    rows = store.read_columns(f"failures/{table}", shard, ["key", "reason", "class"], remake=True)
    pairs = [] if rows is None else zip(*(rows[name].to_pylist() for name in ("key", "reason", "class")), strict=True)
    return [(key, reason) for key, reason, kind in pairs if kind != FailureClass.WARNING]


def _rows_of_set(store: Store, table: str, shard: int) -> dict[str, tuple[str | None]]:
    """video_id -> the file that its row was made from."""
    rows = store.read_columns(table, shard, ["video_id", SHA], remake=True)
    return {} if rows is None else {video: (sha,) for video, sha in rows_made_from(rows)}


# ---------------------------------------------------------------------- what was said before


class _Memory:
    """Answers by name, each with a digest of what it was an answer about."""

    def __init__(self, store: Store, settings: str) -> None:
        self._store = store
        self._whole = store.listing("")  # before anything else: every listing of this look is a part of it
        forgotten = (line for name in store.files_beginning("private/forg") for line in self._lines([name]))
        self._base = _digest([str(_RECIPE), settings, *forgotten])
        self._before = self._read()
        self._now: dict[str, Any] = {}
        self._changed = False

    def of_shards(
        self, name: str, folders: tuple[str, ...] | None, ask: Callable[[int], dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The answer of each shard, asked where it may have changed.

        Args:
            name: of the question.
            folders: what decides the answers besides the files of each shard; None if nothing in the root does.
            ask: gives the answer of a shard, as JSON could hold it.
        """
        more = None if folders is None else self._below(folders)

        def answer(shard: int) -> dict[str, Any]:
            about = None if more is None else _digest([self._base, more, *self._of_shard.get(shard, ())])
            given: dict[str, Any] = self._once(f"{name}/{shard}", about, lambda: ask(shard))
            return given

        if self._store.is_local:
            return [answer(shard) for shard in self._store.shards()]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="csmv-status") as threads:
            return list(threads.map(answer, self._store.shards()))

    def of_root(self, name: str, folders: tuple[str, ...] | None, ask: Callable[[], Any]) -> Any:
        """The answer to a question about what lies below these folders; None: nobody may remember it."""
        return self._once(name, None if folders is None else _digest([self._base, self._below(folders)]), ask)

    def _once(self, name: str, about: str | None, ask: Callable[[], Any]) -> Any:
        if about is None:
            return ask()
        if name in self._before and self._before[name][0] == about:
            answer = self._before[name][1]
        else:
            answer = ask()
            self._changed = True
        self._now[name] = [about, answer]
        return answer

    def save(self) -> None:
        """Keep the answers for the next look, where this user may write; who may not just asks again."""
        if self._changed:
            with suppress(OSError, CsmvError):
                self._store.write_file(MEMORY, json.dumps(self._now).encode())

    def _read(self) -> dict[str, Any]:
        data = self._store.read_if_there(MEMORY) if MEMORY in self._whole else None
        try:
            document = json.loads(data or b"{}")
            return document if isinstance(document, dict) else {}
        except ValueError:
            return {}

    @cached_property
    def _of_shard(self) -> dict[int, list[str]]:
        """What the listing says of the files of each shard."""
        found: dict[int, list[str]] = {}
        for folder in _OF_SHARDS:
            for name in self._store.files(folder):
                if shard := _SHARD.search(name):
                    found.setdefault(int(shard[1]), []).extend(self._lines([name]))
        return found

    def _below(self, folders: tuple[str, ...]) -> str:
        return _digest(line for folder in folders for line in self._lines(self._store.files(folder)))

    def _lines(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            if (listed := self._whole.get(name)) is not None:
                yield f"{name} {listed.size} {listed.modified.timestamp()}"


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
