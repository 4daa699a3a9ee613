"""A release in the layout of the published CSMV files, as the authors' training script and `csmv import` read them.

Source of the layout: the published annotation files and the released loader (NeurIPS 2024). What the loader needs
beside the published files: `video_to_comment.json`, from which it draws another comment of the same video (for ever, of
a video that has one only), and an array a video, named by its id.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from csmv.pipeline.feature_arrays import rows_of
from csmv.pipeline.labels import EMOTIONS, OPINIONS, PUBLISHED, resolve
from csmv.pipeline.schemas import SPLIT_NAMES

FOLDER = "csmv"
ANNOTATIONS = "Comments_Anno"
LINKS = "CSMV_rawLinks.csv"
VECTORS = "visual_feature"
_R2PLUS1D = "r2plus1d"
"""Of names of feature sets: the loader wants `_r21d` behind a video's id."""


def write_csmv(release: Path, splits: Sequence[str], features: Sequence[str]) -> Path:
    """Write the CSMV layout of a release into its folder `csmv`.

    Args:
        release: a local folder that has the release's Parquet files.
        splits: the splits in it, the main one first. Their lists lie beside the dictionary of the one called
            `published`, else of the first; those of the others in a folder of their own.
        features: the feature sets in it.

    Returns:
        The folder.
    """
    folder = release / FOLDER
    annotations = folder / ANNOTATIONS
    annotations.mkdir(parents=True)
    comments = pq.read_table(release / "comments.parquet", columns=["comment_id", "video_id", "text"])
    videos = pq.read_table(release / "videos.parquet", columns=["video_id", "url", "hashtags"])
    labels = pq.read_table(release / "labels.parquet")
    _write_json(annotations / "lable_data_dict.json", _dictionary(comments, videos, labels))
    _write_json(annotations / "opinion_label_map.json", OPINIONS)
    _write_json(annotations / "emotion_label_map.json", EMOTIONS)
    _write_json(annotations / "video_to_comment.json", _by_video(comments))
    first = PUBLISHED if PUBLISHED in splits else next(iter(splits), None)
    for split in splits:
        place = annotations if split == first else annotations / "splits" / split
        for part in SPLIT_NAMES:
            _write_json(place / f"{part}_set.json", _part(release / "splits" / split / f"{part}.parquet"))
    (folder / LINKS).write_text(_links(videos), encoding="utf-8")
    for name in features:
        _write_vectors(release / "features" / name, folder / VECTORS / name)
    return folder


def _dictionary(comments: pa.Table, videos: pa.Table, labels: pa.Table) -> dict[str, dict[str, Any]]:
    """Comment -> its entry: comments without any label have none, since the loader can't be without."""
    tags = dict(zip(videos["video_id"].to_pylist(), videos["hashtags"].to_pylist(), strict=True))
    said = {row["comment_id"]: row for row in resolve(labels).to_pylist()}
    return {
        row["comment_id"]: {
            "video_file_id": f"{row['video_id']}.mp4",
            "comment": row["text"],
            "opinion_label": said[row["comment_id"]]["opinion"],
            "emotion_label": said[row["comment_id"]]["emotion"],
            "hashtag": _hashtag(row["comment_id"], tags[row["video_id"]] or ()),
        }
        for row in comments.to_pylist()
        if row["comment_id"] in said
    }


def _hashtag(comment: str, tags: Sequence[str]) -> str:
    """The hashtag that a published data id begins with, of a video that was collected by several; else the first."""
    named = [tag for tag in tags if comment.casefold().startswith(f"{tag}_")]
    return max(named, key=len) if named else next(iter(tags), "")


def _by_video(comments: pa.Table) -> dict[str, list[str]]:
    by_video: dict[str, list[str]] = {}
    for row in comments.select(["comment_id", "video_id"]).to_pylist():
        by_video.setdefault(f"{row['video_id']}.mp4", []).append(row["comment_id"])
    return dict(sorted(by_video.items()))


def _part(path: Path) -> list[str]:
    """The comments of a part of a split; none where it has no file."""
    return list(pq.read_table(path, columns=["comment_id"])["comment_id"].to_pylist()) if path.is_file() else []


def _links(videos: pa.Table) -> str:
    """No., ID and URL of every video, as the published workbook has them, without the creators' handles."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["No.", "ID", "URL"])
    addresses = ((row["video_id"], row["url"]) for row in videos.to_pylist() if row["url"])
    writer.writerows([number, video, url] for number, (video, url) in enumerate(addresses, start=1))
    return text.getvalue()


def _write_vectors(features: Path, folder: Path) -> None:
    """An array (T, D) of float32 a video."""
    suffix = "_r21d" if _R2PLUS1D in features.name else ""
    folder.mkdir(parents=True)
    for path in sorted(features.iterdir()):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=64):
            for row in rows_of(pa.Table.from_batches([batch])):
                np.save(folder / f"{row.video}{suffix}.npy", np.ascontiguousarray(row.vectors, np.float32))


def _write_json(path: Path, value: Mapping[str, Any] | list[str]) -> None:
    """JSON as the published files have it: four spaces, ASCII."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=4), encoding="ascii")
