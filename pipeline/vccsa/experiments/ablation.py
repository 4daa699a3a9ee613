"""An ablation: a preset's points as a labelled sweep, and each of them compared with the first."""

from collections.abc import Sequence
from typing import Any

from csmv.pipeline.store import Store
from csmv.pipeline.validated import parse
from csmv.pipeline.vccsa.experiments.comparison import compare_experiments
from csmv.pipeline.vccsa.experiments.experiment import named_experiment
from csmv.pipeline.vccsa.experiments.experiment_tables import differences
from csmv.pipeline.vccsa.experiments.presets import Preset, points
from csmv.pipeline.vccsa.resampling import RESAMPLES
from csmv.pipeline.vccsa.result_tables import Row, as_json
from csmv.pipeline.vccsa.sweep import SweepConfig, read_sweep, results
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import SCORED

SEEDS = (0, 1, 2)


def ablation(
    store: Store,
    preset: Preset,
    base: TrainConfig,
    seeds: Sequence[int] = SEEDS,
    fractions: Sequence[float] = (),
    name: str | None = None,
) -> SweepConfig:
    """The preset's points around `base`, each with these seeds, as a sweep called after the preset.

    Raises:
        CsmvError: a point does not fit, or the base has nothing that the preset could change.
    """
    labelled = points(preset, base, store, fractions)
    settings: dict[str, Any] = {"name": name or preset, "base": base, "points": tuple(labelled.values())}
    sweep = parse(SweepConfig, settings | {"labels": tuple(labelled), "seeds": tuple(seeds)}, "ablate")
    list(sweep.runs())
    return sweep


def ablation_results(store: Store, name: str, resamples: int = RESAMPLES) -> tuple[list[Row], list[dict[str, Any]]]:
    """The rows of `csmv.pipeline.vccsa.sweep.results`, and of each other point its differences from the first.

    Both are written as tables into `sweeps/<name>/`: results and differences. Points without a finished run are left
    out; where the first has none, so are the differences.

    Raises:
        CsmvError: all runs failed.
    """
    rows = results(store, name)
    first, *others = [label for label in read_sweep(store, name).labels if any(row["point"] == label for row in rows)]
    comparisons = []
    if first == read_sweep(store, name).labels[0]:
        reference = named_experiment(store, f"{name}/{first}")
        for label in others:
            other = named_experiment(store, f"{name}/{label}")
            for part in SCORED:
                comparisons.append({"label": label} | compare_experiments(store, reference, other, part, resamples))
    note = f"Against {first}, on the same comments: points of F1, 95 % interval over videos and seeds, two-sided p."
    table = differences(f"{name}: differences", comparisons, note)
    texts = {"md": table.markdown(), "tex": table.latex(), "json": as_json(comparisons)}
    for suffix, text in texts.items():
        store.write_file(f"sweeps/{name}/differences.{suffix}", text.encode())
    return rows, comparisons
