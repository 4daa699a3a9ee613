"""What Prefect is told of each stage: its slot on the server, how many units run at once in one process, and where."""

import os
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from csmv.pipeline import stages
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.stage import Stage
from csmv.pipeline.validated import Validated


class TaskRunning(Validated):
    """Where the units of a stage run. Not part of a dataset's configuration: the results are the same."""

    task_runner: Literal["threads", "dask", "ray"] = Field(
        default="threads",
        description="what runs the units of a stage: threads of its own process, or a Dask or Ray cluster (extras)",
    )
    cluster: str | None = Field(
        default=None,
        pattern=r"^[^@\s]+$",
        description="the address of that cluster, tcp://HOST:8786 or ray://HOST:10001; left out, one is started here",
    )

    @model_validator(mode="after")
    def _address_of_that_kind(self) -> "TaskRunning":
        schemes = {"threads": (), "dask": ("tcp://", "tls://", "ucx://", "ws://", "wss://"), "ray": ("ray://",)}
        if self.cluster is not None and not self.cluster.startswith(schemes[self.task_runner]):
            expected = " or ".join(f"{scheme}HOST:PORT" for scheme in schemes[self.task_runner][:2]) or "left out"
            raise ValueError(f"for task_runner {self.task_runner} the cluster's address should be {expected}")
        return self


@dataclass(frozen=True)
class StageLimits:
    """How a stage is limited; the numbers are the stage's own."""

    stage: str
    at_once: int
    """In one process, unless the environment names another number."""
    everywhere: int
    """On all machines of one Prefect server together; `csmv deploy` declares it, `prefect gcl update` changes it."""
    retries: int
    timeout_s: float
    gpu: bool
    """Whether a unit is much faster with a GPU of its own."""

    @classmethod
    def of(cls, stage: Stage) -> "StageLimits":
        """The limits of a stage."""
        return cls(stage.name, stage.at_once, stage.everywhere, stage.retries, stage.timeout_s, stage.needs.gpu)

    @property
    def variable(self) -> str:
        """The environment variable that changes `at_once`."""
        return f"CSMV_{self.stage.upper()}_AT_ONCE"

    @property
    def slot(self) -> str:
        """The task's tag, and the name of the concurrency limit that holds everywhere."""
        return f"csmv-{self.stage}"

    def workers(self) -> int:
        """How many at once in this process. Raises CsmvError if the environment says no whole number."""
        given = os.environ.get(self.variable, str(self.at_once))
        if not given.isdigit() or int(given) < 1:
            raise CsmvError(f"{self.variable} should be a whole number of at least 1, and is '{given[:20]}'.")
        return int(given)


STAGES = tuple(StageLimits.of(stage) for stage in stages.STAGES)
