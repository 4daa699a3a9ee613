"""Visits sort in the order in which they began: in a tight loop, over threads and processes, on any clock."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count

from csmv.pipeline.sources.landing import Visit, VisitNames, new_visit
from csmv.pipeline.sources.walls import Done

OLD = "20261123T171500123Z-ab12cd"
AT = datetime(2026, 11, 23, 17, 15, 0, 123_000, UTC)


def nanoseconds(when: datetime) -> int:
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def visit(name: str) -> Visit:
    return Visit(f"private/landing/web/tags/ab/{name}.done.jsonl.zst", Done.DONE)


def test_names_of_a_tight_loop_sort_as_they_were_made() -> None:
    names = [new_visit() for _ in range(5000)]
    assert sorted(names) == names
    assert len(set(names)) == len(names)


def test_names_of_eight_threads_sort_as_each_made_them() -> None:
    begin = threading.Barrier(8)

    def some(_worker: int) -> list[str]:
        begin.wait()
        return [new_visit() for _ in range(1000)]

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(some, range(8)))
    assert all(sorted(names) == names for names in made)
    assert len({name for names in made for name in names}) == 8000


def test_names_of_two_processes_in_turn_sort_as_they_were_made() -> None:
    code = "from csmv.pipeline.sources.landing import new_visit\nwhile input(): print(new_visit(), flush=True)"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    names = []
    with (
        subprocess.Popen([sys.executable, "-c", code], **pipes) as one,
        subprocess.Popen([sys.executable, "-c", code], **pipes) as other,
    ):
        for process in [one, other] * 200:
            process.stdin.write("next\n")
            process.stdin.flush()
            names.append(process.stdout.readline())
        for process in (one, other):
            process.communicate("\n")
    assert sorted(names) == names


def test_a_clock_that_stands_still_or_steps_back_changes_no_order() -> None:
    def clock() -> Iterator[int]:
        yield from [nanoseconds(AT)] * 1000
        yield from (nanoseconds(AT - timedelta(hours=1)) + step for step in range(1000))
        yield from (nanoseconds(AT + timedelta(hours=1)) - step * 10_000 for step in range(1000))

    tick = clock()
    names = VisitNames(lambda: next(tick))
    made = [names.new() for _ in range(3000)]
    assert sorted(made) == made
    assert len({name[:22] for name in made}) == 3000  # without what is random in them


def test_a_name_tells_when_the_visit_began() -> None:
    ticks = count(nanoseconds(AT + timedelta(microseconds=456)))
    name = VisitNames(lambda: next(ticks)).new()
    assert visit(name).began == name
    assert visit(name).when == AT + timedelta(microseconds=456)
    assert visit(OLD).when == AT
    assert abs(visit(new_visit()).when.timestamp() - time.time()) < 60


def test_names_of_earlier_versions_sort_among_the_new_ones() -> None:
    times = [AT - timedelta(milliseconds=1), AT, AT + timedelta(microseconds=999), AT + timedelta(milliseconds=1)]
    before, same, later, after = (VisitNames(lambda at=at: nanoseconds(at)).new() for at in times)
    files = [visit(name).name for name in (before, OLD, same, later, after)]
    assert sorted(files) == files
