"""A release: what is in it, that it is the same bytes each time, and everything it is refused for."""

import json
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from release_roots import LICENSED, release, write_features

from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import EMOTIONS
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.release.release_config import ReleaseConfig
from csmv.pipeline.release.verify_release import verify_release
from csmv.pipeline.store import Store


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def got(released: Path, tmp_path: Path) -> Path:
    """The release as somebody got it, alone."""
    return shutil.copytree(released, tmp_path / "got")


def test_a_release_has_the_tables_splits_and_features_of_its_root(released: Path) -> None:
    root = Store.open(str(released.parent))
    comments = pq.read_table(released / "comments.parquet")
    train = pq.read_table(released / "splits" / "video" / "train.parquet")
    features = pa.concat_tables(pq.read_table(path) for path in sorted((released / "features" / "i3d").iterdir()))

    assert comments.sort_by("comment_id").to_pylist() == root.read_all("comments").sort_by("comment_id").to_pylist()
    assert train.column_names == ["comment_id", "video_id", "text", "opinion", "emotion"]
    assert set(train["emotion"].to_pylist()) <= set(EMOTIONS)
    assert features.to_pylist() == root.read_all("features/i3d").to_pylist()
    assert features.schema.metadata[b"weights_sha256"] == b"ab" * 32
    assert not any(key.startswith(b"csmv.") for key in features.schema.metadata), "nothing of the root's own"
    about = json.loads((released / "release.json").read_text())
    assert (about["version"], about["license"], about["rows"]["comments"]) == ("1.0.0", "CC-BY-4.0", 30)


def test_two_releases_of_one_root_are_the_same_bytes(released: Path, tmp_path: Path) -> None:
    root = str(released.parent)

    release(root, out=tmp_path / "second")
    first = contents(released)
    release(root)

    assert contents(tmp_path / "second") == first == contents(released)
    assert not list((released.parent / "private" / "release").iterdir()), "nothing is left of putting it together"


def test_sha256sum_agrees_and_verify_finds_nothing(got: Path) -> None:
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=got, capture_output=True, text=True)
    verified = verify_release(str(got))

    assert done.returncode == 0, done.stdout
    assert verified.problems == () and verified.files == len(contents(got)) - 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda got: flip(got / "labels.parquet"),
            "'labels.parquet' is not what",
        ),
        (lambda got: (got / "videos.parquet").unlink(), "'videos.parquet' should be in the release"),
        (lambda got: (got / "clip.mp4").write_bytes(b"film"), "'clip.mp4' is no part"),
        (lambda got: (got / "SHA256SUMS").unlink(), "'SHA256SUMS' is not there"),
    ],
    ids=["a flipped bit", "a lost file", "a foreign file", "no sums"],
)
def test_verify_names_what_is_wrong_with_a_release(got: Path, change: object, says: str) -> None:
    change(got)  # type: ignore[operator]

    [(_, what)] = verify_release(str(got)).problems

    assert says in what


def flip(path: Path) -> None:
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


# ---------------------------------------------------------------------- refusals


def refusal(root: str, config: ReleaseConfig = LICENSED) -> str:
    with pytest.raises(CsmvError) as refused:
        release(root, config)
    assert not (Path(root) / "release").exists()
    return str(refused.value)


def test_without_a_licence_there_is_none(root: str) -> None:
    assert "no licence is stated" in refusal(root, ReleaseConfig())


def test_random_weights_are_refused_unless_left_out(root: str) -> None:
    write_features(Store.open(root), "r2plus1d_18", weights="random")

    assert "features/r2plus1d_18 was made with random weights" in refusal(root)
    assert "features/r2plus1d_18" not in release(root, LICENSED.model_copy(update={"features": ("i3d",)})).about.rows


def test_a_planted_identifier_is_refused_and_only_the_file_is_named(root: str) -> None:
    planted = "write me at jo.planted@example.com"
    Store.open(root).write_file("reports/note.txt", planted.encode())

    said = refusal(root)

    assert "reports/note.txt" in said and "jo.planted" not in said and "example.com" not in said


def test_an_identifier_that_is_a_files_name_is_not_repeated(root: str) -> None:
    Store.open(root).write_file("reports/viewer.number3.txt", b"nothing")

    said = refusal(root)

    assert "reports/..." in said and "viewer.number3" not in said


def test_one_flipped_bit_is_refused(root: str) -> None:
    flip(Path(root) / "comments" / "0001.parquet")

    said = refusal(root)

    assert "finds fault with the root" in said and "comments/0001.parquet" in said


def test_raw_media_outside_private_are_refused(root: str) -> None:
    Store.open(root).write_file("reports/film", b"\0\0\0\x18ftypisom")

    assert "'reports/film' is raw media" in refusal(root)


def test_stale_tables_are_refused(root: str) -> None:
    config = Path(root) / "dataset.yaml"
    config.write_text(config.read_text().replace("threshold: ", "threshold: 0.9 # "))

    assert "tables is stale (2 of 2 units" in refusal(root)


def test_a_split_that_is_not_built_is_refused(root: str) -> None:
    Store.open(root).remove("splits/comment.parquet")

    assert "splits" in refusal(root)


def test_a_file_that_is_no_part_of_a_release_is_never_deleted(root: str) -> None:
    release(root)
    note = Path(root) / "release" / "note.txt"
    note.write_text("mine")

    with pytest.raises(CsmvError, match=r"note\.txt' is no part of the release"):
        release(root)
    with pytest.raises(CsmvError, match="holds something else"):
        release(root, out=Path(root) / "splits")
    assert note.read_text() == "mine"


# ---------------------------------------------------------------------- versions


def test_the_changelog_counts_what_was_removed_on_request(root: str) -> None:
    release(root)
    dataset = Dataset.open(root)
    gone = dataset.comments()["comment_id"][0].as_py()
    forget(dataset.store, comment_ids=[gone])
    dataset.run("tables")
    dataset.run("splits")

    made = release(root)

    assert made.about.version == "1.1.0"
    assert "comments: 1 removed on request" in (Path(root) / "release" / "CHANGELOG.md").read_text()
    assert made.about.rows["comments"] == 29
    with pytest.raises(CsmvError, match="a version names one state"):
        write_features(dataset.store, "clip")
        dataset.run("splits")
        release(root, LICENSED.model_copy(update={"version": "1.1.0"}))


def test_the_stage_makes_a_release_once_and_again_when_something_changed(root: str) -> None:
    config = Path(root) / "dataset.yaml"
    config.write_text(config.read_text() + "release: {license: CC-BY-4.0}\n")
    dataset = Dataset.open(root)
    [before] = [status for status in dataset.status() if status.name == "release"]

    dataset.run("release")
    [after] = [status for status in dataset.status() if status.name == "release"]
    config.write_text(config.read_text().replace("CC-BY-4.0", "CC-BY-NC-4.0"))
    [changed] = [status for status in Dataset.open(root).status() if status.name == "release"]

    assert (before.units, before.missing) == (1, 1)
    assert (after.missing, after.stale) == (0, {})
    assert changed.stale
