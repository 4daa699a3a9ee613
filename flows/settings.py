"""How much of each stage runs at once, how long it may take, how often it is tried again: the flows' only settings."""

import os
from dataclasses import dataclass

from pipeline.errors import CsmvError


@dataclass(frozen=True)
class StageLimits:
    """Of one stage: its name, and what one shard (or, where a stage has none, one run) of it may cost."""

    stage: str
    at_once: int
    """In one process, unless the environment names another number."""
    everywhere: int
    """On all machines of one Prefect server together; `csmv deploy` declares it, `prefect gcl update` changes it."""
    retries: int
    timeout_s: float

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


# One shard of features fills a machine: the network uses every core, or the whole GPU. Scrubbing is Python, so a
# second thread would only wait for the first. Media shards wait for disks and networks more than for cores.
INGEST = StageLimits("ingest", at_once=1, everywhere=16, retries=1, timeout_s=6 * 3600)
MEDIA = StageLimits("media", at_once=2, everywhere=8, retries=2, timeout_s=6 * 3600)
FEATURES = StageLimits("features", at_once=1, everywhere=16, retries=1, timeout_s=24 * 3600)
SPLITS = StageLimits("splits", at_once=1, everywhere=4, retries=1, timeout_s=3600)
TRAIN = StageLimits("train", at_once=1, everywhere=4, retries=0, timeout_s=7 * 24 * 3600)
REPORT = StageLimits("report", at_once=1, everywhere=4, retries=1, timeout_s=3600)

STAGES = (INGEST, MEDIA, FEATURES, SPLITS, TRAIN, REPORT)
