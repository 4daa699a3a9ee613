"""A dataset rebuilt from what was published of it: annotations and links in, media fetched, features out."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.demo.sandbox import Fault, Sandbox, SandboxSettings, World
from csmv.pipeline.failures import failures_of
from csmv.pipeline.sources.browser import find_chromium
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

SIZE = {"hashtags": 1, "videos": 4, "comments": 3, "media_s": 1.5}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    ids = list(World(SandboxSettings.model_validate(SIZE)).videos)
    faults = {f"video:{ids[0]}": Fault.VIDEO_DELETED, f"media:{ids[1]}": Fault.MEDIA_HTML}
    with Sandbox(SandboxSettings.model_validate(SIZE | {"faults": faults})) as running:
        yield running


def test_annotations_and_links_become_media_and_features(
    csmv: Any, csmv_inside: Any, publish: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    annotations, links = publish(tmp_path / "published", sandbox.world)
    root = tmp_path / "root"
    gone, no_video, *good = sandbox.world.videos

    for command in (
        ("import", annotations, "--links", links, "--root", root, "--shards", 2),
        ("extract", "--root", root, "--extractor", "timm:test_resnet", "--weights", "random"),  # nothing there yet
    ):
        assert csmv_inside(*command).returncode == 0
    reach = ("--proxy", sandbox.proxy, "--ca-file", sandbox.ca_file, "--interval", 0)
    sampled = csmv("download", "--root", root, *reach, "--sample", 2)
    assert sampled.returncode == 0, sampled.stderr
    assert "2 videos to fetch, 2 requests each, one every 0 s" in sampled.stderr
    assert "The 2 that were not tried take at least 0 s" in sampled.stdout
    fetched = csmv("download", "--root", root, *reach, "--json")
    assert fetched.returncode == 0, fetched.stderr
    told = json.loads(fetched.stdout)
    assert sum(year["fetched"] for year in told["years"]) == len(good)
    assert sum((Counter(year["reasons"]) for year in told["years"]), Counter()) == {"gone": 1, "not_a_video": 1}
    extracted = csmv_inside("extract", "--root", root, "--extractor", "timm:test_resnet", "--weights", "random")
    assert extracted.returncode == 0, extracted.stderr

    store = Store.open(str(root))
    assert set(store.read_all("features/timm-test_resnet")["video_id"].to_pylist()) == set(good)
    told = {row["key"]: row["reason"] for row in failures_of(store)["media"].to_pylist()}
    assert told == {gone: "gone", no_video: "not_a_video"}
    handles = [video.creator.handle.encode() for video in sandbox.world.videos.values()]
    for name in store.files():
        if not name.startswith("private/"):
            assert not [handle for handle in handles if handle in store.read_file(name)], name
    asked = [entry for entry in sandbox.log() if gone in entry.path]
    assert len(asked) == 1, "a video that is gone is asked for once"


@pytest.mark.slow
def test_collecting_on_a_published_root_brings_what_its_pages_say_today(
    csmv: Any, csmv_inside: Any, publish: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    if find_chromium() is None:
        pytest.skip("Chromium is not installed: `make setup` or `apt-get install chromium`")
    annotations, links = publish(tmp_path / "published", sandbox.world)
    root = tmp_path / "root"
    assert csmv_inside("import", annotations, "--links", links, "--root", root, "--shards", 2).returncode == 0
    store = Store.open(str(root))
    before = store.read_all("comments")
    reach = ("--proxy", sandbox.proxy, "--ca-file", sandbox.ca_file, "--interval", 0)

    collected = csmv("collect", "--root", root, *reach, "--json")

    assert collected.returncode == 0, collected.stderr
    assert json.loads(collected.stdout)["outcomes"] == {"done": 3, "gone": 1}
    assert store.read_all("comments").equals(before)
    gone, *there = sandbox.world.videos
    rows = {row["video_id"]: row for row in store.read_all("videos").to_pylist()}
    assert rows[gone]["created_at"] is None
    for video in there:
        truth = sandbox.world.videos[video]
        assert int(rows[video]["created_at"].timestamp()) == truth.created
        assert rows[video]["description"] and rows[video]["like_count"] is not None and rows[video]["creator"]
        assert rows[video]["hashtags"] == ["sandbox"]
    assert {row["key"]: row["reason"] for row in failures_of(store)["tables"].to_pylist()} == {gone: "gone"}
    sandbox.forget_log()
    again = csmv("collect", "--root", root, *reach, "--json")
    assert again.returncode == 0, again.stderr
    assert not [entry for entry in sandbox.log() if entry.kind == "page"]
    told = json.loads(csmv_inside("status", root, "--json").stdout)
    assert not any(stage["stale"] for stage in told)
    handles = [video.creator.handle.encode() for video in sandbox.world.videos.values()]
    for name in store.files():
        if not name.startswith("private/"):
            assert not [handle for handle in handles if handle in store.read_file(name)], name


@pytest.mark.slow
def test_one_build_goes_from_published_files_to_a_report(
    csmv: Any, publish: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    annotations, links = publish(tmp_path / "published", sandbox.world)
    config = {
        "name": "rebuilt",
        "n_shards": 2,
        "source": {"kind": "published", "annotations": str(annotations), "links": str(links)},
        "features": [{"extractor": "timm:test_resnet", "weights": "random"}],
        "splits": [{"kind": "published"}, {"kind": "comment"}],
        "train": [{"model": "majority", "split": "published"}],
    }
    (tmp_path / "rebuilt.yaml").write_text(json.dumps(config))  # JSON is YAML
    reach = ("--proxy", sandbox.proxy, "--ca-file", sandbox.ca_file, "--interval", 0)

    built = csmv("build", tmp_path / "rebuilt.yaml", "--root", tmp_path / "root", *reach)

    assert built.returncode == 0, built.stderr
    store = Store.open(str(tmp_path / "root"))
    assert store.read_all("videos").num_rows == len(sandbox.world.videos)
    assert set(store.split_names()) == {"published", "comment"}
    assert store.read_all("features/timm-test_resnet").num_rows == len(sandbox.world.videos) - 2
    assert (tmp_path / "root" / "reports" / "index.html").is_file()
    assert verify(store).problems == ()
