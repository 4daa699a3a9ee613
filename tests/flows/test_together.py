"""Two processes that train together, on a CPU: killed they go on to the same bytes, diverging they stop together."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))
from tiny_models import text_encoder

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.schemas import features_spec
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import train
from csmv.pipeline.vccsa.train_config import TrainConfig

SMALL = {
    "model": "vccsa",
    "epochs": 2,
    "batch_size": 8,
    "checkpoint_every": 2,
    "features": ["made_up"],
    "sizes": {"visual_dim": 8, "ground_dim": 4, "consensus_dim": 4, "scales": 1},
    "text": {"tiny_dim": 8, "tiny_vocabulary": 64},
}
KILLED_AT_STEP = """
    import os, signal, sys
    from csmv.flows.cli import main
    from csmv.pipeline.vccsa import loop

    step, steps = loop._step, [int(sys.argv.pop(1))]
    def counted(*arguments):
        if arguments[6] == steps[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments)
    loop._step = counted
    main()
"""
OTHERWISE = {
    "optimizer.schedule": "cosine",
    "optimizer.decay_biases_and_norms": "false",
    "text.learning_rate": "1e-3",
}
SCORED = """
    import sys
    from pathlib import Path
    import numpy as np
    from accelerate import Accelerator
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa import loop
    from csmv.pipeline.vccsa.checkpoints import load_weights
    from csmv.pipeline.vccsa.data import load_corpus
    from csmv.pipeline.vccsa.training import read_run

    store = Store.open(sys.argv[1])
    config, result = read_run(store, "mine")
    corpus = load_corpus(store, config)
    accelerator = Accelerator(cpu=True)
    network, batches, _ = loop.prepare(config, corpus)
    load_weights(store, result.weights, network)
    join, mine = batches.join, []
    def noted(rows, training):
        mine.extend(rows.tolist())
        return join(rows, training)
    batches.join = noted
    rows = np.concatenate([corpus.rows("dev"), corpus.rows("test")])
    answers = loop.answer(network, batches, rows, accelerator)
    out = Path(sys.argv[2]) / f"{accelerator.num_processes}-{accelerator.process_index}.npz"
    np.savez(out, mine=mine, **answers)
"""
Launch = Callable[..., list["subprocess.CompletedProcess[str]"]]


def make_root(folder: Path, comments_per_video: int) -> Store:
    """Eight videos, four numbers a vector."""
    config = {"name": "small", "n_shards": 1, "source": {"kind": "folder", "path": "nowhere"}}
    store = Store.create(str(folder), DatasetConfig.model_validate(config))
    comments, labels, split = [], [], []
    for v in range(8):
        for c in range(comments_per_video):
            ids = {"comment_id": f"c{v}-{c}", "video_id": f"v{v}"}
            opinion, text = (("positive", "love it"), ("neutral", "which song"), ("negative", "so bad"))[(v + c) % 3]
            comments.append(ids | {"text": text})
            labels.append({"comment_id": f"c{v}-{c}", "opinion": opinion, "emotion": "joy", "source": "published"})
            split.append(ids | {"split": ("train", "train", "train", "train", "dev", "test")[(v + c) % 6]})
    store.write("comments", 0, pa.Table.from_pylist([row | {"pii": [], "like_count": 0} for row in comments]))
    store.write("labels", 0, pa.Table.from_pylist(labels))
    store.write_split("comment", pa.Table.from_pylist(split))
    spec = features_spec(4)
    vectors = np.random.default_rng(0).normal(size=(8, 3, 4)).astype(np.float32).tolist()
    rows = {"video_id": [f"v{v}" for v in range(8)], "features": vectors, "media_sha256": [None] * 8}
    store.write("features/made_up", 0, pa.table(rows, schema=spec.schema), spec)
    return store


@pytest.fixture
def root(tmp_path: Path) -> Store:
    """Eight videos with six comments each, four numbers a vector."""
    return make_root(tmp_path / "root", 6)


def two_processes(command: Sequence[str], environment: dict[str, str]) -> list["subprocess.CompletedProcess[str]"]:
    """Runs a command as two ranks on a CPU that know of each other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    started = [
        subprocess.Popen(
            command,
            env=environment | place | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=300) for process in started]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *streams)
        for process, streams in zip(started, said, strict=True)
    ]


@pytest.fixture
def launch(environment: dict[str, str], tmp_path: Path) -> Launch:
    """Runs `csmv train` on a root in two processes that train together; both are killed before the step `kill_at`."""
    settings = tmp_path / "train.yaml"
    settings.write_text(json.dumps(SMALL))

    def together(root: str, *more: str, kill_at: int = -1) -> list["subprocess.CompletedProcess[str]"]:
        command = [sys.executable, "-c", textwrap.dedent(KILLED_AT_STEP), str(kill_at)]
        command += ["train", "--root", root, "--config", str(settings), "--run", "mine", *more]
        return two_processes(command, environment)

    return together


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vccsa", "text"])
def test_two_processes_score_a_share_each_and_what_one_does_to_the_byte(
    tmp_path: Path, environment: dict[str, str], model: str
) -> None:
    root = make_root(tmp_path / "root", 180)
    train(root, TrainConfig.model_validate(SMALL | {"model": model, "epochs": 1, "batch_size": 32}), "mine")
    command = [sys.executable, "-c", textwrap.dedent(SCORED), root.root, str(tmp_path)]

    subprocess.run(command, env=environment | {"OMP_NUM_THREADS": "1"}, check=True)
    assert [done.returncode for done in two_processes(command, environment)] == [0, 0]

    alone, *ranks = (np.load(tmp_path / f"{name}.npz") for name in ("1-0", "2-0", "2-1"))
    for task in ("opinion", "emotion"):
        assert alone[task].tobytes() == ranks[0][task].tobytes() == ranks[1][task].tobytes()
        assert (alone[task].sum(1) > 0.99).all()
    shares = [{*rank["mine"].tolist()} for rank in ranks]
    assert all(shares) and not shares[0] & shares[1]
    assert shares[0] | shares[1] == {*alone["mine"].tolist()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"text.frozen": "true"},
        {"text.encoder": "BERT", "text.frozen_layers": "1", "text.layer_decay": "0.7", **OTHERWISE},
        {"text.encoder": "BERT", "text.lora_rank": "2", **OTHERWISE},
    ],
    ids=["as usual", "frozen encoder", "frozen and slower layers", "low-rank additions"],
)
def test_two_processes_that_were_killed_end_in_the_same_bytes(
    root: Store, launch: Launch, tmp_path: Path, changes: dict[str, str]
) -> None:
    if "text.lora_rank" in changes:
        pytest.importorskip("peft")
    if "text.encoder" in changes:
        changes = changes | {"text.encoder": str(text_encoder(tmp_path / "bert")), "sizes.text_heads": "2"}
        changes |= {"text.max_tokens": "20"}
    more = [option for field, value in changes.items() for option in ("--set", f"{field}={value}")]
    whole = Store.open(str(shutil.copytree(root.root, tmp_path / "whole")))
    assert [done.returncode for done in launch(whole.root, *more)] == [0, 0]

    # The last step of the second epoch, of four: the checkpoint that it goes on from is one step older.
    assert [done.returncode for done in launch(root.root, *more, kill_at=7)] == [-signal.SIGKILL] * 2
    assert root.exists("models/mine/last.safetensors")
    assert not root.exists("models/mine/run.json")
    finished = launch(root.root, *more)

    assert [done.returncode for done in finished] == [0, 0], finished[0].stderr
    for name in ("best-1.safetensors", "predictions.parquet", "metrics.json"):
        assert root.read_file(f"models/mine/{name}") == whole.read_file(f"models/mine/{name}"), name
    runs = [json.loads(store.read_file("models/mine/run.json")) for store in (root, whole)]
    assert [run["processes"] for run in runs] == [2, 2]
    assert runs[0]["result"]["history"] == runs[1]["result"]["history"]
    assert not root.exists("models/mine/last.safetensors")


@pytest.mark.slow
def test_two_processes_whose_loss_is_no_number_stop_together_and_are_marked_failed(root: Store, launch: Launch) -> None:
    diverging = ("--set", "optimizer.learning_rate=1e30", "--set", "optimizer.clip_norm=null")

    stopped = launch(root.root, *diverging)

    assert [done.returncode for done in stopped] == [1, 1]
    for done in stopped:
        assert "The run 'mine' failed and is marked so. The loss is not finite at step" in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
    assert json.loads(root.read_file("models/mine/failed.json"))["epoch"] == 1
    assert not root.exists("models/mine/run.json")
