"""An experiment: the finished runs of a root that differ by nothing but their seed, under one name."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.evaluation import Predictions, read_predictions
from csmv.pipeline.vccsa.run_files import (
    FailedRunError,
    RunConfig,
    config_in,
    finished_document,
    require_name,
    run_names,
    why_failed,
)
from csmv.pipeline.vccsa.sweep import SWEEP_NAME, read_sweep

SUFFIX = "-seeds"


@dataclass(frozen=True)
class Experiment:
    """Runs by seed, in the order of seeds.

    name: as commands take it; a run alone is called after itself. config: that of the first seed.
    """

    name: str
    config: RunConfig
    runs: dict[int, str]

    @property
    def folder(self) -> str:
        """Where in the root its evaluation goes: a single run's beside the run."""
        [*others, run] = self.runs.values()
        return f"reports/experiments/{self.name}" if others or self.name != run else f"models/{run}/evaluation"

    def predictions(self, store: Store, part: str) -> list[Predictions]:
        """What each run answered for a part, by seed.

        Raises:
            CsmvError: the runs did not answer the same comments with the same labels.
        """
        answers = [read_predictions(store, run, part) for run in self.runs.values()]
        for one in answers[1:]:
            refuse_other_comments(answers[0], one, part)
        return answers


def experiment_name(config: RunConfig) -> str:
    """The model, the split, and eight digits that stand for the rest of the configuration without the seed."""
    digits = hashlib.sha256(config.model_copy(update={"seed": 0}).identity.encode()).hexdigest()[:8]
    return f"{config.short_name}-{config.split}"[: 55 - len(SUFFIX)] + f"-{digits}{SUFFIX}"


def experiments(store: Store) -> dict[str, Experiment]:
    """Every experiment of a root by name: each finished run is in one. Of two runs with one seed the first counts.

    Runs whose run.json this version can't read are in none.
    """
    members: dict[str, dict[int, tuple[str, RunConfig]]] = {}
    for run in run_names(store)[0]:
        try:
            config = config_in(finished_document(store, run) or {}, run)
        except CsmvError:
            continue
        members.setdefault(experiment_name(config), {}).setdefault(config.seed, (run, config))
    return {name: _experiment(name, members[name]) for name in sorted(members)}


def called(store: Store) -> list[Experiment]:
    """Every experiment of a root under the name that says most: SWEEP/POINT if it is in one, the first of several."""
    points: dict[str, str] = {}
    for path in store.files("sweeps"):
        if path.endswith("/sweep.json") and path.count("/") == 2:
            sweep = read_sweep(store, path.split("/")[1])
            for label, config, _ in sweep.labelled_runs():
                points.setdefault(experiment_name(config), f"{sweep.name}/{label}")
    return [replace(one, name=points.get(name, name)) for name, one in experiments(store).items()]


def _experiment(name: str, members: Mapping[int, tuple[str, RunConfig]]) -> Experiment:
    by_seed = {seed: run for seed, (run, _) in sorted(members.items())}
    return Experiment(name, members[min(members)][1], by_seed)


def named_experiment(store: Store, name: str) -> Experiment:
    """A run, an experiment, or a point of a sweep or ablation, by its name.

    Args:
        store: the root.
        name: a finished run's, one of `experiments`, or `SWEEP/POINT`, such as `switches/without-residual`.

    Raises:
        CsmvError: there is none of that name, or it has no finished run.
        FailedRunError: it is a run that is marked failed.
    """
    if "/" in name:
        return _point(store, name)
    if not name.endswith(SUFFIX):
        require_name(name)
    document = finished_document(store, name) if is_safe_id(name) else None
    if document is not None:
        config = config_in(document, name)
        return Experiment(name, config, {config.seed: name})
    if is_safe_id(name) and (reason := why_failed(store, name)):
        raise FailedRunError(f"The run '{name}' failed and has no scores: {reason}")
    by_name = experiments(store)
    if name not in by_name:
        several = ", ".join(list(by_name)[:5]) or "none"
        raise CsmvError(
            f"The root '{store.root}' has no finished run '{name[:80]}' and no experiment of that name; its "
            f"experiments are {several}{', ...' if len(by_name) > 5 else ''}."
        )
    return by_name[name]


def _point(store: Store, name: str) -> Experiment:
    sweep_name, _, label = name.partition("/")
    if not SWEEP_NAME.fullmatch(sweep_name):
        raise CsmvError(f"'{name[:80]}' names no point of a sweep: expected SWEEP/POINT.")
    sweep = read_sweep(store, sweep_name)
    finished = set(run_names(store)[0])
    members = {config.seed: (run, config) for label_of, config, run in sweep.labelled_runs() if label_of == label}
    if not members:
        labels = ", ".join(dict.fromkeys(one for one, _, _ in sweep.labelled_runs()))
        raise CsmvError(f"'{sweep_name}' has no point '{label[:80]}'; its points are {labels}.")
    members = {seed: one for seed, one in members.items() if one[0] in finished}
    if not members:
        raise CsmvError(f"No run of '{name}' is finished: train it first, with the same command again.")
    return _experiment(name, members)


def refuse_other_comments(a: Predictions, b: Predictions, part: str) -> None:
    """Raises CsmvError if two runs did not answer the same comments, or did with other labels."""
    same = a.comment_ids == b.comment_ids and all((a.labels[task] == b.labels[task]).all() for task in a.labels)
    if not same:
        raise CsmvError(
            f"'{a.run}' and '{b.run}' did not answer the same {part} comments ({len(a.comment_ids)} and "
            f"{len(b.comment_ids)}); a paired comparison needs runs on one split of one state of the data."
        )
