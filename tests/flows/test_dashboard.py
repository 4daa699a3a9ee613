"""The Grafana dashboard: its JSON fits the model that Grafana publishes, its queries run against a real Prometheus.

Grafana itself is in no registry that these tests use, so how it draws the panels is not tested. Its own types of
a dashboard are: the package grafana-foundation-sdk is generated from Grafana's schemas.
"""

import json
import re
import shutil
import socket
import subprocess
import time
import typing
import urllib.parse
import urllib.request
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml

from csmv.flows.worker_metrics import COUNTERS, GAUGES, ProcessMetrics

REPOSITORY = Path(__file__).resolve().parents[2]
DASHBOARD = REPOSITORY / "docker" / "grafana" / "dashboard.json"
PROMETHEUS = REPOSITORY / "docker" / "prometheus.yml"
SERVED = {f"csmv_{name}_total" for name in COUNTERS} | {f"csmv_{name}" for name in GAUGES}


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def queries() -> list[tuple[str, str]]:
    """(panel, query) of each."""
    return [(panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel["targets"]]


def lost(said: Any, understood: Any, where: str = "dashboard") -> Iterator[str]:
    """What of some JSON a model did not take over: names that it does not know, values that it reads otherwise."""
    if isinstance(said, dict):
        for key, value in said.items():
            if not isinstance(understood, dict) or key not in understood:
                yield f"{where}.{key}"
            else:
                yield from lost(value, understood[key], f"{where}.{key}")
    elif isinstance(said, list):
        if not isinstance(understood, list) or len(understood) != len(said):
            yield where
        else:
            for number, (value, other) in enumerate(zip(said, understood, strict=True)):
                yield from lost(value, other, f"{where}[{number}]")
    elif said != understood:
        yield where


def wrong(value: Any, hint: Any, where: str = "dashboard") -> Iterator[str]:
    """Where an object of the model holds something that is not of its type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union or str(origin) == "<class 'types.UnionType'>":
        if not any(not list(wrong(value, one, where)) for one in inner):
            yield where
    elif origin is list:
        for number, one in enumerate(value) if isinstance(value, list) else [(0, None)]:
            yield from wrong(one, inner[0], f"{where}[{number}]")
    elif origin is dict:
        for key, one in value.items() if isinstance(value, dict) else [("", None)]:
            yield from wrong(one, inner[1], f"{where}.{key}")
    elif isinstance(hint, type) and issubclass(hint, Enum):
        if value not in [*hint, *(one.value for one in hint)]:
            yield where
    elif isinstance(hint, type) and hint is not object:
        number = hint is float and isinstance(value, int) and not isinstance(value, bool)
        if not number and not (isinstance(value, hint) and not (hint is int and isinstance(value, bool))):
            yield where
        elif not issubclass(hint, str | int | float):
            for name, kind in typing.get_type_hints(type(value)).items():
                yield from wrong(getattr(value, name), kind, f"{where}.{name}")


@pytest.fixture(scope="module")
def model() -> Any:
    package = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    from grafana_foundation_sdk.cog.plugins import register_default_plugins

    register_default_plugins()
    return package.Dashboard


def understood(model: Any, said: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    read = model.from_json(said)
    again: dict[str, Any] = json.loads(json.dumps(read, cls=JSONEncoder))
    return read, again


def test_the_dashboard_fits_grafanas_own_types(model: Any) -> None:
    read, again = understood(model, dashboard())

    assert list(lost(dashboard(), again)) == []
    assert list(wrong(read, model)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("panels", 3, "gridPos", "wide"), 3),
        (("panels", 3, "fieldConfig", "defaults", "units"), "s"),
        (("panels", 3, "targets", 0, "expression"), "up"),
        (("panels", 3, "title"), 7),
        (("templating", "list", 0, "kind"), "datasource"),
    ],
)
def test_a_dashboard_that_does_not_fit_is_noticed(model: Any, path: tuple[Any, ...], value: Any) -> None:
    changed: Any = dashboard()
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value

    read, again = understood(model, changed)

    assert list(lost(changed, again)) or list(wrong(read, model))


def test_queries_ask_for_what_is_served_and_all_of_it() -> None:
    asked = {name for _, query in queries() for name in re.findall(r"csmv_\w+", query)}
    assert asked == SERVED


# ---------------------------------------------------------------------- against a real Prometheus


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Debian's prometheus and promtool: the system's, or unpacked from the package, not installed."""
    if found := shutil.which("prometheus"):
        return Path(found).parent
    folder = tmp_path_factory.mktemp("prometheus")
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("prometheus is not installed, and this is no Debian: apt-get install prometheus")
    got = subprocess.run(["apt-get", "download", "prometheus"], cwd=folder, capture_output=True, text=True)
    packages = list(folder.glob("*.deb"))
    if not packages:
        pytest.skip(f"the package prometheus can't be had: {got.stderr.strip()[-200:]}")
    subprocess.run(["dpkg-deb", "--extract", str(packages[0]), str(folder)], check=True)
    return folder / "usr" / "bin"


@pytest.mark.slow
def test_the_configuration_is_one(programs: Path) -> None:
    checked = subprocess.run([programs / "promtool", "check", "config", PROMETHEUS], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def prometheus(programs: Path, start_csmv: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that scrapes a real exporter every second, while two processes count."""
    folder = tmp_path_factory.mktemp("scraped")
    exporter = start_csmv("metrics", "--port", 0, "--folder", folder / "counts")
    target = exporter.stdout.readline().split("/")[2]
    config = yaml.safe_load(PROMETHEUS.read_text())
    config["global"]["scrape_interval"] = "1s"
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [programs / "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _count(folder / "counts", url)
        yield url
    finally:
        process.terminate()
        exporter.terminate()
        process.wait(30)
        exporter.wait(30)


def _count(folder: Path, url: str) -> None:
    """Count for as long as a rate takes to be one."""
    workers = [ProcessMetrics(folder), ProcessMetrics(folder)]
    end = time.monotonic() + 120
    rounds = 0
    while rounds < 12 or not ask(url, "rate(csmv_windows_total[10s])"):
        assert time.monotonic() < end, "Prometheus scraped nothing"
        for worker in workers:
            for stage in ("media", "features"):
                labels = {"stage": stage, "dataset": "mine"}
                for name in COUNTERS.keys() - {"failures", "units"}:
                    worker.add(name, 3, **labels)
                worker.add("failures", 1, reason="timeout", **labels)
                worker.add("units", 1, outcome="done", **labels)
                worker.work(int(rounds == 0), **labels)
            worker.write()
        gpu = ["gpu_busy_ratio", [["gpu", "0"]], 0.5]
        (folder / "process-gpu.json").write_text(json.dumps({"counters": [], "gauges": [gpu]}))
        rounds += 1
        time.sleep(1)


def ask(url: str, query: str) -> list[dict[str, Any]]:
    try:
        with urllib.request.urlopen(
            f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=10
        ) as answer:
            said = json.load(answer)
    except OSError:
        return []
    assert said["status"] == "success"
    found: list[dict[str, Any]] = said["data"]["result"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("panel", "query"), queries())
def test_every_query_of_the_dashboard_has_an_answer(prometheus: str, panel: str, query: str) -> None:
    plain = query.replace("$dataset", ".*").replace("$__rate_interval", "10s").replace("$__range", "1m")

    found = ask(prometheus, plain)

    assert found, f"{panel}: {plain}"
    assert all(float(one["value"][1]) > 0 for one in found), found


@pytest.mark.slow
def test_the_list_of_datasets_has_an_answer(prometheus: str) -> None:
    [variable] = [one for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
    assert asked
    assert {one["metric"][asked[2]] for one in ask(prometheus, asked[1])} == {"mine"}
