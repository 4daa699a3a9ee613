"""A sweep: one base configuration, the values that some of its fields take, and several seeds of each.

Every point is an ordinary run under a name of its own, so a sweep that stops goes on where it was. Results are means
and spreads over seeds.
"""

import hashlib
import itertools
import re
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Json, Validated, parse
from csmv.pipeline.vccsa.evaluation import evaluate
from csmv.pipeline.vccsa.result_tables import Row, over_seeds, rows_of, write_tables
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import train

TABLE_1: tuple[dict[str, Any], ...] = tuple(
    {"sizes.scales": scales, "sizes.consensus_tokens": tokens, "sizes.consensus_layers": layers}
    for scales, tokens, layers in (
        *((scales, 1, 1) for scales in (2, 3, 4, 5, 6)),
        *((4, tokens, 1) for tokens in (2, 3)),
        *((4, 1, layers) for layers in (2, 3)),
    )
)
"""The paper's Table 1: 2-6 scales, 1-3 consensus tokens, 1-3 consensus layers around 4, 1, 1."""


SWEEP_NAME = re.compile(r"^[0-9A-Za-z][0-9A-Za-z_-]{0,39}$")


class SweepConfig(Validated):
    """What is swept. `grid` is crossed; `points` are taken as they stand; both name fields as in sizes.scales."""

    name: str = Field(
        pattern=SWEEP_NAME.pattern, description="the sweep's name, of at most 40 letters, digits, '_' and '-'"
    )
    base: TrainConfig = TrainConfig()
    grid: dict[str, tuple[Json, ...]] = Field(default_factory=dict)
    points: tuple[dict[str, Json], ...] = ()
    seeds: tuple[int, ...] = (1, 2, 3)

    def settings(self) -> list[dict[str, Any]]:
        """The fields' values at each point, seeds aside."""
        crossed = [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]
        return [{**point, **values} for point in (self.points or ({},)) for values in crossed]

    def runs(self) -> Iterator[tuple[dict[str, Any], TrainConfig, str]]:
        """Each point at each seed: its settings, its configuration and its run's name."""
        for settings in self.settings():
            for seed in self.seeds:
                config = self.base.replace({**settings, "seed": seed})
                digits = hashlib.sha256(config.identity.encode()).hexdigest()[:8]
                yield settings, config, f"{self.name}-{digits}-s{seed}"


def write_sweep(store: Store, sweep: SweepConfig) -> int:
    """Keep a sweep in the root and give its number of runs.

    Raises CsmvError if a point does not fit, or if another sweep of that name is there.
    """
    runs = [name for _, _, name in sweep.runs()]
    if not runs:
        raise CsmvError("A sweep needs at least one seed and one value for each field.")
    path = f"sweeps/{sweep.name}/sweep.json"
    data = (sweep.model_dump_json(indent=2) + "\n").encode()
    if store.exists(path) and store.read_file(path) != data:
        raise CsmvError(
            f"The root already has another sweep called '{sweep.name}'; give this one another name, or remove {path}."
        )
    store.write_file(path, data)
    return len(runs)


def read_sweep(store: Store, name: str) -> SweepConfig:
    """A sweep that `write_sweep` kept."""
    path = f"sweeps/{name}/sweep.json"
    return parse(SweepConfig, parsed_json(store.read_file(path), path), f"sweep {name}")


def train_point(store: Store, name: str, number: int) -> None:
    """Train the `number`th run of a sweep, if it is not finished already."""
    _, config, run = list(read_sweep(store, name).runs())[number]
    train(store, config, run)


def results(store: Store, name: str, part: str = "test") -> list[Row]:
    """Mean and spread over seeds at each point; also written as tables into `sweeps/<name>/`."""
    sweep = read_sweep(store, name)
    rows: list[Row] = []
    fields = list(dict.fromkeys(field for settings in sweep.settings() for field in settings))
    for settings, _, run in sweep.runs():
        [row] = rows_of([evaluate(store, run, part, resamples=200)])
        rows.append(row | {field: settings.get(field) for field in fields})
    by = fields or ["model"]
    summary = over_seeds(rows, by)
    write_tables(store, f"sweeps/{name}", summary, [*by, "seeds"])
    return summary
