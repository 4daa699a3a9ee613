"""A reparse by a mended reader, killed over and over in forks of a process that has loaded everything already."""

import json
import os
import random
import shutil
import signal
import sys
import time
from typing import Any

from csmv.pipeline.config import read_config
from csmv.pipeline.sources import responses
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.reparse import reparse
from csmv.pipeline.store import Store

_HYDRATION = responses.read_hydration


def mended(page: bytes) -> tuple[dict[str, Any], Any]:
    """Reads `itemStruct` where the site calls it `item`."""
    scope, verdict = _HYDRATION(page)
    info = scope.get("webapp.video-detail", {}).get("itemInfo", {})
    if "item" in info:
        info["itemStruct"] = info.pop("item")
    return scope, verdict


def reparsed(root: str) -> None:
    store = Store.open(root)
    config = read_config(store)
    reparse(store, source_of(config.source), config.scrub, store.key())


def killed(root: str, seconds: float) -> bool:
    """Kill a reparse after so long; whether it was still at it."""
    child = os.fork()
    if child == 0:
        reparsed(root)
        os._exit(0)
    time.sleep(seconds)
    working = os.waitpid(child, os.WNOHANG)[0] == 0
    if working:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return working


def main(root: str, twin: str, kills: int) -> None:
    responses.read_hydration = mended
    shutil.copytree(root, twin)
    spare = f"{twin}-spare"
    shutil.copytree(root, spare)
    shutil.copytree(root, f"{twin}-warm")
    reparsed(f"{twin}-warm")
    began = time.monotonic()
    reparsed(twin)
    takes = time.monotonic() - began
    draw = random.Random(kills)
    landed = roots = 0
    while landed < kills:
        if killed(root, draw.uniform(0, takes)):
            landed += 1
        else:
            shutil.rmtree(root)
            shutil.copytree(spare, root)
            roots += 1
    reparsed(root)
    print(json.dumps({"kills": landed, "roots": roots, "takes_s": takes}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
