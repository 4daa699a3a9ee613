"""csmv features on what people have: folders and lists, ended and begun again, names of every kind."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tone_films import film, grey_film
from torch import Tensor, nn

from csmv.extractors.engine import Engine
from csmv.extractors.frames import FrameExtractor
from csmv.extractors.registry import register
from csmv.extractors.transforms import ResizeThenCrop
from csmv.pipeline.files import Files

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
    out = tmp_path / "o::ut"
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


README = Path(__file__).resolve().parents[2] / "extractors" / "README.md"


def test_the_examples_of_the_readme_work(csmv_inside: Any, films: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```sh\n(csmv features .*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "more").mkdir()
    shutil.copytree(films, "films")
    shutil.copy(films / "file.mp4", "clip.mp4")
    shutil.copy(films / "file.mp4", "more/clip.mov")
    Path("paths.txt").write_text("clip.mp4\n")
    for line in block.splitlines():
        done = csmv_inside(*shlex.split(line)[1:], "--workers", "1")
        assert done.returncode == 0, done.stderr
    assert np.load("clip.npy").shape == (3, 40)
    np.testing.assert_allclose(np.load("clip.start.npy"), [0, 16 / 24, 32 / 24])
    with np.load("features.npz") as arrays:
        np.testing.assert_array_equal(arrays["file"], np.load("clip.npy"))
    assert {"clip.mp4.npz", "clip.mov.npz", "file.npz"} <= set(tree(Path("features")))
    starts = pq.read_table("short.parquet")["start_s"].to_pylist()
    assert starts[1] == [0.0]  # 48 frames of 24 a second are 24 of 12 a second


@pytest.fixture
def grey() -> str:
    """An extractor of pictures that needs neither weights nor time, with a name that a path must not take as it is."""

    @register
    class Grey(FrameExtractor):
        """Its mean."""

        name = "grey:one"
        dim = 3
        weightless = True
        transform = ResizeThenCrop(resize=(36, 36), size=(32, 32))

        def build(self, classes: int) -> nn.Module:
            return nn.Identity()

        def pictures(self, images: Tensor) -> Tensor:
            return images.mean((2, 3))

    return Grey.name


def test_formats_of_a_folder_and_several_extractors(
    csmv_inside: Any, films: Path, tmp_path: Path, grey: str, computed: list[str]
) -> None:
    """A name that is not UTF-8, a film without sound, and two extractors of which one has nothing for it."""
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(films / "file.mp4", os.path.join(os.fsencode(mine), b"caf\xe9.mp4"))  # noqa: PTH118
    grey_film(mine / "silent.mp4", 80, 20)
    asked = ("features", mine, *MFCC, "-e", grey, "--granularity", "temporal")
    refused = csmv_inside(*asked, "--out", tmp_path / "f.npz")
    assert refused.returncode == 2  # mfcc has no granularity temporal
    asked = (*asked[:-2], "--frames", "8")
    for form in ("npy", "parquet"):
        out = tmp_path / form
        done = csmv_inside(*asked, "--out", out, "--format", form, "--json")
        assert done.returncode == 1
        assert "silent: no mfcc features: no_audio" in done.stderr
        shapes = json.loads(done.stdout)
        assert shapes["caf%E9"]["mfcc"] == [6, 40]
        assert shapes["silent"]["mfcc"] == "no_audio"
        assert shapes["silent"]["grey:one"][0] == 2
        files = set(tree(out))
        assert {f"mfcc/caf%E9.{form}", f"grey:one/silent.{form}"} <= files
        assert f"mfcc/silent.{form}" not in files
        computed.clear()
        again = csmv_inside(*asked, "--out", out, "--format", form, "--json")
        assert (again.returncode, again.stdout, computed) == (1, done.stdout, [])
        assert "silent: no mfcc features: no_audio" in again.stderr
    assert np.load(tmp_path / "npy/mfcc/caf%E9.start.npy").tolist() == pytest.approx([n / 3 for n in range(6)])
    one = tmp_path / "f.npz"
    assert csmv_inside(*asked, "--out", one).returncode == 1
    with np.load(one) as arrays:
        both = ["caf%E9/mfcc", "caf%E9/grey:one", "silent/grey:one"]
        assert arrays.files == [name for key in both for name in (key, f"{key}/start")]


def test_a_file_with_more_damage_than_is_allowed_fails(csmv_inside: Any, films: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    data = bytearray(film(tmp_path / "whole.mp4", 96).read_bytes())
    middle = data.index(b"mdat") + 4
    for at in range(middle + 200, middle + 3000, 7):
        data[at] ^= 0xFF
    bad.write_bytes(data)
    lax = csmv_inside("features", bad, *MFCC, "--out", tmp_path / "lax.npz")
    assert lax.returncode == 0
    assert "bad: damaged: " in lax.stderr
    strict = csmv_inside("features", bad, *MFCC, "--out", tmp_path / "strict.npz", "--max-damage", "0.01")
    assert strict.returncode == 1
    assert "bad: no mfcc features: damaged" in strict.stderr
    assert not (tmp_path / "strict.npz").exists()


def test_a_kill_between_the_file_and_its_record_is_mended(
    csmv_inside: Any, films: Path, tmp_path: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "f.npz"
    asked = ("features", *MFCC, "--out", out)
    assert csmv_inside(*asked, films / "file.mp4").returncode == 0
    write = Files.write_file

    def ended(self: Files, name: str, data: bytes) -> None:
        if name == "f.npz.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, name, data)

    monkeypatch.setattr(Files, "write_file", ended)
    assert csmv_inside(*asked, films).returncode == 1
    monkeypatch.setattr(Files, "write_file", write)
    computed.clear()
    assert csmv_inside(*asked, films).returncode == 0
    assert computed == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.npz", "f.npz.json"]
    recorded = json.loads((tmp_path / "f.npz.json").read_text())
    assert recorded["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert sorted(recorded["videos"]) == KEYS


def test_two_at_once_are_refused(csmv_inside: Any, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    number = os.open(out, os.O_RDONLY)
    fcntl.flock(number, fcntl.LOCK_EX)
    done = csmv_inside("features", films, *MFCC, "--out", out)
    os.close(number)
    assert done.returncode == 1
    assert f"Another csmv features is writing to '{out}'" in done.stderr
