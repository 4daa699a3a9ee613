"""What the stage flows share: one task a shard, failures that stay with their shard, errors fit for a database.

The text of an exception may quote what was being read, and Prefect keeps it in logs and states. So a task lets out
only `CsmvError`, whose text is ours; of anything else it keeps the traceback in the root's private folder and tells
Prefect no more than its kind.
"""

import functools
import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect import Flow, Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.sync import concurrency
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from extractors.errors import ExtractorError
from flows.settings import StageLimits
from pipeline.errors import CsmvError, sentence_for
from pipeline.progress import track
from pipeline.store import Store
from pipeline.validated import Validated, parse

_LEASE_S = 60
"""The slot of a worker that was killed is free again after this long."""


class Dataset(Validated):
    """The one parameter of every flow: which dataset, and which part of it."""

    root: str = Field(min_length=1, description="the dataset root: a folder or an fsspec URL")
    config: dict[str, Any] | None = Field(
        default=None, description="the configuration, as in dataset.yaml; left out, the root's own is used"
    )
    shards: tuple[int, ...] | None = Field(
        default=None, description="only these shards, so that several machines can share a stage; left out, all"
    )

    def open(self) -> Store:
        """The root, made or brought up to date where a configuration is given. Raises CsmvError if it can't be."""
        if self.config is None:
            return Store.open(self.root)
        from pipeline.config import DatasetConfig

        return Store.create(self.root, parse(DatasetConfig, self.config, "config"))

    def chosen(self, store: Store) -> list[int]:
        """The shards to work on. Raises CsmvError for one that the root does not have."""
        asked = store.shards() if self.shards is None else sorted(set(self.shards))
        strange = [shard for shard in asked if shard not in store.shards()]
        if strange:
            raise CsmvError(f"The root has the shards 0 to {store.n_shards - 1}, and shard {strange[0]} was asked for.")
        return list(asked)


def stage_task(limits: StageLimits, run_name: str) -> Callable[[Callable[..., None]], "Task[..., None]"]:
    """Declare a function of (root, ...) as a stage's task: limited, timed, tried again, its result never persisted."""

    def declare(function: Callable[..., None]) -> "Task[..., None]":
        @functools.wraps(function)
        def guarded(root: str, *arguments: Any) -> None:
            with concurrency(limits.slot, lease_duration=_LEASE_S), _discreet(root, limits.stage):
                function(root, *arguments)

        declared: Task[..., None] = task(
            name=limits.stage,
            task_run_name=run_name,
            tags=["csmv", limits.slot],
            retries=limits.retries,
            retry_delay_seconds=5,
            retry_jitter_factor=1,
            retry_condition_fn=_may_pass,
            timeout_seconds=limits.timeout_s,
            persist_result=False,
            cache_policy=NO_CACHE,
        )(guarded)
        return declared

    return declare


def stage_flow(limits: StageLimits) -> Callable[[Callable[[Dataset], "State[None]"]], "Flow[[Dataset], Any]"]:
    """Declare a function of a dataset as a stage's flow, with as many tasks at once as the stage may have."""
    return flow(name=limits.stage, task_runner=threads(limits), persist_result=False)


def threads(limits: StageLimits) -> TaskRunner[PrefectFuture[Any]]:
    """What runs the tasks of a flow: as many at once in this process as the stage may have."""
    return ThreadPoolTaskRunner(max_workers=limits.workers())  # type: ignore[return-value]


def run_all(limits: StageLimits, runs: Iterable["PrefectFuture[None]"], what: str) -> "State[None]":
    """Wait for the runs of a stage and give the state that its flow ends in: Failed, with a summary, if one failed."""
    futures = list(runs)
    problems: list[str] = []
    with track(limits.stage, len(futures)) as tick:
        for future in as_completed(futures):
            future.wait()  # without it, the state is the server's, which knows no exception
            state = future.state
            if not state.is_completed():
                problems.append(_reason(state))
            tick(1)
    if not problems:
        return Completed(message=f"{len(futures)} {what}")
    distinct = sorted(set(problems))
    more = f" (and {len(distinct) - 1} other reasons)" if len(distinct) > 1 else ""
    return Failed(message=f"{limits.stage}: {len(problems)} of {len(futures)} {what} failed: {distinct[0]}{more}")


@contextmanager
def _discreet(root: str, stage: str) -> Iterator[None]:
    """Let out only what may be read by everybody: a CsmvError, or an UnexpectedError that names a log in `private/`."""
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = _fit_to_be_read(error, root, stage)
    if failure is None:
        return
    try:
        raise failure
    except Exception:
        # Raising in a `with` block's end hangs the block's own exception on the new one as its context, and Prefect
        # writes both into its database. A bare raise leaves the context as it is.
        failure.__context__ = failure.__cause__ = None
        raise


def _fit_to_be_read(error: Exception, root: str, stage: str) -> Exception:
    if isinstance(error, CsmvError):
        return error
    if isinstance(error, ExtractorError):
        return CsmvError(str(error))
    foreseen = sentence_for(error, f"{root}, at {stage}")
    if foreseen is not None:
        return CsmvError(foreseen)
    kind = type(error).__name__
    place = f"private/logs/{stage}-{kind}.txt"
    try:
        Store(root).write_file(place, "".join(traceback.format_exception(error)).encode())
    except Exception as unwritable:
        why = sentence_for(unwritable, root) or f"it ended in a {type(unwritable).__name__}"
        return UnexpectedError(
            f"{stage} stopped on an unexpected {kind}, and what it was could not be written to {place}: {why}"
        )
    return UnexpectedError(f"{stage} stopped on an unexpected {kind}; see {place} in the root.")


class UnexpectedError(Exception):
    """Something that no stage foresaw; what it was is in the root's private folder."""


def _may_pass(_task: "Task[..., Any]", _run: TaskRun, state: "State[Any]") -> bool:
    """Whether to try again. What a person has to put right does not get right by itself."""
    try:
        state.result()
    except CsmvError:
        return False
    except Exception:
        return True
    return False


def _reason(state: "State[Any]") -> str:
    try:
        state.result()
    except (CsmvError, UnexpectedError) as error:
        return str(error)
    except Exception as error:
        return f"{state.type.value.lower()} ({type(error).__name__})"
    return state.type.value.lower()


class _OnceIsEnough(logging.Filter):
    """Drops Prefect's warning, one a task, that a time limit in a thread is noticed only between two Python steps.

    Known, and enough: what can hang (a decoder, a request) has a time limit of its own in `pipeline/`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return "Timeouts in worker threads" not in str(record.msg)


logging.getLogger("prefect.task_runs").addFilter(_OnceIsEnough())
