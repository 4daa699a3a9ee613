"""The leakage audit of a split finds what train has in common with dev and test, and says so in words."""

import json
import random
from datetime import UTC, date, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.import_published import import_published
from csmv.pipeline.release import near_texts
from csmv.pipeline.release.leakage import audit_file, leakage_of, read_leakage, write_leakage
from csmv.pipeline.release.leakage_words import leakage_lines, verdict
from csmv.pipeline.release.near_texts import JACCARD, near_pairs, signatures, spoken
from csmv.pipeline.reshard import reshard
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS, features_spec
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.splits_stage import SplitsStage
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify


def make_store(folder: Path, videos: list[dict[str, Any]], comments: list[dict[str, Any]], **more: Any) -> Store:
    """A root with these videos and labelled comments."""
    source = FolderSource(path="nowhere")
    store = Store.create(str(folder), DatasetConfig(name="leaky", n_shards=2, source=source, **more))
    labels = [
        {"comment_id": row["comment_id"], "opinion": ["positive", "negative"][n % 2], "emotion": "joy", "source": "a"}
        for n, row in enumerate(comments)
    ]
    shard_of = {row["comment_id"]: store.shard_of(row["video_id"]) for row in comments}
    videos = [{"media_status": "ok"} | row for row in videos]
    for shard in store.shards():
        write(store, "videos", shard, [row for row in videos if store.shard_of(row["video_id"]) == shard], VIDEOS)
        write(store, "comments", shard, [row for row in comments if shard_of[row["comment_id"]] == shard], COMMENTS)
        write(store, "labels", shard, [row for row in labels if shard_of[row["comment_id"]] == shard], LABELS)
    return store


def write(store: Store, table: str, shard: int, rows: list[dict[str, Any]], spec: Any) -> None:
    store.write(table, shard, pa.Table.from_pylist(rows, schema=spec.schema), spec)


def planted(folder: Path) -> Store:
    """Two comments on each of twelve videos; of test's three one has the file of a video of train, one its features."""
    videos = [
        {
            "video_id": f"v{n:02d}",
            "creator": f"maker{n % 6}" if n < 9 else None,
            "created_at": datetime(2024, 1, 1 + n, 12, tzinfo=UTC),
            "media_sha256": ("0" if n == 9 else f"{n}") * 64 if n < 10 else None,
        }
        for n in range(12)
    ]
    comments = [
        {
            "comment_id": f"c{n:02d}",
            "video_id": f"v{n // 2:02d}",
            "text": "".join(random.Random(n).choices("abcdefgh ", k=40)),
            "author": f"viewer{n}" if n else "viewer23",
            "created_on": date(2024, 3, 1 + n),
        }
        for n in range(24)
    ]
    comments[18]["text"] = comments[0]["text"].upper().replace(" ", "  ")  # word for word, but for case and spaces
    comments[19]["text"] = comments[1]["text"] + "!"  # nearly
    comments[20]["text"] = ""
    store = make_store(folder, videos, comments)
    parts = ["train"] * 14 + ["dev"] * 4 + ["test"] * 6
    parts[3] = "test"  # on a video of train
    split = {"comment_id": [row["comment_id"] for row in comments], "video_id": [row["video_id"] for row in comments]}
    store.write_split("mine", pa.table(split | {"split": parts}))
    draw = np.random.default_rng(1)
    vectors = {f"v{n:02d}": draw.normal(size=(3, 16)) + 100 for n in range(12)}
    vectors["v10"] = vectors["v02"] + 0.01
    spec = features_spec(16, metadata={"weights": "default"})
    for shard in store.shards():
        rows = [{"video_id": k, "features": v.tolist()} for k, v in vectors.items() if store.shard_of(k) == shard]
        write(store, "features/made", shard, rows, spec)
    return store


def test_what_was_planted_is_counted(tmp_path: Path) -> None:
    audit = leakage_of(planted(tmp_path / "root"), "mine")
    dev, test, between = audit["shared"]

    assert [audit["parts"][part]["comments"] for part in ("train", "dev", "test")] == [13, 4, 7]
    assert (test["part"], test["other"], between["part"], between["other"]) == ("test", "train", "test", "dev")
    assert test["video"] == {"comments": 1, "of": 7, "values": 1}
    assert test["creator"] == {"comments": 1, "of": 1, "values": 1}
    assert dev["creator"] == {"comments": 4, "of": 4, "values": 2}
    assert test["author"] == {"comments": 1, "of": 7, "values": 1}
    assert test["text"] == {"comments": 1, "of": 6, "values": 1}
    assert test["near_text"] == {"comments": 1, "of": 6, "values": 1}
    assert (dev["text"]["comments"], dev["near_text"]["comments"]) == (0, 0)
    assert test["file"] == {"comments": 2, "of": 3, "values": 1}
    assert test["near_video"] == {"comments": 2, "of": 7, "values": 1}
    assert audit["near_video"] == {"features": "made", "cosine": 0.95}
    assert test["not_later"] == {"comments": {"comments": 1, "of": 7}, "videos": {"comments": 1, "of": 7}}
    assert audit["parts"]["train"]["comment_days"] == {"first": "2024-03-01", "last": "2024-03-14", "of": 13}
    assert audit["parts"]["train"]["video_days"] == {"first": "2024-01-01", "last": "2024-01-07", "of": 13}
    assert audit["parts"]["test"]["without_text"] == 1
    assert audit["whole"]["labels"]["opinion"] == {"positive": 12, "neutral": 0, "negative": 12, "none": 0}


def test_the_words_say_what_a_score_measures(tmp_path: Path) -> None:
    store = planted(tmp_path / "root")
    leaky = leakage_of(store, "mine")
    build_split(store, SplitConfig(kind="video", ratios=(6, 3, 3)))
    clean = leakage_of(store, "video")
    for shared in clean["shared"]:
        shared["file"] = shared["near_video"] = None

    assert verdict(leaky) == (
        "A score on test does not measure generalisation to unseen videos: train has the video of 1 of 7 (14.29%) "
        "test comments."
    )
    assert "the video's creator of 1 (100.00% of 1 where that is known); the author of 1 (14.29%)" in "".join(
        leakage_lines(leaky)
    )
    assert verdict(clean).startswith("A score on test measures generalisation to unseen videos")
    clean["shared"][1]["file"] = {"comments": 1, "of": 1, "values": 1}
    assert "does not measure" in verdict(clean) and "a copy of the video of 1 of" in verdict(clean)


def test_an_audit_is_stale_once_the_split_or_a_table_changed(tmp_path: Path) -> None:
    store, stage = planted(tmp_path / "root"), SplitsStage()
    config = SplitConfig(kind="video")
    dataset = Dataset(store, DatasetConfig(name="x", source=FolderSource(path="x"), splits=(config,)))
    build_split(store, config)
    assert (stage.missing(dataset), stage.stale(dataset)) == (["video"], {})

    stage.run(dataset, "video", lambda _: None)
    first = store.read_file(audit_file("video"))
    assert (stage.missing(dataset), stage.stale(dataset)) == ([], {})
    assert dataset.leakage("video") == read_leakage(store, "video") == leakage_of(store, "video")

    rows = store.read_split("video")
    store.write_split("video", rows.slice(1), made_from=store.made_from("splits/video", None))
    assert "have changed since its leakage was audited" in stage.stale(dataset)["video"]
    assert dataset.leakage("video")["whole"]["comments"] == 23
    assert store.read_file(audit_file("video")) == first
    store.write_split("video", rows)
    assert stage.stale(dataset) == {}
    comments = store.read("comments", 0)
    assert comments is not None
    store.write("comments", 0, comments.set_column(2, "text", pa.array(["new"] * comments.num_rows)))
    assert stage.missing(dataset) == ["video"]
    stage.run(dataset, "video", lambda _: None)
    assert (stage.missing(dataset), stage.stale(dataset)) == ([], {})
    assert store.read_file(audit_file("video")) != first


def test_damage_is_noticed_and_mended(tmp_path: Path) -> None:
    store = planted(tmp_path / "root")
    write_leakage(store, "mine")
    name = audit_file("mine")
    data = store.read_file(name)
    assert not [problem for problem in verify(store, media=False).problems if problem.file == name]

    store.write_file(name, data.replace(b'"comments": 13', b'"comments": 12'))
    [problem] = [problem for problem in verify(store, media=False).problems if problem.file == name]
    assert "is damaged" in problem.what and "csmv run splits" in problem.what
    with pytest.raises(CsmvError, match="is damaged"):
        read_leakage(store, "mine")
    write_leakage(store, "mine")
    assert store.read_file(name) == data
    store.write_file(audit_file("other"), data)
    assert len([one for one in verify(store, media=False).problems if one.file == audit_file("other")]) == 2


def test_a_root_with_other_shards_has_the_audit_that_is_made_there(tmp_path: Path) -> None:
    store = planted(tmp_path / "root")
    write_leakage(store, "mine")
    reshard(store.root, str(tmp_path / "other"), 3)

    other = Store.open(str(tmp_path / "other"))
    audit = read_leakage(other, "mine")
    assert audit == leakage_of(other, "mine")
    assert audit is not None and audit["made_from"] != json.loads(store.read_file(audit_file("mine")))["made_from"]


# ---------------------------------------------------------------------- near texts


def sets_of(text: str) -> set[str]:
    padded = f" {text} "
    return {padded[at : at + 3] for at in range(len(padded) - 2)}


def test_near_texts_are_those_of_comparing_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_texts, "_TEXTS_AT_ONCE", 100)
    draw = random.Random(3)
    words = ["so", "good", "song", "love", "this", "😂", "name", "ﬁne", "nobody", "İstanbul", "\ud800"]
    texts = {spoken(" ".join(draw.choices(words, k=draw.randint(1, 6)))) for _ in range(300)}
    texts |= {spoken(text + draw.choice("!😂e")) for text in list(texts)}
    ordered = sorted(texts)

    left, right = near_pairs(ordered)

    sets = [sets_of(text) for text in ordered]
    expected = {
        (one, other)
        for one, other in combinations(range(len(ordered)), 2)
        if len(sets[one] & sets[other]) >= JACCARD * len(sets[one] | sets[other])
    }
    pairs = {(min(pair), max(pair)) for pair in zip(left.tolist(), right.tolist(), strict=True)}
    assert len(expected) > 100
    assert pairs == expected


def test_a_text_has_the_minhash_that_datasketch_gives_its_set() -> None:
    from datasketch import MinHash

    texts = ["a", "so good", "so goood 😂😂"]
    for text, signature in zip(texts, signatures(texts), strict=True):
        minhash = MinHash(num_perm=125, seed=1, scheme="affine32")
        minhash.update_batch([shingle.encode() for shingle in sets_of(text)])
        assert signature.tolist() == minhash.hashvalues.tolist()


def test_texts_are_compared_without_case_width_and_spaces() -> None:
    assert spoken("  So\tGOOD\n ") == spoken("so ｇｏｏｄ") == "so good"
    assert spoken("Straße") == "strasse"


# ---------------------------------------------------------------------- the published labels


@pytest.mark.slow
def test_the_published_split_leaks_what_its_readme_says(shared: Path, tmp_path: Path) -> None:
    """Every number about splits of the README beside the published files, and what a split by video makes of them."""
    annotations = shared / "csmv" / "Comments_Anno" / "lable_data_dict.json.zip"
    if not annotations.is_file():
        pytest.skip("the published labels are not in the shared folder")
    root = str(tmp_path / "root")
    import_published(root, annotations, shared / "csmv" / "CSMV_rawLinks.xlsx", None)
    store = Store.open(root)
    audit = write_leakage(store, "published")
    dev, test, _ = audit["shared"]

    assert (dev["video"]["comments"], dev["video"]["of"]) == (10712, 10727)
    assert (test["video"]["comments"], test["video"]["of"]) == (21426, 21454)
    assert {part: one["videos"] for part, one in audit["parts"].items()} == {"train": 8190, "dev": 5833, "test": 7360}
    whole = audit["whole"]
    assert (whole["comments"], whole["videos"], audit["repeated"], audit["left_out"]) == (107267, 8210, 199, 9790)
    assert whole["comments_a_video"] == {"least": 2, "mean": 13.07, "most": 20}
    assert (whole["labels"]["opinion"]["none"], whole["labels"]["emotion"]["none"]) == (5, 1)
    for task, published in {
        "opinion": {"neutral": 42.3, "positive": 46.6, "negative": 11.1},
        "emotion": {
            "joy": 32.1,
            "trust": 26.7,
            "anticipation": 15.8,
            "disgust": 8.4,
            "surprise": 8.0,
            "sadness": 5.3,
            "fear": 2.1,
            "anger": 1.5,
        },
    }.items():
        assert {name: round(100 * whole["labels"][task][name] / 107267, 1) for name in published} == published
    assert (test["text"]["comments"], round(100 * test["text"]["comments"] / 21454, 1)) == (740, 3.4)
    assert test["near_text"]["comments"] > 300
    assert "train has the video of 21,426 of 21,454 (99.87%) test comments" in verdict(audit)
    assert test["creator"]["of"] == 0 and "Not known here: the video's creator, the author" in leakage_lines(audit)[2]

    build_split(store, SplitConfig(kind="video"))
    video = leakage_of(store, "video")
    assert video["shared"][1]["video"]["comments"] == video["shared"][0]["video"]["comments"] == 0
    count = video["whole"]["comments"]
    for part, ratio in {"train": 70, "dev": 10, "test": 20}.items():
        here = video["parts"][part]
        assert abs(100 * here["comments"] / count - ratio) <= 0.5
        for task, names in video["whole"]["labels"].items():
            for name, whole_count in names.items():
                assert abs(here["labels"][task][name] / here["comments"] - whole_count / count) <= 0.01
    assert verdict(video).startswith("A score on test measures generalisation")
