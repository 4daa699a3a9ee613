"""Label Studio tasks of a batch: a comment's scrubbed text, its video, and ids to come back by. Nothing else leaves."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.release.annotation.annotation_batch import Batch, Item
from csmv.pipeline.release.annotation.annotation_config import MediaLink
from csmv.pipeline.release.annotation.labelling_page import labelling_configuration
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import MediaStatus
from csmv.pipeline.store import Store

CONFIG_NAME = "labelling.xml"


@dataclass(frozen=True)
class Exported:
    """What an export wrote: the folder, tasks by list, and comments left out because their video has no file."""

    folder: Path
    tasks: tuple[int, ...]
    comments: int
    gold: int
    without_media: int


def task_lists(store: Store, batch: Batch) -> tuple[list[list[dict[str, Any]]], int]:
    """The tasks of each list in the shape that Label Studio imports, and how many comments have no video to show.

    Raises:
        CsmvError: signed addresses were asked for of a root that can't give any.
    """
    ids = pa.array([item.comment_id for item in batch.items], pa.string())
    comments = store.read_all("comments", ["comment_id", "text"])
    rows = comments.filter(pc.is_in(comments["comment_id"], value_set=ids))
    texts = dict(zip(rows["comment_id"].to_pylist(), rows["text"].to_pylist(), strict=True))
    links = dict(_links(store, batch, {item.video_id for item in batch.items}))
    lists = [
        [_task(batch, item, texts[item.comment_id], links) for item in mine]
        for mine in (_shown(batch.in_list(number), texts, links, batch) for number in range(1, batch.config.lists + 1))
    ]
    shown = {task["data"]["comment_id"] for tasks in lists for task in tasks}
    return lists, sum(item.comment_id in texts and item.comment_id not in shown for item in batch.items)


def write_tasks(store: Store, batch: Batch, folder: Path) -> Exported:
    """Write a list of tasks an annotator and the labelling configuration into a folder; equal batches, equal bytes.

    Addresses that are signed hold the time at which they expire, and are the one exception.
    """
    lists, without_media = task_lists(store, batch)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_NAME).write_text(labelling_configuration(batch.config.media), encoding="utf-8")
    for number, tasks in enumerate(lists, 1):
        text = json.dumps(tasks, ensure_ascii=False, indent=1)
        (folder / f"tasks-{number}.json").write_text(text + "\n", encoding="utf-8")
    comments = {task["data"]["comment_id"] for tasks in lists for task in tasks}
    gold = len(comments & batch.gold.keys())
    return Exported(folder, tuple(map(len, lists)), len(comments), gold, without_media)


def _shown(items: Sequence[Item], texts: Mapping[str, str], links: Mapping[str, str], batch: Batch) -> list[Item]:
    """Items whose comment is in the tables still, and whose video can be shown where one is to be."""
    needs_file = batch.config.media in (MediaLink.LOCAL, MediaLink.SIGNED)
    return [item for item in items if item.comment_id in texts and (item.video_id in links or not needs_file)]


def _task(batch: Batch, item: Item, text: str, links: Mapping[str, str]) -> dict[str, Any]:
    data = {"comment_id": item.comment_id, "video_id": item.video_id, "batch": batch.config.name, "text": text}
    if batch.config.media is not MediaLink.NONE:
        data["video"] = links.get(item.video_id, "")
    return {"data": data}


def _links(store: Store, batch: Batch, videos: set[str]) -> Iterator[tuple[str, str]]:
    """video_id -> what the task shows of it."""
    media = batch.config.media
    if media is MediaLink.NONE:
        return
    columns = ["video_id", "url", "media_status"]
    for row in store.read_all("videos", columns).to_pylist():
        video, has_file = row["video_id"], row["media_status"] == str(MediaStatus.OK)
        if video not in videos:
            continue
        if media is MediaLink.PLATFORM:
            if row["url"]:
                url = escape(row["url"], quote=True)
                link = f'<a href="{url}" target="_blank" rel="noopener noreferrer">Watch the video</a>'
                yield video, link
        elif has_file:
            path = media_path(store.shard_of(video), video)
            if media is MediaLink.LOCAL:
                yield video, f"/data/local-files/?d={path}"
            else:
                yield video, _signed(store, path, batch.config.signed_hours)


def _signed(store: Store, path: str, hours: float) -> str:
    try:
        return str(store.fs.sign(store.path(path), expiration=round(hours * 3600)))
    except NotImplementedError:
        raise CsmvError(
            f"The root '{store.root}' can't give signed addresses, as one in an object store can: take --media local "
            "or platform."
        ) from None
