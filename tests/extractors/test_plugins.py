"""The example of extractors/README.md is short and works, as a real package that the command line finds."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from films import make_film

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "extractors" / "README.md"


def blocks() -> dict[str, str]:
    """The README's code blocks by language, the first of each."""
    return dict(reversed(re.findall(r"```(\w+)\n(.*?)```", README.read_text(), re.DOTALL)))


def wheel(folder: Path, module: str, entry_point: str) -> Path:
    """A wheel of one module with the README's entry point, built by hand: a wheel is a zip with three records."""
    info = "mean_colour_plugin-1.0.dist-info"
    group, line = re.search(r'\[project\.entry-points\."(.+?)"\]\n(.+)', entry_point).groups()  # type: ignore[union-attr]
    files = {
        "my_package.py": module,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: mean-colour-plugin\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[{group}]\n{line.replace(chr(34), '')}\n",
    }
    path = folder / "mean_colour_plugin-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in files) + f"{info}/RECORD,,\n")
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed the package into."""
    folder, target = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("site")
    built = wheel(folder, blocks()["python"], blocks()["toml"])
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(built)], check=True, capture_output=True)
    return target


def csmv(site: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    command = [sys.executable, "-m", "csmv.flows.cli", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_the_example_is_short() -> None:
    assert len(blocks()["python"].splitlines()) <= 40


def test_an_installed_plugin_works_through_the_command_line(installed: Path, tmp_path: Path) -> None:
    card = csmv(installed, "extractors", "mean_colour", "--json")
    assert card.returncode == 0, card.stderr
    assert json.loads(card.stdout)["dim"] == 3
    film = make_film(tmp_path / "film.mp4", frames=40, rate=24)
    out = tmp_path / "features.npz"
    done = csmv(installed, "features", film, "-e", "mean_colour", "--weights", "random", "--out", out, "--workers", "1")
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        assert arrays["film"].shape == (2, 3)


@pytest.mark.parametrize(("name", "kind", "dim"), [("edges", "frame", 3), ("loudness", "audio", 2)])
def test_the_examples_of_frames_and_of_sound_work(tmp_path: Path, name: str, kind: str, dim: int) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (example,) = (text for text in examples if f'name = "{name}"' in text)
    assert len(example.splitlines()) <= 40
    (cls,) = re.findall(r"class (\w+)", example)
    built = wheel(tmp_path, example, f'[project.entry-points."csmv.extractors"]\n{name} = "my_package:{cls}"\n')
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*pip, str(built)], check=True, capture_output=True)
    film = make_film(tmp_path / "film.mp4", frames=40, rate=24, sound=True)
    out = tmp_path / "features.npz"
    done = csmv(site, "features", film, "-e", name, "--out", out, "--workers", "1")
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        assert arrays["film"].shape == (2, dim)
        assert np.abs(arrays["film"]).min() > 0


def test_a_plugin_that_cannot_be_loaded_is_named(installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    info = broken / "broken_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (broken / "broken_plugin.py").write_text("import nothing_of_that_name\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[csmv.extractors]\nbroken = broken_plugin:Broken\n")
    failed = csmv(broken, "extractors")
    assert failed.returncode == 1
    assert "plugin 'broken'" in failed.stderr
    assert "Traceback" not in failed.stderr
