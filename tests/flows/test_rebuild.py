"""A dataset rebuilt from what was published of it: annotations and links in, media fetched, features out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.demo.sandbox import Fault, Sandbox, SandboxSettings, World
from csmv.pipeline.failures import failures_of
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

SIZE = {"hashtags": 1, "videos": 4, "comments": 3, "media_s": 1.5}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    ids = list(World(SandboxSettings.model_validate(SIZE)).videos)
    faults = {f"video:{ids[0]}": Fault.VIDEO_DELETED, f"media:{ids[1]}": Fault.MEDIA_HTML}
    with Sandbox(SandboxSettings.model_validate(SIZE | {"faults": faults})) as running:
        yield running


def publish(folder: Path, world: World) -> tuple[Path, Path]:
    """Annotations and links of the sandbox's videos in the published files' shapes."""
    folder.mkdir()
    entries, links = {}, ["No.,ID,URL"]
    for number, video in enumerate(world.videos.values(), 1):
        links.append(f"{number},{video.id}, https://www.tiktok.com/@{video.creator.handle}/video/{video.id}")
        for k in range(3):
            name = f"sandbox_{3 * number + k}_{video.id}.mp4"
            said = {"comment": f"comment {k}", "opinion_label": "positive", "emotion_label": "joy"}
            entries[name] = said | {"video_file_id": f"{video.id}.mp4", "hashtag": "sandbox"}
    (folder / "lable_data_dict.json").write_text(json.dumps(entries))
    for part, k in (("train", 0), ("dev", 1), ("test", 2)):
        (folder / f"{part}_set.json").write_text(json.dumps(list(entries)[k::3]))
    (folder / "opinion_label_map.json").write_text('{"positive": 0, "neutral": 1, "negative": 2}')
    emotions = ["joy", "disgust", "surprise", "sadness", "trust", "fear", "anger", "anticipation"]
    (folder / "emotion_label_map.json").write_text(json.dumps({name: n for n, name in enumerate(emotions)}))
    (folder / "links.csv").write_text("\n".join(links) + "\n")
    return folder / "lable_data_dict.json", folder / "links.csv"


def test_annotations_and_links_become_media_and_features(
    csmv: Any, csmv_inside: Any, sandbox: Sandbox, tmp_path: Path
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
    fetched = csmv("download", "--root", root, *reach, "--json")
    assert fetched.returncode == 0, fetched.stderr
    assert json.loads(fetched.stdout)["done"] == len(good)
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
def test_one_build_goes_from_published_files_to_a_report(csmv: Any, sandbox: Sandbox, tmp_path: Path) -> None:
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
