"""A stage over many workers: runs of its own deployment, each with a range of what is missing, and one that waits.

The one that waits holds no worker meanwhile: it submits its parts, puts itself back into the schedule and ends. The
last part to end moves it forward, and a minute without such news wakes it too. What is done, the root says; what the
parts came to, the server does. Everything here may be interrupted and begun again.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound, Pause, PrefectHTTPStatusError
from prefect.states import Cancelling, Completed, Failed, Scheduled
from prefect.types._datetime import now

from csmv.flows.attempts import AGAIN, deaths, machines_of
from csmv.flows.automations import SILENT_S, START_S
from csmv.flows.parents import PART, children, parent_of
from csmv.flows.parts_page import show_parts
from csmv.flows.run_names import root_name, span_of
from csmv.flows.shards import UNFINISHED, Dataset, discreet
from csmv.pipeline.dataset import Dataset as OpenDataset
from csmv.pipeline.dataset import chosen_units
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.stage import Stage, Unit

DEPLOYMENT = "csmv"
"""The name under which `csmv deploy` registers each flow."""

_STAGE, _ROUND = "csmv-stage-", "csmv-round-"
_ENDED = "csmv.ended."
"""A label of the waiting run: how a stage ended, so that it is not asked for again each time that the run wakes."""

WAITING = "Waiting"
"""The name of the state of a run that waits for its parts, in the schedule and on no worker."""

_FOR_GOOD = (StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED)

RANGES_A_WORKER = 3
"""So that a slow range leaves the other workers something to do."""
WORKERS_TO_COME = 3
"""How many are reckoned with while none is there yet."""
WAKE_S = 60.0
_HERE_S = 2.0
_PATIENCE_S = 30.0
"""Longer than the server's own automations take, which come first."""
WITHOUT_WORKER_S = 3600.0
_CONFLICT = 409


@dataclass
class FanOut:
    """The parts of one flow run. Made anew each time that the run wakes."""

    run: FlowRun
    dataset: Dataset
    client: SyncPrefectClient
    ends: "tuple[datetime, ...]" = ()
    """when the run ended before, if somebody has begun it again: parts from then are not its parts any more"""
    waits_for: str = ""
    _parts: "list[FlowRun] | None" = field(default=None, repr=False)

    # ------------------------------------------------------------------ one stage

    def advance(self, stage: Stage, opened: OpenDataset, before: Callable[[OpenDataset], None]) -> "State[Any] | None":
        """Submit what is missing of a stage, or see how far its parts are.

        Args:
            stage: the stage.
            opened: the dataset.
            before: what comes once, before the first part.

        Returns:
            The state that the stage ended in; None while parts are on their way.

        Raises:
            CsmvError: a person has to put something right before the stage can begin.
        """
        ended = self.ended(stage)
        if ended is not None:
            return ended
        parts = self._of(stage)
        self._show(stage)
        if not parts:
            before(opened)
            return None if self._submit_round(stage, opened, 0) else self._ended(stage, opened, parts)
        waiting = [part for part in parts if not self._is_over(stage, part)]
        if waiting:
            self._say(stage, waiting, len(parts))
            return None
        ended_well = all(_completed(part) for part in parts)
        if stage.unit is Unit.TARGET and ended_well and not any(_stopped(part) for part in parts):
            number = 1 + max(_round_of(part) for part in parts)
            if self._submit_round(stage, opened, number):
                return None
        return self._ended(stage, opened, parts)

    def _submit_round(self, stage: Stage, opened: OpenDataset, number: int) -> bool:
        """Submit a round of parts; gives whether there was anything in it."""
        workers = self._online(self._pool(stage)) or WORKERS_TO_COME
        rounds = stage.rounds(opened, workers)
        units = rounds[number] if number < len(rounds) else []
        if stage.unit is Unit.SHARD and units:
            asked = set(chosen_units(stage, opened, self.dataset.shards))
            units = [unit for unit in units if unit in asked]
        if not units:
            return False
        count = len(units) if stage.unit is not Unit.SHARD else min(len(units), RANGES_A_WORKER * workers)
        for chosen in _ranges(units, count):
            self._submit(stage, chosen, number)
        self._parts = None
        self._show(stage)
        self._say(stage, self._of(stage), count)
        return True

    def _submit(self, stage: Stage, units: Sequence[str], number: int) -> None:
        chosen = {"shards": [int(unit) for unit in units]} if stage.unit is Unit.SHARD else {"units": list(units)}
        part = self.dataset.for_part(stage.name).as_parameter()
        try:
            run_deployment(
                f"{stage.name}/{DEPLOYMENT}",
                parameters={"dataset": part | chosen},
                timeout=0,
                flow_run_name=f"{stage.name} {root_name(self.dataset.root)} {span_of(units)}",
                tags=[PART, f"{_STAGE}{stage.name}", f"{_ROUND}{number}"],
                # Killed between two of them and begun again, it submits none twice.
                idempotency_key=f"{self.run.id}:{len(self.ends)}:{stage.name}:{number}:{units[0]}",
            )
        except PrefectHTTPStatusError as error:
            if error.response.status_code != _CONFLICT:
                raise
            raise CsmvError(
                f"The server's deployment {stage.name}/{DEPLOYMENT} does not know what this csmv says: another version "
                "declared it. Declare it anew with `csmv deploy`, as it was the first time."
            ) from None

    def _ended(self, stage: Stage, opened: OpenDataset, parts: Sequence[FlowRun]) -> "State[Any]":
        problems = [_problem(part) for part in parts if not _completed(part)]
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            return Failed(message=f"{stage.name}: {len(problems)} of {len(parts)} runs failed: {problems[0]}{more}")
        if self.dataset.shards is None and self.dataset.units is None:
            with discreet(self.dataset.root, stage.name):
                stage.finish(opened)
        stopped = [part.state.message for part in parts if part.state is not None and _stopped(part)]
        left = stage.note(opened) if stage.unit is Unit.TARGET else ""
        if stopped or left:
            why = stopped[0] if stopped else f"{stage.name} is not finished: {left}"
            return self.remember(stage, Completed(name=UNFINISHED, message=why))
        return self.remember(stage, Completed(message=f"{stage.name}: {len(parts)} runs"))

    def ended(self, stage: Stage) -> "State[Any] | None":
        """How a stage ended in an earlier waking of this run, if it ended well."""
        noted = self.run.labels.get(self._label(stage))
        if noted is None:
            return None
        name, _, message = str(noted).partition(": ")
        return Completed(name=name, message=message)

    def remember(self, stage: Stage, state: "State[Any]") -> "State[Any]":
        """Note that a stage ended well; gives its state."""
        if state.is_completed():
            noted = f"{state.name}: {state.message or ''}"
            self.client.update_flow_run_labels(self.run.id, {self._label(stage): noted})
            self.run.labels[self._label(stage)] = noted
        return state

    def _label(self, stage: Stage) -> str:
        return f"{_ENDED}{len(self.ends)}.{stage.name}"

    # ------------------------------------------------------------------ watching

    def _is_over(self, stage: Stage, part: FlowRun) -> bool:
        """Whether a part has ended for good; one that has died without the server's noticing is begun again."""
        state = part.state
        if state is None:
            return False
        age_s = (datetime.now(UTC) - state.timestamp).total_seconds()
        if state.is_crashed():
            if (count := deaths(self.client, part)) > self.dataset.restarts:
                for_good: State[Any] = Failed(message=f"its process has died {count} times")
                self.client.set_flow_run_state(part.id, for_good, force=True)
                part.state = for_good
                return True
            if age_s > _PATIENCE_S:
                self._again(part, "It crashed; what it had finished stays finished.")
            return False
        if state.is_running():
            limit_s = stage.timeout_s * max(1, len(_units_of(part)))
            if age_s > limit_s:
                message = f"{part.name} has run for more than {limit_s / 3600:.1f} h, the limit of its stage."
                self.client.set_flow_run_state(part.id, Cancelling(message=message), force=True)
            elif age_s > SILENT_S + _PATIENCE_S and self._silence_s(part, state.timestamp) > SILENT_S + _PATIENCE_S:
                self._again(part, "Nothing was heard of its process: it or its machine is gone.")
        elif state.is_pending() and age_s > START_S + _PATIENCE_S:
            self._again(part, "The worker that took it did not begin.")
        return state.is_final()

    def _again(self, part: FlowRun, message: str) -> None:
        self.client.set_flow_run_state(part.id, Scheduled(name=AGAIN, message=message), force=True)

    def _show(self, stage: Stage) -> None:
        if parts := self._of(stage):
            with suppress(PrefectHTTPStatusError):  # what can't be shown disturbs nothing
                show_parts(self.client, self.run.id, stage.name, self.dataset.root, parts)

    def _silence_s(self, part: FlowRun, since: datetime) -> float:
        """Seconds since the last sign of life of a run."""
        sought = EventFilter(
            event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
            resource=EventResourceFilter(id=[f"prefect.flow-run.{part.id}"]),
        )
        page = self.client.read_events(filter=sought, limit=1)
        last = max([since, *(event.occurred for event in page.events)])
        return (datetime.now(UTC) - last).total_seconds()

    def _say(self, stage: Stage, waiting: Sequence[FlowRun], of: int) -> None:
        at_work = [part for part in waiting if part.state is not None and part.state.is_running()]
        running = sorted({machine for part in at_work for machine in machines_of(part)[-1:]})
        where = f", {len(running)} machine(s) at work: {', '.join(running)}" if running else ""
        self.waits_for = f"{stage.name}: {of - len(waiting)} of {of} runs ended{where}"
        pool = self._pool(stage)
        if not running and pool and not self._online(pool):
            self.waits_for += f"; no worker serves the work pool {pool}: `prefect worker start --pool {pool} --limit 1`"
            oldest = min((part.created for part in waiting if part.created), default=None)
            if oldest is not None and (datetime.now(UTC) - oldest).total_seconds() > WITHOUT_WORKER_S:
                for part in waiting:
                    self.client.set_flow_run_state(part.id, Cancelling(message="No worker came."), force=True)
                raise CsmvError(
                    f"{stage.name}: no worker has served the work pool {pool} for {WITHOUT_WORKER_S / 60:.0f} minutes: "
                    f"start one with `prefect worker start --pool {pool} --limit 1` and run it again."
                )

    # ------------------------------------------------------------------ what the server says

    def _of(self, stage: Stage) -> list[FlowRun]:
        if self._parts is None:
            parts = children(self.client, self.run.id)
            self._parts = [part for part in parts if not self.ends or (part.created and part.created > self.ends[-1])]
        return [part for part in self._parts if f"{_STAGE}{stage.name}" in part.tags]

    def _pool(self, stage: Stage) -> str:
        try:
            return self.client.read_deployment_by_name(f"{stage.name}/{DEPLOYMENT}").work_pool_name or ""
        except ObjectNotFound:
            raise CsmvError(
                f"The server has no deployment {stage.name}/{DEPLOYMENT}: declare them with `csmv deploy`."
            ) from None

    def _online(self, pool: str) -> int:
        workers = self.client.read_workers_for_work_pool(pool) if pool else []
        return sum(worker.status == WorkerStatus.ONLINE for worker in workers)


def coordinate(dataset: Dataset, advance: "Callable[[FanOut], State[Any] | None]") -> "State[Any]":
    """Go on with a flow run that consists of parts: to its end, or to the moment when it has to wait.

    Args:
        dataset: the flow's parameter.
        advance: goes on as far as it can; gives the state that the flow ends in, None while parts are on their way.

    Raises:
        Pause: the run is in the schedule again, and its process has to end; Prefect knows what to do with it.
    """
    context = FlowRunContext.get()
    assert context is not None and context.flow_run is not None, "called outside a flow"
    run = context.flow_run
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(run.id)
        ends = tuple(sorted(one.timestamp for one in states if one.type in _FOR_GOOD))
        while True:
            fan_out = FanOut(run, dataset, client, ends)
            state = advance(fan_out)
            if state is not None:
                return state
            if run.deployment_id is not None:
                _rest(client, run, fan_out.waits_for)
            time.sleep(_HERE_S)  # started by hand, not by a worker: nobody would start it again


def _rest(client: SyncPrefectClient, run: FlowRun, message: str) -> NoReturn:
    waiting: State[Any] = Scheduled(
        name=WAITING, message=message, scheduled_time=now("UTC") + timedelta(seconds=WAKE_S)
    )
    # It has no process from here on, so that cancelling it needs nobody's confirmation.
    client.request("PATCH", "/flow_runs/{id}", path_params={"id": run.id}, json={"infrastructure_pid": None})
    result = client.set_flow_run_state(run.id, waiting, force=True)
    raise Pause(message, state=result.state or waiting)


def tell_parent(flow: "Flow[..., Any]", flow_run: FlowRun, state: "State[Any]") -> None:
    """The last part to end wakes the run that waits for it: a hook of every stage's flow.

    One that does not reach the server does no harm: the waiting run wakes by itself after a minute.
    """
    if PART not in flow_run.tags:
        return
    try:
        with get_client(sync_client=True) as client:
            parent = parent_of(client, flow_run)
            if parent is None or parent.state is None or parent.deployment_id is None:
                return
            going = [part for part in children(client, parent.id) if part.state is None or not part.state.is_final()]
            if not going and (parent.state.is_scheduled() or parent.state.is_crashed()):
                ready: State[Any] = Scheduled(name=WAITING, message="its parts have ended")
                client.set_flow_run_state(parent.id, ready, force=True)
    except (PrefectHTTPStatusError, OSError):
        return


def whole(dataset: Dataset) -> bool:
    """Whether a stage's run is to be divided: it was asked to, and is no part itself."""
    return dataset.stages_run == "on-workers" and dataset.units is None


def _ranges(units: Sequence[str], count: int) -> list[Sequence[str]]:
    """Units in so many ranges, as equal as can be."""
    edges = [round(number * len(units) / count) for number in range(count + 1)]
    return [units[first:last] for first, last in itertools.pairwise(edges)]


def _units_of(part: FlowRun) -> Sequence[Any]:
    dataset = part.parameters.get("dataset", {})
    return dataset.get("shards") or dataset.get("units") or ()


def _round_of(part: FlowRun) -> int:
    return max((int(tag.removeprefix(_ROUND)) for tag in part.tags if tag.startswith(_ROUND)), default=0)


def _completed(part: FlowRun) -> bool:
    return part.state is not None and part.state.is_completed()


def _stopped(part: FlowRun) -> bool:
    return part.state is not None and part.state.name == UNFINISHED


def _problem(part: FlowRun) -> str:
    """What ended a part, with where it ran."""
    state = part.state
    machines = machines_of(part)
    where = f" on {', '.join(machines)}" if machines else ""
    message = (state.message if state else "") or "it does not say why"
    return f"{part.name}{where} ended as {state.name if state else 'unknown'}: {message}"
