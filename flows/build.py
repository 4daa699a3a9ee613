"""`build-dataset`: all stages one after the other, here or on the workers that their deployments name."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed

from csmv.flows.attempts import begin_run
from csmv.flows.fan_out import DEPLOYMENT, FanOut, coordinate, whole
from csmv.flows.run_names import current_run_name, root_name
from csmv.flows.shards import UNFINISHED, Dataset, UnexpectedError, discreet
from csmv.flows.stage_flows import FLOWS, begin_stage
from csmv.pipeline.collect import unread
from csmv.pipeline.dataset import Dataset as OpenDataset
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.lease import Holder, Lease, renewed, take
from csmv.pipeline.stage import Stage, Unit
from csmv.pipeline.stages import STAGES

__all__ = ["DEPLOYMENT", "Build", "build_dataset"]

WHOLE = (Unit.ENTRY, Unit.ROOT)
"""Units of stages that need the whole dataset."""


class Build(Dataset):
    """Which dataset to build, and where its stages run."""


@flow(name="build-dataset", flow_run_name=partial(current_run_name, "build"), persist_result=False)
def build_dataset(dataset: Build) -> "State[Any]":
    """From a source to whatever the configuration asks for and a report. Resumes: what is done is not done again.

    A stage's failed shards do not keep the next stages from the other shards; but what needs the whole dataset is
    left for the run in which nothing failed. Ends Failed unless everything asked for is there; named Unfinished if
    nothing failed and a later run may succeed. A root is built by one run at a time.
    """
    try:
        with discreet(dataset.root, "build"):
            what = f"build {root_name(dataset.root)}"
            begin_run(what, dataset.restarts)
            opened = dataset.open()
            lease = _lease(opened, what)
    except (CsmvError, UnexpectedError) as error:
        return Failed(message=str(error))
    if not whole(dataset):
        with renewed(lease):
            state = _build(opened, lambda stage: _here(stage, dataset))
        assert state is not None, "a stage in this process ends"
        return state
    state = coordinate(dataset, lambda parts: _build(opened, lambda stage: _on_workers(stage, parts, opened)))
    lease.release()
    return state


def _build(opened: OpenDataset, run: "Callable[[Stage], State[Any] | None]") -> "State[Any] | None":
    """Go through the stages; None if one of them has not ended yet."""
    asked = [stage for stage in STAGES if _is_asked_for(stage, opened)]
    failed: list[str] = []
    unfinished: list[str] = []
    for stage in asked:
        if stage.unit in WHOLE and (failed or unfinished):
            waiting = ", ".join(one.name for one in asked if one.unit in WHOLE)
            unfinished.append(f"What needs the whole dataset waits: {waiting}.")
            break
        state = run(stage)
        if state is None:
            return None
        message = state.message or f"{stage.name} ended as {state.name}"
        if not state.is_completed():
            failed.append(message)
            if stage.unit is not Unit.SHARD:
                break
        elif state.name == UNFINISHED:
            unfinished.append(f"{message}.")
    unreadable = unread(opened.store)
    if failed or unfinished:
        again = "Run the same again later." if not failed else ""
        sentence = " ".join(part for part in (*failed, *unfinished, again) if part)
        return Failed(message=sentence) if failed else Failed(name=UNFINISHED, message=sentence)
    if unreadable:
        more = f" (and {len(unreadable) - 1:,} more)" if len(unreadable) > 1 else ""
        sentence = (
            f"{opened.store.root} is built of what could be read. Not everything that came could: {unreadable[0]}"
        )
        mended = f"`csmv collect --root {opened.store.root} --reparse`"
        return Failed(
            name=UNFINISHED, message=f"{sentence}{more}. Once csmv has been mended, {mended} makes the rows of it."
        )
    idle = [stage.name for stage in STAGES if stage not in asked]
    note = f"; its dataset.yaml asks for no {', '.join(idle)}" if idle else ""
    return Completed(message=f"{opened.store.root} is built: {', '.join(stage.name for stage in asked)}{note}")


def _is_asked_for(stage: Stage, dataset: OpenDataset) -> bool:
    """Whether the configuration has anything for a stage: a list of features, splits or runs may be empty, and
    nobody may have asked for a release."""
    return not stage.section or getattr(dataset.config, stage.section) not in ((), None)


def _here(stage: Stage, dataset: Build) -> "State[Any]":
    return cast("State[Any]", FLOWS[stage.name](dataset.for_stage(), return_state=True))


def _on_workers(stage: Stage, parts: FanOut, opened: OpenDataset) -> "State[Any] | None":
    """A stage by runs of its own deployment; what is quick and needs the whole dataset, in this process."""
    if stage.unit in WHOLE and not stage.needs.gpu:
        return parts.ended(stage) or parts.remember(stage, _here(stage, cast(Build, parts.dataset)))
    try:
        with discreet(parts.dataset.root, stage.name):
            return parts.advance(stage, opened, partial(begin_stage, stage, parts.dataset))
    except (CsmvError, UnexpectedError) as error:
        return Failed(message=f"{stage.name}: {error}")


def _lease(opened: OpenDataset, what: str) -> Lease:
    """The right to build this root: for a run on workers, until it has ended, however often it rests."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or run.deployment_id is None:
        return take(opened.store, "build", Holder.here(what), _has_ended)
    return take(opened.store, "build", Holder.here(f"the run '{run.name}' ({run.id})", str(run.id)), _has_ended)


def _has_ended(holder: Holder) -> bool | None:
    """What the server says of the run that holds a lease; None if it does not know it."""
    try:
        run_id = UUID(holder.key)
    except ValueError:
        return None  # a process
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(run_id).state
        except ObjectNotFound:
            return None
    return state is not None and state.is_final()
