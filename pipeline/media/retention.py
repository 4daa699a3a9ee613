"""The retention rule: media go once every feature set of the configuration is done with them."""

from collections.abc import Sequence

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.features import missing
from csmv.pipeline.media.keep import fill
from csmv.pipeline.root import media_folder, media_path
from csmv.pipeline.schemas import MediaStatus
from csmv.pipeline.store import Store


def apply_retention(store: Store, shard: int, sets: Sequence[FeatureConfig]) -> int:
    """Delete the media of a shard's videos that every feature set has, or has given up on for good.

    The rows say that a file is deleted before it is: killed in between, the next run deletes it, and never takes it for
    one that was lost. A set that is added later finds the status `deleted`.

    Args:
        store: the root.
        shard: its number.
        sets: all feature sets of the configuration; sets of one extractor are several.

    Returns:
        How many videos' media are deleted now.

    Raises:
        CsmvError: there is no set, so that nothing says that the files have been used.
    """
    if not sets:
        raise CsmvError("The retention rule deletes media after features, and the configuration has no feature set.")
    videos = store.read_columns("videos", shard, ["video_id", "media_status"])
    if videos is None:
        return 0
    status = dict(zip(videos["video_id"].to_pylist(), videos["media_status"].to_pylist(), strict=True))
    files = set(store.files(media_folder(shard)))
    waiting = {video_id for config in sets for video_id in missing(store, shard, config)}
    with_file = {video_id for video_id in status if media_path(shard, video_id) in files}
    done_with = {video_id for video_id in with_file - waiting if status[video_id] == MediaStatus.OK}
    fill(store, shard, {video_id: {"media_status": str(MediaStatus.DELETED)} for video_id in done_with})
    for video_id in done_with | {video_id for video_id in with_file if status[video_id] == MediaStatus.DELETED}:
        store.remove(media_path(shard, video_id))
    return len(done_with)
