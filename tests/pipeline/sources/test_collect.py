"""Collection from end to end against the sandbox's truth table: faults, kills, links, limits, robots, memory."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.collect import reasons
from csmv.pipeline.config import DatasetConfig, read_config
from csmv.pipeline.demo.sandbox import Fault, SandboxSettings, World
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import failures_of
from csmv.pipeline.sources.collect_settings import Connection, Limits, Manners, WebSource
from csmv.pipeline.sources.landing import Landing
from csmv.pipeline.store import Store

ONE_RUN = Path(__file__).with_name("one_run.py")


def test_with_faults_everywhere_the_tables_are_the_truth(trial: Callable[..., Any]) -> None:
    """The whole size below, made small enough for every run; test_web_faults has each kind of fault by itself."""
    site = trial(hashtags=5, videos=8, comments=4, list_size=5, comment_list_size=3, fault_rate=0.2, seed=342)
    site.run_until_done()
    site.assert_true()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("CSMV_SEEDS", "1").split(",")])
def test_the_whole_size_with_every_fault(trial: Callable[..., Any], seed: int) -> None:
    site = trial(hashtags=5, videos=120, comments=15, fault_rate=0.2, seed=seed)
    site.run_until_done()
    site.assert_true()


def start(store: Store, sandbox: Any, what: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, str(ONE_RUN), store.root, sandbox.proxy, str(sandbox.ca_file), what]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(store: Store, sandbox: Any, what: str = "all") -> dict[str, int]:
    """A run to its end; what it held at most (bytes) by the number of visits, and in the end under -1."""
    run = start(store, sandbox, what)
    out, err = run.communicate(timeout=7000)
    assert run.returncode == 0, err.decode()[-2000:]
    weights: dict[str, int] = json.loads(out.decode().splitlines()[-1])
    return weights


def kill_somewhere(run: "subprocess.Popen[bytes]", sandbox: Any, draw: random.Random) -> bool:
    """Kill -9 after some requests and some time more, whatever it is at then; whether it was still at it."""
    enough = len(sandbox.log()) + draw.randrange(14)
    while run.poll() is None and len(sandbox.log()) < enough:
        time.sleep(0.02)
    with suppress(subprocess.TimeoutExpired):
        run.wait(draw.uniform(0, 1))
    working = run.poll() is None
    run.kill()
    run.communicate()
    return working


def final_state(store: Store) -> dict[str, Any]:
    """Every table and media file, byte for byte; failures without how often and when."""
    state: dict[str, Any] = {}
    for name in store.files():
        if name.startswith(("videos/", "comments/", "private/media/")):
            state[name] = store.read_file(name)
    for stage, table in failures_of(store).items():
        state[stage] = [(row["key"], row["reason"], row["detail"]) for row in table.to_pylist()]
    return state


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kills", "videos"), [(3, 4), pytest.param(20, 24, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_tables_are_the_same_bytes(
    trial: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, kills: int, videos: int
) -> None:
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "a key for two roots")
    lasting = {"video:7679402590399889409": Fault.VIDEO_PRIVATE}
    site = trial(hashtags=1, videos=videos, comments=4, list_size=4, faults=lasting)
    twin = Store.create(site.store.root + "-twin", read_config(site.store))
    finish(twin, site.sandbox)
    expected = final_state(twin)
    assert len(expected) > videos

    draw = random.Random(kills)
    store, roots, landed = site.store, 1, 0
    while landed < kills:
        if kill_somewhere(start(store, site.sandbox, "all"), site.sandbox, draw):
            landed += 1
            continue
        # It came to its end before the kill: what there is must be right, and the next kills need a new root.
        assert final_state(store) == expected
        roots += 1
        store = Store.create(f"{site.store.root}-{roots}", read_config(site.store))
    finish(store, site.sandbox)
    print(f"{landed} kills over {roots} roots")
    assert final_state(store) == expected
    assert list(Path(store.root).rglob("*.tmp")) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_refresh_that_is_killed_twenty_times_ends_in_the_same_tables(
    trial: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "a key for two roots")
    site = trial(hashtags=1, videos=8, comments=4, list_size=4)
    finish(site.store, site.sandbox, "collect")
    twin = Store.open(shutil.copytree(site.store.root, site.store.root + "-twin"))
    gone = sorted(row["video_id"] for row in site.store.read_all("videos").to_pylist())[0]
    site.sandbox.world.settings.faults[f"video:{gone}"] = Fault.VIDEO_DELETED
    finish(twin, site.sandbox, "refresh")
    expected = final_state(twin)

    draw, landed = random.Random(20), 0
    while landed < 20:
        landed += kill_somewhere(start(site.store, site.sandbox, "refresh"), site.sandbox, draw)
    finish(site.store, site.sandbox, "refresh")

    assert final_state(site.store) == expected
    assert gone not in site.store.read_all("videos")["video_id"].to_pylist()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(7200)
def test_memory_stays_flat(trial: Callable[..., Any]) -> None:
    """From a hundred to a thousand videos, their tables included."""
    limits = Limits(videos=None, comments=20, replies=False)

    def peak(hashtags: int, videos: int) -> int:
        site = trial(hashtags=hashtags, videos=videos, comments=2, limits=limits)
        held = 0
        for _ in range(4):  # on a busy machine a list may stall, and is left for the next run
            held = max(held, finish(site.store, site.sandbox, "collect")["-1"])
            if site.store.read_all("videos").num_rows == hashtags * videos:
                return held
        raise AssertionError("four runs did not collect everything")

    little, much = peak(1, 100), peak(5, 200)
    print(f"at most {little >> 20} MiB for 100 videos, {much >> 20} MiB for 1000")
    assert much - little < 150 << 20


def test_links_of_every_kind_become_videos_and_failures(
    trial: Callable[..., Any], tmp_path: Path, quick: Manners
) -> None:
    faults = {
        "short:ZM000001": Fault.SHORT_LOOP,
        "short:ZM000002": Fault.SHORT_ELSEWHERE,
        "video:7679402590399889409": Fault.VIDEO_DELETED,
    }
    site = trial(hashtags=1, videos=5, comments=2, faults=faults)
    videos = list(site.sandbox.world.videos)
    site.source = WebSource(limits=site.source.limits, manners=quick)
    site.store = Store.create(str(tmp_path / "links"), DatasetConfig(name="links", n_shards=2, source=site.source))
    rows = [
        f"https://www.tiktok.com/@whoever/video/{videos[0]}?lang=en",
        "https://vm.tiktok.com/ZM000001/",
        "https://vt.tiktok.com/ZM000002/",
        "https://www.tiktok.com/t/ZM000003/",
        f"https://m.tiktok.com/v/{videos[4]}.html",
        f"https://m.tiktok.com/v/{videos[4]}.html",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "https://www.tiktok.com/@x/video/../../x",
        "https://www.tiktok.com/@x/video/123456789012345678",
    ]
    (tmp_path / "links.txt").write_text("\n".join(rows))

    report = site.run(links=tmp_path / "links.txt")
    site.tabulate()

    tally = report.tallies["links"]
    assert (tally.found, tally.new, tally.skipped, report.left) == (4, 2, 2, 0)
    assert set(site.store.read_all("videos")["video_id"].to_pylist()) == {videos[3], videos[4]}
    told = site.failures()
    assert told[videos[0]] == "gone" and told["123456789012345678"] == "not_found"
    assert told["links:ZM000001"] == "redirect_loop" and told["links:ZM000002"] == "refused_address"
    assert sum(key.startswith("links:row") for key in told) == 3
    assert reasons(site.store)["gone"] == 1
    site.assert_nothing_personal()
    hosts = {entry.host for entry in site.sandbox.log()}
    assert hosts <= {"www.tiktok.com", "vm.tiktok.com", "vt.tiktok.com"}
    assert not [refused for refused in site.sandbox.refused if "169.254" in refused or "127.0.0.1" in refused]


def test_limits_are_kept(trial: Callable[..., Any], quick: Manners) -> None:
    limits = Limits(videos=4, comments=3, replies=False, min_comments=1)
    # The page's script asks for the next list by itself: its turn has to come after the first one was read.
    paced = quick.model_copy(update={"interval_s": 1.0})
    site = trial(hashtags=1, videos=24, comments=8, list_size=8, comment_list_size=3, limits=limits, manners=paced)
    site.run()
    site.tabulate()
    assert site.store.read_all("videos").num_rows == 4
    counts = [
        site.store.read_all("comments")["video_id"].to_pylist().count(video)
        for video in site.store.read_all("videos")["video_id"].to_pylist()
    ]
    assert counts == [3] * 4
    paths = [entry.path for entry in site.sandbox.log()]
    assert paths.count("/api/challenge/item_list/") == 1
    assert not [path for path in paths if "reply" in path]


def under(site: Any, **limits: Any) -> Any:
    """The same root with other limits."""
    site.source = site.source.model_copy(update={"limits": Limits(**limits)})
    return site


@pytest.mark.slow
def test_limits_count_what_they_let_in_and_a_higher_one_reaches_further(
    trial: Callable[..., Any], quick: Manners
) -> None:
    paced = quick.model_copy(update={"interval_s": 0.3})
    since = date(2026, 8, 30)
    limits = Limits(videos=2, since=since, comments=2)
    site = trial(hashtags=1, videos=36, comments=6, list_size=5, limits=limits, manners=paced)
    young = [
        video.id
        for video in site.sandbox.world.videos.values()
        if datetime.fromtimestamp(video.created, UTC).date() >= since
    ]
    report = site.run()
    site.tabulate()
    assert sorted(site.store.read_all("videos")["video_id"].to_pylist()) == young[:2]
    assert report.tallies[site.sandbox.world.tags[0]].skipped == report.tallies[site.sandbox.world.tags[0]].found - 2
    assert report.left == 0
    assert site.store.read_all("comments").num_rows == 2 * 2

    further = under(site, videos=4, since=since, comments=None)
    assert further.run().left == 0
    further.tabulate()
    assert sorted(site.store.read_all("videos")["video_id"].to_pylist()) == young[:4]
    assert site.store.read_all("comments").num_rows == 4 * 6

    site.sandbox.forget_log()
    assert further.run().left == 0
    assert {entry.kind for entry in site.sandbox.log()} == {"robots"}, "the same limits ask for nothing more"


def test_limits_hold_for_links_and_short_links_are_gone_on_with(
    trial: Callable[..., Any], tmp_path: Path, quick: Manners
) -> None:
    since = date(2026, 8, 30)
    codes = [f"ZM{number:06d}" for number in (0, 33, 34, 35)]
    site = trial(hashtags=1, videos=36, comments=2, faults={f"short:{codes[2]}": Fault.SHORT_LOGIN})
    old, young = site.sandbox.world.short_links[codes[0]], [site.sandbox.world.short_links[code] for code in codes[1:]]
    site.source = WebSource(limits=Limits(since=since, comments=1), manners=quick)
    site.store = Store.create(str(tmp_path / "links"), DatasetConfig(name="links", n_shards=2, source=site.source))
    (tmp_path / "links.txt").write_text("\n".join(f"https://vm.tiktok.com/{code}/" for code in codes))

    report = site.run(links=tmp_path / "links.txt")
    site.tabulate()

    assert set(site.store.read_all("videos")["video_id"].to_pylist()) == {young[0], young[2]}
    assert (report.left, report.tallies["links"].skipped) == (1, 1), "the short link that asked for a login"
    assert site.store.read_all("comments").num_rows == 2

    assert site.run().left == 0, "without naming the file again"
    site.tabulate()
    assert set(site.store.read_all("videos")["video_id"].to_pylist()) == set(young)
    assert not [key for key in site.failures() if key.startswith("links:")]

    assert under(site, comments=1).run().left == 0
    site.tabulate()
    assert set(site.store.read_all("videos")["video_id"].to_pylist()) == {old, *young}


@pytest.mark.slow
def test_a_network_that_is_down_ends_the_run_after_a_few(trial: Callable[..., Any], quick: Manners) -> None:
    world = World(SandboxSettings(hashtags=1, videos=8))
    faults = {f"video:{video}": Fault.VIDEO_RESET for video in world.videos}
    manners = quick.model_copy(update={"walls_in_a_row": 3})
    site = trial(hashtags=1, videos=8, comments=0, faults=faults, manners=manners)

    report = site.run()

    assert report.stopped.startswith("3 visits without an answer that can be used in a row")
    assert report.outcomes["network"] == 3
    assert report.left == 8


@pytest.mark.parametrize(
    ("robots", "goes"), [("allow", True), ("missing", True), ("disallow", False), ("broken", False)]
)
def test_robots_txt_is_obeyed(trial: Callable[..., Any], robots: str, goes: bool) -> None:
    site = trial(hashtags=1, videos=1, comments=0, robots=robots)
    if goes:
        site.run()
    else:
        with pytest.raises(CsmvError, match=r"robots\.txt"):
            site.run()
    pages = [entry for entry in site.sandbox.log() if entry.kind == "page"]
    assert bool(pages) is goes
    assert site.sandbox.log()[0].kind == "robots"


def test_robots_txt_can_be_overridden(trial: Callable[..., Any], quick: Manners) -> None:
    manners = quick.model_copy(update={"obey_robots": False})
    site = trial(hashtags=1, videos=1, comments=0, robots="disallow", manners=manners)
    assert site.run().outcomes["done"] == 2
    assert "robots" not in {entry.kind for entry in site.sandbox.log()}


def test_what_creators_disallow_can_be_a_setting(trial: Callable[..., Any], quick: Manners) -> None:
    manners = quick.model_copy(update={"honour_creators": False})
    fault = {"video:7679402590399889409": Fault.VIDEO_NO_DOWNLOAD}
    site = trial(hashtags=1, videos=1, comments=1, faults=fault, manners=manners)
    site.run()
    assert site.outcome("7679402590399889409") == "done"


def test_a_second_run_asks_for_nothing_that_is_settled(trial: Callable[..., Any]) -> None:
    site = trial(hashtags=1, videos=3, comments=2)
    site.run()
    site.sandbox.forget_log()
    site.run()
    assert [entry.kind for entry in site.sandbox.log()] == ["robots"]


@pytest.mark.parametrize("gone", ["remove", "keep"])
def test_a_refresh_visits_again_and_tells_what_is_gone(trial: Callable[..., Any], gone: str) -> None:
    site = trial(hashtags=1, videos=3, comments=2)
    site.source = site.source.model_copy(update={"gone": gone})
    assert site.run_until_done() == 1
    first, *rest = sorted(row["video_id"] for row in site.store.read_all("videos").to_pylist())
    before = site.store.read_all("comments").num_rows
    site.sandbox.world.settings.faults[f"video:{first}"] = Fault.VIDEO_DELETED
    site.sandbox.forget_log()
    site.run(refresh_after=1)
    assert not [entry for entry in site.sandbox.log() if entry.kind == "page"], "a day has not passed"

    site.run(refresh_after=0)
    site.tabulate()

    pages = [entry for entry in site.sandbox.log() if entry.kind == "page"]
    assert len(pages) == 3
    kept = [first, *rest] if gone == "keep" else rest
    assert sorted(site.store.read_all("videos")["video_id"].to_pylist()) == kept
    assert (site.store.read_all("comments").num_rows == before) is (gone == "keep")
    [row] = [row for row in site.store.read_all("failures/tables").to_pylist() if row["key"] == first]
    today = datetime.now(UTC).date()
    assert row["reason"] == "gone" and f"last there on {today}, gone on {today}" in row["detail"]
    site.sandbox.forget_log()
    site.run(refresh_after=0)
    assert first not in {entry.target for entry in site.sandbox.log() if entry.kind == "page"}, "it is gone"
    for video in rest:
        assert len(Landing(site.store).video_visits()[video]) == 3, "observations are kept"


def test_comments_that_are_off_are_told_from_none(trial: Callable[..., Any]) -> None:
    site = trial(hashtags=1, videos=3, comments=1)
    off, none, _ = site.sandbox.world.videos
    site.sandbox.world.settings.faults[f"comments:{off}"] = Fault.COMMENTS_OFF
    site.sandbox.world.settings.faults[f"comments:{none}"] = Fault.COMMENTS_NONE
    assert site.run_until_done() == 1
    assert {key: word for key, word in site.failures().items() if ":comments" in key} == {
        f"{off}:comments": "comments_off"
    }
    assert site.store.read_all("videos").num_rows == 3


def test_a_short_link_is_asked_once(trial: Callable[..., Any], tmp_path: Path) -> None:
    site = trial(hashtags=1, videos=3, comments=0)
    (tmp_path / "links.txt").write_text("https://vm.tiktok.com/ZM000001/\nhttps://vm.tiktok.com/ZM000002/\n")
    for _ in range(2):
        site.run(links=tmp_path / "links.txt")
    asked = [entry.path for entry in site.sandbox.log() if entry.host == "vm.tiktok.com"]
    assert len(asked) == len(set(asked)) == 2


def test_the_browser_is_honest_and_no_signature_is_ours(trial: Callable[..., Any]) -> None:
    site = trial(hashtags=1, videos=4, comments=4, list_size=2)
    site.run()
    lists = [entry for entry in site.sandbox.log() if entry.kind == "list"]
    assert lists and all("HeadlessChrome" in entry.agent for entry in lists)
    assert len({entry.bogus for entry in lists}) == len(lists), "no request is ever repeated"


def test_landing_keeps_what_came_and_no_session(trial: Callable[..., Any]) -> None:
    site = trial(hashtags=1, videos=2, comments=2)
    site.run()
    landing = Landing(site.store)
    page = next(landing.tag_pages(site.sandbox.world.tags[0]))
    assert b"an_unknown_field" in page.body
    assert set(page.query) == {"challengeID", "cursor", "count"}
    for visits in landing.video_visits().values():
        for record in landing.read(visits[0].name):
            assert not {"msToken", "X-Bogus"} & set(record.query)
            assert b"Set-Cookie" not in record.body


def test_a_proxy_with_a_password_is_refused() -> None:
    with pytest.raises(ValueError, match="pattern"):
        Connection(proxy="http://user:secret@proxy:8080")
