"""Draws the comments of a batch and deals them out to annotators; remembered in the root, texts left out.

The same comments, settings and seed give the same batch, whatever the order of rows.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.annotation_labels import ANNOTATION, read_parquet, write_parquet
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import TASKS, labelled, resolve
from csmv.pipeline.release.annotation.annotation_config import BatchConfig
from csmv.pipeline.schemas import CommentKind
from csmv.pipeline.store import Store
from csmv.pipeline.validated import parse, yaml_value

BATCHES = f"{ANNOTATION}/batches"
_SETTINGS = b"csmv.batch"
_SCHEMA = pa.schema(
    [
        pa.field("comment_id", pa.string(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("lists", pa.list_(pa.int32())),
        pa.field("gold_opinion", pa.string()),
        pa.field("gold_emotion", pa.string()),
        pa.field("from_expert", pa.bool_()),
    ]
)

Labels = Mapping[str, str | None]
"""Task -> class, None where it is left open."""


@dataclass(frozen=True)
class Item:
    """A comment of a batch: the numbers of the lists that it is in, and its gold label if it has one."""

    comment_id: str
    video_id: str
    lists: tuple[int, ...]
    gold: Labels | None = None
    from_expert: bool = False


@dataclass(frozen=True)
class Batch:
    """A batch as it is remembered: its settings and its comments, sorted by comment_id."""

    config: BatchConfig
    items: tuple[Item, ...]

    @property
    def gold(self) -> dict[str, Labels]:
        """comment_id -> gold label."""
        return {item.comment_id: item.gold for item in self.items if item.gold is not None}

    def in_list(self, number: int) -> list[Item]:
        """One annotator's items in the order that they are shown: a video's together, so that it is watched once."""
        seed = f"{self.config.seed}:{number}"
        mine = [item for item in self.items if number in item.lists]
        return sorted(mine, key=lambda item: (_draw(seed, item.video_id), _draw(seed, item.comment_id)))


def draw_batch(store: Store, config: BatchConfig, expert: Mapping[str, Labels] | None = None) -> Batch:
    """Draw a batch, remember it in the root, and give it.

    Comments without a settled label are asked about, and none that another batch asks about. Of each video with enough
    of them, at most `config.most` are drawn; then whole videos are taken in seeded order up to `config.comments`.

    Args:
        store: the root, whose tables are written.
        config: the settings.
        expert: comment_id -> label by an expert: gold items, in place of comments that are labelled already.

    Raises:
        CsmvError: the name is another batch's, no comment is left to ask about, or there are fewer gold items than
            asked for.
    """
    before = find_batch(store, config.name)
    if before is not None:
        if before.config.identity != config.identity:
            raise CsmvError(
                f"The root has a batch '{config.name}' with other settings: take the same settings, or another --name."
            )
        return Batch(config, before.items)
    settled = labelled(resolve(store.read_all("labels")))
    comments = store.read_all("comments", ["comment_id", "video_id", "language", "kind"])
    candidates = _filtered(store, comments, config)
    gold = _gold(candidates, settled, config, expert)
    elsewhere = {item.comment_id for name in batch_names(store) for item in read_batch(store, name).items}
    taken = elsewhere | set(settled["comment_id"].to_pylist()) | gold.keys()
    by_video: dict[str, list[str]] = {}
    for comment, video in zip(*(candidates[name].to_pylist() for name in ("comment_id", "video_id")), strict=True):
        if comment not in taken:
            by_video.setdefault(video, []).append(comment)
    chosen = _chosen(by_video, config)
    if not chosen:
        raise CsmvError(
            f"No comment of the root '{store.root}' is left to ask about with these settings: without a label, in no "
            f"batch, on a video with at least {config.fewest} of them. Widen hashtags, languages, kinds or --fewest."
        )
    video_of = dict(zip(comments["comment_id"].to_pylist(), comments["video_id"].to_pylist(), strict=True))
    everybody = tuple(range(1, config.lists + 1))
    items = [Item(one, video_of[one], lists) for one, lists in _dealt(chosen, config).items()]
    items += [Item(one, video_of[one], everybody, label, expert is not None) for one, label in gold.items()]
    batch = Batch(config, tuple(sorted(items, key=lambda item: item.comment_id)))
    _write(store, batch)
    return batch


def batch_names(store: Store) -> list[str]:
    """The batches that were drawn."""
    names = store.files(BATCHES)
    return sorted(
        name.removeprefix(f"{BATCHES}/").removesuffix(".parquet") for name in names if name.endswith(".parquet")
    )


def read_batch(store: Store, name: str) -> Batch:
    """A batch that was drawn; comments that were forgotten since are gone from it.

    Raises:
        CsmvError: there is none, or its file is damaged.
    """
    batch = find_batch(store, name)
    if batch is None:
        others = ", ".join(batch_names(store)) or "none"
        raise CsmvError(
            f"The root '{store.root}' has no batch '{name[:40]}' (it has: {others}): `csmv annotate export`."
        )
    return batch


def find_batch(store: Store, name: str) -> Batch | None:
    """The same; None if there is none."""
    rows = read_parquet(store, f"{BATCHES}/{name}.parquet", _SCHEMA)
    if rows is None:
        return None
    settings = (rows.schema.metadata or {}).get(_SETTINGS, b"{}").decode()
    config = parse(BatchConfig, yaml_value(settings, f"batch {name}"), f"batch {name}")
    return Batch(config, tuple(_item(row) for row in rows.to_pylist()))


def _item(row: Mapping[str, object]) -> Item:
    gold = {task: row[f"gold_{task}"] for task in TASKS}
    lists = row["lists"]
    assert isinstance(lists, list)
    has_gold = any(gold.values())
    labels = {task: str(value) if value else None for task, value in gold.items()} if has_gold else None
    return Item(str(row["comment_id"]), str(row["video_id"]), tuple(lists), labels, bool(row["from_expert"]))


def _write(store: Store, batch: Batch) -> None:
    rows = [
        {"comment_id": item.comment_id, "video_id": item.video_id, "lists": list(item.lists)}
        | {f"gold_{task}": (item.gold or {}).get(task) for task in TASKS}
        | {"from_expert": item.from_expert}
        for item in batch.items
    ]
    schema = _SCHEMA.with_metadata({_SETTINGS: batch.config.model_dump_json().encode()})
    write_parquet(store, f"{BATCHES}/{batch.config.name}.parquet", pa.Table.from_pylist(rows, schema=schema))


def _filtered(store: Store, comments: pa.Table, config: BatchConfig) -> pa.Table:
    """Comments of the kinds, languages and hashtags asked for; a comment without a kind is text."""
    kinds = pc.fill_null(comments["kind"], str(CommentKind.TEXT))
    wanted = pc.is_in(kinds, value_set=pa.array([str(kind) for kind in config.kinds], pa.string()))
    if config.languages:
        languages = pa.array(config.languages, pa.string())
        wanted = pc.and_(wanted, pc.is_in(comments["language"], value_set=languages))
    if config.hashtags:
        tags = {tag.lstrip("#").casefold() for tag in config.hashtags}
        videos = store.read_all("videos", ["video_id", "hashtags"]).to_pylist()
        ids = [row["video_id"] for row in videos if tags & set(row["hashtags"] or ())]
        wanted = pc.and_(wanted, pc.is_in(comments["video_id"], value_set=pa.array(ids, pa.string())))
    return comments.filter(wanted)


def _gold(
    candidates: pa.Table, settled: pa.Table, config: BatchConfig, expert: Mapping[str, Labels] | None
) -> dict[str, Labels]:
    """comment_id -> label of the gold items."""
    ids = set(candidates["comment_id"].to_pylist())
    if expert is None:
        labels: Mapping[str, Labels] = {
            row["comment_id"]: {task: row[task] for task in TASKS} for row in settled.to_pylist()
        }
    else:
        labels = expert
    mine = _seeded(config.seed, (one for one in labels if one in ids))
    wanted = config.gold or (len(mine) if expert is not None else 0)
    if len(mine) < wanted:
        raise CsmvError(
            f"{wanted:,} gold items were asked for, and {len(mine):,} comments that these settings choose have a label "
            "that counts: ask for fewer, or give an expert's labels with --gold-file."
        )
    return {one: labels[one] for one in mine[:wanted]}


def _chosen(by_video: Mapping[str, list[str]], config: BatchConfig) -> list[str]:
    chosen: list[str] = []
    for video in _seeded(config.seed, by_video):
        if len(by_video[video]) < config.fewest:
            continue
        mine = _seeded(config.seed, by_video[video])[: config.most]
        if config.comments is not None:
            left = config.comments - len(chosen)
            if left < min(config.fewest, len(mine)):
                break
            mine = mine[:left]
        chosen += mine
    return chosen


def _dealt(chosen: Iterable[str], config: BatchConfig) -> dict[str, tuple[int, ...]]:
    """comment_id -> the lists that it is in: each time those with fewest so far, by chance among equals."""
    ordered = _seeded(f"{config.seed}:overlap", chosen)
    several = round(config.overlap * len(ordered))
    loads = dict.fromkeys(range(1, config.lists + 1), 0)
    dealt = {}
    for at, comment in enumerate(ordered):
        number = config.each if at < several else 1
        free = sorted(loads, key=lambda one: (loads[one], _draw(f"{config.seed}:{one}", comment)))[:number]
        for one in free:
            loads[one] += 1
        dealt[comment] = tuple(sorted(free))
    return dealt


def _seeded(seed: int | str, keys: Iterable[str]) -> list[str]:
    """Keys in an order that stands for chance and is the same for the same seed."""
    return sorted(keys, key=lambda key: (_draw(seed, key), key))


def _draw(seed: int | str, key: str) -> bytes:
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8]
