"""`csmv demo` end to end, once: its table, its report, its resumption, and nothing personal outside `private/`."""

import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.compute as pc
import pytest
import zstandard

from csmv.flows.demo_crawl import settings
from csmv.pipeline.demo.sample import SEED, Planted, make_sample
from csmv.pipeline.demo.sandbox import World
from csmv.pipeline.failures import failures_of
from csmv.pipeline.store import Store

Run = Callable[..., "subprocess.CompletedProcess[str]"]

VIDEOS = 6
KEY = "the tests' own key, known to all"


class Demo:
    """A demo that ran: its root, what it said, and what was planted in its sample."""

    def __init__(self, root: Path, csmv: Run) -> None:
        self.root = root
        self._csmv = csmv
        self.first = self.run()
        self.planted: tuple[Planted, ...] = make_sample(root / "private" / "sample", videos=VIDEOS).planted
        self.crawl_root = root.with_name(f"{root.name}-crawl")

    def run(self) -> "subprocess.CompletedProcess[str]":
        home = self.root.parent / "home"
        home.mkdir(exist_ok=True)
        return self._csmv("demo", "--root", self.root, "--videos", VIDEOS, CSMV_PSEUDONYM_KEY=KEY, HOME=str(home))

    def public_files(self) -> Iterator[Path]:
        for root in (self.root, self.crawl_root):
            for path in sorted(root.rglob("*")):
                if path.is_file() and path.relative_to(root).parts[0] != "private":
                    yield path

    def planted_texts(self) -> list[str]:
        """What must not be found: the sample's, handles without the @, and the crawl's."""
        ours = {item.value.removeprefix("@").casefold() for item in self.planted}
        return sorted(ours | {text.casefold() for text in World(settings(SEED)).personal()})

    def store(self) -> Store:
        return Store.open(str(self.root))


@pytest.fixture(scope="module")
def demo(csmv: Run, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo") / "root", csmv)


def test_it_ends_with_the_table_and_the_report(demo: Demo) -> None:
    assert demo.first.returncode == 0, demo.first.stderr
    for model in ("majority class", "text only", "VC-CSA"):
        row = next(line for line in demo.first.stdout.splitlines() if model in line)
        assert len(re.findall(r"\d+\.\d%", row)) == 4, row
    report = re.search(r"^Report: (.+)$", demo.first.stdout, re.MULTILINE)
    assert report and "<html" in Path(report[1]).read_text()
    assert "Traceback" not in demo.first.stderr and "Error" not in demo.first.stderr
    assert not (demo.root.parent / "home" / ".prefect").exists(), "Prefect wrote outside the root"


def test_every_stage_left_its_table(demo: Demo) -> None:
    store = demo.store()
    good = pc.sum(pc.equal(store.read_all("videos")["media_status"], "ok")).as_py()

    assert good == VIDEOS
    assert store.read_all("features/r2plus1d_18").num_rows == VIDEOS
    assert store.read_all("comments").num_rows > 0
    split = store.read_split("video")
    videos = {
        part: set(split.filter(pc.equal(split["split"], part))["video_id"].to_pylist())
        for part in ("train", "dev", "test")
    }
    assert all(videos.values())
    assert not videos["train"] & (videos["dev"] | videos["test"])


def test_the_sandbox_was_crawled_with_a_real_browser(demo: Demo) -> None:
    truth = World(settings(SEED)).truth()
    store = Store.open(str(demo.crawl_root))

    collected = set(store.read_all("videos")["video_id"].to_pylist())
    assert collected == set(truth.collected) and len(truth.failed) == 1
    assert store.read_all("comments").num_rows == sum(map(len, truth.collected.values()))
    assert {path.stem for path in demo.crawl_root.rglob("*.mp4")} == collected
    assert f"Crawled {len(collected)} videos" in demo.first.stdout and "1 private" in demo.first.stdout


def test_bad_videos_cost_only_themselves_and_say_why(demo: Demo) -> None:
    failures = failures_of(demo.store())["media"].to_pylist()

    assert {row["reason"] for row in failures} >= {"empty_file", "truncated", "not_a_video", "no_video_stream"}
    assert {row["key"] for row in failures} == {f"sample-{number:02d}" for number in range(VIDEOS + 1, VIDEOS + 6)}
    assert all(row["attempts"] == 1 for row in failures)


def test_run_again_it_does_nothing_twice(demo: Demo) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in demo.public_files()}
    rewritten = {demo.root / "dataset.yaml", demo.root / "reports" / "index.html"}
    films = {path: path.stat().st_mtime_ns for path in demo.crawl_root.rglob("*.mp4")}
    began = time.monotonic()

    again = demo.run()

    assert again.returncode == 0, again.stderr
    assert again.stdout == demo.first.stdout
    assert time.monotonic() - began < 120
    for path in demo.public_files():
        modified, data = before[path]
        assert path.read_bytes() == data or path in rewritten, path
        assert path.stat().st_mtime_ns == modified or path in rewritten, f"{path} was written again"
    assert {path: path.stat().st_mtime_ns for path in films} == films


def test_nothing_temporary_is_left(demo: Demo) -> None:
    assert demo.store().sweep() == 0
    assert not [path for path in demo.root.rglob("*") if path.name.endswith((".tmp", ".part"))]


# ------------------------------------------------------------------ personal data


def test_enough_was_planted_and_the_private_side_has_it(demo: Demo) -> None:
    raw = (demo.root / "private" / "sample" / "comments.jsonl").read_text().casefold()

    kinds = {item.kind for item in demo.planted}
    assert len(kinds) >= 3
    assert sum(text in raw for text in demo.planted_texts()) > 10
    landing = demo.crawl_root / "private" / "landing"
    pages = "".join(map(unpacked, landing.rglob("*.zst"))).casefold()
    assert sum(text in pages for text in demo.planted_texts()) > 10


def test_no_planted_data_outside_private(demo: Demo) -> None:
    for path in demo.public_files():
        found = everything_in(path)
        for text in demo.planted_texts():
            assert text not in found, f"{path.relative_to(demo.root.parent)} holds planted data"


def test_no_planted_data_in_what_was_said(demo: Demo) -> None:
    said = (demo.first.stdout + demo.first.stderr).casefold()

    assert not [text for text in demo.planted_texts() if text in said]


def test_no_planted_data_in_prefects_home(demo: Demo) -> None:
    home = demo.root / "private" / "prefect"
    rows = "\n".join(every_row(home / "prefect.db"))
    assert "tables 0000" in rows and "csmv-demo" in rows, "the database is not the one that the run used"

    for text in demo.planted_texts():
        assert text not in rows.casefold()
        for path in home.rglob("*"):
            if path.is_file():
                assert text.encode() not in path.read_bytes().lower(), path.name


def everything_in(path: Path) -> str:
    """A file's bytes as text, and of a table every value too, since Parquet compresses them."""
    import pyarrow.parquet as pq

    data = path.read_bytes().decode("utf-8", "replace")
    if path.suffix == ".parquet" and "features/" not in str(path):
        table = pq.read_table(path)
        data += str(table.schema.metadata) + "\n".join(map(str, table.to_pylist()))
    return data.casefold()


def unpacked(page: Path) -> str:
    return zstandard.ZstdDecompressor().stream_reader(page.read_bytes(), read_across_frames=True).read().decode()


def every_row(database: Path) -> Iterator[str]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert "log" in tables and "flow_run" in tables
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield str(row)
