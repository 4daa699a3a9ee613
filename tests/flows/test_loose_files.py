"""csmv features on what people have: folders and lists, ended and begun again, names of every kind."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tone_films import film

from csmv.extractors.engine import Engine

MFCC = ("-e", "mfcc", "--workers", "1")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of films: three at its top, one below, and two files that are none."""
    folder = tmp_path_factory.mktemp("films") / "in"
    film(folder / "file.mp4", 48)
    film(folder / "b:c.mp4", 20)
    film(folder / "sub" / "x.npy.mp4", 36)
    film(folder / "sub" / "x.mp4", 20)
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.mp4").write_text("x")
    return folder


KEYS = ["b:c", "file", "sub/x", "sub/x.npy.mp4"]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that the engine was given."""
    names: list[str] = []
    run = Engine.run_as_done

    def noted(self: Engine, paths: Any) -> Any:
        def seen() -> Any:
            for path in paths:
                names.append(path.name)
                yield path

        return run(self, seen())

    monkeypatch.setattr(Engine, "run_as_done", noted)
    return names


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_and_a_wrong_path_to_a_file_a_video(csmv_inside: Any, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = csmv_inside("features", films, tmp_path / "gone.mp4", films / "file.mp4", *MFCC, "--out", out, "--json")
    assert done.returncode == 1
    gone = str(tmp_path / "gone.mp4")
    assert f"{gone}: no mfcc features: not_there" in done.stderr
    assert f"{films}/file.mp4: given twice, taken once" in done.stderr
    assert "Left out of the folders: 1 hidden, 1 of other kinds" in done.stderr
    shapes = json.loads(done.stdout)
    assert shapes.pop(gone) == {"mfcc": "not_there"}
    assert list(shapes) == KEYS
    assert [shape["mfcc"][0] for shape in shapes.values()] == [1, 3, 1, 2]
    assert sorted(tree(out)) == sorted([f"{key}.npz" for key in KEYS] + ["manifest.json"])
    with np.load(out / "file.npz") as arrays:
        assert arrays.files == ["mfcc", "mfcc/start"]
        np.testing.assert_allclose(arrays["mfcc/start"], [0, 16 / 24, 32 / 24])
    manifest = json.loads((out / "manifest.json").read_text())
    made = manifest["extractors"]["mfcc"]
    assert made["clip_rule"] == "24 fps, 16 frames, step 16, at most 180"
    assert made["extractor"] == "mfcc"
    assert "torch" in manifest["made_on"][0]["mfcc"]["versions"]
    assert len(manifest["videos"]["file"]["sha256"]) == 64


def test_what_is_there_is_not_computed_again_and_what_differs_is_refused(
    csmv_inside: Any, films: Path, tmp_path: Path, computed: list[str]
) -> None:
    mine, out = tmp_path / "mine", tmp_path / "out"
    shutil.copytree(films, mine)
    asked = ("features", mine, *MFCC, "--out", out)
    assert csmv_inside(*asked).returncode == 0
    first = tree(out)
    assert computed == ["b:c.mp4", "file.mp4", "x.mp4", "x.npy.mp4"]
    computed.clear()
    again = csmv_inside(*asked)
    assert (again.returncode, computed) == (0, [])
    assert "4 of 4 files had been done before" in again.stderr
    assert tree(out) == first
    for more, sentence in (
        (
            ("--frames", "8"),
            "was made with clip_rule '24 fps, 16 frames, step 16, at most 180', and '24 fps, 8 frames, ",
        ),
        (("--dtype", "bfloat16"), "was made with dtype 'float32', and 'bfloat16' is asked for"),
        (("-e", "resnet50"), "was made by the extractor(s) 'mfcc', and 'mfcc, resnet50' is asked for"),
        (("--format", "npy"), "holds npz files, and npy is asked for"),
    ):
        refused = csmv_inside(*asked, *more)
        assert refused.returncode == 1
        assert sentence in refused.stderr
    assert tree(out) == first
    film(mine / "file.mp4", 20)  # another film of that name
    film(mine / "new.mp4", 20)
    (out / "sub" / "x.npz").unlink()
    assert csmv_inside(*asked).returncode == 0
    assert computed == ["file.mp4", "new.mp4", "x.mp4"]
    assert tree(out)["sub/x.npz"] == first["sub/x.npz"]


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_one_file_grows_and_keeps_what_it_has(
    csmv_inside: Any, films: Path, tmp_path: Path, computed: list[str], suffix: str
) -> None:
    out, whole = tmp_path / f"f.{suffix}", tmp_path / f"whole.{suffix}"
    asked = ("features", *MFCC, "--step", "8", "--max-clips", "2")
    assert csmv_inside(*asked, films / "file.mp4", "--out", out).returncode == 0
    computed.clear()
    assert csmv_inside(*asked, films, "--out", out).returncode == 0
    assert computed == ["b:c.mp4", "x.mp4", "x.npy.mp4"]
    assert csmv_inside(*asked, films, "--out", whole).returncode == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [out.name, f"{out.name}.json", whole.name, f"{whole.name}.json"]
    )
    if suffix == "npz":
        with np.load(out) as arrays:
            assert arrays.files == [name for key in KEYS for name in (key, f"{key}/start")]
            np.testing.assert_allclose(arrays["file/start"], [0, 8 / 24])
            assert arrays["sub/x"].shape == (1, 40)
            assert arrays["sub/x.npy.mp4"].shape == (2, 40)
    else:
        table = pq.read_table(out)
        assert table["video_id"].to_pylist() == KEYS
        assert table["start_s"].to_pylist()[1] == pytest.approx([0, 8 / 24])
        assert table.schema.metadata[b"clip_rule"] == b"24 fps, 16 frames, step 8, at most 2"
    out.write_bytes(out.read_bytes()[:-1])
    damaged = csmv_inside(*asked, films, "--out", out)
    assert damaged.returncode == 1
    assert f"is not the file that 'f.{suffix}.json' speaks of" in damaged.stderr


def test_an_interrupted_run_says_how_to_go_on_and_does(
    csmv_inside: Any, films: Path, tmp_path: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from csmv.pipeline import loose_files

    out = tmp_path / "f.npz"
    keep, kept = loose_files._keep, []

    def interrupted(run: Any, key: str, *more: Any) -> None:
        if len(kept) == 2:
            signal.raise_signal(signal.SIGINT)
        keep(run, key, *more)
        kept.append(key)

    monkeypatch.setattr(loose_files, "_keep", interrupted)
    stopped = csmv_inside("features", films, *MFCC, "--out", out)
    assert stopped.returncode == 3
    assert "Interrupted; of 4 files to do 2 are done and kept: the same command goes on." in stopped.stderr
    assert not out.exists()
    monkeypatch.setattr(loose_files, "_keep", keep)
    computed.clear()
    assert csmv_inside("features", films, *MFCC, "--out", out).returncode == 0
    assert computed == ["x.mp4", "x.npy.mp4"]
    assert csmv_inside("features", films, *MFCC, "--out", tmp_path / "whole.npz").returncode == 0
    assert out.read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--out", "file/f"], 1, "a file stands where the folder should be"),
        (["--out", "file"], 1, "'file' of --out is a file"),
        (["--out", "f.npz"], 1, "no 'f.npz.json' beside it says how it was made"),
        (["--out", "taken"], 1, "'file.npz' is in 'taken' already, and no manifest.json"),
        (["--out", "new.npy"], 2, "one video by one extractor"),
        (["--out", "new", "--frames", "4", "--fps", "240"], 2, "at least 25 ms of sound"),
        (["--out", "new", "-e", "videomae_b", "--frames", "32"], 2, "takes 16 frames a window, not 32"),
    ],
)
def test_the_output_is_looked_at_before_a_network_is_loaded(
    csmv_inside: Any,
    films: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("csmv.extractors.create", None)
    (tmp_path / "taken").mkdir()
    for name in ("file", "f.npz", "taken/file.npz"):
        (tmp_path / name).write_text("mine")
    done = csmv_inside("features", films, "-e", "mfcc", *arguments)
    assert done.returncode == code
    assert sentence in done.stderr
    assert (tmp_path / "f.npz").read_text() == (tmp_path / "taken" / "file.npz").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "new") == ["f.npz", "file", "taken"]
