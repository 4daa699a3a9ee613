"""The layout of the published CSMV files: what goes out is what came in, and comes in again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from release_roots import DIM, LICENSED, release, write_features

from csmv.pipeline.import_published import import_published
from csmv.pipeline.release.release_config import ReleaseFormat
from csmv.pipeline.store import Store

AS_CSMV = LICENSED.model_copy(update={"formats": (ReleaseFormat.CSMV,)})
ANNOTATIONS = "release/csmv/Comments_Anno"


def entries() -> dict[str, dict[str, Any]]:
    return {
        f"{tag}_{number}_{video}.mp4": {
            "video_file_id": f"{video}.mp4",
            "comment": text,
            "opinion_label": opinion,
            "emotion_label": "joy",
            "hashtag": tag,
        }
        for number, video, tag, text, opinion in [
            (1, "6968866098477403398", "nba", "what a shot 🏀", "positive"),
            (2, "6968866098477403398", "nba", '=HYPERLINK("x")', None),
            (3, "6968866098477403399", "cats", "again", "negative"),
            (4, "6968866098477403399", "cats", "never", "neutral"),
            (5, "6968866098477403399", "nba", "a video that two hashtags led to", "neutral"),
        ]
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small set as the published files are laid out, and the root that was made of it, released as CSMV."""
    place = tmp_path_factory.mktemp("published")
    folder = place / "anno"
    folder.mkdir()
    keys = list(entries())
    files: dict[str, Any] = {"lable_data_dict": entries(), "train_set": [keys[2], keys[0]], "dev_set": [keys[1]]}
    files |= {"test_set": [], "opinion_label_map": {"positive": 0, "neutral": 1, "negative": 2}}
    emotions = ("joy", "disgust", "surprise", "sadness", "trust", "fear", "anger", "anticipation")
    files["emotion_label_map"] = {name: number for number, name in enumerate(emotions)}
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    links = "\n".join(f"{k},https://www.tiktok.com/@some.one{k}/video/696886609847740339{k}" for k in (8, 9))
    (folder / "links.csv").write_text(f"No.,URL\n{links}\n")
    import_published(str(place / "root"), folder, folder / "links.csv", 1)
    write_features(Store.open(str(place / "root")))
    write_features(Store.open(str(place / "root")), "r2plus1d_18")
    release(str(place / "root"), AS_CSMV)
    return folder, place / "root"


def test_the_export_of_an_imported_set_is_that_set(published: tuple[Path, Path]) -> None:
    folder, root = published
    out = root / ANNOTATIONS

    for name in ("lable_data_dict", "opinion_label_map", "emotion_label_map"):
        assert json.loads((out / f"{name}.json").read_text()) == json.loads((folder / f"{name}.json").read_text())
    for part in ("train", "dev", "test"):
        ours, theirs = (json.loads((one / f"{part}_set.json").read_text()) for one in (out, folder))
        assert ours == sorted(theirs)
    links = (root / "release" / "csmv" / "CSMV_rawLinks.csv").read_text().splitlines()
    assert links[1] == "1,6968866098477403398,https://www.tiktok.com/@/video/6968866098477403398"
    assert "some.one" not in "".join(links)


def test_what_the_authors_loader_looks_for_is_there(published: tuple[Path, Path]) -> None:
    vectors = published[1] / "release" / "csmv" / "visual_feature"
    comments = json.loads((published[1] / ANNOTATIONS / "video_to_comment.json").read_text())
    stored = {
        row["video_id"]: row["features"] for row in Store.open(str(published[1])).read_all("features/i3d").to_pylist()
    }

    for entry in entries().values():
        video = entry["video_file_id"].removesuffix(".mp4")
        array = np.load(vectors / "i3d" / f"{video}.npy", allow_pickle=False)
        assert (array.dtype, array.shape[1]) == (np.float32, DIM) and np.array_equal(array, stored[video])
        assert (vectors / "r2plus1d_18" / f"{video}_r21d.npy").is_file()
        assert len(comments[entry["video_file_id"]]) == sum(
            one["video_file_id"] == f"{video}.mp4" for one in entries().values()
        )


def test_the_export_comes_in_again_and_goes_out_as_the_same_bytes(published: tuple[Path, Path], tmp_path: Path) -> None:
    first = published[1] / "release" / "csmv"
    again = str(tmp_path / "root")

    import_published(again, first / "Comments_Anno", first / "CSMV_rawLinks.csv", 3)
    release(again, AS_CSMV)

    for path in sorted((first / "Comments_Anno").rglob("*.json")):
        assert (tmp_path / "root" / path.relative_to(published[1])).read_bytes() == path.read_bytes(), path.name
    assert (tmp_path / "root/release/csmv/CSMV_rawLinks.csv").read_bytes() == (first / "CSMV_rawLinks.csv").read_bytes()
