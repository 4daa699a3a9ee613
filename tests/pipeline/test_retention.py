"""The retention rule: a file goes when every feature set is done with it, and not before."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig, PublishedSource
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.features import RETRIES
from csmv.pipeline.media.retention import apply_retention
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import VIDEOS, FailureReason, features_spec
from csmv.pipeline.store import Store

CLIPS = FeatureConfig(extractor="i3d")
MOMENTS = FeatureConfig(extractor="i3d", granularity="temporal")
PLUGIN = FeatureConfig(extractor="timm:resnet50")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A root with the files of three videos."""
    made = Store.create(str(tmp_path), DatasetConfig(name="t", n_shards=1, source=PublishedSource()))
    rows = [{"video_id": name, "media_status": "ok", "media_sha256": name * 64} for name in "abc"]
    made.write("videos", 0, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    for name in "abc":
        made.write_file(media_path(0, name), b"a film")
    return made


def have(store: Store, config: FeatureConfig, videos: Iterable[str]) -> None:
    spec = features_spec(1)
    rows = [{"video_id": name, "features": [[1.0]], "media_sha256": name * 64} for name in videos]
    store.write(config.table, 0, pa.Table.from_pylist(rows, schema=spec.schema), spec)


def status(store: Store) -> dict[str, str]:
    return {row["video_id"]: row["media_status"] for row in store.read_all("videos").to_pylist()}


def files(store: Store) -> str:
    return "".join(Path(name).stem for name in store.files("private/media"))


def test_media_stay_while_another_set_of_the_same_extractor_needs_them(store: Store) -> None:
    have(store, CLIPS, "abc")
    have(store, MOMENTS, "b")

    assert apply_retention(store, 0, [CLIPS, MOMENTS]) == 1

    assert (status(store), files(store)) == ({"a": "ok", "b": "deleted", "c": "ok"}, "ac")


def test_a_set_is_found_by_its_table_and_not_by_its_extractor(store: Store) -> None:
    have(store, PLUGIN, "ac")
    assert apply_retention(store, 0, [PLUGIN]) == 2
    assert files(store) == "b"


def test_a_set_that_gave_up_for_good_is_done_and_one_that_tries_again_is_not(store: Store) -> None:
    have(store, CLIPS, "abc")
    stage = MOMENTS.table
    passing = [Failure("a", FailureReason.NO_FRAMES), Failure("b", FailureReason.DECODE_TIMEOUT)]
    later = datetime.now(UTC) + timedelta(minutes=1)
    record_failures(store, stage, 0, passing, later)

    assert apply_retention(store, 0, [CLIPS, MOMENTS]) == 1
    assert files(store) == "bc"

    for _ in range(RETRIES - 1):
        record_failures(store, stage, 0, passing[1:], later)
    assert apply_retention(store, 0, [CLIPS, MOMENTS]) == 1
    assert (status(store), files(store)) == ({"a": "deleted", "b": "deleted", "c": "ok"}, "c")


def test_a_set_that_is_added_later_finds_that_media_were_deleted(store: Store) -> None:
    have(store, CLIPS, "abc")
    apply_retention(store, 0, [CLIPS])

    assert apply_retention(store, 0, [CLIPS, MOMENTS]) == 0
    assert status(store) == dict.fromkeys("abc", "deleted")


def test_a_deletion_that_was_killed_halfway_is_finished(store: Store) -> None:
    have(store, CLIPS, "abc")
    apply_retention(store, 0, [CLIPS])
    store.write_file(media_path(0, "a"), b"a film")  # its row says deleted: the kill came before the removal

    assert apply_retention(store, 0, [CLIPS]) == 0
    assert files(store) == ""


def test_a_file_that_was_lost_was_not_used(store: Store) -> None:
    store.remove(media_path(0, "a"))
    assert apply_retention(store, 0, [CLIPS]) == 0
    assert status(store)["a"] == "ok", "the media stage gets it again"


def test_without_a_set_nothing_says_that_files_were_used(store: Store) -> None:
    with pytest.raises(CsmvError, match="no feature set"):
        apply_retention(store, 0, [])
