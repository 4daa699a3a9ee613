"""Runs by the command line: never a wrong number in silence, and nothing trained is lost to another run."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig, record_section
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.report import facts
from csmv.pipeline.schemas import features_spec
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import data, training
from csmv.pipeline.vccsa.sweep import SweepConfig, failed_runs, results, train_point, write_sweep
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import read_run

Run = Callable[..., "subprocess.CompletedProcess[str]"]

WORDS = {"positive": ("love it", "joy"), "neutral": ("which song", "trust"), "negative": ("so bad", "anger")}
SMALL = {
    "model": "video",
    "epochs": 2,
    "features": ["made_up"],
    "sizes": {"visual_dim": 8, "ground_dim": 4, "consensus_dim": 4, "scales": 1},
    "text": {"tiny_dim": 8, "tiny_vocabulary": 64},
}
DIVERGING = ("--set", "optimizer.learning_rate=1e30", "--set", "optimizer.clip_norm=null")


@pytest.fixture
def root(tmp_path: Path) -> Store:
    """Ten videos with six comments each, four numbers a vector."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "comments.jsonl").touch()
    config = {"name": "small", "n_shards": 1, "source": {"kind": "folder", "path": str(source)}}
    store = Store.create(str(tmp_path / "root"), DatasetConfig.model_validate(config))
    comments, labels, split = [], [], []
    for v in range(10):
        for c in range(6):
            ids = {"comment_id": f"c{v}-{c}", "video_id": f"v{v}"}
            opinion = list(WORDS)[(v + c) % 3]
            text, emotion = WORDS[opinion]
            about = {"text": text, "pii": [], "like_count": 0, "reply_to": None, "created_on": None}
            comments.append(ids | about)
            labels.append({"comment_id": f"c{v}-{c}", "opinion": opinion, "emotion": emotion, "source": "published"})
            split.append(ids | {"split": ("train", "train", "train", "train", "dev", "test")[(v + c) % 6]})
    store.write("comments", 0, pa.Table.from_pylist(comments))
    store.write("labels", 0, pa.Table.from_pylist(labels))
    store.write_split("comment", pa.Table.from_pylist(split))
    write_features(store, np.random.default_rng(0).normal(size=(10, 3, 4)))
    (tmp_path / "train.yaml").write_text(json.dumps(SMALL))
    return store


def write_features(store: Store, vectors: np.ndarray) -> None:
    spec = features_spec(4)
    rows = {"video_id": [f"v{v}" for v in range(len(vectors))], "features": vectors.astype(np.float32).tolist()}
    store.write(
        "features/made_up", 0, pa.table(rows | {"media_sha256": [None] * len(vectors)}, schema=spec.schema), spec
    )


def write_labels(store: Store, change: Callable[[dict], dict | None]) -> None:
    rows = store.read("labels", 0)
    assert rows is not None
    changed = [left for row in rows.to_pylist() if (left := change(row)) is not None]
    store.write("labels", 0, pa.Table.from_pylist(changed, schema=rows.schema))


def part_of(comment_id: str) -> str:
    v, c = map(int, comment_id[1:].split("-"))
    return ("train", "train", "train", "train", "dev", "test")[(v + c) % 6]


def files_of(store: Store, run: str) -> dict[str, bytes]:
    return {name: store.read_file(name) for name in store.files(f"models/{run}")}


@pytest.fixture
def train(csmv_inside: Run, root: Store, tmp_path: Path) -> Run:
    """`csmv train` with the small settings, as the run `mine` unless another is named."""

    def trained(*more: object) -> "subprocess.CompletedProcess[str]":
        named = () if "--run" in more else ("--run", "mine")
        return csmv_inside("train", "--root", root.root, "--config", tmp_path / "train.yaml", *named, *more)

    return trained


def said(done: "subprocess.CompletedProcess[str]") -> str:
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.replace("│", " ").split())


# ---------------------------------------------------------------- numbers that are none


def test_a_diverging_run_stops_says_where_and_is_left_out(train: Run, csmv_inside: Run, root: Store) -> None:
    assert train("--run", "fine").returncode == 0

    stopped = train("--run", "wild", *DIVERGING)

    assert stopped.returncode == 1
    assert "The run 'wild' failed and is marked so. The loss is not finite at step" in said(stopped)
    marked = json.loads(root.read_file("models/wild/failed.json"))
    assert (marked["epoch"], marked["step"], marked["learning_rate"]) == (1, 2, pytest.approx(0.75e30))
    assert not root.exists("models/wild/run.json")

    alone = csmv_inside("evaluate", "wild", "--root", root.root)
    assert (alone.returncode, alone.stdout) == (1, "")
    assert "The run 'wild' failed and has no scores: The loss is not finite" in said(alone)
    both = csmv_inside("evaluate", "wild", "fine", "--root", root.root, "--resamples", 20, "--no-figures")
    assert both.returncode == 0
    assert "Left out: The run 'wild' failed" in said(both)
    assert "fine" in both.stdout

    page = facts(root)
    assert [run["name"] for run in page["runs"]] == ["fine"]
    assert "not finite" in page["runs_left_out"]["wild"]

    before = files_of(root, "wild")
    again = train("--run", "wild", *DIVERGING)
    assert again.returncode == 1
    assert "failed before with the same settings and data" in said(again)
    assert files_of(root, "wild") == before
    assert train("--run", "wild", "--overwrite").returncode == 0
    assert not root.exists("models/wild/failed.json")


def test_a_diverged_run_that_an_earlier_version_scored_is_left_out(train: Run, csmv_inside: Run, root: Store) -> None:
    train()
    path = "models/mine/run.json"
    old = json.loads(root.read_file(path))
    old["result"]["history"][1]["loss"] = float("nan")
    root.write_file(path, json.dumps(old).encode())

    judged = csmv_inside("evaluate", "mine", "--root", root.root)

    assert judged.returncode == 1
    assert "not finite (result.history.1.loss)" in said(judged)
    assert facts(root)["runs"] == []


def test_fp16_without_a_gpu_is_refused(train: Run, root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused = train("--set", "optimizer.precision=fp16")
    assert refused.returncode == 1
    assert "fp16 needs a GPU" in said(refused)
    assert files_of(root, "mine") == {}


def without_test_labels(row: dict) -> dict | None:
    return None if part_of(row["comment_id"]) == "test" else row


def without_train_emotions(row: dict) -> dict | None:
    return row | {"emotion": None} if part_of(row["comment_id"]) == "train" else row


def with_a_strange_label(row: dict) -> dict | None:
    return row | {"emotion": "bliss"} if row["comment_id"] == "c3-3" else row


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without_test_labels, "leaves no labelled comment in test (10 without any label)"),
        (without_train_emotions, "No train comment of the split 'comment' has an emotion label"),
        (with_a_strange_label, "A label has the emotion 'bliss', which is none of joy"),
    ],
)
def test_labels_that_would_mislead_are_refused(train: Run, root: Store, change: Callable, says: str) -> None:
    write_labels(root, change)
    refused = train()
    assert refused.returncode == 1
    assert says in said(refused)
    assert files_of(root, "mine") == {}


def test_features_that_are_not_finite_are_refused(train: Run, root: Store) -> None:
    assert train().returncode == 0
    before = files_of(root, "mine")
    vectors = np.ones((10, 3, 4))
    vectors[4, 1, 2] = np.nan
    write_features(root, vectors)
    refused = train("--overwrite")
    assert refused.returncode == 1
    assert "features/made_up holds NaN or infinity for video v4" in said(refused)
    assert files_of(root, "mine") == before


def test_features_missing_where_a_run_is_scored_are_refused_beyond_a_share(train: Run, root: Store) -> None:
    write_features(root, np.ones((8, 3, 4)))  # of ten videos
    refused = train()
    assert refused.returncode == 1
    assert "dev comments have no vectors in made_up (20.0%, and most_missing_scored allows 10.0%)" in said(refused)
    assert files_of(root, "mine") == {}

    allowed = train("--set", "most_missing_scored=0.2")
    assert allowed.returncode == 0, allowed.stderr
    assert "test: 10 comments, 2 without features" in allowed.stdout


@pytest.mark.parametrize(("place", "says"), [("config", "unknown key 'modle'"), ("result", "unknown field 'modle'")])
def test_a_run_of_another_version_is_one_sentence_and_stays(
    train: Run, csmv_inside: Run, root: Store, place: str, says: str
) -> None:
    train()
    path = "models/mine/run.json"
    old = json.loads(root.read_file(path))
    old[place]["modle"] = 1
    root.write_file(path, json.dumps(old).encode())
    before = files_of(root, "mine")

    for asked in (csmv_inside("evaluate", "mine", "--root", root.root), train("--set", "epochs=3")):
        assert asked.returncode == 1
    assert says in said(csmv_inside("evaluate", "mine", "--root", root.root))
    assert files_of(root, "mine") == before
    assert facts(root)["runs"] == []


# ---------------------------------------------------------------- names that are taken


def test_a_run_of_other_settings_is_not_replaced_unless_asked(train: Run, root: Store) -> None:
    assert train().returncode == 0
    root.write_file("models/mine/notes.md", b"A person's.")
    before = files_of(root, "mine")

    refused = train("--set", "epochs=3")
    assert refused.returncode == 1
    assert "The run 'mine' is there already, with other settings (epochs): give this one another name" in said(refused)
    assert files_of(root, "mine") == before

    assert train("--set", "epochs=3", "--run", "other").returncode == 0
    assert train("--set", "epochs=3", "--overwrite").returncode == 0
    assert read_run(root, "mine")[0].epochs == 3
    assert root.read_file("models/mine/notes.md") == b"A person's."


def test_a_run_of_other_labels_is_not_replaced_unless_asked(train: Run, root: Store) -> None:
    train()
    before = files_of(root, "mine")
    write_labels(root, lambda row: row | {"emotion": "fear"} if row["comment_id"] == "c1-1" else row)

    refused = train()

    assert refused.returncode == 1
    assert "'mine' is there already, made with another split, other comments, labels, features" in said(refused)
    assert files_of(root, "mine") == before
    assert train("--overwrite").returncode == 0


def test_an_unfinished_run_is_not_replaced_by_another(train: Run, root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from csmv.pipeline.vccsa import loop

    step = loop._step
    with monkeypatch.context() as patched:
        patched.setattr(loop, "_step", lambda *asked: step(*asked) if asked[6] < 3 else 1 / 0)
        assert train("--set", "checkpoint_every=1").returncode == 1
    before = files_of(root, "mine")
    assert "models/mine/last.safetensors" in before

    refused = train("--set", "epochs=3")
    assert refused.returncode == 1
    assert "'mine' is there already, unfinished, made with other settings" in said(refused)
    assert files_of(root, "mine") == before

    assert train("--set", "checkpoint_every=1").returncode == 0
    train("--set", "checkpoint_every=1", "--run", "whole")
    names = ("best-1.safetensors", "predictions.parquet")
    assert all(root.read_file(f"models/mine/{name}") == root.read_file(f"models/whole/{name}") for name in names)


def test_a_finished_run_says_what_made_it_and_keeps_no_checkpoint(train: Run, root: Store) -> None:
    assert train("--set", "keep_best=2", "--set", "select_by=last").returncode == 0
    document = json.loads(root.read_file("models/mine/run.json"))
    assert [(one["file"], one["epoch"]) for one in document["kept"]] == [
        ("best-2.safetensors", 2),
        ("best-1.safetensors", 1),
    ]
    assert (document["device"], document["processes"]) == ({"type": "cpu"}, 1)
    assert {"torch", "python", "csmv"} <= document["versions"].keys()
    assert not root.exists("models/mine/last.safetensors")


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object) -> None:
        raise AssertionError("a finished run has no need of this")

    monkeypatch.setattr(training, "load_corpus", refuse)
    monkeypatch.setattr(data, "load_features", refuse)
    monkeypatch.setattr("csmv.pipeline.vccsa.run_files._sha256", refuse)
    yield


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A BERT of four words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path / "encoder"
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "love": 2, "bad": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 16}
    BertModel(BertConfig(vocab_size=4, hidden_size=8, **small)).save_pretrained(folder)
    return folder


def test_a_finished_run_is_known_before_data_or_an_encoder_is_read(
    train: Run, encoder: Path, request: pytest.FixtureRequest
) -> None:
    asked = ("--model", "text", "--set", f"text.encoder={encoder}", "--set", "text.max_tokens=8", "--set", "epochs=1")
    first = train(*asked)
    assert first.returncode == 0, first.stderr

    request.getfixturevalue("forbidden")
    assert "was finished already" in train(*asked).stdout
    shutil.rmtree(encoder)
    assert "was finished already" in train(*asked).stdout


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("token*"):
        file.unlink()


def with_another_layer(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 2}))


def as_it_is(folder: Path) -> None:
    """Its 16 positions are too few for 17 tokens."""


@pytest.mark.parametrize(
    ("spoil", "tokens", "says"),
    [
        (without_tokenizer, 8, "It is missing from the folder, or another encoder's"),
        (with_another_layer, 8, "lack encoder.layer.1."),
        (as_it_is, 17, "reads at most 16 tokens, and texts may have 17"),
    ],
)
def test_an_encoder_that_would_mislead_is_refused_and_the_old_run_stays(
    train: Run, root: Store, encoder: Path, spoil: Callable[[Path], None], tokens: int, says: str
) -> None:
    assert train().returncode == 0
    before = files_of(root, "mine")
    spoil(encoder)

    asked = ("--model", "text", "--set", f"text.encoder={encoder}", "--set", f"text.max_tokens={tokens}")
    refused = train(*asked, "--overwrite")

    assert refused.returncode == 1
    assert says in said(refused)
    assert files_of(root, "mine") == before


def test_status_tells_of_a_failed_run_of_the_configuration(csmv_inside: Run, root: Store) -> None:
    optimizer = {"learning_rate": 1e30, "clip_norm": None}
    record_section(root, "train", TrainConfig.model_validate(SMALL | {"optimizer": optimizer}))
    assert csmv_inside("train", "--root", root.root).returncode == 1

    status = csmv_inside("status", root.root)

    assert "failed, since its numbers were not finite" in " ".join(status.stdout.split())


# ---------------------------------------------------------------- sweeps, and what chooses


def other_test_labels(row: dict) -> dict | None:
    """A test comment has the label that the next class has."""
    if part_of(row["comment_id"]) != "test":
        return row
    opinions = list(WORDS)
    opinion = opinions[(opinions.index(row["opinion"]) + 1) % 3]
    return row | {"opinion": opinion, "emotion": WORDS[opinion][1]}


def swept(
    store: Store, rates: tuple[object, ...] = (1e-3, 1e-2), seeds: tuple[int, ...] = (1, 2), **base: object
) -> Any:
    asked = {"name": "widths", "base": SMALL | base, "seeds": seeds}
    runs = write_sweep(store, SweepConfig.model_validate(asked | {"grid": {"optimizer.learning_rate": rates}}))
    for number in range(runs):
        train_point(store, "widths", number)
    return results(store, "widths")


def test_no_test_label_moves_weights_epochs_or_what_a_sweep_chooses(root: Store, tmp_path: Path) -> None:
    other = Store.open(str(shutil.copytree(root.root, tmp_path / "other")))
    write_labels(other, other_test_labels)

    first, second = (swept(store, (1e-3, 1e-2, 1e-1), (1,), epochs=3, model="vccsa") for store in (root, other))

    names = [name for name in root.files("models") if name.endswith(".safetensors")]
    assert len(names) == 3
    assert all(root.read_file(name) == other.read_file(name) for name in names)
    assert [row["chosen"] for row in first] == [row["chosen"] for row in second]
    for one, two in zip(first, second, strict=True):
        dev = [key for key in one if key.startswith("dev_")]
        assert dev and {key: one[key] for key in dev} == {key: two[key] for key in dev}
    assert [row["test_opinion_micro_f1"] for row in first] != [row["test_opinion_micro_f1"] for row in second]


def test_a_sweep_chooses_by_dev_and_shows_both(root: Store) -> None:
    rows = swept(root)
    by_dev = [row["dev_opinion_micro_f1"] + row["dev_emotion_micro_f1"] for row in rows]
    assert [row["chosen"] for row in rows] == [score == max(by_dev) for score in by_dev]
    table = root.read_file("sweeps/widths/results.md").decode()
    assert "dev opinion micro" in table.splitlines()[0] and "test opinion micro" in table.splitlines()[0]


def test_a_sweep_takes_more_seeds_later_and_trains_only_those(root: Store) -> None:
    swept(root)
    before = {name: root.read_file(name) for name in root.files("models")}
    rows = swept(root, seeds=(1, 2, 3))
    assert [row["seeds"] for row in rows] == [3, 3]
    assert {name: root.read_file(name) for name in before} == before
    assert [row["seeds"] for row in swept(root, seeds=(1,))] == [3, 3]
    with pytest.raises(CsmvError, match="differs in more than its seeds"):
        swept(root, (1e-3, 2e-2))


def test_a_sweep_leaves_out_what_diverged(root: Store) -> None:
    rows = swept(root, (1e-3, 1e30), optimizer={"clip_norm": None})
    assert [(row["optimizer.learning_rate"], row["seeds"]) for row in rows] == [(1e-3, 2)]
    assert all("not finite" in reason for reason in failed_runs(root, "widths").values())
    assert len(failed_runs(root, "widths")) == 2


def test_a_sweep_of_other_labels_is_refused(root: Store) -> None:
    swept(root)
    write_labels(root, other_test_labels)
    with pytest.raises(CsmvError, match="give a new sweep another name"):
        swept(root)


def test_a_sweep_is_replaced_where_that_is_asked_for(root: Store) -> None:
    swept(root)
    before = {name: root.read_file(name) for name in root.files("models") if name.endswith("/run.json")}
    asked = {"name": "widths", "base": SMALL, "seeds": (1, 2), "grid": {"optimizer.learning_rate": (1e-3,)}}
    smaller = SweepConfig.model_validate(asked)

    with pytest.raises(CsmvError, match="replace it with --overwrite"):
        write_sweep(root, smaller)
    assert write_sweep(root, smaller, "always") == 2
    train_point(root, "widths", 0, "always")
    assert all(root.read_file(name) == content for name, content in before.items())  # nothing to replace yet
    write_labels(root, other_test_labels)
    for number in range(2):
        train_point(root, "widths", number, "always")

    assert [row["seeds"] for row in results(root, "widths")] == [2]
    assert sum(root.read_file(name) != content for name, content in before.items()) == 2
