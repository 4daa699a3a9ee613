"""What Prefect is told of each stage: its slot on the server, and how many units run at once in one process."""

import os
from dataclasses import dataclass

from csmv.pipeline import stages
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.stage import Stage


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

    @classmethod
    def of(cls, stage: Stage) -> "StageLimits":
        """The limits of a stage."""
        return cls(stage.name, stage.at_once, stage.everywhere, stage.retries, stage.timeout_s)

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
