"""One build of a root at a time: of several that ask at once one gets it, and a dead one's is free."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from csmv.pipeline.lease import FRESH_S, HeldError, Holder, Lease, renewed, take
from csmv.pipeline.store import Store


def holder(key: str) -> Holder:
    return Holder(key, f"the run '{key}'", "another-machine", 1, "2026-01-01 00:00 UTC")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_of_many_that_ask_at_once_one_gets_it_and_the_others_are_told_who(store: Store) -> None:
    def ask(number: int) -> Lease | HeldError:
        try:
            return take(store, "build", holder(f"r{number}"))
        except HeldError as error:
            return error

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(16)))

    [winner] = [answer for answer in answers if isinstance(answer, Lease)]
    refusals = [str(answer) for answer in answers if isinstance(answer, HeldError)]
    assert len(refusals) == 15
    assert all(winner.holder.what in refusal for refusal in refusals)


def test_who_comes_back_has_it_still_and_once_released_anybody_may(store: Store) -> None:
    lease = take(store, "build", holder("a"))
    again = take(store, "build", holder("a"))
    assert again.number == lease.number

    again.release()
    assert take(store, "build", holder("b")).holder.key == "b"


@pytest.mark.parametrize(("over", "free"), [(True, True), (False, False), (None, False)])
def test_whoever_knows_the_holder_decides_and_else_its_age(store: Store, over: bool | None, free: bool) -> None:
    take(store, "build", holder("a"))

    def ask() -> Lease:
        return take(store, "build", holder("b"), lambda _holder: over)

    if free:
        assert ask().number == 2
        return
    with pytest.raises(HeldError, match="is being built by the run 'a'"):
        ask()


@pytest.mark.parametrize(("age_s", "free"), [(FRESH_S - 30, False), (FRESH_S + 30, True)])
def test_one_without_a_sign_of_life_for_long_is_free(store: Store, tmp_path: Path, age_s: float, free: bool) -> None:
    take(store, "build", holder("a"))
    then = (datetime.now(UTC) - timedelta(seconds=age_s)).timestamp()
    for path in (tmp_path / "private/leases/build").iterdir():
        os.utime(path, (then, then))

    if free:
        assert take(store, "build", holder("b")).holder.key == "b"
    else:
        with pytest.raises(HeldError):
            take(store, "build", holder("b"))


def test_a_process_of_this_machine_that_was_killed_holds_nothing(store: Store, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from csmv.pipeline.lease import *; from csmv.pipeline.store import Store;"
        "take(Store(sys.argv[1]), 'build', Holder.here('a build')); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -9

    assert take(store, "build", Holder.here("another build")).number == 2


def test_one_that_was_taken_over_says_so_when_it_renews(store: Store) -> None:
    lease = take(store, "build", holder("a"))
    take(store, "build", holder("b"), lambda _holder: True)

    with pytest.raises(HeldError, match="taken over by the run 'b'"):
        lease.renew()


def test_it_is_released_whatever_happens_and_leaves_no_file(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), renewed(take(store, "build", holder("a"))):
        raise ZeroDivisionError
    assert store.files("private/leases") == []


def test_its_file_names_nobody_and_nothing_but_the_machine(store: Store) -> None:
    take(store, "build", Holder.here("a build"))
    [name] = [name for name in store.files("private/leases") if name.endswith(".json")]
    assert set(json.loads(store.read_file(name))) == {"key", "what", "machine", "process", "since"}
