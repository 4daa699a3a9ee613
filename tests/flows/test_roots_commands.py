"""`csmv migrate` and `csmv verify` as a person runs them."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[1] / "data"


def test_an_old_root_is_migrated_then_verified_and_damage_is_named(csmv_inside: Any, tmp_path: Path) -> None:
    with tarfile.open(DATA / "format1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "root"

    refused = csmv_inside("verify", root)
    assert (refused.returncode, f"csmv migrate {root}" in refused.stderr) == (1, True)
    assert csmv_inside("migrate", root).returncode == 0
    assert "newest format already" in csmv_inside("migrate", root).stdout
    sound = csmv_inside("verify", root)
    assert (sound.returncode, "all as it was written" in sound.stdout) == (0, True), sound.stdout

    media = next((root / "private" / "media").rglob("*.mp4"))
    media.write_bytes(media.read_bytes()[:-1])
    (root / "comments" / "0000.parquet").unlink()
    found = csmv_inside("verify", root, "--json")
    assert found.returncode == 1
    files = {problem["file"] for problem in json.loads(found.stdout)["problems"]}
    assert files == {str(media.relative_to(root)), "comments/0000.parquet", "comments"}


def test_collect_takes_another_source_only_where_it_is_asked_to(
    csmv_inside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens before anything is collected; the collecting itself is left out."""
    from csmv.flows.commands import collect
    from csmv.pipeline.config import DatasetConfig, create_root, read_config
    from csmv.pipeline.sources.base import LandReport
    from csmv.pipeline.store import Store

    def described(folder: str) -> dict[str, Any]:
        (tmp_path / folder).mkdir()
        return {"name": "tiny", "n_shards": 2, "source": {"kind": "folder", "path": str(tmp_path / folder)}}

    root, other = tmp_path / "root", tmp_path / "other.yaml"
    create_root(str(root), DatasetConfig.model_validate(described("first")))
    other.write_text(json.dumps(described("second")))
    monkeypatch.setattr(collect, "_collect_here", lambda *_: LandReport())

    nameless = csmv_inside("collect", "--root", root, "--replace-source")
    assert nameless.returncode == 2
    assert "name it with --config" in nameless.stderr
    csmv_inside("collect", "--root", root, "--config", other, "--replace-source")
    assert read_config(Store.open(str(root))).source.path == str(tmp_path / "second")
