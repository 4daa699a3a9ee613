"""How an experiment does by hashtag: the comments on the videos of each."""

from collections.abc import Sequence

import numpy as np

from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.evaluation import Predictions, confusion_by_video
from csmv.pipeline.vccsa.metrics import TASKS, headline
from csmv.pipeline.vccsa.result_tables import Row

LEAST_COMMENTS = 20


def by_hashtag(store: Store, answers: Sequence[Predictions], least: int = LEAST_COMMENTS) -> list[Row]:
    """Mean scores over seeds on the comments of each hashtag with at least `least` of them, the most comments first.

    A video counts under each of its hashtags, so the rows overlap. Empty where the root tells no hashtags. A score is
    None where none of the comments has a label of that task.

    Args:
        store: the root, whose videos have hashtags.
        answers: an experiment's predictions, by seed, on the same comments.
        least: comments below which a hashtag is left out.
    """
    if not store.has_rows("videos"):
        return []
    names, video = np.unique(answers[0].videos, return_inverse=True)
    tagged = _videos_of(store, {name: number for number, name in enumerate(names.tolist())})
    comments = np.bincount(video, minlength=len(names))
    confusions = {task: np.stack([confusion_by_video(one, task) for one in answers], 1) for task in TASKS}
    labelled = {task: np.bincount(video[answers[0].labels[task] != NO_LABEL], minlength=len(names)) for task in TASKS}
    rows = []
    for hashtag, videos in tagged.items():
        if comments[videos].sum() < least:
            continue
        row: Row = {"hashtag": hashtag, "videos": len(videos), "comments": int(comments[videos].sum())}
        for task in TASKS:
            has_label = labelled[task][videos].sum() > 0
            for metric, values in headline(confusions[task][videos].sum(0)).items():
                row[f"{task}_{metric}"] = float(values.mean()) if has_label else None
        rows.append(row)
    return sorted(rows, key=lambda row: (-row["comments"], row["hashtag"]))


def _videos_of(store: Store, numbers: dict[str, int]) -> dict[str, list[int]]:
    """Of each hashtag the numbers of its videos, of those that have one."""
    table = store.read_all("videos", ["video_id", "hashtags"])
    videos: dict[str, list[int]] = {}
    for video, hashtags in zip(table["video_id"].to_pylist(), table["hashtags"].to_pylist(), strict=True):
        for hashtag in dict.fromkeys(hashtags or ()) if video in numbers else ():
            videos.setdefault(hashtag, []).append(numbers[video])
    return videos
