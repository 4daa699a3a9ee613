"""`csmv train`, `evaluate`, `predict` and `sweep` as a person runs them, on a small root and a real video."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.config import DatasetConfig
from pipeline.schemas import features_spec
from pipeline.splits import SplitConfig, build_split
from pipeline.store import Store
from pipeline.vccsa.training import read_run

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
    rows = {"video_id": [f"v{v}" for v in range(12)], "features": vectors.tolist()}
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
        assert store.exists(f"models/mine/evaluation/{file}"), file


def test_two_processes_train_what_one_does(
    csmv_inside: Run, root: str, settings: Path, environment: dict[str, str]
) -> None:
    command = ["train", "--root", root, "--config", str(settings), "--model", "video", "--run"]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "flows.cli"]

    assert csmv_inside(*command, "alone").returncode == 0
    subprocess.run([sys.executable, *launch, *command, "together"], env=environment, check=True, capture_output=True)

    alone, together = (read_run(Store.open(root), run)[1] for run in ("alone", "together"))
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
    from pipeline.sample.films import Film, make_film

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


def test_sweep_through_prefect_gives_means_and_spreads(csmv: Run, root: str, settings: Path) -> None:
    command = ("sweep", "--root", root, "--name", "widths", "--config", settings, "--model", "video", "--json")
    swept = csmv(*command, "--set", "sizes.visual_dim=4,8", "--seeds", 2)
    assert swept.returncode == 0, swept.stderr

    rows = json.loads(swept.stdout)
    assert [(row["sizes.visual_dim"], row["seeds"]) for row in rows] == [(4, 2), (8, 2)]
    assert Store.open(root).exists("sweeps/widths/results.tex")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--model", "vcca"], "majority"),
        (["train", "--model", "text", "--set", "sizes.scalse=2"], "did you mean 'scales'"),
        (["train", "--model", "text", "--split", "other"], "no split 'other'"),
        (["train", "--config", "nowhere.yaml"], "no configuration file"),
        (["evaluate", "nobody"], "no finished run 'nobody'"),
        (["predict", "x.mp4", "--comment", "a", "--run", "nobody"], "no finished run 'nobody'"),
    ],
)
def test_what_is_wrong_is_one_sentence(csmv_inside: Run, root: str, arguments: list[str], says: str) -> None:
    found = csmv_inside(*arguments, "--root", root)
    assert found.returncode == 1
    assert says in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
