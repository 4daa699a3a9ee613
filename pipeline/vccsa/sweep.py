"""A sweep: one base configuration, the values that some of its fields take, and several seeds of each.

Every point is an ordinary run under a name of its own, so a sweep that stops goes on where it was. Results are means
and spreads over seeds.
"""

import hashlib
import itertools
import re
from collections.abc import Iterator
from typing import Any

from pydantic import Field, model_validator

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Json, Validated, parse
from csmv.pipeline.vccsa.evaluation import evaluate
from csmv.pipeline.vccsa.metrics import METRICS, TASKS
from csmv.pipeline.vccsa.result_tables import Row, beside, over_seeds, rows_of, write_tables
from csmv.pipeline.vccsa.run_files import FailedRunError, Overwrite, TakenError, why_failed
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import SCORED, train

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
    labels: tuple[str, ...] = Field(default=(), description="what the points are called, one each, or none at all")
    seeds: tuple[int, ...] = (1, 2, 3)

    @model_validator(mode="after")
    def _labelled(self) -> "SweepConfig":
        if self.labels and len(set(self.labels)) != len(self.points):
            raise ValueError(f"expected a label of its own for each of {len(self.points)} points")
        return self

    def settings(self) -> list[dict[str, Any]]:
        """The fields' values at each point, seeds aside."""
        crossed = [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]
        return [{**point, **values} for point in (self.points or ({},)) for values in crossed]

    def labelled_runs(self) -> Iterator[tuple[str, TrainConfig, str]]:
        """Each point at each seed: what the point is called, its configuration and its run's name.

        Without labels a point is called after its values, as in `sizes.scales=2,epochs=5`, or else after the model.
        """
        for settings, config, run in self.runs():
            values = [f"{field}={value}" for field, value in settings.items()]
            label = self.labels[self.points.index(settings)] if self.labels and not self.grid else ",".join(values)
            yield label or self.base.model, config, run

    def runs(self) -> Iterator[tuple[dict[str, Any], TrainConfig, str]]:
        """Each point at each seed: its settings, its configuration and its run's name."""
        for settings in self.settings():
            for seed in self.seeds:
                config = self.base.replace({**settings, "seed": seed})
                digits = hashlib.sha256(config.identity.encode()).hexdigest()[:8]
                yield settings, config, f"{self.name}-{digits}-s{seed}"


def write_sweep(store: Store, sweep: SweepConfig, overwrite: Overwrite = "never") -> int:
    """Keep a sweep in the root and give its number of runs; one that is there takes the seeds that it lacks.

    Raises CsmvError if a point does not fit, or if another sweep of that name is there and may not be replaced.
    """
    path = f"sweeps/{sweep.name}/sweep.json"
    if store.exists(path) and overwrite == "never":
        before = read_sweep(store, sweep.name)
        if before.model_copy(update={"seeds": sweep.seeds}) != sweep:
            raise CsmvError(
                f"The root already has another sweep called '{sweep.name}', which differs in more than its seeds; give "
                "this one another name, or replace it with --overwrite."
            )
        sweep = sweep.model_copy(update={"seeds": tuple(dict.fromkeys((*before.seeds, *sweep.seeds)))})
    runs = [name for _, _, name in sweep.runs()]
    if not runs:
        raise CsmvError("A sweep needs at least one seed and one value for each field.")
    store.write_file(path, (sweep.model_dump_json(indent=2) + "\n").encode())
    return len(runs)


def read_sweep(store: Store, name: str) -> SweepConfig:
    """A sweep that `write_sweep` kept."""
    path = f"sweeps/{name}/sweep.json"
    return parse(SweepConfig, parsed_json(store.read_file(path), path), f"sweep {name}")


def train_point(store: Store, name: str, number: int, overwrite: Overwrite = "never") -> None:
    """Train the `number`th run of a sweep, if it is not finished already.

    One that fails, now or before, is told by `failed_runs`, and the others go on. Raises CsmvError if the run was
    trained on other data or labels and may not be replaced.
    """
    _, config, run = list(read_sweep(store, name).runs())[number]
    try:
        train(store, config, run, overwrite=overwrite)
    except FailedRunError:
        return
    except TakenError as error:
        raise CsmvError(
            f"The sweep '{name}' has runs that were trained on other data, which can't stand in one table with new "
            f"ones: give a new sweep another name, or replace them with --overwrite. {error}"
        ) from None


def failed_runs(store: Store, name: str) -> dict[str, str]:
    """The runs of a sweep that have no scores, and of each why."""
    reasons = {run: why_failed(store, run) for _, _, run in read_sweep(store, name).runs()}
    return {run: reason for run, reason in reasons.items() if reason is not None}


def results(store: Store, name: str) -> list[Row]:
    """Mean and spread over seeds at each point, of dev and of test; also written as tables into `sweeps/<name>/`.

    The point with the largest dev scores is `chosen`: the sum of both tasks in the metric that chooses epochs. What
    test says has no part in it. Failed runs are left out; a point's `seeds` are those that are not.
    Raises CsmvError if all of them failed.
    """
    sweep = read_sweep(store, name)
    failed = failed_runs(store, name)
    fields = list(dict.fromkeys(field for settings in sweep.settings() for field in settings))
    by = ["point"] if sweep.labels and not sweep.grid else fields or ["model"]
    rows: dict[str, list[Row]] = {part: [] for part in SCORED}
    for (settings, _, run), (label, _, _) in zip(sweep.runs(), sweep.labelled_runs(), strict=True):
        for part in SCORED if run not in failed else ():
            [row] = rows_of([evaluate(store, run, part, resamples=200)])
            rows[part].append(row | {field: settings.get(field) for field in fields} | {"point": label})
    summary = beside({part: over_seeds(some, by) for part, some in rows.items()}, by)
    if not summary:
        raise FailedRunError(f"All runs of the sweep '{name}' failed. {next(iter(failed.values()))}")
    by_dev = [dev_score(row, sweep.base.select_by) for row in summary]
    for row, score in zip(summary, by_dev, strict=True):
        row["chosen"] = score == max(by_dev)
    write_tables(store, f"sweeps/{name}", summary, [*by, "seeds"], parts=SCORED)
    return summary


def dev_score(row: Row, select_by: str) -> float:
    """By what a row of dev and test scores is chosen: both tasks' dev scores in the metric that chooses epochs.

    Where the last epoch is taken, the first of METRICS.
    """
    short = METRICS[0].short if select_by == "last" else select_by
    [metric] = [metric for metric in METRICS if metric.short == short]
    return sum(row[f"dev_{task}_{metric.name}"] or 0.0 for task in TASKS)
