"""Every fault of the sandbox, met by a real browser: recognised for what it is, recorded, got over when it passes."""

from collections.abc import Callable
from typing import Any

import pytest

from csmv.pipeline.demo.sandbox import EFFECTS, Fault, Place, World
from csmv.pipeline.demo.sandbox.world import SandboxSettings
from csmv.pipeline.sources.collect_settings import Limits, Manners
from csmv.pipeline.sources.web import Web

TAG_FAULTS = [fault for fault in EFFECTS if fault.place is Place.TAG]
VIDEO_FAULTS = [fault for fault in EFFECTS if fault.place is Place.VIDEO]
COMMENT_FAULTS = [fault for fault in EFFECTS if fault.place is Place.COMMENTS]


def on_videos(faults: list[Fault], place: Place, **settings: int) -> dict[str, Fault]:
    """Each fault on a video of its own."""
    world = World(SandboxSettings(hashtags=1, videos=len(faults), **settings))
    return {f"{place}:{video}": fault for video, fault in zip(world.videos, faults, strict=True)}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("faults", "place"), [(VIDEO_FAULTS, Place.VIDEO), (COMMENT_FAULTS, Place.COMMENTS)], ids=["pages", "comments"]
)
def test_every_fault_of_a_video(trial: Callable[..., Any], faults: list[Fault], place: Place) -> None:
    named = on_videos(faults, place, comments=4)
    site = trial(hashtags=1, videos=len(faults), comments=4, comment_list_size=2, faults=named)

    site.run()

    met = {fault: site.outcome(target.split(":")[1]) for target, fault in named.items()}
    assert met == {fault: EFFECTS[fault].expect or "done" for fault in faults}

    assert site.run_until_done() <= 3
    site.assert_true()


@pytest.mark.timeout(900)
def test_every_fault_of_a_hashtag(trial: Callable[..., Any]) -> None:
    world = World(SandboxSettings(hashtags=len(TAG_FAULTS), videos=2))
    named = {f"tag:{tag}": fault for tag, fault in zip(world.tags, TAG_FAULTS, strict=True)}
    no_comments = Limits(videos=None, comments=0)
    site = trial(hashtags=len(TAG_FAULTS), videos=2, comments=0, list_size=1, faults=named, limits=no_comments)

    site.run()

    met = {fault: site.failures().get(target, "") for target, fault in named.items()}
    assert met == {fault: EFFECTS[fault].expect for fault in TAG_FAULTS}
    evil = next(target for target, fault in named.items() if fault is Fault.TAG_EVIL_ID)
    row = next(r for r in site.store.read_all("failures/collect").to_pylist() if r["key"] == f"{evil}:items")
    assert row["reason"] == "unsafe_id"

    assert site.run_until_done() <= 4
    gone = {target.split(":")[1] for target, fault in named.items() if fault is Fault.TAG_NOT_FOUND}
    listed = {video.id for video in site.sandbox.world.videos.values() if not set(video.tags) <= gone}
    assert {row["video_id"] for row in site.store.read_all("videos").to_pylist()} == listed


def test_a_walled_target_gets_no_further_request_in_that_run(trial: Callable[..., Any]) -> None:
    walls = [Fault.VIDEO_CAPTCHA, Fault.VIDEO_EMPTY, Fault.VIDEO_FORBIDDEN, Fault.VIDEO_LOGIN_REDIRECT]
    named = on_videos([*walls, Fault.VIDEO_CHALLENGE], Place.VIDEO, comments=4)
    site = trial(hashtags=1, videos=5, comments=4, faults=named)

    site.run()

    for target in named:
        assert [entry.kind for entry in site.sandbox.log() if entry.target == target] == ["page"], target


def test_after_several_walls_in_a_row_the_run_ends(trial: Callable[..., Any], quick: Manners) -> None:
    named = on_videos([Fault.VIDEO_CAPTCHA] * 6, Place.VIDEO)
    site = trial(hashtags=1, videos=6, faults=named, manners=quick.model_copy(update={"walls_in_a_row": 2}))

    report = site.run()

    assert report.stopped.startswith("2 walls or unreadable answers in a row")
    assert sum(entry.kind == "page" and entry.path.startswith("/@") for entry in site.sandbox.log()) == 2
    assert len(Web(site.source).pending_videos(site.store)) == 6


def test_after_429_nothing_is_sent_before_retry_after(trial: Callable[..., Any]) -> None:
    named = on_videos([Fault.VIDEO_RATE_LIMITED, Fault.VIDEO_BANNER, Fault.VIDEO_BANNER], Place.VIDEO)
    site = trial(hashtags=1, videos=3, comments=3, faults=named, retry_after_s=3)

    site.run()

    log = site.sandbox.log()
    refused = next(entry for entry in log if entry.status == 429)
    following = [entry.at - refused.at for entry in log if entry.at > refused.at]
    assert following and min(following) >= 3
    assert all(entry.target != refused.target for entry in log if entry.at > refused.at)


def test_a_retry_after_beyond_patience_ends_the_run(trial: Callable[..., Any]) -> None:
    named = on_videos([Fault.VIDEO_RATE_LIMITED, Fault.VIDEO_BANNER], Place.VIDEO)
    site = trial(hashtags=1, videos=2, faults=named, retry_after_s=5000)

    report = site.run()

    assert report.stopped == "the site asked for a pause"
    assert site.sandbox.log()[-1].status == 429
