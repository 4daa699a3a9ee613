"""A release, and a root, as others load them: in one line each, as the README has it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csmv.pipeline.store import Store

README = Path(__file__).resolve().parents[3] / "pipeline" / "release" / "README.md"


@pytest.fixture(scope="module")
def loaded(released: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the README's example leaves, run on a release."""
    pytest.importorskip("datasets")
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    patch = pytest.MonkeyPatch()
    patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    names: dict[str, Any] = {"FOLDER": str(released)}
    exec(example, names)
    yield names
    patch.undo()


def test_every_line_of_the_readme_reads_what_is_in_the_root(loaded: dict[str, Any], released: Path) -> None:
    root = Store.open(str(released.parent))
    split = root.read_split("video")

    assert {part: rows.num_rows for part, rows in loaded["parts"].items()} == {
        part: split["split"].to_pylist().count(part) for part in ("train", "dev", "test")
    }
    texts = dict(zip(*(root.read_all("comments")[name].to_pylist() for name in ("comment_id", "text")), strict=True))
    assert all(texts[row["comment_id"]] == row["text"] for row in loaded["parts"]["train"])
    assert sorted(loaded["comments"]["comment_id"]) == sorted(texts)
    assert sum(count for _, count in loaded["by_emotion"].fetchall()) == loaded["parts"]["train"].num_rows
    assert loaded["labels"].height == loaded["comments"].num_rows
    assert sorted(loaded["videos"]["video_id"]) == sorted(root.read_all("videos")["video_id"].to_pylist())


def test_vectors_come_as_they_were_stored(loaded: dict[str, Any], released: Path) -> None:
    stored = {
        row["video_id"]: row["features"]
        for row in Store.open(str(released.parent)).read_all("features/i3d").to_pylist()
    }

    streamed = {row["video_id"]: row["features"] for row in loaded["features"]}

    assert streamed.keys() == stored.keys()
    assert all(np.array_equal(streamed[video], vectors) for video, vectors in stored.items())


def test_a_root_is_loaded_by_the_names_of_its_tables(loaded: dict[str, Any], released: Path) -> None:
    import datasets

    rows = datasets.load_dataset(str(released.parent), split="train")
    split = datasets.load_dataset(str(released.parent), "split-video", split="train")

    assert sorted(rows["comment_id"]) == sorted(loaded["comments"]["comment_id"])
    assert set(split["split"]) == {"train", "dev", "test"}
