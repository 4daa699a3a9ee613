"""Videos that a common hashtag joins, directly or by way of others: what a split by hashtag keeps together."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.schemas import SPLIT_NAMES
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.store import Store

_NAMED = 5


def with_groups(store: Store, rows: pa.Table, ignored: Sequence[str]) -> pa.Table:
    """Rows with video_id, and beside it `group`: the first video, by id, of all that hashtags join with this one.

    A video without a hashtag, or with ignored ones alone, is a group of its own.
    """
    videos = sorted(pc.unique(rows["video_id"]).to_pylist())
    group_of = joined(videos, _hashtags(store), frozenset(one.lower().removeprefix("#") for one in ignored))
    return rows.append_column("group", pa.array([group_of[video] for video in rows["video_id"].to_pylist()]))


def joined(
    videos: Sequence[str], hashtags: Mapping[str, Sequence[str]], ignored: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Of each video, in the order of ids, the first of its group. Hashtags are equal in small letters."""
    leader = {video: video for video in videos}

    def first_of(video: str) -> str:
        while leader[video] != video:
            leader[video] = leader[leader[video]]
            video = leader[video]
        return video

    owner: dict[str, str] = {}
    for video in videos:
        for hashtag in hashtags.get(video, ()):
            if (name := hashtag.lower()) not in ignored:
                one, other = first_of(video), first_of(owner.setdefault(name, video))
                leader[max(one, other)] = min(one, other)
    return {video: first_of(video) for video in videos}


def refuse_joined(store: Store, rows: pa.Table, parts: pa.Array, config: SplitConfig) -> None:
    """Raises CsmvError, which names the commonest hashtags, if they join so many videos that a part gets none."""
    used = set(pc.unique(parts).to_pylist())
    empty = [name for name, share in zip(SPLIT_NAMES, config.ratios, strict=True) if share > 0 and name not in used]
    if not empty:
        return
    hashtags = _hashtags(store)
    videos = set(pc.unique(rows["video_id"]).to_pylist())
    counts = Counter(name for video in videos for name in {one.lower() for one in hashtags.get(video, ())})
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_NAMED]
    common = ", ".join(f"{name} ({count})" for name, count in ordered) or "none"
    raise CsmvError(
        f"Hashtags join the {len(videos)} videos into {len(pc.unique(rows['group']))} group(s), which leaves nothing "
        f"for {' and '.join(empty)}. The commonest hashtags, with their videos, are {common}: name those that all have "
        "with --ignore-hashtags."
    )


def _hashtags(store: Store) -> dict[str, list[str]]:
    if not store.has_rows("videos"):
        return {}
    table = store.read_all("videos", ["video_id", "hashtags"])
    pairs = zip(table["video_id"].to_pylist(), table["hashtags"].to_pylist(), strict=True)
    return {video: hashtags or [] for video, hashtags in pairs}
