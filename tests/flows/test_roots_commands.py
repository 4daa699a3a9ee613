"""`csmv migrate` and `csmv verify` as a person runs them."""

import json
import tarfile
from pathlib import Path
from typing import Any

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
