"""Runs the stages of a root in a forked child, as often as asked: libraries and networks load once.

Reads a root a line, answers with the child's process id, and when the child ends with `done` or `killed`. Each child
leads a process group of its own, so that whoever kills it takes its decoding workers along.
"""

import os
import sys
import traceback

import torch

from csmv.extractors import engine  # noqa: F401
from csmv.pipeline.collect import ingest
from csmv.pipeline.config import read_config
from csmv.pipeline.features import extract_shard, load
from csmv.pipeline.media.stage import media_shard
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store


def run_stages(root: str) -> None:
    store = Store.open(root)
    store.sweep()
    config = read_config(store)
    ingest(store, source_of(config.source), config.scrub, store.key())
    for shard in store.shards():
        media_shard(store, shard, source_of(config.source))
    for shard in store.shards():
        extract_shard(store, shard, *config.features)
    for split in config.splits:
        build_split(store, split)
    store.sweep()


def main() -> None:
    torch.set_num_threads(1)  # before the fork: a pool of threads does not survive one
    for line in sys.stdin:
        for config in read_config(Store.open(line.strip())).features:
            load(config)  # kept, so that children find it
        child = os.fork()
        if child == 0:
            os.setsid()
            try:
                run_stages(line.strip())
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print("done" if status == 0 else "killed" if os.WIFSIGNALED(status) else "failed", flush=True)


if __name__ == "__main__":
    main()
