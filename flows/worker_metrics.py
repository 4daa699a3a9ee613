"""Counters of this machine's workers for Prometheus: a small file a process, and one exporter that adds them up.

A flow run on a process worker is a process of its own that may last seconds. It can't serve a port: several would want
the same one, and most would be gone before anybody scraped them. prometheus_client's multiprocess mode has to be chosen
before its first import, which Prefect does, and leaves a file of a mebibyte for each process that ever was. A push
gateway would be one more server, keeps what the dead have pushed, and adds nothing up. So each process keeps its counts
in a file of `CSMV_METRICS_DIR`, written anew every ten seconds and at the end of each unit, and `csmv metrics` serves
the sum. What no process has touched for two minutes, it takes into a file of its own, so that the folder stays small
and no counter ever falls; a process that was only slow starts a new file with what it has counted since.

Names count stages, datasets (the root's last part) and reasons; nothing else is ever a label.
"""

import fcntl
import json
import os
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.progress import Reading
from csmv.pipeline.work import Watch

if TYPE_CHECKING:
    from prometheus_client.core import Metric

DIRECTORY = "CSMV_METRICS_DIR"
ENDED_AFTER_S = 120.0
FRESH_S = 30.0
"""How old a process's file may be for what it says of this moment, such as how busy a GPU is."""
_ENDED = "ended.json"
_FILES = "process-*.json"

COUNTERS = {
    "videos": "Videos that a stage has finished, good or not.",
    "comments": "Comments that were written into tables.",
    "visits": "Pages that were visited, or tried.",
    "windows": "Windows of video or sound that became vectors.",
    "decode_seconds": "Seconds that decoding processes were busy.",
    "bytes": "Bytes of media that were read or kept.",
    "failures": "What could not be done, by reason.",
    "units": "Units (shards, splits, runs) that ended, by outcome.",
    "unit_seconds": "Seconds that units took.",
}
GAUGES = {
    "working": "Units that are being done now.",
    "gpu_busy_ratio": "How busy each GPU is, from 0 to 1, as its driver says.",
}

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A metric and its labels."""


@dataclass
class ProcessMetrics:
    """The counts of this process and their file; any thread may add."""

    folder: Path
    name: str = field(default_factory=lambda: f"process-{os.getpid()}-{secrets.token_hex(4)}.json")

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Key] = Counter()
        self._before: Counter[Key] = Counter()
        self._written: Counter[Key] | None = None
        self._working: Counter[Key] = Counter()

    def add(self, metric: str, amount: float, **labels: str) -> None:
        """Add to a counter."""
        if amount > 0:
            with self._lock:
                self._counts[metric, tuple(sorted(labels.items()))] += amount  # type: ignore[assignment]

    def work(self, units: int, **labels: str) -> None:
        """So many units more are being done now."""
        with self._lock:
            self._working["working", tuple(sorted(labels.items()))] += units

    def write(self) -> None:
        """Bring the file up to date."""
        with self._lock:
            path = self.folder / self.name
            if self._written is not None and not path.exists():  # taken by the exporter for that of a dead process
                self._before = self._written
                self.name = f"process-{os.getpid()}-{secrets.token_hex(4)}.json"
                path = self.folder / self.name
            counts = self._counts.copy()
            since = {key: amount - self._before[key] for key, amount in counts.items()}
            _write(path, {"counters": _plain(since), "gauges": _plain({**self._working, **_gpus()})})
            self._written = counts


def _gpus() -> dict[Key, float]:
    """How busy each GPU is that this process uses; nothing without one, or without its driver's library."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    busy: dict[Key, float] = {}
    with suppress(Exception):  # ModuleNotFoundError without nvidia-ml-py, and whatever a driver may say
        for number in range(torch.cuda.device_count()):
            busy["gpu_busy_ratio", (("gpu", str(number)),)] = torch.cuda.utilization(number) / 100
    return busy


_process: ProcessMetrics | None = None
_one = threading.Lock()


def of_process() -> ProcessMetrics | None:
    """The metrics of this process; None where nobody asked for any."""
    global _process
    folder = os.environ.get(DIRECTORY)
    if not folder:
        return None
    with _one:
        if _process is None or _process.folder != Path(folder):
            _process = ProcessMetrics(Path(folder))
        return _process


@contextmanager
def measured(stage: str, dataset: str) -> Iterator[Watch]:
    """Count a unit of a stage for the block's time; gives what wants to be told how far it is.

    Args:
        stage: the stage's name.
        dataset: the root's last part.
    """
    metrics = of_process()
    if metrics is None:
        yield lambda _reading: None
        return
    labels = {"stage": stage, "dataset": dataset}
    before = Reading()

    def tell(reading: Reading) -> None:
        nonlocal before
        for name, amount in reading.amounts.items():
            if name in COUNTERS:
                metrics.add(name, amount - before.amounts.get(name, 0), **labels)
        for reason, count in reading.reasons.items():
            metrics.add("failures", count - before.reasons[reason], reason=reason, **labels)
        metrics.add("unit_seconds", reading.seconds - before.seconds, **labels)
        before = reading
        metrics.write()

    metrics.work(1, **labels)
    outcome = "failed"
    try:
        yield tell
        outcome = "done"
    finally:
        metrics.work(-1, **labels)
        metrics.add("units", 1, outcome=outcome, **labels)
        with suppress(OSError):
            metrics.write()


# ---------------------------------------------------------------------- the exporter


def read_all(folder: Path, now: float | None = None) -> tuple[Counter[Key], dict[Key, float]]:
    """The sum of all counters in a folder, and what fresh files say of this moment.

    Files that nobody has touched for long are taken into one.
    """
    now = time.time() if now is None else now
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = _read(folder / _ENDED) or {"counters": [], "files": []}
        total = Counter(_keys(ended["counters"]))
        old: Counter[Key] = Counter()
        taken: list[str] = []
        gauges: dict[Key, float] = {}
        for path in sorted(folder.glob(_FILES)):
            if path.name in ended["files"]:  # taken, and not removed before this exporter was killed
                taken.append(path.name)
                continue
            try:
                age_s = now - path.stat().st_mtime
            except FileNotFoundError:
                continue
            said = _read(path)
            if said is None:
                continue
            counts = Counter(_keys(said["counters"]))
            total.update(counts)
            if age_s > ENDED_AFTER_S:
                old.update(counts)
                taken.append(path.name)
            elif age_s <= FRESH_S:
                for key, value in _keys(said["gauges"]).items():
                    gauges[key] = gauges.get(key, 0) + value if key[0] == "working" else max(gauges.get(key, 0), value)
        if taken:
            counters = Counter(_keys(ended["counters"]))
            counters.update(old)
            _write(folder / _ENDED, {"counters": _plain(counters), "files": taken})
            for name in taken:
                (folder / name).unlink(missing_ok=True)
    return total, gauges


class FolderCollector:
    """What prometheus_client asks at each scrape."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> "Iterator[Metric]":
        """Every metric with its labels, also those that nothing was counted for yet."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counters, gauges = read_all(self._folder)
        for kind, names, values in ((CounterMetricFamily, COUNTERS, counters), (GaugeMetricFamily, GAUGES, gauges)):
            for name, about in names.items():
                chosen = {key[1]: value for key, value in values.items() if key[0] == name}
                labels = sorted({label for pairs in chosen for label, _ in pairs})
                family = kind(f"csmv_{name}", about, labels=labels)
                for pairs, value in sorted(chosen.items()):
                    family.add_metric([dict(pairs).get(label, "") for label in labels], value)
                yield family


def serve(folder: Path, port: int, address: str) -> Any:
    """Serve the sum at http://address:port/metrics, on a thread; gives the server.

    Raises:
        CsmvError: the port is taken, or the folder can't be written.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry(auto_describe=False)
    registry.register(FolderCollector(folder))
    try:
        server, _thread = start_http_server(port, addr=address, registry=registry)
    except OSError as error:
        raise CsmvError(f"{address}:{port} can't be served ({error.strerror}): choose another --port.") from None
    return server


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _plain(values: Mapping[Key, float]) -> list[Any]:
    return [[name, list(map(list, labels)), value] for (name, labels), value in values.items()]


def _keys(entries: list[Any]) -> dict[Key, Any]:
    return {(name, tuple((label, text) for label, text in labels)): value for name, labels, value in entries}
