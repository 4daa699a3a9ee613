"""`csmv train`, `evaluate`, `predict` and `sweep` as a person runs them, on a small root and a real video."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.schemas import features_spec
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.experiments.experiment import experiment_name
from csmv.pipeline.vccsa.sweep import read_sweep
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import read_run

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SMALL = {
    "epochs": 2,
    "features": ["r2plus1d_18"],
    "split": "video",
    "sizes": {"visual_dim": 16, "ground_dim": 8, "consensus_dim": 8, "scales": 2},
    "text": {"tiny_dim": 16, "tiny_vocabulary": 256},
}
WORDS = {"positive": "love it", "neutral": "which song", "negative": "so bad"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve videos with eight comments each, and features of the demo's width."""
    chance = random.Random(1)
    config = {
        "name": "small",
        "n_shards": 1,
        "source": {"kind": "folder", "path": "nowhere"},
        "features": [{"extractor": "r2plus1d_18", "weights": "random"}],
        "train": [{"model": "majority", "split": "video"}, {"model": "text", **SMALL}],
    }
    store = Store.create(str(tmp_path_factory.mktemp("cli") / "root"), DatasetConfig.model_validate(config))
    comments, labels = [], []
    for v in range(12):
        for c in range(8):
            opinion = chance.choice(list(WORDS))
            comment = {"comment_id": f"c{v}-{c}", "video_id": f"v{v}", "text": WORDS[opinion], "pii": []}
            comments.append(comment | {"like_count": 0, "reply_to": None, "created_on": None})
            labels.append({"comment_id": f"c{v}-{c}", "opinion": opinion, "emotion": "joy", "source": "published"})
    store.write("comments", 0, pa.Table.from_pylist(comments))
    store.write("labels", 0, pa.Table.from_pylist(labels))
    spec = features_spec(512)
    vectors = np.random.default_rng(0).normal(size=(12, 4, 512)).astype(np.float32)
    rows = {"video_id": [f"v{v}" for v in range(12)], "features": vectors.tolist(), "media_sha256": [None] * 12}
    store.write("features/r2plus1d_18", 0, pa.table(rows, schema=spec.schema), spec)
    build_split(store, SplitConfig(kind="video"))
    return store.root


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "train.yaml"
    path.write_text(json.dumps(SMALL))  # JSON is YAML
    return path


def test_train_then_evaluate(csmv_inside: Run, root: str, settings: Path) -> None:
    csmv = csmv_inside
    trained = csmv("train", "--root", root, "--config", settings, "--model", "vccsa", "--run", "mine", "--json")
    assert trained.returncode == 0, trained.stderr
    [result] = json.loads(trained.stdout)
    assert (result["run"], result["trained"]) == ("mine", True)

    listed = csmv("train", "--root", root)
    assert listed.returncode == 0, listed.stderr
    assert "majority-video-" in listed.stdout
    assert "text-video-" in listed.stdout
    assert "was finished already" in csmv("train", "--root", root).stdout

    store = Store.open(root)
    floor = next(name.split("/")[1] for name in store.files("models") if name.startswith("models/majority"))
    judged = csmv("evaluate", "mine", "--root", root, "--against", floor, "--resamples", 50)
    assert judged.returncode == 0, judged.stderr
    assert "difference" in judged.stdout
    found = json.loads(store.read_file("models/mine/evaluation/test.json"))
    assert found["by_video_seen_in_train"]["seen"]["opinion"] == {"n": 0}
    for file in ("results.md", "results.tex", "results.json", "confusion-opinion.svg", "reliability-emotion.svg"):
        assert store.exists(f"models/mine/evaluation/test-{file}"), file

    both = csmv("evaluate", "mine", floor, "--root", root, "--part", "dev", "--resamples", 50, "--no-figures")
    assert both.returncode == 0, both.stderr
    assert store.read_file("reports/runs-dev.md").decode().count("\n") == 4


def test_seeds_are_evaluated_and_compared_as_one_experiment(csmv_inside: Run, root: str) -> None:
    for model in ("majority", "tfidf"):
        seeds = ("--seed", 1, "--seed", 2, "--set", "batch_size=16")
        trained = csmv_inside("train", "--root", root, "--model", model, "--split", "video", *seeds)
        assert (
            f"csmv evaluate {experiment_name(TrainConfig(model=model, split='video', batch_size=16))}" in trained.stdout
        )
    floor, words = (
        experiment_name(TrainConfig(model=model, split="video", batch_size=16)) for model in ("majority", "tfidf")
    )

    judged = csmv_inside("evaluate", words, "--against", floor, "--root", root, "--resamples", 50, "--json")

    assert judged.returncode == 0, judged.stderr
    [one] = json.loads(judged.stdout)
    assert (one["run"], one["seed"]) == (words, [1, 2])
    assert one["compared"]["seeds"] == {"first": [1, 2], "second": [1, 2], "paired": True}
    folder = f"reports/experiments/{words}"
    assert "±" in Store.open(root).read_file(f"{folder}/test-results.md").decode()
    assert Store.open(root).exists(f"{folder}/test-reliability-opinion.svg")


def test_a_seed_may_be_set_like_any_field(csmv_inside: Run, root: str) -> None:
    found = csmv_inside("train", "--root", root, "--model", "majority", "--set", "seed=5", "--run", "seeded")
    assert found.returncode == 0, found.stderr
    assert read_run(Store.open(root), "seeded")[0].seed == 5


def test_a_task_with_one_class_can_be_trained_on(csmv_inside: Run, root: str) -> None:
    """Every comment of this root has the emotion joy."""
    found = csmv_inside("train", "--root", root, "--model", "tfidf", "--run", "one-class")
    assert found.returncode == 0, found.stderr
    assert read_run(Store.open(root), "one-class")[1].metrics["test"]["emotion"]["micro_f1"] == 1


def test_two_processes_train_what_one_does(
    csmv_inside: Run, root: str, settings: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """As `accelerate launch` starts them on GPUs; it starts no second process on a CPU, so torch's launcher does."""
    other = shutil.copytree(root, tmp_path / "root", ignore=shutil.ignore_patterns("models"))
    told = ["--config", str(settings), "--model", "video", "--set", "sizes.dropout=0"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    launch += ["--redirects", "3", "--log-dir", str(tmp_path / "logs"), "-m", "csmv.flows.cli"]
    cpu = environment | {"ACCELERATE_USE_CPU": "true"}

    assert csmv_inside("train", "--root", root, *told).returncode == 0
    subprocess.run([sys.executable, *launch, "train", "--root", other, *told], env=cpu, check=True, capture_output=True)

    first, second = (next((tmp_path / "logs").rglob(f"{rank}/stdout.log")).read_text() for rank in (0, 1))
    assert "trained" in first
    assert second == ""
    [run] = {path.split("/")[1] for path in Store.open(str(other)).files("models")}
    alone, together = (read_run(Store.open(str(where)), run)[1] for where in (root, other))
    assert [epoch["loss"] for epoch in together.history] == pytest.approx(
        [epoch["loss"] for epoch in alone.history], rel=1e-4
    )
    assert together.metrics["test"]["opinion"]["micro_f1"] == alone.metrics["test"]["opinion"]["micro_f1"]


def test_tensorboard_is_told_of_every_epoch(csmv_inside: Run, root: str, settings: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told = csmv_inside(
        *("train", "--root", root, "--config", settings, "--model", "video", "--run", "logged"), "--log", "tensorboard"
    )
    assert told.returncode == 0, told.stderr

    losses = []
    for events in (Path(root) / "private" / "tracking" / "logged").rglob("events.out.tfevents.*"):
        accumulator = EventAccumulator(str(events))
        accumulator.Reload()
        if "loss" in accumulator.Tags()["scalars"]:
            losses = [event.value for event in accumulator.Scalars("loss")]
    _, result = read_run(Store.open(root), "logged")
    assert losses == pytest.approx([epoch["loss"] for epoch in result.history])


def test_predict_names_seconds_and_shows_them(csmv: Run, root: str, settings: Path, tmp_path: Path) -> None:
    from csmv.pipeline.demo.sample.films import Film, make_film

    film = Film("film", "party", 160, 284, 30, 2.2, 1)
    make_film(film, tmp_path / "film.mp4")
    csmv("train", "--root", root, "--config", settings, "--model", "vccsa", "--run", "mine")
    page = tmp_path / "page.html"

    asked = csmv(
        *("predict", tmp_path / "film.mp4", "--root", root, "--run", "mine", "--html", page, "--json"),
        *("--comment", "love it", "--comment", "<b>so bad</b>"),
    )

    assert asked.returncode == 0, asked.stderr
    first, second = json.loads(asked.stdout)
    assert sum(first["opinion"].values()) == pytest.approx(1, abs=1e-5)
    assert sum(window["weight"] for window in first["windows"]) == pytest.approx(1, abs=1e-5)
    assert sorted((w["start_s"], w["end_s"]) for w in second["windows"])[0] == (0, pytest.approx(16 / 24))
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 2 * len(first["windows"])
    assert "&lt;b&gt;so bad" in text
    assert "http" not in text.replace("http-equiv", "")


def test_predict_asks_about_many_comments(csmv_inside: Run, root: str, settings: Path, tmp_path: Path) -> None:
    csmv_inside("train", "--root", root, "--config", settings, "--model", "text", "--run", "asked")
    file = tmp_path / "asked.jsonl"
    file.write_text(
        '{"comment_id": "a", "text": "love it"}\n{"comment_id": "b"}\n{"comment_id": "c", "text": "so bad"}\n'
    )

    asked = ("predict", "--root", root, "--run", "asked")
    said = csmv_inside(*asked, "--comments", file)

    assert said.returncode == 0, said.stderr
    assert "2 of 3 comments have an answer" in said.stdout
    assert "(1 bad_row)" in said.stdout
    rows = pq.read_table(tmp_path / "asked.predictions.parquet").to_pylist()
    assert [row["comment_id"] for row in rows] == ["a", None, "c"]
    assert {row["predicted_opinion"] for row in rows} <= {*WORDS, None}
    told = csmv_inside(*asked, "--comments", file, "--out", tmp_path / "other.parquet", "--batch-size", 1, "--json")
    assert json.loads(told.stdout)["reasons"] == {"bad_row": 1}

    none = csmv_inside(*asked)
    assert (none.returncode, none.stdout) == (1, "")
    assert "has no comment without a label" in none.stderr
    gone = csmv_inside(*asked, tmp_path / "gone.mp4", "--comment", "love it")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "There is no video file" in gone.stderr


def test_predict_says_of_a_control_that_it_is_one(csmv_inside: Run, root: str, settings: Path, tmp_path: Path) -> None:
    control = ("--model", "video", "--set", "video=none", "--set", "epochs=1", "--run", "blind")
    csmv_inside("train", "--root", root, "--config", settings, *control)
    file = tmp_path / "asked.jsonl"
    video = Store.open(root).read_all("comments")["video_id"][0].as_py()
    file.write_text(json.dumps({"text": "love it", "video_id": video}) + "\n")

    said = csmv_inside("predict", "--root", root, "--run", "blind", "--comments", file, "--json")

    assert json.loads(said.stdout)["answered"] == 1
    assert "trained with zeros in place of every video's vectors (video=none)" in " ".join(said.stderr.split())


def test_what_the_video_gave_and_took(csmv_inside: Run, root: str, settings: Path) -> None:
    csmv = csmv_inside
    for model, run in (("vccsa", "mine"), ("text", "asked")):
        csmv("train", "--root", root, "--config", settings, "--model", model, "--run", run)

    page = csmv("errors", "mine", "--against", "asked", "--root", root)
    assert page.returncode == 0, page.stderr
    assert "turned right" in page.stdout
    assert Store.open(root).exists("models/mine/evaluation/test-errors-asked.html")
    [opinion, _] = json.loads(csmv("errors", "mine", "--against", "asked", "--root", root, "--json").stdout)["tasks"]
    assert opinion["comments"] == sum(opinion[key] for key in opinion if key not in ("task", "comments"))

    shares = csmv("attribution", "mine", "--root", root, "--resamples", 20)
    assert shares.returncode == 0, shares.stderr
    for name in ("its own video", "zeroed", "shuffled", "wrong video"):
        assert name in shares.stdout
    kept = json.loads(Store.open(root).read_file("models/mine/evaluation/test-attribution.json"))
    assert [kept] == json.loads(csmv("attribution", "mine", "--root", root, "--resamples", 20, "--json").stdout)

    judged = csmv("evaluate", "asked", "--root", root, "--resamples", 20, "--no-figures")
    assert "Pairs that agree: opinion 100.0%, emotion 100.0%" in " ".join(judged.stdout.split())
    assert json.loads(Store.open(root).read_file("models/asked/evaluation/test.json"))["same_text"]["opinion"]["pairs"]


def test_sweep_through_prefect_gives_means_and_spreads(csmv: Run, root: str, settings: Path) -> None:
    settings.with_name("video.yaml").write_text(json.dumps(SMALL | {"model": "video"}))
    command = ("sweep", "--root", root, "--name", "widths", "--config", settings.with_name("video.yaml"), "--json")
    swept = csmv(*command, "--set", "sizes.visual_dim=4,8", "--seeds", 2)
    assert swept.returncode == 0, swept.stderr

    rows = json.loads(swept.stdout)
    assert [(row["sizes.visual_dim"], row["seeds"]) for row in rows] == [(4, 2), (8, 2)]
    assert sum(row["chosen"] for row in rows) >= 1
    assert all({"dev_emotion_macro_f1", "test_emotion_macro_f1"} <= row.keys() for row in rows)
    assert Store.open(root).exists("sweeps/widths/results.tex")
    assert read_sweep(Store.open(root), "widths").base.model == "video"


@pytest.mark.slow
def test_ablate_evaluate_and_results_as_the_readme_shows_them(csmv: Run, root: str, settings: Path) -> None:
    base = settings.with_name("vccsa.yaml")
    base.write_text(json.dumps(SMALL | {"model": "vccsa", "epochs": 1}))
    command = ("ablate", "--root", root, "--preset", "controls", "--seeds", "0,1", "--config", base)
    ablated = csmv(*command)
    assert ablated.returncode == 0, ablated.stderr
    assert "| shuffled-video | 2 |" in ablated.stdout and "Against own-video" in ablated.stdout
    store = Store.open(root)
    runs = {name: store.read_file(name) for name in store.files("models") if name.endswith("/run.json")}

    again = csmv(*command, "--json")
    assert json.loads(again.stdout)["failed"] == {}
    assert {name: store.read_file(name) for name in runs} == runs

    judged = csmv("evaluate", "controls/own-video", "--against", "controls/no-video", "--root", root, "--no-figures")
    assert judged.returncode == 0, judged.stderr
    assert store.exists("reports/experiments/controls/own-video/test.json")
    page = csmv("results", "--root", root)
    assert page.returncode == 0, page.stderr
    assert "controls/text-only" in store.read_file("reports/results.md").decode()

    diverging = json.dumps(SMALL | {"model": "vccsa", "optimizer": {"learning_rate": 1e30, "clip_norm": None}})
    base.write_text(diverging)
    failed = csmv("ablate", "--root", root, "--preset", "curve", "--seeds", "0", "--config", base)
    assert failed.returncode == 1
    assert "not finite" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["train", "--model", "text", "--set", "sizes.scalse=2"], 2, "did you mean 'scales'"),
        (["train", "--model", "text", "--split", "other"], 1, "no split 'other'"),
        (["train", "--config", "nowhere.yaml"], 1, "'nowhere.yaml' is not there"),
        (["train", "--config", "nowhere.yaml", "--paper", "i3d"], 2, "give one of them"),
        (["train", "--model", "text", "--set", "sizes.scales=[1"], 2, "not YAML"),
        (["train", "--model", "text", "--set", "text.tiny_dim=30"], 2, "multiple of 4"),
        (["train", "--model", "text", "--seed", "9000000000"], 2, "less than 2147483648"),
        (["train", "--model", "text", "--log", "numpy"], 2, "--log takes tensorboard, wandb, mlflow"),
        (["sweep", "--name", "a b"], 2, "1 to 40 letters"),
        (["ablate", "--preset", "everything"], 2, "--preset takes paper, switches"),
        (["ablate", "--preset", "curve", "--fraction", "a half"], 2, "--fraction takes numbers"),
        (["ablate", "--preset", "controls", "--model", "text"], 2, "takes the video away"),
        (["evaluate", "nobody"], 1, "no finished run 'nobody'"),
        (["predict", "x.mp4", "--comment", "a", "--run", "nobody"], 1, "no finished run 'nobody'"),
        (["errors", "nobody", "--against", "either"], 1, "no finished run"),
        (["attribution", "nobody"], 1, "no finished run 'nobody'"),
        (["predict", "--comment", "a", "--run", "nobody"], 2, "are about a video file"),
        (["predict", "x.mp4", "--run", "nobody"], 2, "needs at least one --comment"),
        (["predict", "x.mp4", "--comment", "a", "--out", "b", "--run", "nobody"], 2, "are about the root's videos"),
        (["predict", "--comments", "nowhere.jsonl", "--run", "nobody"], 1, "There is no file 'nowhere.jsonl'"),
    ],
)
def test_what_is_wrong_is_one_sentence(csmv_inside: Run, root: str, arguments: list[str], code: int, says: str) -> None:
    found = csmv_inside(*arguments, "--root", root)
    assert found.returncode == code
    assert says in " ".join(found.stderr.replace("│", " ").split())
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
