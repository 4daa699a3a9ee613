"""The artifact of a stage that is divided over workers: how many of its parts have ended, and each with its machine.

The run that waits shows it, one artifact a stage, which it brings up to date each time that it wakes.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun

from csmv.flows.attempts import machines_of
from csmv.flows.run_names import root_name
from csmv.pipeline.errors import shown
from csmv.pipeline.report import PATH as REPORT

_BAR = 20
"""Characters of the bar."""


def show_parts(client: SyncPrefectClient, run_id: UUID, stage: str, root: str, parts: Sequence[FlowRun]) -> None:
    """Show the parts of a divided stage on the server, in place of what was shown of them before."""
    key = re.sub(r"[^a-z0-9]+", "-", f"{stage}-{root_name(root)}-parts".casefold()).strip("-")
    sought = ArtifactFilter(key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    text = page_of_parts(stage, shown(root), parts)
    artifacts = client.read_artifacts(artifact_filter=sought, limit=1)
    if artifacts and artifacts[0].id is not None:
        if artifacts[0].data != text:
            client.update_artifact(artifacts[0].id, ArtifactUpdate(data=text))
        return
    artifact = ArtifactCreate(
        key=key, type="markdown", data=text, description=f"{stage} of {shown(root)}, by part", flow_run_id=run_id
    )
    client.create_artifact(artifact)


def page_of_parts(stage: str, root: str, parts: Sequence[FlowRun]) -> str:
    """The parts as Markdown: a bar, and a row a part."""
    ended = sum(part.state is not None and part.state.is_final() for part in parts)
    filled = round(_BAR * ended / len(parts)) if parts else _BAR
    lines = [
        f"# {stage} of `{root}`",
        "",
        f"`{'█' * filled}{'░' * (_BAR - filled)}` {ended} of {len(parts)} runs ended",
        "",
        "| run | state | machine | time |",
        "|---|---|---|---:|",
        *(_row(part) for part in parts),
        "",
        f"The report, once it is written: `{root.rstrip('/')}/{REPORT}`",
        "",
    ]
    return "\n".join(lines)


def _row(part: FlowRun) -> str:
    state = part.state.name if part.state is not None else ""
    time = part.total_run_time or timedelta()
    return f"| {part.name} | {state} | {', '.join(machines_of(part))} | {str(time).split('.')[0]} |"
