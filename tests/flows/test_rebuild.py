"""A dataset rebuilt from what was published of it: annotations and links in, media fetched, features out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.sandbox import Fault, Sandbox, SandboxSettings, World
from pipeline.store import Store

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
    told = {row["key"]: row["detail"] for row in store.failures()["media"].to_pylist()}
    assert set(told) == {gone, no_video} and told[gone].startswith("gone")
    handles = [video.creator.handle.encode() for video in sandbox.world.videos.values()]
    for name in store.files():
        if not name.startswith("private/"):
            assert not [handle for handle in handles if handle in store.read_file(name)], name
    asked = [entry for entry in sandbox.log() if gone in entry.path]
    assert len(asked) == 1, "a video that is gone is asked for once"
