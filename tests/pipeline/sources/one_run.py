"""A whole run in a process of its own, for tests that kill it or weigh it: collection, tables, then media."""

import json
import re
import sys
from pathlib import Path

from csmv.pipeline.collect import collect
from csmv.pipeline.config import read_config
from csmv.pipeline.media.media_shard import media_shard
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.collect_settings import Connection
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.tables import write_tables
from csmv.pipeline.sources.web_visits import Report
from csmv.pipeline.store import Store


def held_at_most() -> int:
    """Bytes that this process had in memory at most, by the kernel's mark: not what its parent held."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else 0


def main(root: str, proxy: str, ca_file: str, what: str) -> None:
    store = Store.open(root)
    source = source_of(read_config(store).source)
    connection = Connection(proxy=proxy, ca_file=Path(ca_file))
    weights: dict[int, int] = {}

    def watch(_target: str, report: Report) -> None:
        if report.visits % 100 == 0:
            weights[report.visits] = held_at_most()

    reach = Reach(connection, watch=watch, refresh_after=0 if what == "refresh" else None)
    collect(store, source, reach, pause=lambda _seconds: None)
    write_tables(store, source, read_config(store).scrub, store.key())
    if what == "all":
        for shard in store.shards():
            media_shard(store, shard, source, reach=Reach(connection))
    weights[-1] = held_at_most()
    print(json.dumps(weights))


if __name__ == "__main__":
    main(*sys.argv[1:])
