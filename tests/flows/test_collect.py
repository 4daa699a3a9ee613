"""`csmv collect`, `download` and `sandbox` as a person runs them, and one pace for one, two and four workers."""

import json
import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from csmv.pipeline.demo.sandbox import Fault, Logged, Sandbox, SandboxSettings
from csmv.pipeline.known_names import LANDING, landing_values
from csmv.pipeline.landed_names import known_names
from csmv.pipeline.privacy.audit import KNOWN_ID, KNOWN_NAME, audit
from csmv.pipeline.report import write_report
from csmv.pipeline.sources.browser import find_chromium
from csmv.pipeline.store import Store

INTERVAL_S = 0.4
JITTER_S = 0.35
"""What a busy machine may add between a turn that is granted and its request's arrival."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    if find_chromium() is None:
        pytest.skip("Chromium is not installed: `make set-up` or `apt-get install chromium`")
    faults = {"video:7679402590399889409": Fault.VIDEO_PRIVATE}
    with Sandbox(SandboxSettings(hashtags=2, videos=3, comments=2, media_s=0.5, faults=faults)) as running:
        yield running


def configuration(path: Path, sandbox: Sandbox, interval_s: float = INTERVAL_S) -> Path:
    manners = {"interval_s": interval_s, "scroll_pause_s": [0, 0.05], "after_wall_s": 0}
    source = {"kind": "web", "hashtags": sandbox.world.tags, "manners": manners}
    path.write_text(yaml.safe_dump({"name": "trial", "n_shards": 2, "source": source}))
    return path


def reach(sandbox: Sandbox) -> list[str]:
    return ["--proxy", sandbox.proxy, "--ca-file", str(sandbox.ca_file)]


def assert_paced(log: Sequence[Logged], interval_s: float) -> None:
    """No stretch of time, however short or long, holds more requests than the pace allows."""
    times = [entry.at for entry in log if entry.kind != "other"]
    for first in range(len(times)):
        for last in range(first + 1, len(times)):
            least = (last - first) * interval_s - JITTER_S
            assert times[last] - times[first] >= least, f"{last - first + 1} requests in {times[last] - times[first]} s"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "workers", [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow), 4]
)
def test_workers_share_one_pace(csmv: Any, server: Any, sandbox: Sandbox, tmp_path: Path, workers: int) -> None:
    config = configuration(tmp_path / "trial.yaml", sandbox)

    done = csmv(
        *("collect", "--root", tmp_path / "root", "--config", config, "--workers", workers, "--json"),
        *reach(sandbox),
        PREFECT_API_URL=server.url,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["left"], told["outcomes"]["done"], told["outcomes"]["private"]) == (0, 7, 1)
    assert sum(tally["comments"] for tally in told["hashtags"].values()) == 10
    assert Store.open(str(tmp_path / "root")).read_all("videos").num_rows == 5
    assert_paced(sandbox.log(), INTERVAL_S)
    videos = [entry.target for entry in sandbox.log() if entry.kind == "page" and entry.path.startswith("/@")]
    assert len(videos) == len(set(videos)) == 6, "no video is visited by two workers"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_runs_on_one_server_share_it_too(start_csmv: Any, server: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    config = configuration(tmp_path / "trial.yaml", sandbox)
    runs = [
        start_csmv(
            *("collect", "--root", tmp_path / name, "--config", config, "--json"),
            *reach(sandbox),
            PREFECT_API_URL=server.url,
        )
        for name in ("one", "other")
    ]
    for run in runs:
        _, errors = run.communicate()
        assert run.returncode == 0, errors
    assert_paced(sandbox.log(), INTERVAL_S)


def assert_holds_nobody(store: Store, sandbox: Sandbox, log: Path, prefect: Path) -> None:
    """No planted name or id is in a table, the report, what was said, or Prefect's database; so says the audit too."""
    write_report(store)
    known = known_names(store)
    everybody = known.handles | known.display_names | known.ids
    seen = "".join(str(list(landing_values(store.read_file(name), name))) for name in store.files(LANDING))
    planted = {name for name in sandbox.world.personal() if name in seen}
    assert len(planted) > 30
    assert {name for name in planted if "@" not in name and "+" not in name} <= everybody

    places = {name: str(store.read_all(name).to_pylist()) for name in ("videos", "comments", "failures/collect")}
    places |= {"report": store.read_file("reports/index.html").decode(), "log": log.read_text()}
    places |= {path.name: path.read_bytes().decode("latin-1") for path in prefect.rglob("*") if path.is_file()}
    assert "tables 0000" in places["prefect.db"] + places.get("prefect.db-wal", ""), "not the database of the run"
    for place, text in places.items():
        assert not [name for name in sandbox.world.personal() if name in text], place
    assert audit(store, [log, prefect]).hits == ()

    log.write_text(f"failed for {min(known.handles)} ({min(one for one in known.ids if one.isdigit())})\n")
    assert {hit.kind for hit in audit(store, [log]).hits} >= {KNOWN_NAME, KNOWN_ID}, "an audit that finds nothing"


@pytest.mark.timeout(900)
def test_download_keeps_the_pace_and_a_second_run_has_nothing_to_do(
    csmv: Any, fresh_server: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    config = configuration(tmp_path / "trial.yaml", sandbox, interval_s=0.05)
    root = tmp_path / "root"
    common = [*reach(sandbox), "--json"]
    collected = csmv("collect", "--root", root, "--config", config, *common, PREFECT_API_URL=fresh_server.url)
    assert collected.returncode == 0, collected.stderr
    sandbox.forget_log()

    told = csmv("download", "--root", root, "--interval", INTERVAL_S, *common, PREFECT_API_URL=fresh_server.url)

    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["done"] == 5
    assert_paced(sandbox.log(), INTERVAL_S)
    log = tmp_path / "said.log"
    log.write_text("".join((collected.stdout, collected.stderr, told.stdout, told.stderr)))
    assert_holds_nobody(Store.open(str(root)), sandbox, log, fresh_server.home)
    sandbox.forget_log()
    again = csmv("download", "--root", root, *common, PREFECT_API_URL=fresh_server.url)
    assert (json.loads(again.stdout)["left alone"], sandbox.log()) == (5, [])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_changed_site_is_told_and_no_success(csmv: Any, server: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    config = configuration(tmp_path / "trial.yaml", sandbox, interval_s=0.05)
    sandbox.site.alter = lambda path, data: data.update(items=data.pop("itemList")) if "itemList" in data else None

    done = csmv(
        *("collect", "--root", tmp_path / "root", "--config", config), *reach(sandbox), PREFECT_API_URL=server.url
    )

    assert done.returncode == 3, done.stderr
    assert "`itemList`" in done.stderr and "`items`" in done.stderr and "Left: 2 hashtags." in done.stderr
    assert "Everything is settled" not in done.stdout
    again = csmv("collect", "--root", tmp_path / "root", "--reparse")
    assert again.returncode != 0 and "Everything is settled" not in again.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("what", ["collect", "download"])
def test_an_interrupt_ends_a_run_in_seconds_and_says_how_to_go_on(
    csmv: Any, start_csmv: Any, server: Any, tmp_path: Path, what: str
) -> None:
    if find_chromium() is None:
        pytest.skip("Chromium is not installed: `make set-up` or `apt-get install chromium`")
    root = tmp_path / "root"
    with Sandbox(SandboxSettings(hashtags=1, videos=12, comments=2, media_s=0.5)) as site:
        config = configuration(tmp_path / "trial.yaml", site, interval_s=0 if what == "download" else 0.5)
        collect = ["collect", "--root", root, "--config", config]
        if what == "download":
            assert csmv(*collect, *reach(site), PREFECT_API_URL=server.url).returncode == 0
            site.forget_log()
        command = collect if what == "collect" else ["download", "--root", root, "--interval", "1"]
        run = start_csmv(*command, *reach(site), PREFECT_API_URL=server.url)
        while run.poll() is None and len(site.log()) < 6:
            time.sleep(0.1)
        began = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
        assert time.monotonic() - began < 15
        assert run.returncode == 3
        assert "it was interrupted" in errors and "Run the same command again" in errors
        assert csmv(*command, *reach(site), PREFECT_API_URL=server.url).returncode == 0


def test_a_dry_run_counts_the_published_links(csmv_inside: Any, shared: Path) -> None:
    done = csmv_inside("collect", "--links", shared / "csmv" / "CSMV_rawLinks.xlsx", "--dry-run", "--json")
    told = json.loads(done.stdout)
    assert (told["rows"], told["distinct_ids"], told["repeats"], told["rejects"]) == (8210, 8008, 202, 0)
    plain = csmv_inside("collect", "--links", shared / "csmv" / "CSMV_rawLinks.xlsx", "--dry-run").stdout
    assert "8,008" in plain and "@" not in plain


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["collect", "--root", "ROOT", "--hashtag", "x", "--config", "nowhere.yaml"], "not there"),
        (["collect", "--links", "nowhere.csv", "--dry-run"], "no file"),
        (["download", "--root", "ROOT"], "not a dataset root"),
        (["sandbox", "--config", "nowhere.yaml"], "is not there"),
    ],
)
def test_mistakes_are_told_in_one_sentence(csmv_inside: Any, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = csmv_inside(*(str(tmp_path / "root") if word == "ROOT" else word for word in arguments))
    assert done.returncode == 1 and said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "u:p" not in done.stderr


def test_the_sandbox_command_serves_until_it_is_interrupted(start_csmv: Any) -> None:
    process = start_csmv("sandbox", "--videos", "2", PYTHONUNBUFFERED="1")
    said = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert found
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 30
    with opener.open(f"{found[0]}/status", timeout=30) as answer:
        assert len(json.loads(answer.read())["collected"]) == 4
    assert time.monotonic() < end
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
