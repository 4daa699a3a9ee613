"""Which extractors there are: this package's own by entry points like anybody's, and no name taken by a stranger."""

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from csmv.extractors import registry
from csmv.extractors.extractor_errors import ExtractorError

REPOSITORY = Path(__file__).resolve().parents[2]


def run(code: str, *sites: Path) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, with folders of installed packages before the others."""
    path = os.pathsep.join([*map(str, sites), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )


def site(folder: Path, package: str, entry_points: str, **modules: str) -> Path:
    """A folder that pip might have installed a package into."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_every_one_of_our_own_is_an_entry_point_of_its_name() -> None:
    for name in registry.own_names():
        assert registry.extractor_class(name).name == name  # of a class that the entry point names
    assert json.loads(registry.CARDS.read_text()).keys() == set(registry.own_names())


def test_listing_loads_no_network_library() -> None:
    code = (
        "import sys; from csmv.extractors.registry import card_of, names; "
        "[card_of(n) for n in names() if not n.endswith(':NAME')]; print(*sys.modules)"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "torchvision", "timm", "transformers", "av"} & set(done.stdout.split())


@pytest.mark.parametrize("name", ["i3d", "i3d:full-frame", "timm:resnet18"])
@pytest.mark.parametrize("code", ["names()", "card_of({0!r})", "extractor_class({0!r})"])
def test_another_package_cannot_take_a_name_of_ours(tmp_path: Path, name: str, code: str) -> None:
    taken = site(tmp_path, "hijack-tool", f"[csmv.extractors]\n{name} = hijack:I3D\n", hijack="raise SystemExit(9)\n")
    asked = code.format(name)
    done = run(f"from csmv.extractors.registry import *; {asked}", taken)
    assert done.returncode == 1
    assert f"ExtractorError: The extractor name '{name}' is claimed by the package 'hijack-tool'" in done.stderr
    assert "csmv's own" in done.stderr


def test_nor_a_family_of_ours(tmp_path: Path) -> None:
    taken = site(tmp_path, "hijack-tool", "[csmv.extractor_families]\ntimm = hijack:make\n")
    done = run("from csmv.extractors.registry import *; extractor_class('timm:resnet18')", taken)
    assert "'timm' is claimed by the package 'hijack-tool'" in done.stderr


def test_two_strangers_with_one_name_are_both_named(tmp_path: Path) -> None:
    sites = [site(tmp_path / who, who, f"[csmv.extractors]\nmine = {who}:Mine\n") for who in ("first", "second")]
    done = run("from csmv.extractors.registry import *; extractor_class('mine')", *sites)
    assert "the package 'first' and the package 'second'" in done.stderr


def test_a_family_of_another_package_works(tmp_path: Path) -> None:
    module = (
        "from csmv.extractors.registry import extractor_class\n"
        "def make(name): return type('Other', (extractor_class('mfcc'),), {'name': f'bark:{name}'})\n"
    )
    other = site(tmp_path, "barks", "[csmv.extractor_families]\nbark = barks:make\n", barks=module)
    done = run(
        "from csmv.extractors import create, names; print(create('bark:loud').name, 'bark:NAME' in names())", other
    )
    assert done.stdout.split() == ["bark:loud", "True"], done.stderr


def test_an_install_without_the_entry_points_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    older = tuple(point for point in registry._own(registry.GROUP) if point.name != "mfcc")
    monkeypatch.setattr(registry, "_own", lambda group: older if group == registry.GROUP else ())
    with pytest.raises(ExtractorError, match=r"'mfcc' was added.*pip install -e"):
        registry.names()


def test_a_checkout_with_older_records_needs_no_second_install(monkeypatch: pytest.MonkeyPatch) -> None:
    old = (EntryPoint("gone", "csmv.extractors.gone:Gone", registry.GROUP),)
    monkeypatch.setattr(registry, "_recorded", lambda group: old)
    registry._own.cache_clear()
    registry._others.cache_clear()
    try:
        assert "i3d" in registry.names()
        assert "gone" not in registry.names()
    finally:
        registry._others.cache_clear()


def test_a_wheel_brings_its_own_list(tmp_path: Path) -> None:
    """Where there is no pyproject.toml, what pip recorded counts, colon and all."""
    points = "[csmv.extractors]\ni3d:full-frame = csmv.extractors.i3d:I3DFullFrame\n"
    installed = site(tmp_path, "csmv", points)
    code = "from csmv.extractors import registry; print(*[p.name for p in registry._recorded(registry.GROUP)])"
    assert run(code, installed).stdout.split() == ["i3d:full-frame"]
