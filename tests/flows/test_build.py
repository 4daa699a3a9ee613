"""`csmv build` of every source: from nothing to a report, or a sentence that says what is missing; and what is left."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
from csmv.pipeline.demo.sandbox.research_sandbox import CLIENT_KEY, CLIENT_SECRET
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.root import CONFIG_FILE
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.sources.browser import find_chromium
from csmv.pipeline.store import Store


def configuration(path: Path, source: dict[str, Any], **more: Any) -> Path:
    path.write_text("# Our own words.\n" + yaml.safe_dump({"name": "trial", "n_shards": 2, "source": source} | more))
    return path


def unlabelled(folder: Path) -> dict[str, Any]:
    """A folder of one described video and one comment that nobody has labelled."""
    folder.mkdir()
    (folder / "videos.jsonl").write_text(json.dumps({"video": "v1"}) + "\n")
    (folder / "comments.jsonl").write_text(json.dumps({"id": "12345678901", "video": "v1", "text": "so good"}) + "\n")
    return {"kind": "folder", "path": str(folder)}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    if find_chromium() is None:
        pytest.skip("Chromium is not installed: `make set-up` or `apt-get install chromium`")
    with Sandbox(SandboxSettings(hashtags=1, videos=2, comments=2, media_s=0.5)) as running:
        yield running


@pytest.mark.timeout(900)
def test_a_web_root_is_collected_tabulated_and_downloaded(
    csmv: Any, server: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    manners = {"interval_s": 5.0, "scroll_pause_s": [0, 0.05], "after_wall_s": 0}
    source = {"kind": "web", "hashtags": sandbox.world.tags, "manners": manners}
    features = [{"extractor": "timm:test_resnet", "weights": "random"}]
    config = configuration(tmp_path / "trial.yaml", source, features=features)
    reach = ("--proxy", sandbox.proxy, "--ca-file", sandbox.ca_file, "--interval", 0.05)

    done = csmv("build", config, "--root", tmp_path / "root", *reach, PREFECT_API_URL=server.url)

    assert done.returncode == 0, done.stderr
    store = Store.open(str(tmp_path / "root"))
    videos = store.read_all("videos")
    assert videos.num_rows == len(sandbox.world.videos)
    assert set(videos["media_status"].to_pylist()) == {"ok"}
    assert store.read_all("features/timm-test_resnet").num_rows == videos.num_rows
    assert "asks for no splits, train" in done.stdout
    assert (tmp_path / "root" / "reports" / "index.html").is_file()
    assert (tmp_path / "root" / CONFIG_FILE).read_text() == config.read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_research_root_is_collected_tabulated_and_downloaded(
    csmv: Any, server: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    source = {"kind": "research", "hashtags": sandbox.world.tags, "start": "2026-08-28", "end": "2026-09-06"}
    config = configuration(tmp_path / "trial.yaml", source | {"refresh_days": None})
    reach = ("--proxy", sandbox.proxy, "--ca-file", sandbox.ca_file, "--interval", 0.05)

    lacking = csmv("build", config, "--root", tmp_path / "root", *reach, PREFECT_API_URL=server.url)
    assert (lacking.returncode, "CSMV_RESEARCH_KEY" in lacking.stderr) == (1, True), lacking.stderr
    keys = {"CSMV_RESEARCH_KEY": CLIENT_KEY, "CSMV_RESEARCH_SECRET": CLIENT_SECRET}
    done = csmv("build", config, "--root", tmp_path / "root", *reach, PREFECT_API_URL=server.url, **keys)

    assert done.returncode == 0, done.stderr
    store = Store.open(str(tmp_path / "root"))
    videos = store.read_all("videos")
    assert videos.num_rows == len(sandbox.world.videos)
    assert set(videos["media_status"].to_pylist()) == {"ok"}
    key = "research:0:rows"
    odd = Failure(key, FailureReason.UNREADABLE, "1 of 5 rows could not be read: `videos[].id` is missing")
    record_failures(store, "collect", store.shard_of(key), [odd])
    partly = csmv("build", config, "--root", tmp_path / "root", *reach, PREFECT_API_URL=server.url, **keys)
    assert partly.returncode == 3 and "is built of what could be read" in partly.stderr, partly.stderr
    assert "`videos[].id` is missing" in partly.stderr and "--reparse" in partly.stderr
    assert store.read_all("comments").num_rows > 0
    assert (tmp_path / "root" / "reports" / "index.html").is_file()


def test_a_split_of_a_root_without_labels_is_a_sentence(csmv: Any, server: Any, tmp_path: Path) -> None:
    config = configuration(tmp_path / "trial.yaml", unlabelled(tmp_path / "films"), splits=[{"kind": "video"}])

    done = csmv("build", config, "--root", tmp_path / "root", PREFECT_API_URL=server.url)

    assert done.returncode == 1
    assert "needs labelled comments" in done.stderr and "is built" not in done.stdout


def test_published_files_that_are_nowhere_are_a_sentence(csmv: Any, server: Any, tmp_path: Path) -> None:
    config = configuration(tmp_path / "trial.yaml", {"kind": "published"})

    done = csmv("build", config, "--root", tmp_path / "root", PREFECT_API_URL=server.url)

    assert done.returncode == 1
    assert "csmv import" in done.stderr and "is built" not in done.stdout


def test_status_says_what_is_missing_and_what_a_changed_policy_made_stale(csmv_inside: Any, tmp_path: Path) -> None:
    from csmv.pipeline.config import DatasetConfig
    from csmv.pipeline.dataset import Dataset

    config = configuration(tmp_path / "trial.yaml", unlabelled(tmp_path / "films"))
    root = tmp_path / "root"
    dataset = Dataset.create(str(root), DatasetConfig.from_yaml(config.read_text(), "trial"), config.read_text())

    def status() -> dict[str, tuple[int, int, int]]:
        told = csmv_inside("status", root, "--json")
        assert told.returncode == 0, told.stderr
        return {row["name"]: (row["done"], row["missing"], len(row["stale"])) for row in json.loads(told.stdout)}

    assert status()["tables"] == (0, 2, 0)
    dataset.run("tables")
    dataset.run("report")
    assert (status()["collect"], status()["tables"], status()["report"]) == ((1, 0, 0), (2, 0, 0), (1, 0, 0))

    (root / CONFIG_FILE).write_text(config.read_text() + "scrub: {threshold: 0.9}\n")
    assert status()["tables"] == (0, 0, 2)
    Dataset.open(str(root)).run("tables")
    assert status()["tables"] == (2, 0, 0)
    assert status()["report"] == (0, 0, 1)
