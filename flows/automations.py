"""What the server does by itself about runs that have lost their machine, declared by `csmv deploy`.

A run that works sends a heartbeat every 30 s. One that stops sending, and one that crashed, is scheduled again, on
whatever worker is free; how often is bounded by the run itself, at its start (`csmv.flows.attempts`). A run that is
being cancelled by a worker that is gone is Cancelled after a while.
"""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from csmv.flows.attempts import AGAIN

OURS = "csmv-again"
"""The tag of our deployments, and so of their runs: what an automation may touch."""

_RUNS = {"prefect.resource.id": f"prefect.tag.{OURS}"}

MOST_CRASHES = 20
"""Within an hour, of a run that may not even begin, and so can't count for itself."""
HEARTBEAT_S = 30
"""Prefect's shortest."""
SILENT_S = 65
"""Two heartbeats and some patience."""
START_S = 90
"""From the moment a worker takes a run to its first line: a slow disk loads the libraries in a minute. With the time
that the server takes to notice, a dead machine's runs are with another within two."""
CANCEL_S = 15
SETTLE_S = 15
"""A worker may say twice that a run crashed: its process, and some ten seconds later what was around it."""

ENVIRONMENT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}
"""Of the processes of our deployments' runs."""

_ENDS = ("Completed", "Unfinished", "Failed", "TimedOut", "Crashed", "Cancelled", "Cancelling")
_TAKEN = ("Pending", "Submitting", "InfrastructurePending")
_RESTS = ("Scheduled", "AwaitingRetry", "Late", "Waiting", AGAIN, "Paused", "Suspended", "Resuming")


def automations() -> tuple[AutomationCore, ...]:
    """All that `csmv deploy` declares. Each touches runs of our deployments only."""
    return (
        _after(
            "csmv: a run that went silent goes to another worker",
            after=("Running", "heartbeat"),  # it may die before its first one
            expect=(*_ENDS, *_RESTS),
            within_s=SILENT_S,
            action=_again(f"Nothing was heard of its process for {SILENT_S} s: its machine or its process is gone."),
        ),
        _after(
            "csmv: a run that never began goes to another worker",
            after=_TAKEN,
            expect=("Running", "heartbeat", *_ENDS, *_RESTS),
            within_s=START_S,
            action=_again(f"The worker that took it did not begin within {START_S} s."),
        ),
        _after(
            "csmv: a crashed run is tried again",
            after=("Crashed",),
            expect=("Running", *_TAKEN, *_RESTS, *(end for end in _ENDS if end != "Crashed")),
            within_s=SETTLE_S,
            action=_again("It crashed; what it had finished stays finished."),
        ),
        AutomationCore(
            name="csmv: a run that crashes on and on has failed",
            tags=["csmv"],
            trigger=EventTrigger(
                match={"prefect.resource.id": "prefect.flow-run.*"},
                match_related=_RUNS,
                expect={"prefect.flow-run.Crashed"},
                for_each={"prefect.resource.id"},
                posture=Posture.Reactive,
                threshold=MOST_CRASHES,
                within=timedelta(hours=1),
            ),
            actions=[
                ChangeFlowRunState(
                    state=StateType.FAILED,
                    message=f"It crashed {MOST_CRASHES} times within an hour: is csmv installed where its worker runs?",
                    force=True,
                )
            ],
        ),
        _after(
            "csmv: a cancelled run whose worker is gone has ended",
            after=("Cancelling",),
            expect=("Cancelled", "Crashed", "Completed", "Failed"),
            within_s=CANCEL_S,
            action=ChangeFlowRunState(
                state=StateType.CANCELLED,
                message=f"No worker confirmed the cancellation within {CANCEL_S} s.",
                force=True,
            ),
        ),
    )


def declare_automations(client: SyncPrefectClient) -> list[str]:
    """Make our automations, or bring those of an earlier deployment up to date; gives their names.

    One that somebody has switched off stays off.
    """
    names = []
    for wanted in automations():
        present = client.read_automations_by_name(wanted.name)
        if present:
            client.update_automation(present[0].id, wanted.model_copy(update={"enabled": present[0].enabled}))
        else:
            client.create_automation(wanted)
        names.append(wanted.name)
    return names


def _after(
    name: str,
    *,
    after: tuple[str, ...],
    expect: tuple[str, ...],
    within_s: int,
    action: ChangeFlowRunState,
) -> AutomationCore:
    """What is done when nothing expected comes within so many seconds of an event.

    The server opens one window a run at a time. An event that comes within it opens none of its own, and so the death
    of a run that was begun twice within a window would go unseen; but an event that is also expected renews the window.
    """
    return AutomationCore(
        name=name,
        tags=["csmv"],
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_RUNS,
            after={f"prefect.flow-run.{event}" for event in after},
            expect={f"prefect.flow-run.{event}" for event in (*expect, *after)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=within_s),
        ),
        actions=[action],
    )


def _again(message: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(name=AGAIN, state=StateType.SCHEDULED, message=message, force=True)
