"""A whole run in a process of its own, for tests that kill it or weigh it: collection, tables, then media."""

import json
import re
import sys
from pathlib import Path

from pipeline.collect import collect, pacer_for, web_source
from pipeline.download import MediaSettings, download
from pipeline.sources.settings import Connection
from pipeline.sources.web import Report
from pipeline.store import Store


def held_at_most() -> int:
    """Bytes that this process had in memory at most, by the kernel's mark: not what its parent held."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else 0


def main(root: str, proxy: str, ca_file: str, what: str) -> None:
    store = Store.open(root)
    source = web_source(store)
    connection = Connection(proxy=proxy, ca_file=Path(ca_file))
    pacer = pacer_for(store, source, connection)
    weights: dict[int, int] = {}

    def watch(_target: str, report: Report) -> None:
        if report.visits % 100 == 0:
            weights[report.visits] = held_at_most()

    collect(store, connection, pacer, watch=watch, backoff=lambda _seconds: None)
    if what == "all":
        download(store, MediaSettings(manners=source.manners), connection, pacer)
    weights[-1] = held_at_most()
    print(json.dumps(weights))


if __name__ == "__main__":
    main(*sys.argv[1:])
