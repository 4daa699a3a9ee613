"""What the tests of forgetting run in processes of their own: `python forgotten_at_once.py TASK ROOT ...`."""

import os
import sys
import traceback
from pathlib import Path

import numpy as np
import pyarrow as pa

from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.privacy.forgotten import Forgotten, Request, remember
from csmv.pipeline.schemas import COMMENTS, features_spec
from csmv.pipeline.scrub.ordinary import is_ordinary
from csmv.pipeline.store import Store

SPEC = features_spec(4)


def features_of(videos: list[str]) -> pa.Table:
    """A row of features for each video."""
    return pa.Table.from_pylist(
        [{"video_id": video, "features": np.ones((2, 4), np.float32).tolist()} for video in videos], SPEC.schema
    )


def write_in_a_loop(root: str, until: str) -> None:
    """Rewrite a root's comments and features as they are now, over and over, as stages do."""
    store = Store.open(root)
    comments = {shard: store.read("comments", shard) for shard in store.shards()}
    videos = {shard: store.read("videos", shard)["video_id"].to_pylist() for shard in store.shards()}
    while not Path(until).exists():
        for shard in store.shards():
            store.write("comments", shard, comments[shard])
            store.write("features/i3d", shard, features_of(videos[shard]), SPEC)
            print("wrote", flush=True)


def forget_each(root: str, *raw_ids: str) -> None:
    """Forget comments one after the other."""
    for raw_id in raw_ids:
        forget(Store.open(root), comment_ids=[raw_id])


class SlowStore(Store):
    """A store whose first write of a table waits between having its bytes and committing them, until a line comes."""

    waited = False

    def write_file(self, relative: str, data: bytes) -> None:
        """Commit a file."""
        if relative.startswith("comments/") and not self.waited:
            self.waited = True
            print("about to write", flush=True)
            sys.stdin.readline()
        super().write_file(relative, data)


def write_slowly(root: str, shard: str) -> None:
    """Write a shard of comments with other numbers of likes, as a stage does that was run again."""
    store = SlowStore(root)
    rows = [row | {"like_count": 7} for row in store.read("comments", int(shard)).to_pylist()]
    store.write("comments", int(shard), pa.Table.from_pylist(rows, schema=COMMENTS.schema))


def forget_slowly(root: str, raw_id: str) -> None:
    """Forget a comment."""
    forget(SlowStore(root), comment_ids=[raw_id])


def remember_when_told(root: str, handle: str) -> None:
    """Add a request at the moment a line comes in, everything being loaded by then."""
    store = Store(root)
    remember(Store(f"{root}/warm-{handle}"), Request(handles=frozenset({handle})))
    print("ready", flush=True)
    sys.stdin.readline()
    assert remember(store, Request(handles=frozenset({handle}))).is_forgotten_person(handle)


def watch(root: str, handle: str) -> None:
    """Say whether a person is forgotten whenever asked."""
    store = Store(root)
    for _ in sys.stdin:
        print(Forgotten.of(store).is_forgotten_person(handle), flush=True)


def fork_forgets(*handles: str) -> None:
    """Forget persons in each root that a line names, in a child of its own; says the child's number and its end."""
    is_ordinary("a word")  # loaded before the fork
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                forget(Store.open(line.strip()), handles=handles)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print("done" if status == 0 else "killed" if os.WIFSIGNALED(status) else "failed", flush=True)


TASKS = {
    task.__name__: task
    for task in (
        *(write_in_a_loop, write_slowly, forget_each, forget_slowly),
        *(remember_when_told, watch, fork_forgets),
    )
}

if __name__ == "__main__":
    TASKS[sys.argv[1]](*sys.argv[2:])
