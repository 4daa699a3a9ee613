"""Feature sets as WebDataset shards: tar files that a trainer streams, a sample a video.

A sample `<video_id>` has `npy`, the vectors (T, D), and `json`: the video's hashtags, and its comments with text,
settled labels and the part that each split puts them in. Equal releases are equal tar files.
"""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from csmv.pipeline.feature_arrays import rows_of
from csmv.pipeline.labels import TASKS, resolve
from csmv.pipeline.schemas import SPLIT_NAMES

_VIDEOS_AT_ONCE = 64


def write_webdataset(release: Path, splits: Sequence[str], features: Sequence[str]) -> Path:
    """Write a tar file for each file of each feature set below the release's folder `webdataset`.

    Args:
        release: a local folder that has the release's Parquet files.
        splits: the splits in it.
        features: the feature sets in it.

    Returns:
        The folder.
    """
    folder = release / "webdataset"
    about = _about_videos(release, splits) if features else {}
    for name in features:
        (folder / name).mkdir(parents=True)
        for path in sorted((release / "features" / name).glob("*.parquet")):
            with tarfile.open(folder / name / f"{path.stem}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
                for batch in pq.ParquetFile(path).iter_batches(batch_size=_VIDEOS_AT_ONCE):
                    for row in rows_of(pa.Table.from_batches([batch])):
                        array = io.BytesIO()
                        np.save(array, np.ascontiguousarray(row.vectors), allow_pickle=False)
                        _add(archive, f"{row.video}.json", json.dumps(about[row.video], ensure_ascii=False).encode())
                        _add(archive, f"{row.video}.npy", array.getvalue())
    return folder


def _about_videos(release: Path, splits: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Video -> its hashtags and comments."""
    videos = pq.read_table(release / "videos.parquet", columns=["video_id", "hashtags"]).to_pylist()
    comments = pq.read_table(release / "comments.parquet", columns=["comment_id", "video_id", "text"]).to_pylist()
    settled = {row["comment_id"]: row for row in resolve(pq.read_table(release / "labels.parquet")).to_pylist()}
    parts: dict[str, dict[str, str]] = {}
    for split in splits:
        for part in SPLIT_NAMES:
            path = release / "splits" / split / f"{part}.parquet"
            if path.is_file():
                for comment in pq.read_table(path, columns=["comment_id"])["comment_id"].to_pylist():
                    parts.setdefault(comment, {})[split] = part
    about = {row["video_id"]: {"hashtags": row["hashtags"] or [], "comments": []} for row in videos}
    for row in comments:
        label = settled.get(row["comment_id"], {})
        said = {"comment_id": row["comment_id"], "text": row["text"]} | {task: label.get(task) for task in TASKS}
        about[row["video_id"]]["comments"].append(said | {"splits": parts.get(row["comment_id"], {})})
    return about


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """A member without owner or time."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
