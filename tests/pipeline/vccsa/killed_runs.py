"""Training killed after some steps, one process after the other, until one gets through."""

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import train
from csmv.pipeline.vccsa.train_config import TrainConfig

KILLER = """
    import os, signal, sys
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa import loop, train
    from csmv.pipeline.vccsa.train_config import TrainConfig

    store, config = Store.open(sys.argv[1]), TrainConfig.model_validate_json(sys.argv[2])
    step = loop._step
    for kill_at in map(int, sys.argv[3:]):
        child = os.fork()
        if child:
            ended = os.waitpid(child, 0)[1]
            print(os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else "ended", flush=True)
            continue
        done = 0
        def counted(*arguments):
            global done
            if done == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            return step(*arguments)
        loop._step = counted
        train(store, config, "killed")
        os._exit(0)
"""


def assert_killed_run_is_whole(store: Store, config: TrainConfig, kills: Sequence[int], checkpoints: int) -> None:
    """Train as the run `killed`, killed after so many steps each time, and as `whole`: their files are the same bytes.

    checkpoints: how many best ones the configuration keeps.
    """
    command = [sys.executable, "-c", textwrap.dedent(KILLER), store.root, config.model_dump_json()]
    command += [*map(str, kills), "1000"]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*(str(int(signal.SIGKILL)) for _ in kills), "ended"], done.stderr

    train(store, config, "whole")

    # Every epoch, the last among them: what the optimizer holds moved all but the first.
    names = [f"best-{k}.safetensors" for k in range(1, checkpoints + 1)]
    for name in (*names, "predictions.parquet", "metrics.json"):
        assert store.read_file(f"models/killed/{name}") == store.read_file(f"models/whole/{name}"), name
    assert not store.exists("models/killed/last.safetensors")
    histories = [
        json.loads(store.read_file(f"models/{run}/run.json"))["result"]["history"] for run in ("killed", "whole")
    ]
    assert histories[0] == histories[1]
