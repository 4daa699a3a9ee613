"""Splits keep to their ratios, balance the classes, and a video-disjoint one is disjoint."""

import hashlib
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csmv.pipeline import splits
from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.schemas import COMMENTS, LABELS
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split, overlap, summary
from csmv.pipeline.splits_stage import SplitsStage
from csmv.pipeline.stage import Unit
from csmv.pipeline.store import Store

ANSWERS = ["57dd6cec54cccfff", "c9a61657322f9de4", "b8efec46a99655dc", "fd9e5e1c81240b3c"]


def by_comment(rows: pa.Table, config: SplitConfig) -> list[str]:
    return list(splits.by_comment(rows, config).to_pylist())


def by_video(rows: pa.Table, config: SplitConfig) -> list[str]:
    return list(splits.by_video(rows, config).to_pylist())


def comments(videos: int, seed: int = 0) -> pa.Table:
    draw = random.Random(seed)
    rows = []
    for video in range(videos):
        for _ in range(draw.randint(2, 20)):
            kind = draw.choices(["neutral/joy", "positive/trust", "negative/anger", "negative/fear"], [45, 42, 10, 3])[
                0
            ]
            rows.append({"comment_id": f"c{len(rows):05d}", "video_id": f"v{video:04d}", "class": kind})
    return pa.Table.from_pylist(rows)


def shares(rows: pa.Table, parts: list[str]) -> dict[str, dict[str, float]]:
    """For each class, the share of it in each part."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, part in zip(rows["class"].to_pylist(), parts, strict=True):
        counts[kind][part] += 1
    return {kind: {part: n / sum(c.values()) for part, n in c.items()} for kind, c in counts.items()}


@pytest.mark.parametrize("make", [by_comment, by_video])
def test_every_class_is_spread_in_the_ratios(make) -> None:
    rows = comments(400)
    parts = make(rows, SplitConfig(kind="comment"))
    for kind, share in shares(rows, parts).items():
        for part, wanted in {"train": 0.7, "dev": 0.1, "test": 0.2}.items():
            assert share[part] == pytest.approx(wanted, abs=0.015), (kind, part)


def test_no_video_stands_in_two_parts() -> None:
    rows = comments(100)
    parts = by_video(rows, SplitConfig(kind="video"))
    of_video = defaultdict(set)
    for video, part in zip(rows["video_id"].to_pylist(), parts, strict=True):
        of_video[video].add(part)
    assert all(len(found) == 1 for found in of_video.values())


@settings(max_examples=40, deadline=None)
@given(videos=st.integers(3, 30), seed=st.integers(0, 99), data_seed=st.integers(0, 99))
def test_with_few_videos_no_part_is_empty(videos: int, seed: int, data_seed: int) -> None:
    parts = by_video(comments(videos, data_seed), SplitConfig(kind="video", seed=seed))
    assert set(parts) == {"train", "dev", "test"}


@pytest.mark.parametrize("make", [by_comment, by_video])
def test_the_seed_decides_and_the_order_of_rows_does_not(make) -> None:
    rows = comments(60)
    config = SplitConfig(kind="comment", seed=1)
    first = dict(zip(rows["comment_id"].to_pylist(), make(rows, config), strict=True))
    mixed = rows.take(random.Random(5).sample(range(rows.num_rows), rows.num_rows))
    assert dict(zip(mixed["comment_id"].to_pylist(), make(mixed, config), strict=True)) == first
    other = dict(zip(rows["comment_id"].to_pylist(), make(rows, SplitConfig(kind="comment", seed=2)), strict=True))
    assert other != first


def test_a_part_without_a_share_stays_empty() -> None:
    rows = comments(30)
    assert set(by_video(rows, SplitConfig(kind="video", ratios=(8, 0, 2)))) == {"train", "test"}
    with pytest.raises(ValueError, match="ratios"):
        SplitConfig(kind="video", ratios=(0, 1, 1))


# ---------------------------------------------------------------------- known answers


def rows_of(kinds: dict[str, list[str]]) -> pa.Table:
    """A comment for each class in the list of a video."""
    return pa.Table.from_pylist(
        [
            {"comment_id": f"{video}-{number}", "video_id": video, "class": kind}
            for video, listed in kinds.items()
            for number, kind in enumerate(listed)
        ]
    )


@pytest.mark.parametrize(
    ("seed", "order"),
    [
        # `for i in 0 1 2 3 4 5 6 7 8 9; do printf "3407:c$i" | sha256sum; done`, sorted by digest.
        (3407, "c6 c2 c5 c1 c0 c3 c4 c7 c8 c9"),
        (1, "c0 c5 c7 c3 c2 c4 c6 c9 c1 c8"),
    ],
)
def test_ten_comments_of_one_class_are_dealt_by_the_digests_of_seed_and_id(seed: int, order: str) -> None:
    rows = pa.table({"comment_id": [f"c{i}" for i in range(10)], "video_id": ["v"] * 10, "class": ["a/b"] * 10})
    parts = dict(
        zip(rows["comment_id"].to_pylist(), by_comment(rows, SplitConfig(kind="comment", seed=seed)), strict=True)
    )
    assert [parts[name] for name in order.split()] == ["train"] * 7 + ["dev"] + ["test"] * 2


def test_what_is_left_of_a_class_goes_where_the_whole_is_furthest_behind() -> None:
    rows = pa.table({"comment_id": list("abcde"), "video_id": ["v"] * 5, "class": list("12345")})
    # Behind, before each comment: 0.5 0.25 0.25 (train), 0 0.5 0.5 (dev), 0.5 -0.25 0.75 (test), 1 0 0, 0.5 0.25 0.25.
    assert by_comment(rows, SplitConfig(kind="comment", ratios=(2, 1, 1))) == ["train", "dev", "test", "train", "train"]
    assert by_comment(rows, SplitConfig(kind="comment", ratios=(1, 0, 1)))[:4] == ["train", "test", "train", "test"]


def test_videos_go_where_classes_and_size_are_furthest_behind() -> None:
    rows = rows_of({"v1": ["A", "A", "B"], "v2": ["B"], "v3": ["A"] * 4, "v4": ["A"]})
    # Of the rare class B first, in the order of the digests: v2 (train 11/18, the others 11/9), then v1 (train 1.61,
    # the others 1.51: dev, the first of equals); v4 (train 0.48, dev 2.98, test 0.51) and v3 (1.75, 4.51, 2.03) follow
    # into train. That leaves test empty, and the smallest video of the largest part moves there: v2, first of equals.
    assert by_video(rows, SplitConfig(kind="video", ratios=(2, 1, 1))) == ["dev"] * 3 + ["test"] + ["train"] * 5


@pytest.mark.parametrize(
    ("seed", "ratios", "parts"),
    [
        (3407, (7, 1, 2), "ttssttttttttttdsttdtts"),
        (1, (7, 1, 2), "tddttttttttttssttsttss"),
        (5, (3, 2, 1), "ddsssdtdtttdstdddtstdt"),
    ],
)
def test_the_parts_of_twenty_two_videos(seed: int, ratios: tuple[int, int, int], parts: str) -> None:
    """Worked out once by another program, in exact fractions."""
    kinds = {f"v{k:02d}": ["A"] * (k * 7 % 5) + ["B"] * (k * k % 4) + ["C"] * (k % 9 == 0) for k in range(1, 25)}
    rows = rows_of(kinds)
    found = dict(
        zip(
            rows["video_id"].to_pylist(),
            by_video(rows, SplitConfig(kind="video", seed=seed, ratios=ratios)),
            strict=True,
        )
    )
    assert "".join({"train": "t", "dev": "d", "test": "s"}[found[video]] for video in sorted(found)) == parts


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=24),
    ratios=st.sampled_from([(7, 1, 2), (8, 1, 1), (1, 1, 1), (3, 0, 1)]),
)
def test_sizes_of_parts_are_within_one_of_the_ratios_over_many_small_classes(
    sizes: list[int], ratios: tuple[int, int, int]
) -> None:
    kinds = [f"class {number:02d}" for number, size in enumerate(sizes) for _ in range(size)]
    rows = pa.table({"comment_id": [f"c{i}" for i in range(len(kinds))], "video_id": kinds, "class": kinds})
    counts = Counter(by_comment(rows, SplitConfig(kind="comment", ratios=ratios)))
    for part, ratio in zip(("train", "dev", "test"), ratios, strict=True):
        assert abs(counts[part] - len(kinds) * ratio / sum(ratios)) <= 1


def test_sixty_comments_in_twenty_four_classes() -> None:
    kinds = [f"{number % 24:02d}" for number in range(60)]
    rows = pa.table({"comment_id": [f"c{i}" for i in range(60)], "video_id": kinds, "class": kinds})
    counts = Counter(by_comment(rows, SplitConfig(kind="comment", ratios=(7, 1, 2))))
    assert (counts["train"], counts["dev"], counts["test"]) == (42, 6, 12)


def test_an_empty_part_gets_the_smallest_video_and_the_only_one_stays_where_it_is() -> None:
    config = SplitConfig(kind="video", ratios=(98, 1, 1))
    assert by_video(rows_of({"a": ["A"] * 3, "b": ["A"], "c": ["A"] * 2, "d": ["A"] * 3}), config) == (
        ["train"] * 3 + ["dev"] + ["test"] * 2 + ["train"] * 3
    )
    assert by_video(rows_of({"a": ["A"] * 2, "b": ["A"]}), config) == ["train", "train", "dev"]
    assert by_video(rows_of({"a": ["A"] * 2}), config) == ["train", "train"]


def test_overlap_counts_the_comments_on_videos_that_train_has() -> None:
    split = pa.table(
        {
            "comment_id": list("abcdef"),
            "video_id": ["v", "v", "w", "v", "w", "x"],
            "split": ["train", "test", "test", "test", "train", "dev"],
        }
    )
    assert [overlap(split, part) for part in ("train", "dev", "test")] == [2, 0, 3]
    assert overlap(split.filter(pa.array([False] * 6)), "test") == 0


# ---------------------------------------------------------------------- what a configuration may say


def test_defaults_are_the_papers() -> None:
    config = SplitConfig(kind="video")
    assert (config.title, config.seed, config.ratios) == ("video", 3407, (7, 1, 2))
    assert SplitConfig(kind="video", name="mine").title == "mine"


@pytest.mark.parametrize("name", ["a", "0", "A-b_9", "x" * 64])
def test_a_name_is_a_file_name(name: str) -> None:
    assert SplitConfig(kind="comment", name=name).title == name


@pytest.mark.parametrize("wrong", [{"name": "x" * 65}, {"name": "-a"}, {"name": "a/b"}, {"name": ""}, {"seed": -1}])
def test_a_name_that_is_none_and_a_seed_below_zero_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SplitConfig(kind="comment", **wrong)
    assert SplitConfig(kind="comment", seed=0).seed == 0


@pytest.mark.parametrize("ratios", [(7, -1, 2), (7, 1, -1), (0, 1, 1), (-1, 1, 1)])
def test_ratios_below_zero_and_a_train_part_without_a_share_are_refused(ratios: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="ratios"):
        SplitConfig(kind="comment", ratios=ratios)


def test_dev_and_test_may_have_no_share() -> None:
    rows = rows_of({"a": ["A"] * 2, "b": ["B"]})
    config = SplitConfig(kind="video", ratios=(0.5, 0, 0))
    assert by_video(rows, config) == by_comment(rows, config) == ["train"] * 3


# ---------------------------------------------------------------------- in a root


def labelled(store: Store, rows: pa.Table) -> None:
    """Write comments and labels of one source for rows of (comment_id, video_id, "opinion/emotion")."""
    for shard in store.shards():
        here = [row for row in rows.to_pylist() if store.shard_of(row["video_id"]) == shard]
        texts = [{"comment_id": row["comment_id"], "video_id": row["video_id"], "text": "x"} for row in here]
        labels = [
            dict(zip(("opinion", "emotion"), row["class"].split("/"), strict=True))
            | {"comment_id": row["comment_id"], "source": "published"}
            for row in here
        ]
        if here:
            store.write("comments", shard, pa.Table.from_pylist(texts, schema=COMMENTS.schema))
            store.write("labels", shard, pa.Table.from_pylist(labels, schema=LABELS.schema))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path), DatasetConfig(name="t", n_shards=2, source=FolderSource(path="x")))


def test_a_split_of_the_same_name_with_another_seed_replaces_the_old_one(store: Store) -> None:
    rows = comments(12)
    labelled(store, rows)
    first = build_split(store, SplitConfig(kind="comment", name="mine", seed=1))
    second = build_split(store, SplitConfig(kind="comment", name="mine", seed=2))
    wanted = dict(
        zip(rows["comment_id"].to_pylist(), by_comment(rows, SplitConfig(kind="comment", seed=2)), strict=True)
    )
    assert dict(zip(second["comment_id"].to_pylist(), second["split"].to_pylist(), strict=True)) == wanted
    assert store.read_split("mine").equals(second)
    assert not second.equals(first)
    build_split(store, SplitConfig(kind="video", name="mine"))
    assert overlap(store.read_split("mine"), "test") == 0


def test_the_summary_counts_comments_and_those_on_videos_of_train(store: Store) -> None:
    columns = {"comment_id": list("abcdefg"), "video_id": list("vvwwxyy")}
    store.write_split("one", pa.table(columns | {"split": ["train", "dev", "test", "train", "dev", "test", "test"]}))
    store.write_split("two", pa.table(columns | {"split": ["train"] * 4 + ["dev"] + ["test"] * 2}))
    assert summary(["two", "one"], store) == [
        {"split": "two", "train": 4, "dev": 1, "test": 2, "dev_seen": 0, "test_seen": 0},
        {"split": "one", "train": 2, "dev": 2, "test": 3, "dev_seen": 1, "test_seen": 1},
    ]


def test_built_splits_are_written_and_their_leak_is_counted(store: Store) -> None:
    with pytest.raises(CsmvError, match="labelled comments"):
        build_split(store, SplitConfig(kind="video"))
    rows = comments(40)
    by_shard: dict[int, list[dict[str, str]]] = defaultdict(list)
    for row in rows.to_pylist():
        by_shard[store.shard_of(row["video_id"])].append(row)
    for shard, members in by_shard.items():
        texts = [{"comment_id": row["comment_id"], "video_id": row["video_id"], "text": "x"} for row in members]
        labels = [
            dict(zip(("opinion", "emotion"), row["class"].split("/"), strict=True))
            | {"comment_id": row["comment_id"], "source": source}
            for row in members
            for source in ("a1", "adjudicated")
        ]
        store.write("comments", shard, pa.Table.from_pylist(texts, schema=COMMENTS.schema))
        store.write("labels", shard, pa.Table.from_pylist(labels, schema=LABELS.schema))
    video = build_split(store, SplitConfig(kind="video"))
    comment = build_split(store, SplitConfig(kind="comment", name="mixed"))
    assert video.num_rows == comment.num_rows == rows.num_rows
    assert overlap(video, "test") == 0
    assert overlap(comment, "test") > 0.9 * comment["split"].to_pylist().count("test")
    assert {row["split"]: row["test_seen"] for row in summary(["mixed", "video"], store)}["video"] == 0
    first = store.read_file("splits/video.parquet")
    build_split(store, SplitConfig(kind="video"))
    assert store.read_file("splits/video.parquet") == first
    with pytest.raises(CsmvError, match=r"no split 'published' \(built so far: mixed, video\)"):
        build_split(store, SplitConfig(kind="published"))


# ---------------------------------------------------------------------- the stage


def dataset_with(folder: Path, *splits: SplitConfig) -> Dataset:
    Store.create(str(folder), DatasetConfig(name="t", n_shards=2, source=FolderSource(path="x"), splits=splits))
    return Dataset.open(str(folder))


def test_the_stage_says_what_it_reads_and_writes() -> None:
    stage = SplitsStage()
    assert (stage.name, stage.section, stage.unit) == ("splits", "splits", Unit.ENTRY)
    assert (stage.reads, stage.writes) == (
        ("comments", "labels", "videos", "features/<set>"),
        ("splits/<name>", "splits/<name>.leakage.json"),
    )


def test_the_stage_builds_what_is_missing_and_what_is_stale(tmp_path: Path) -> None:
    stage, ticks = SplitsStage(), []
    one, two = SplitConfig(kind="comment", seed=1), SplitConfig(kind="video", name="apart")
    dataset = dataset_with(tmp_path, one, two)
    rows = comments(12)
    labelled(dataset.store, rows)
    assert stage.units(dataset) == stage.missing(dataset) == ["comment", "apart"]
    assert stage.stale(dataset) == {}

    for unit in stage.missing(dataset):
        stage.run(dataset, unit, ticks.append)

    assert ticks == [1, 1]
    assert (stage.missing(dataset), stage.stale(dataset)) == ([], {})
    assert overlap(dataset.store.read_split("apart"), "test") == 0
    assert overlap(dataset.store.read_split("comment"), "test") > 0

    changed = dataset_with(tmp_path, one.model_copy(update={"seed": 2}), two)
    why = "the labelled comments or its settings have changed since it was built"
    assert stage.stale(changed) == {"comment": why}
    assert stage.missing(changed) == ["comment"]
    labelled(dataset.store, rows.slice(1))
    assert set(stage.stale(dataset)) == {"comment", "apart"}


def test_the_stage_needs_splits_to_build_and_labels_to_build_them_from(tmp_path: Path) -> None:
    stage = SplitsStage()
    with pytest.raises(CsmvError, match=r"nothing to split: dataset\.yaml has no splits section"):
        stage.prepare(dataset_with(tmp_path))
    published = dataset_with(tmp_path, SplitConfig(kind="published"))
    stage.prepare(published)
    assert stage.missing(published) == ["published"]
    both = dataset_with(tmp_path, SplitConfig(kind="published"), SplitConfig(kind="video"))
    with pytest.raises(CsmvError, match="A split needs labelled comments, and the root"):
        stage.prepare(both)
    for shard in both.store.shards():
        label = {"comment_id": "c1", "opinion": "positive", "emotion": None, "source": "published"}
        both.store.write("labels", shard, pa.Table.from_pylist([label][shard:], schema=LABELS.schema))
    stage.prepare(both)  # one label will do


def test_a_published_split_is_never_stale(tmp_path: Path) -> None:
    dataset = dataset_with(tmp_path, SplitConfig(kind="published"))
    dataset.store.write_split("published", pa.table({"comment_id": ["c"], "video_id": ["v"], "split": ["test"]}))
    assert SplitsStage().stale(dataset) == {}
    assert SplitsStage().missing(dataset) == ["published"]  # its leakage was not audited yet
    SplitsStage().run(dataset, "published", lambda _: None)
    assert SplitsStage().stale(dataset) == {}
    assert SplitsStage().missing(dataset) == []
    assert build_split(dataset.store, SplitConfig(kind="published"))["comment_id"].to_pylist() == ["c"]


def test_the_same_rows_are_dealt_out_as_ever() -> None:
    """Known answers of the first version, which went through Python lists."""
    rows = comments(60, 5)
    digests = [
        hashlib.sha256("".join(make(rows, SplitConfig(kind=kind, seed=seed))).encode()).hexdigest()[:16]
        for make, kind in ((by_comment, "comment"), (by_video, "video"))
        for seed in (1, 3407)
    ]
    assert digests == ANSWERS
