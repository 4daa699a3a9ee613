"""csmv as people have it: a wheel in an environment, used in a folder of theirs that has modules of the same names."""

import re
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def layer(new_layer: Callable[[], Any], built_wheel: Path) -> Any:
    """csmv from its wheel, with the plug-in of extractors/README.md beside it."""
    made = new_layer()
    made.install(built_wheel)
    readme = (REPOSITORY / "extractors" / "README.md").read_text()
    blocks = dict(reversed(re.findall(r"```(\w+)\n(.*?)```", readme, re.DOTALL)))
    info = made.site / "mean_colour_plugin-1.0.dist-info"
    info.mkdir()
    (made.site / "my_package.py").write_text(blocks["python"])
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mean-colour-plugin\nVersion: 1.0\n")
    points = tomllib.loads(blocks["toml"])["project"]["entry-points"]
    lines = [f"[{group}]\n{name} = {place}" for group, entry in points.items() for name, place in entry.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of somebody's own, in which `pipeline` and `flows` are other things."""
    for name in ("pipeline", "flows", "extractors"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('this is somebody else\\'s module')\n")
    return tmp_path


def test_the_wheel_holds_one_package(built_wheel: Path) -> None:
    with zipfile.ZipFile(built_wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"csmv", built_wheel.name.split("-py3")[0] + ".dist-info"}
    held = {"csmv/pipeline/py.typed", "csmv/pipeline/report.html", "csmv/pipeline/scrub/measured.json"}
    assert held | {
        "csmv/extractors/README.md",
        "csmv/extractors/cards.json",
        "csmv/pipeline/demo/sandbox/page.html",
    } <= set(names)


def test_it_works_beside_other_packages_of_the_same_names(layer: Any, folder: Path, tiny: Path) -> None:
    doctor = layer.run(layer.csmv, "doctor", "--json", cwd=folder)
    assert doctor.returncode == 0, doctor.stderr
    where = layer.run(layer.python, "-c", "import csmv.pipeline; print(csmv.pipeline.__file__)", cwd=folder)
    assert Path(where.stdout.strip()).is_relative_to(layer.folder), where.stderr

    found = "from csmv.extractors.registry import extractor_class; print(extractor_class('i3d:full-frame').__module__)"
    assert layer.run(layer.python, "-c", found, cwd=folder).stdout == "csmv.extractors.i3d\n"  # by its entry points

    described = {
        "name": "tiny",
        "n_shards": 2,
        "source": {"kind": "folder", "path": str(tiny)},
        "features": [{"extractor": "mean_colour", "weights": "random", "workers": 1}],
        "splits": [{"kind": "comment"}],
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(described))
    built = layer.run(layer.csmv, "build", "dataset.yaml", "--root", "root", cwd=folder)
    assert built.returncode == 0, built.stderr
    assert list((folder / "root" / "features").glob("mean_colour/*.parquet"))
    assert (folder / "root" / "reports" / "index.html").is_file()


SCRUB_NEEDS_NONE_OF = (
    *("torch", "torchvision", "timm", "transformers", "accelerate", "safetensors", "sklearn", "matplotlib", "PIL"),
    *("av", "decord", "prefect", "fastapi", "uvicorn", "playwright", "yt_dlp", "cryptography", "s3fs"),
)


def test_the_base_and_scrub_need_nothing_heavy(new_layer: Callable[[], Any], built_wheel: Path, tmp_path: Path) -> None:
    from csmv.pipeline.config import DatasetConfig
    from csmv.pipeline.dataset import Dataset
    from csmv.pipeline.demo.sample import make_sample

    source = make_sample(tmp_path / "sample", videos=2, comments_each=3).folder
    described = {"name": "few", "n_shards": 1, "source": {"kind": "folder", "path": str(source)}}
    dataset = Dataset.create(str(tmp_path / "root"), DatasetConfig.model_validate(described))
    dataset.run("collect")
    dataset.run("tables")
    layer = new_layer()
    layer.install(built_wheel)
    layer.hide(*SCRUB_NEEDS_NONE_OF)

    scrubbed = layer.run(layer.csmv, "scrub", input="write to ann@mail.example or @ann_of_old\n")
    assert scrubbed.returncode == 0, scrubbed.stderr
    assert "ann" not in scrubbed.stdout
    audited = layer.run(layer.csmv, "audit", tmp_path / "root")
    assert audited.returncode == 0, audited.stdout + audited.stderr

    config = tmp_path / "dataset.yaml"
    config.write_text(yaml.safe_dump(described))
    for command, module, extra in (
        (("build", config, "--root", tmp_path / "root"), "prefect", "flows"),
        (("features", source / "v.mp4", "--extractor", "i3d", "--out", tmp_path / "f.npz"), "torch", "extract"),
        (("report", "--root", "s3://somewhere/else"), "s3fs", "s3"),
    ):
        ended = layer.run(layer.csmv, *command)
        assert ended.returncode == 1, ended.stdout
        assert f"This needs '{module}', which is not installed here: `pip install 'csmv[{extra}]'`" in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_what_the_index_brings_for_the_base_and_scrub_is_enough(built_wheel: Path, tmp_path: Path) -> None:
    """A plain environment, over nothing: what pip installs for the extra, and no torch among it."""
    import subprocess
    import venv

    venv.create(tmp_path / "alone", with_pip=True)
    python = tmp_path / "alone" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", REPOSITORY / "constraints.txt", f"{built_wheel}[scrub]"], check=True)
    listed = subprocess.check_output([python, "-m", "pip", "list", "--format", "freeze"], text=True)
    installed = {line.partition("==")[0].lower().replace("_", "-") for line in listed.splitlines()}
    assert "presidio-analyzer" in installed
    assert not installed & {"torch", "prefect", "transformers", "av", "scikit-learn", "playwright"}
    scrubbed = subprocess.check_output(
        [python, "-m", "csmv.flows.cli", "scrub"], input="mail ann@mail.example", text=True
    )
    assert "ann" not in scrubbed
