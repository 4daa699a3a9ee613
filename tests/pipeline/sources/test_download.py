"""Media from the sandbox: the right rendition, verified, resumed, refused for the true reason, at one pace."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig, read_config
from csmv.pipeline.demo.sandbox import Fault, Place, Sandbox, SandboxSettings, World
from csmv.pipeline.demo.sandbox.media import RENDITIONS, video_bytes
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import clear_failures
from csmv.pipeline.media.media_settings import MediaSettings
from csmv.pipeline.media.media_shard import MediaReport, media_shard
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import VIDEOS
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.collect_settings import Connection, Manners, WebSource
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.video_links import canonical_url
from csmv.pipeline.store import Store

MANNERS = Manners(interval_s=0, walls_in_a_row=100)


class Trial:
    """A sandbox and a root whose videos are all pending."""

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self.sandbox = sandbox
        self.store = Store.create(str(root), DatasetConfig(name="t", n_shards=1, source=WebSource(hashtags=("x",))))
        rows = [
            {"video_id": video, "url": canonical_url(video), "hashtags": [], "media_status": "pending"}
            for video in sandbox.world.videos
        ]
        self.store.write("videos", 0, pa.Table.from_pylist(rows, schema=VIDEOS.schema))

    def run(self, settings: MediaSettings | None = None, **options: Any) -> MediaReport:
        reach = Reach(Connection(proxy=self.sandbox.proxy, ca_file=self.sandbox.ca_file))
        settings = settings or MediaSettings(manners=MANNERS)
        return media_shard(self.store, 0, source_of(read_config(self.store).source), settings, reach, **options)

    def status(self) -> dict[str, str]:
        return {row["video_id"]: row["media_status"] for row in self.store.read_all("videos").to_pylist()}

    def failures(self) -> dict[str, str]:
        return {r["key"]: r["reason"] for r in self.store.read_all("failures/media").to_pylist()}


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    opened: list[Sandbox] = []

    def make(**settings: Any) -> Trial:
        sandbox = Sandbox(SandboxSettings(**{"hashtags": 1, "comments": 0, "media_s": 1.0} | settings)).__enter__()
        opened.append(sandbox)
        return Trial(sandbox, tmp_path / f"root{len(opened)}")

    yield make
    for sandbox in opened:
        sandbox.close()


def named(faults: list[Fault]) -> dict[str, Fault]:
    videos = World(SandboxSettings(hashtags=1, videos=len(faults))).videos
    return {f"{fault.place}:{video}": fault for video, fault in zip(videos, faults, strict=True)}


def test_the_smallest_file_that_serves_is_fetched_with_two_requests(trial: Callable[..., Trial]) -> None:
    site = trial(videos=3)

    report = site.run()

    assert (report.done, report.stopped) == (3, "")
    for row in site.store.read_all("videos").to_pylist():
        data = site.store.read_file(media_path(0, row["video_id"]))
        assert data == video_bytes(row["video_id"], RENDITIONS[1], 1.0), "360p is the smallest of 256 px and more"
        assert row["media_sha256"] == hashlib.sha256(data).hexdigest()
        assert (row["width"], row["height"], row["media_status"]) == (360, 640, "ok")
        assert abs(row["duration_s"] - 1) < 0.2
    kinds = [entry.kind for entry in site.sandbox.log()]
    assert sorted(kinds) == ["media"] * 3 + ["page"] * 3
    assert {entry.agent.split("/")[0] for entry in site.sandbox.log()} == {"csmv"}
    assert list(Path(site.store.path("private/partial")).iterdir()) == []
    assert site.run().done == 0 and len(site.sandbox.log()) == 6


@pytest.mark.parametrize(("side", "height"), [(100, 426), (500, 1024), (4000, 1024)])
def test_the_shortest_side_is_a_setting(trial: Callable[..., Trial], side: int, height: int) -> None:
    site = trial(videos=1)
    site.run(MediaSettings(shortest_side=side, manners=MANNERS))
    assert site.store.read_all("videos")["height"].to_pylist() == [height]


MEDIA_FAULTS = {
    Fault.MEDIA_FORBIDDEN: "forbidden",
    Fault.MEDIA_HTML: "not_a_video",
    Fault.MEDIA_SHORT: "truncated",
    Fault.MEDIA_EXPIRED: "",
    Fault.MEDIA_TRUNCATED: "",
    Fault.MEDIA_SERVER_ERROR: "",
    Fault.MEDIA_SLOW: "",
}


def test_every_fault_of_media(trial: Callable[..., Trial]) -> None:
    faults = named(list(MEDIA_FAULTS))
    site = trial(videos=len(faults), faults=faults)

    site.run()

    told = site.failures()
    assert {fault: told.get(key.split(":")[1], "") for key, fault in faults.items()} == MEDIA_FAULTS
    status = site.status()
    for key, fault in faults.items():
        video = key.split(":")[1]
        there = site.store.exists(media_path(0, video))
        assert there is (MEDIA_FAULTS[fault] == "") is (status[video] == "ok"), fault
    cut = next(key.split(":")[1] for key, fault in faults.items() if fault is Fault.MEDIA_TRUNCATED)
    answers = [entry.status for entry in site.sandbox.log() if entry.kind == "media" and entry.target.endswith(cut)]
    assert answers == [200, 206], "the cut file was continued, not fetched anew"


PAGE_FAULTS = {
    Fault.VIDEO_DELETED: ("gone", "failed"),
    Fault.VIDEO_SELF_SEE: ("withheld", "failed"),
    Fault.VIDEO_PRIVATE: ("private", "failed"),
    Fault.VIDEO_REGION: ("withheld", "failed"),
    Fault.VIDEO_CLASSIFIED: ("age_gate", "failed"),
    Fault.VIDEO_SLIDESHOW: ("slideshow", "failed"),
    Fault.VIDEO_NO_DOWNLOAD: ("download_disallowed", "failed"),
    Fault.VIDEO_WRONG_ID: ("wrong_id", "failed"),
    Fault.VIDEO_NOT_FOUND: ("not_found", "failed"),
    Fault.VIDEO_CHALLENGE: ("challenge", "pending"),
    Fault.VIDEO_CAPTCHA: ("captcha", "pending"),
    Fault.VIDEO_LOGIN_REDIRECT: ("login_required", "pending"),
    Fault.VIDEO_EMPTY: ("empty_response", "pending"),
    Fault.VIDEO_NO_TAG: ("unreadable", "pending"),
    Fault.VIDEO_BROKEN_JSON: ("unreadable", "pending"),
    Fault.VIDEO_HUGE: ("oversized", "pending"),
    Fault.VIDEO_FORBIDDEN: ("forbidden", "pending"),
}


def test_pages_tell_the_true_reason_and_walls_cost_one_request(trial: Callable[..., Trial]) -> None:
    faults = named(list(PAGE_FAULTS))
    site = trial(videos=len(faults), faults=faults)

    site.run()

    told, status = site.failures(), site.status()
    met = {fault: (told[key.split(":")[1]], status[key.split(":")[1]]) for key, fault in faults.items()}
    assert met == PAGE_FAULTS
    assert len(site.sandbox.log()) == len(faults) + 1  # one request each; a redirect leads to /login itself
    assert not list(Path(site.store.path("private")).rglob("*.mp4"))

    again = site.run()
    assert again.done == sum(state == "pending" for _, state in PAGE_FAULTS.values())
    assert again.left == 0


def test_after_429_nothing_is_sent_before_retry_after(trial: Callable[..., Trial]) -> None:
    site = trial(videos=6, faults=named([Fault.VIDEO_RATE_LIMITED]), retry_after_s=3)
    site.run(MediaSettings(at_once=1, manners=MANNERS))
    log = site.sandbox.log()
    refused = next(entry for entry in log if entry.status == 429)
    later = [entry.at - refused.at for entry in log if entry.at > refused.at]
    assert later and min(later) >= 3


def test_a_quota_ends_the_run_and_is_no_failure(trial: Callable[..., Trial]) -> None:
    site = trial(videos=30)
    size = len(video_bytes(next(iter(site.sandbox.world.videos)), RENDITIONS[1], 1.0))
    report = site.run(MediaSettings(quota_bytes=size * 5, at_once=1, manners=MANNERS))
    assert report.stopped == "the disk quota is used up"
    assert 3 <= report.done <= 7
    assert site.failures() == {}
    assert set(site.status().values()) == {"ok", "pending"}


def test_a_full_disk_is_a_sentence(trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    site = trial(videos=1)
    monkeypatch.setattr(Store, "writing", full)
    with pytest.raises(CsmvError, match="disk is full"):
        site.run()


def test_what_was_deleted_after_use_is_not_fetched_again(trial: Callable[..., Trial]) -> None:
    site = trial(videos=1)
    site.run()
    row = site.store.read_all("videos").to_pylist()[0] | {"media_status": "deleted"}
    site.store.write("videos", 0, pa.Table.from_pylist([row], schema=VIDEOS.schema))
    site.store.remove(media_path(0, row["video_id"]))

    assert site.run() == MediaReport(skipped=1)


def test_a_failed_video_whose_reason_was_lost_in_a_kill_is_tried_again(trial: Callable[..., Trial]) -> None:
    site = trial(videos=1, faults=named([Fault.VIDEO_PRIVATE]))
    site.run()
    clear_failures(site.store, "media", 0, site.status())

    assert (site.run().reasons, site.failures()) == ({"private": 1}, dict.fromkeys(site.status(), "private"))
    assert site.run() == MediaReport(skipped=1)


def test_an_id_that_the_site_cannot_have_is_settled_without_a_request(trial: Callable[..., Trial]) -> None:
    site = trial(videos=1)
    row = {"video_id": "not-a-number", "media_status": "pending"}
    site.store.write("videos", 0, pa.Table.from_pylist([row], schema=VIDEOS.schema))

    report = site.run()

    assert (report.left, site.failures(), site.status()) == (
        0,
        {"not-a-number": "unsafe_id"},
        {"not-a-number": "failed"},
    )
    assert site.sandbox.log() == []


def test_nothing_of_a_person_or_session_is_outside_private(trial: Callable[..., Trial]) -> None:
    site = trial(videos=2)
    site.run()
    text = json.dumps(site.store.read_all("videos").to_pylist(), default=str)
    assert not [name for name in site.sandbox.world.personal() if name in text]
    assert "tt_chain_token" not in text and "signature" not in text


def test_what_we_lean_on_in_ytdlp_is_still_there() -> None:
    """Private names of yt-dlp: when they vanish, the polite form has to be looked at again."""
    from yt_dlp import YoutubeDL
    from yt_dlp.extractor.tiktok import TikTokIE
    from yt_dlp.networking._urllib import UrllibRH

    for name in ("_parse_aweme_video_web", "_generate_blockbuster_headers", "_solve_challenge_and_set_cookies"):
        assert callable(getattr(TikTokIE, name))
    assert callable(UrllibRH._make_sslcontext)
    assert callable(YoutubeDL.build_request_director)
    assert hasattr(YoutubeDL, "_request_director")


def test_faults_of_media_are_all_known() -> None:
    assert {fault for fault in Fault if fault.place is Place.MEDIA} == {*MEDIA_FAULTS, Fault.MEDIA_RESET}
