"""One rule settles a comment's label, and splits, training and the report all use it."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import EMOTIONS, OPINIONS, resolve
from csmv.pipeline.report import facts
from csmv.pipeline.schemas import COMMENTS, LABELS
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split, labelled_comments
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.data import load_corpus
from csmv.pipeline.vccsa.train_config import TrainConfig

Row = tuple[str, str, str | None, str | None]


def labels(*rows: Row) -> pa.Table:
    """Rows of comment_id, source, opinion, emotion."""
    names = ("comment_id", "source", "opinion", "emotion")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=LABELS.schema)


def settled(*rows: Row) -> tuple[str | None, str | None]:
    """The opinion and emotion of the one comment that the rows speak of."""
    [row] = resolve(labels(*rows)).to_pylist()
    return row["opinion"], row["emotion"]


def test_adjudicated_comes_before_published_and_published_before_annotators() -> None:
    annotators: tuple[Row, ...] = (("c", "a1", "negative", "fear"), ("c", "a2", "negative", "fear"))
    published: Row = ("c", "published", "neutral", "trust")
    adjudicated: Row = ("c", "adjudicated", "positive", "joy")
    assert settled(*annotators) == ("negative", "fear")
    assert settled(*annotators, published) == ("neutral", "trust")
    assert settled(*annotators, published, adjudicated) == ("positive", "joy")


def test_the_majority_of_annotators_counts_whatever_their_names() -> None:
    rows: list[Row] = [("c", "a", "negative", "fear"), ("c", "b", "positive", "joy"), ("c", "z", "positive", "joy")]
    assert settled(*rows) == ("positive", "joy")
    assert settled(*reversed(rows)) == ("positive", "joy")


def test_most_votes_win_without_being_half_of_all() -> None:
    votes = ["anger", "anger", "fear", "joy", "trust"]
    assert settled(*(("c", f"a{k}", None, vote) for k, vote in enumerate(votes))) == (None, "anger")


def test_a_tie_is_no_label_of_that_task_alone() -> None:
    assert settled(("c", "a", "negative", "joy"), ("c", "b", "positive", "joy")) == (None, "joy")
    tied: list[Row] = [("c", "a", "neutral", None), ("c", "b", "neutral", None)]
    tied += [("c", "d", "positive", None), ("c", "e", "positive", None), ("c", "f", "negative", None)]
    assert settled(*tied) == (None, None)


def test_what_a_source_leaves_open_is_settled_by_the_next() -> None:
    rows: list[Row] = [("c", "adjudicated", "positive", None), ("c", "published", "neutral", "trust")]
    assert settled(*rows) == ("positive", "trust")
    assert settled(("c", "published", None, None), ("c", "a", None, "fear")) == (None, "fear")


def test_a_row_a_comment_sorted_by_id_with_null_where_nothing_is_settled() -> None:
    found = resolve(labels(("c2", "a", "positive", "joy"), ("c1", "a", None, None), ("c10", "published", None, "fear")))
    assert found.to_pylist() == [
        {"comment_id": "c1", "opinion": None, "emotion": None},
        {"comment_id": "c10", "opinion": None, "emotion": "fear"},
        {"comment_id": "c2", "opinion": "positive", "emotion": "joy"},
    ]
    assert resolve(LABELS.schema.empty_table()).to_pylist() == []


def test_a_class_that_there_is_not_is_named() -> None:
    with pytest.raises(CsmvError, match=r"'glad'.*joy, disgust"):
        resolve(labels(("c", "a", "positive", "glad")))


def test_the_published_number_of_labels_is_settled_in_a_moment() -> None:
    comments, chance = 107_267, np.random.default_rng(0)
    sources = ["adjudicated", "published", "a1", "a2"]
    ids = pa.array([f"v{k % 8210:06d}_c{k:06d}" for k in range(comments)] * 4)
    columns = {
        "comment_id": ids,
        "opinion": pa.array(np.array([*OPINIONS])[chance.integers(3, size=len(ids))]),
        "emotion": pa.array(np.array([*EMOTIONS])[chance.integers(8, size=len(ids))]),
        "source": pa.array(np.repeat(sources, comments)),
    }
    table = pa.table(columns, schema=LABELS.schema)
    began = time.process_time()
    found = resolve(table)
    assert time.process_time() - began < 2
    assert found.num_rows == comments
    first = table.slice(0, comments).sort_by("comment_id")
    assert found["emotion"].to_pylist() == first["emotion"].to_pylist()


def test_splits_training_and_the_report_settle_alike(tmp_path: Path) -> None:
    """By name alone, the first annotator would decide: each of these comments then had another opinion."""
    store = Store.create(str(tmp_path), DatasetConfig(name="t", n_shards=1, source=FolderSource(path="x")))
    rows: list[Row] = []
    for number in range(20):
        comment = f"c{number:02d}"
        rows += [(comment, "a1", "negative", "fear"), (comment, "a2", "positive", "joy")]
        rows += [(comment, "a3", "positive", "joy")]
    rows += [("tied", "a1", "negative", "joy"), ("tied", "a2", "positive", "joy")]
    rows += [("open", "a1", "negative", "fear"), ("open", "a2", "positive", "joy")]
    ids = sorted({row[0] for row in rows})
    texts = [{"comment_id": comment, "video_id": f"v{k}", "text": "so"} for k, comment in enumerate(ids)]
    store.write("comments", 0, pa.Table.from_pylist(texts, schema=COMMENTS.schema))
    store.write("labels", 0, labels(*rows))

    classes = {row["comment_id"]: row["class"] for row in labelled_comments(store).to_pylist()}
    assert classes == {f"c{number:02d}": "positive/joy" for number in range(20)} | {"tied": "-/joy"}

    build_split(store, SplitConfig(kind="comment"))
    corpus = load_corpus(store, TrainConfig(model="text", split="comment"))
    names = [*OPINIONS]
    opinions = corpus.scored_labels(np.arange(len(corpus.comment_ids)))["opinion"]
    learnt = {c: names[k] if k >= 0 else None for c, k in zip(corpus.comment_ids, opinions, strict=True)}
    assert learnt == {f"c{number:02d}": "positive" for number in range(20)} | {"tied": None}

    told = facts(store)
    assert {bar["name"]: bar["count"] for bar in told["labels"]["opinion"]} == {
        "positive": 20,
        "neutral": 0,
        "negative": 0,
        "none settled": 1,
    }
    assert told["joint"]["cells"][0][0] == 20
    assert sum(map(sum, told["joint"]["cells"])) == 20
    assert ("21", "labelled comments", "95.5% of all") in told["tiles"]
