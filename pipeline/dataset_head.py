"""The first lines of dataset.yaml, which every root has: apart, so that a command line has read them at once."""

from typing import Final, Literal

from pydantic import Field

from csmv.pipeline.validated import Validated

FORMAT_VERSION: Final = 2
"""Of new roots. What a root's own is, its header says; a configuration written for format 1 reads the same."""

FEWEST = 16
"""Shards of a root whose size nobody knows."""
MOST = 9999


class DatasetHead(Validated):
    """What a root is called, and into how many shards it is divided."""

    format_version: Literal[1, 2] = FORMAT_VERSION
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="the dataset's name, of at most 64 letters, digits, '.', '_' and '-'",
    )
    n_shards: int = Field(default=FEWEST, ge=1, le=MOST, description="number of shards, fixed when the root is made")
    """Left out, a new root takes what suits the size that its source expects, and the root's header says how many."""
