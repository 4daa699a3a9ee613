"""One call trains every model; a finished run is not trained again; a killed one ends in the same weights."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from killed_runs import assert_killed_run_is_whole
from safetensors.torch import load

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import loop, train
from csmv.pipeline.vccsa.predict import predict
from csmv.pipeline.vccsa.prefetch import ahead
from csmv.pipeline.vccsa.text import HubTokenizer, load_encoder
from csmv.pipeline.vccsa.train_config import MODELS, TextConfig, TrainConfig
from csmv.pipeline.vccsa.training import read_run

QUICK = TrainConfig(
    features=("synthetic",),
    epochs=2,
    batch_size=16,
    seed=1,
).replace(
    {
        "sizes.visual_dim": 16,
        "sizes.ground_dim": 8,
        "sizes.consensus_dim": 8,
        "sizes.scales": 2,
        "sizes.visual_length": 12,
        "sizes.paper_text_length": 16,
        "text.tiny_dim": 16,
        "text.tiny_vocabulary": 256,
    }
)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_under_the_same_call(root: Store, model: str) -> None:
    result = train(root, QUICK.replace({"model": model}), f"every-{model}")

    rows = pq.read_table(root.path(result.predictions)).to_pylist()
    test = [row for row in rows if row["split"] == "test"]
    assert {row["split"] for row in rows} == {"dev", "test"}
    right = np.mean([row["opinion"] == row["predicted_opinion"] for row in test])
    assert result.metrics["test"]["opinion"]["micro_f1"] == pytest.approx(right)
    for row in rows:
        assert sum(row["emotion_probabilities"]) == pytest.approx(1, abs=1e-5)
        assert "text" not in row
    assert len(result.history) == (0 if model in ("majority", "tfidf") else 2)


def test_the_video_helps_where_labels_depend_on_it(root: Store) -> None:
    longer = QUICK.replace({"epochs": 14, "sizes.visual_dim": 32, "text.tiny_dim": 32, "optimizer.learning_rate": 3e-3})
    found = {
        model: train(root, longer.replace({"model": model}), f"helps-{model}").metrics["test"]
        for model in ("text", "vccsa")
    }
    for task in ("opinion", "emotion"):
        assert found["vccsa"][task]["micro_f1"] > found["text"][task]["micro_f1"] + 0.15, task


def test_a_finished_run_is_read_not_trained_again(root: Store) -> None:
    first = train(root, QUICK, "twice")
    before = {name: root.read_file(name) for name in root.files("models/twice")}

    second = train(root, QUICK, "twice")
    assert (first.trained, second.trained) == (True, False)
    assert second.metrics == first.metrics
    assert {name: root.read_file(name) for name in root.files("models/twice")} == before
    assert read_run(root, "twice")[0] == QUICK

    with pytest.raises(CsmvError, match=r"'twice' is there already, with other settings \(seed\)"):
        train(root, QUICK.replace({"seed": 2}), "twice")
    assert {name: root.read_file(name) for name in root.files("models/twice")} == before

    third = train(root, QUICK.replace({"seed": 2}), "twice", overwrite="always")
    assert third.trained
    assert third.fingerprint != first.fingerprint


def test_same_seed_same_weights_other_seed_other_weights(root: Store) -> None:
    weights = []
    for name, seed in (("seed-a", 5), ("seed-b", 5), ("seed-c", 6)):
        train(root, QUICK.replace({"seed": seed}), name)
        weights.append(root.read_file(f"models/{name}/best-1.safetensors"))
    assert weights[0] == weights[1] != weights[2]


def test_a_run_trained_anew_forgets_the_old_one_at_once(root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    config = QUICK.replace({"model": "video", "keep_best": 2, "select_by": "last"})
    train(root, config, "anew")
    assert root.exists("models/anew/best-2.safetensors")

    step, other = loop._step, config.replace({"seed": 9, "keep_best": 1})
    with monkeypatch.context() as patched:
        patched.setattr(loop, "_step", lambda *arguments: step(*arguments) if arguments[6] < 3 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(root, other, "anew", overwrite="always")
    with pytest.raises(CsmvError, match="no finished run"):
        read_run(root, "anew")

    train(root, other, "anew")
    assert not root.exists("models/anew/best-2.safetensors")


def test_runs_at_the_same_time_in_one_process_do_not_meet(root: Store) -> None:
    def last(run: str) -> bytes:
        train(root, QUICK.replace({"model": "video"}), run)
        return root.read_file(f"models/{run}/predictions.parquet")

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(last, ("met-a", "met-b", "met-c")))

    assert {*together} == {last("met-none")}


@pytest.mark.parametrize(
    ("changes", "kills"),
    [({}, [0, 1, 5, 4, 7, 3, 2]), ({"model": "text", "text.frozen": True}, [4])],
    ids=["as usual", "with a frozen encoder"],
)
def test_killed_at_any_step_it_ends_in_the_same_weights(new_root, changes: dict[str, object], kills: list[int]) -> None:
    store = new_root(videos=9, comments=14)
    config = QUICK.replace(
        {
            "epochs": 3,
            "batch_size": 8,
            "checkpoint_every": 3,
            "optimizer.accumulate": 2,
            "keep_best": 3,
            "select_by": "last",
        }
        | changes
    )
    assert_killed_run_is_whole(store, config, kills, checkpoints=3)


def test_accumulated_batches_step_like_one_large_batch(root: Store) -> None:
    """Without dropout, and with every comment labelled, two halves give the gradient of the whole."""
    still = QUICK.replace({"model": "video", "sizes.dropout": 0.0, "bucket_by_length": False, "epochs": 1})
    losses = [
        train(root, still.replace(change), f"accumulate-{k}").history[0]["loss"]
        for k, change in enumerate(({"batch_size": 32}, {"batch_size": 16, "optimizer.accumulate": 2}))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_batches_made_ahead_change_no_byte_and_no_name(root: Store) -> None:
    for run, prefetch in (("not-ahead", 0), ("ahead", 3)):
        train(root, QUICK.replace({"prefetch": prefetch, "optimizer.accumulate": 2}), run)
    for name in ("best-1.safetensors", "predictions.parquet"):
        assert root.read_file(f"models/ahead/{name}") == root.read_file(f"models/not-ahead/{name}")
    assert QUICK.replace({"prefetch": 0}).identity == QUICK.identity


def test_jobs_are_done_ahead_in_order_and_an_error_comes_in_its_place() -> None:
    begun = {number: threading.Event() for number in range(6)}

    def make(number: int) -> int:
        begun[number].set()
        return 12 // (4 - number)

    results = ahead(range(6), make, most=2)
    assert next(results) == 3
    assert all(begun[number].wait(10) for number in (1, 2))  # before anybody asked for them
    assert not begun[4].is_set()
    assert [next(results) for _ in range(3)] == [4, 6, 12]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(ahead(range(3), make, most=0)) == [3, 4, 6]


def test_early_stopping_ends_a_run_that_gets_no_better(root: Store) -> None:
    stuck = QUICK.replace({"epochs": 30, "optimizer.learning_rate": 1e-12, "early_stopping": 2})
    assert len(train(root, stuck, "stuck").history) == 3


def test_lower_precision_trains(root: Store) -> None:
    result = train(root, QUICK.replace({"optimizer.precision": "bf16"}), "precision-bf16")
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def test_a_name_that_can_not_be_a_folder_is_refused(root: Store) -> None:
    with pytest.raises(CsmvError, match="run's name"):
        train(root, QUICK, "../elsewhere")


def test_an_encoder_that_is_not_there_says_what_to_name(root: Store, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CsmvError, match=r"can't be loaded .* or `tiny`"):
        train(root, QUICK.replace({"text.encoder": str(tmp_path)}), "nowhere")


@pytest.mark.parametrize("frozen", [True, False])
def test_an_encoder_directory_is_tuned_or_left_as_it_is(root: Store, encoder_folder: Path, frozen: bool) -> None:
    config = QUICK.replace(
        {"text.encoder": str(encoder_folder), "text.frozen": frozen, "text.max_tokens": 20, "epochs": 1}
    )
    train(root, config, f"encoder-{frozen}")

    before = load((encoder_folder / "model.safetensors").read_bytes())
    after = load(root.read_file(f"models/encoder-{frozen}/best-1.safetensors"))
    prefix = "text_encoder.text_encoder."
    same = all(torch.equal(before[key], after[prefix + key][: len(before[key])]) for key in before)  # emoji are added
    assert same == frozen


def test_emoji_that_the_vocabulary_lacks_become_tokens_named_in_its_words(encoder_folder: Path) -> None:
    config = TextConfig(encoder=str(encoder_folder), max_tokens=20)
    encoder, tokenizer = load_encoder(config)
    blind, known = load_encoder(config.model_copy(update={"emoji": False}))

    [before], [after] = (one.encode(["so good😂😂 \U0001faf8"], 20) for one in (known, tokenizer))
    unknown, cls, sep, so, good = 1, 2, 3, 8, 9
    assert before == [cls, so, good, unknown, unknown, sep]
    assert after[:3] == [cls, so, good]
    assert len({*after[3:]}) == 3  # the laughing face twice, a hand that this Unicode may not name, the end
    assert unknown not in after

    old, new = blind.get_input_embeddings().weight, encoder.get_input_embeddings().weight
    torch.testing.assert_close(new[: len(old)], old)
    torch.testing.assert_close(new[after[3]], old[[10, 11]].mean(0))  # "face with tears of joy"
    again, _ = load_encoder(config)
    assert torch.equal(again.get_input_embeddings().weight, new)


def test_the_best_weights_are_those_that_answer_wherever_the_encoder_is_now(
    root: Store, encoder_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(encoder_folder, tmp_path / "encoder")
    config = QUICK.replace(
        {
            "model": "text",
            "text.encoder": str(folder),
            "text.max_tokens": 20,
            "keep_best": 2,
            "select_by": "last",
        }
    )
    result = train(root, config, "answers")
    assert result.weights == "models/answers/best-2.safetensors"
    rows = {row["comment_id"]: row for row in pq.read_table(root.path(result.predictions)).to_pylist()}
    comments = root.read_all("comments").to_pylist()
    asked = [row for row in comments if row["comment_id"] in rows][:20]

    shutil.rmtree(folder)
    (tmp_path / "not-looked-at.mp4").touch()
    answers = predict(root, "answers", tmp_path / "not-looked-at.mp4", [row["text"] for row in asked])

    for row, answer in zip(asked, answers, strict=True):
        assert [*answer.emotion.values()] == pytest.approx(rows[row["comment_id"]]["emotion_probabilities"], abs=1e-5)


def test_a_text_without_a_word_has_a_token_whatever_the_tokenizer() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "so": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    plain = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    assert HubTokenizer(plain).encode(["", "so", " "], 8) == [[1], [2], [1]]


def test_texts_longer_than_the_encoder_reads_are_refused(root: Store, encoder_folder: Path) -> None:
    with pytest.raises(CsmvError, match="at most 32 tokens, and texts may have 33"):
        train(
            root, QUICK.replace({"model": "text", "text.encoder": str(encoder_folder), "text.max_tokens": 33}), "long"
        )
