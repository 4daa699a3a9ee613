"""`csmv release` and `csmv verify RELEASE`, as a person types them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.config import DatasetConfig, read_config
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.store import Store

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of a few comments, built by its stages."""
    place = tmp_path_factory.mktemp("to-release")
    (place / "folder").mkdir()
    rows = [{"id": f"c{k}", "video": f"7{k}", "text": "so good", "opinion": "positive"} for k in range(4)]
    (place / "folder" / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "folder" / "videos.jsonl").write_text("".join(json.dumps({"video": f"7{k}"}) + "\n" for k in range(4)))
    source = {"kind": "folder", "path": str(place / "folder")}
    config = DatasetConfig.model_validate(
        {"name": "small", "n_shards": 1, "source": source, "splits": [{"kind": "video"}]}
    )
    dataset = Dataset.create(str(place / "root"), config)
    for stage in ("collect", "tables", "splits"):
        dataset.run(stage)
    return place


@pytest.fixture
def root(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder / "root", tmp_path / "root")


def test_a_root_is_released_verified_and_remembers_its_licence(csmv_inside: Run, root: Path, tmp_path: Path) -> None:
    refused = csmv_inside("release", "--root", root)
    made = csmv_inside(
        "release", "--root", root, "--license", "CC-BY-4.0", "--split", "video", "--out", tmp_path / "out"
    )
    verified = csmv_inside("verify", tmp_path / "out", "--json")

    assert (refused.returncode, "no licence is stated" in refused.stderr) == (1, True)
    assert made.returncode == 0 and "version 1.0.0 of small" in made.stdout, made.stderr
    assert json.loads(verified.stdout)["problems"] == []
    assert csmv_inside("release", "--root", root).returncode == 0, "the licence is the root's now"
    section = read_config(Store.open(str(root))).release
    assert section is not None and (section.license, section.splits) == ("CC-BY-4.0", ("video",))


def test_a_damaged_release_ends_with_1_and_names_the_file(csmv_inside: Run, root: Path) -> None:
    assert csmv_inside("release", "--root", root, "--license", "CC-BY-4.0").returncode == 0
    (root / "release" / "README.md").write_text("something else")

    found = csmv_inside("verify", root / "release")

    assert found.returncode == 1
    assert "'README.md' is not what was released" in found.stdout and "1 problem(s)" in found.stdout


def test_a_wrong_version_ends_with_2(csmv_inside: Run, root: Path) -> None:
    found = csmv_inside("release", "--root", root, "--license", "x", "--version", "first")

    assert (found.returncode, "such as 1.2.0" in found.stderr) == (2, True)


def test_a_release_comes_back_in_is_merged_and_would_be_sent(csmv_inside: Run, root: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "again"

    told = csmv_inside(
        "release", "--root", root, "--license", "CC-BY-4.0", "--out", out, "--push", "hf:team/small", "--json"
    )
    wrong = csmv_inside("release", "--root", root, "--push", "team/small")
    imported = csmv_inside("import", out, "--root", again, "--shards", "2", "--json")
    merged = csmv_inside("merge", out, out, "--out", tmp_path / "both")

    pushed = json.loads(told.stdout)["pushed"]
    assert (pushed["was_sent"], pushed["files"]) == (False, len([p for p in out.rglob("*") if p.is_file()]))
    assert (wrong.returncode, "hf:ORG/NAME" in wrong.stderr) == (2, True)
    assert json.loads(imported.stdout)["comments"] == 4, imported.stderr
    assert Store.open(str(again)).n_shards == 2
    assert merged.returncode == 0 and "4 comments are in both; 0 differ" in merged.stdout, merged.stderr
