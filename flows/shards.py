"""What the stage flows share: one task a shard, failures that stay with their shard, errors fit for a database.

The text of an exception may quote what was being read, and Prefect keeps it in logs and states. So a task lets out
only `CsmvError`, whose text is ours; of anything else it keeps the traceback in the root's private folder and tells
Prefect no more than its kind.
"""

import functools
import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.sync import concurrency
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from csmv.extractors.extractor_errors import ExtractorError
from csmv.flows.pace import shared_pacer
from csmv.flows.stage_limits import STAGES as LIMITS
from csmv.flows.stage_limits import StageLimits, TaskRunning
from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.dataset import Dataset as OpenDataset
from csmv.pipeline.errors import CsmvError, sentence_for, shown
from csmv.pipeline.progress import track
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.collect_settings import Connection, RunSettings
from csmv.pipeline.sources.web_visits import Watch
from csmv.pipeline.stage import UnitReport, named
from csmv.pipeline.stages import STAGES
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Json

_LEASE_S = 60
"""The slot of a worker that was killed is free again after this long."""


class Dataset(TaskRunning, RunSettings):
    """The one parameter of every flow: which dataset, which part of it, how the site is reached, what runs it."""

    root: str = Field(min_length=1, description="the dataset root: a folder or an fsspec URL")
    config: DatasetConfig | None = Field(
        default=None, description="the configuration, as in dataset.yaml; left out, the root's own is used"
    )
    shards: tuple[int, ...] | None = Field(
        default=None, description="only these shards, so that several machines can share a stage; left out, all"
    )
    units: tuple[str, ...] | None = Field(
        default=None, description="only these units of a stage that does not work by shard, such as a training run"
    )
    changes: dict[str, Json] | None = Field(
        default=None, description="field -> value, laid over the stage's section for this run"
    )
    stages_run: Literal["here", "on-workers"] = Field(
        default="here",
        description="here: in this run's own process; on-workers: divided into runs of the stages' own deployments, "
        "so that every worker has a share, and features and training go to machines with a GPU",
    )
    restarts: int = Field(
        default=3, ge=0, le=1000, description="how often a run on a worker is begun again after its process has died"
    )
    connection: Connection = Connection()
    then: tuple[str, ...] = Field(default=(), description="stages that follow in the same run")

    def open(self, stage: str = "") -> OpenDataset:
        """The dataset, made or brought up to date where a configuration is given.

        Args:
            stage: the stage whose section `changes` are for.

        Raises:
            CsmvError: it can't be opened, or another dataset is there.
        """
        pacer = shared_pacer(self.connection, self.interval_s)
        more: dict[str, Any] = {
            "reach": Reach(
                self.connection,
                pacer,
                self.links,
                self.again,
                sample=self.sample,
                refresh_after=self.refresh_after,
                interval_s=self.interval_s,
                watch=tell_watchers,
            ),
            "workers": self.workers,
            "retry_failed": self.retry_failed,
            "changes": self.changes,
            "changed": named(STAGES, stage).section if stage else "",
        }
        if self.config is None:
            return OpenDataset.open(self.root, **more)
        return OpenDataset.create(self.root, self.config, **more)

    def reopen(self, stage: str) -> OpenDataset:
        """The dataset in a task, whose flow has put the configuration into the root."""
        return self.model_copy(update={"config": None}).open(stage)

    def for_stage(self) -> "Dataset":
        """What a stage's own run needs to know: the configuration is in the root by then."""
        fields = {name: getattr(self, name) for name in Dataset.model_fields}
        return Dataset.model_validate(fields | {"config": None, "then": (), "stages_run": "here", "changes": None})

    def as_parameter(self) -> dict[str, Any]:
        """As the parameter of a run, for JSON: what differs from the defaults, and the configuration whole."""
        fields = self.model_dump(mode="json", exclude_defaults=True, exclude={"config"})
        return fields | ({} if self.config is None else {"config": self.config.model_dump(mode="json")})

    def for_part(self, _stage: str) -> "Dataset":
        """What a part of this run's stage needs to know, besides its units."""
        return self.for_stage()


watchers: list[Watch] = []
"""Who follows the collections of this process; set by the command line, empty on a worker."""


def tell_watchers(target: str, report: Any) -> None:
    """Tell everybody who follows how far a collection is; a display that fails disturbs nothing."""
    for watcher in list(watchers):
        with suppress(Exception):
            watcher(target, report)


def stage_task(stage: str, run_name: str) -> Callable[[Callable[..., Any]], "Task[..., Any]"]:
    """Declare a function of (dataset, ...) as a task of a stage: limited, timed, tried again, never persisted."""
    limits = limits_of(stage)

    def declare(function: Callable[..., Any]) -> "Task[..., Any]":
        @functools.wraps(function)
        def guarded(dataset: Dataset, *arguments: Any) -> Any:
            with concurrency(limits.slot, lease_duration=_LEASE_S), discreet(dataset.root, limits.stage):
                return function(dataset, *arguments)

        declared: Task[..., Any] = task(
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


def threads(stage: str) -> TaskRunner[PrefectFuture[Any]]:
    """What runs the tasks of a flow: as many at once in this process as the stage may have."""
    return ThreadPoolTaskRunner(max_workers=limits_of(stage).workers())  # type: ignore[return-value]


def limits_of(stage: str) -> StageLimits:
    """The limits of a stage."""
    return next(limits for limits in LIMITS if limits.stage == stage)


UNFINISHED = "Unfinished"
"""The name of the state of a run in which nothing failed, and something was left that may succeed in a later one."""


def run_all(
    stage: str, runs: Iterable["PrefectFuture[Any]"], what: str, ended: Callable[[], None] = lambda: None
) -> "State[Any]":
    """Wait for the runs of a stage and give the state that its flow ends in, with their reports as its data.

    Failed, with a summary, if one failed; Completed, but named Unfinished, if one ended early. `ended` is called after
    each.
    """
    futures = list(runs)
    problems: list[str] = []
    total = UnitReport()
    with track(stage, len(futures)) as tick:
        for future in as_completed(futures):
            future.wait()  # without it, the state is the server's, which knows no exception
            state = future.state
            if state.is_completed():
                total.merge(future.result() or UnitReport())
            else:
                problems.append(_reason(state))
            ended()
            tick(1)
    if problems:
        distinct = sorted(set(problems))
        more = f" (and {len(distinct) - 1} other reasons)" if len(distinct) > 1 else ""
        return Failed(message=f"{stage}: {len(problems)} of {len(futures)} {what} failed: {distinct[0]}{more}")
    if total.stopped:
        return Completed(name=UNFINISHED, message=f"{stage} is not finished: {total.stopped}", data=total)
    return Completed(message=f"{len(futures)} {what}", data=total)


@contextmanager
def discreet(root: str, stage: str) -> Iterator[None]:
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
        return error if shown(str(error)) == str(error) else CsmvError(shown(str(error)))
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
        if not state.is_final():
            return "the process that ran it is gone"
        return f"{state.type.value.lower()} ({type(error).__name__})"
    return state.type.value.lower()


class _OnceIsEnough(logging.Filter):
    """Drops Prefect's warning, one a task, that a time limit in a thread is noticed only between two Python steps.

    Known, and enough: what can hang (a decoder, a request) has a time limit of its own in `pipeline/`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return "Timeouts in worker threads" not in str(record.msg)


logging.getLogger("prefect.task_runs").addFilter(_OnceIsEnough())
