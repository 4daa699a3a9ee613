"""A release as a source: the root that is made of it, what is done with that root, and two releases as one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from release_roots import LICENSED, build_root, release, write_features

from csmv.pipeline.config import read_config
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.import_release import import_release
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.release.merge_releases import merge_releases
from csmv.pipeline.release.verify_release import verify_release
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split, overlap
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import train
from csmv.pipeline.verify import verify

MADE_ANEW = {"creator", "author"}
"""Columns of pseudonyms, which another root makes with another key."""
OF_MEDIA = {"media_status", "media_sha256", "duration_s", "width", "height", "fps", "has_audio"}


def rows(store: Store, table: str) -> list[dict[str, Any]]:
    left_out = MADE_ANEW | OF_MEDIA
    key = "video_id" if table == "videos" else "comment_id"
    plain = ({k: v for k, v in row.items() if k not in left_out} for row in store.read_all(table).to_pylist())
    return sorted(plain, key=lambda row: str(row[key]))


@pytest.fixture(scope="module")
def imported(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A root made of a release, with another number of shards."""
    root = str(tmp_path_factory.mktemp("imported") / "root")
    import_release(root, str(released), 3)
    return Store.open(root)


def test_tables_splits_and_features_are_those_of_the_release(imported: Store, released: Path) -> None:
    theirs = Store.open(str(released.parent))

    for table in ("videos", "comments", "labels"):
        assert rows(imported, table) == rows(theirs, table), table
    for split in ("video", "comment"):
        assert imported.read_split(split).equals(theirs.read_split(split)), split
    ours, original = (Dataset.open(store.root).features("i3d") for store in (imported, theirs))
    assert ours.keys() == original.keys()
    assert all(np.array_equal(ours[video], original[video]) for video in ours)
    accounts = [store.read_all("comments").sort_by("comment_id")["author"].to_pylist() for store in (imported, theirs)]
    assert len(set(zip(*accounts, strict=True))) == len(set(accounts[0])) == len(set(accounts[1])) > 1
    assert verify(imported, source=Dataset.open(imported.root).source).problems == ()


def test_importing_it_again_changes_nothing_and_another_is_refused(
    imported: Store, released: Path, root: str, tmp_path: Path
) -> None:
    before = {name: imported.read_file(name) for name in imported.files() if not name.startswith("history/")}
    import_release(imported.root, str(released))
    after = {name: imported.read_file(name) for name in imported.files() if not name.startswith("history/")}
    assert after == before

    other = release(root, LICENSED.model_copy(update={"splits": ("video",)}), tmp_path / "other").address
    with pytest.raises(CsmvError, match="made from another source"):
        import_release(imported.root, other)


def test_a_root_of_a_release_is_trained_on_forgotten_in_and_released_again(released: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    import_release(root, str(released))
    dataset = Dataset.open(root)
    gone = dataset.comments()["comment_id"][0].as_py()

    forget(dataset.store, comment_ids=[gone], source=dataset.source)
    for stage in ("tables",):
        dataset.run(stage)
    build_split(dataset.store, SplitConfig(kind="video"))
    result = train(dataset.store, TrainConfig(model="tfidf", split="video"), "plain")
    write_features(dataset.store, "another")
    made = release(root)

    assert result is not None and dataset.store.exists("models/plain/run.json")
    assert made.about.rows["comments"] == 29 and made.about.rows["features/another"] == 6
    assert gone not in pq.read_table(Path(made.address) / "comments.parquet")["comment_id"].to_pylist()
    import_release(root, str(released))
    assert Dataset.open(root).comments().num_rows == 29, "what was forgotten stays forgotten"
    section = read_config(dataset.store).release
    assert section is not None and section.license == "CC-BY-4.0"


def test_a_damaged_release_is_not_imported(released: Path, tmp_path: Path) -> None:
    import shutil

    got = shutil.copytree(released, tmp_path / "got")
    (got / "labels.parquet").write_bytes((got / "labels.parquet").read_bytes()[:-1])

    with pytest.raises(CsmvError, match="labels"):
        import_release(str(tmp_path / "root"), str(got))
    assert not (tmp_path / "root").exists()


# ---------------------------------------------------------------------- two releases


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A release of another root, with the same videos and two more."""
    place = tmp_path_factory.mktemp("larger")
    return release(build_root(place, name="larger", videos=8), LICENSED).address


def test_two_releases_become_one(released: Path, larger: str, tmp_path: Path) -> None:
    merged = merge_releases(str(released), larger, str(tmp_path / "both"), name="both")

    about = merged.about
    assert verify_release(merged.address).problems == ()
    assert (about.rows["videos"], merged.shared["videos"]) == (8, 6)
    assert about.rows["comments"] == 30 + 40, "another key, so other ids"
    assert merged.repeated == 30, "and the same words below the same videos"
    assert about.rows["features/i3d"] == 8
    assert [one["name"] for one in about.merged] == ["small", "larger"]
    split = _split(tmp_path / "both", "video")
    assert split.num_rows == 70 and overlap(split, "dev") == overlap(split, "test") == 0
    sheet = (tmp_path / "both" / "DATASHEET.md").read_text()
    assert "| videos | 8 |" in sheet and (tmp_path / "both" / "merged" / "2" / "DATASHEET.md").is_file()
    again = merge_releases(str(released), larger, str(tmp_path / "again"), name="both")
    assert Path(again.address, "SHA256SUMS").read_bytes() == Path(merged.address, "SHA256SUMS").read_bytes()


def _split(folder: Path, name: str) -> Any:
    import pyarrow as pa

    parts = []
    for path in sorted((folder / "splits" / name).iterdir()):
        table = pq.read_table(path)
        parts.append(table.append_column("split", pa.array([path.stem] * table.num_rows)))
    return pa.concat_tables(parts)


def test_a_release_with_itself_is_itself(released: Path, tmp_path: Path) -> None:
    merged = merge_releases(str(released), str(released), str(tmp_path / "same"))

    about = json.loads((released / "release.json").read_text())
    assert merged.about.rows == about["rows"]
    assert set(merged.differing.values()) == {0} and merged.repeated == 0


def test_other_licences_and_features_made_otherwise_are_refused(released: Path, root: str, tmp_path: Path) -> None:
    other = release(root, LICENSED.model_copy(update={"license": "CC-BY-NC-4.0"}), tmp_path / "other").address
    with pytest.raises(CsmvError, match=r"CC-BY-4\.0 and CC-BY-NC-4\.0"):
        merge_releases(str(released), other, str(tmp_path / "both"))

    write_features(Store.open(root), weights_sha256="cd" * 32)
    Dataset.open(root).run("splits")  # their audit looks at the features
    other = release(root, LICENSED, tmp_path / "otherwise").address
    with pytest.raises(CsmvError, match="features/i3d was made otherwise"):
        merge_releases(str(released), other, str(tmp_path / "both"))
    assert not (tmp_path / "both").exists()
