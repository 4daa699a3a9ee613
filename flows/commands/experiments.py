"""`csmv ablate` and `results`: lists of experiments in one command, and one page of what all of them came to."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from csmv.flows.commands.training import BASE, SECTION, base_configs
from csmv.flows.options import AsJson, Fields, Root, Values, command, one_value_each, usage
from csmv.flows.terminal import print_json
from csmv.pipeline.errors import UsageError

commands = typer.Typer()

PRESETS = "paper, switches, features, controls or curve"


@command(commands, "ablate")
def ablate(
    *,
    root: Root,
    preset: Annotated[str, typer.Option(help=f"Which list: {PRESETS}.")],
    section: Annotated[Values, Fields(SECTION, "model", "split", base=BASE)],
    seeds: Annotated[str, typer.Option(help="Seeds of each, as in 0,1,2.")] = "0,1,2",
    fraction: Annotated[
        str | None, typer.Option(help="Shares of the train videos, as in 0.1,0.25,0.5,1: each point at each share.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file with a train section's fields.")] = None,
    paper: Annotated[str | None, typer.Option(help="The paper's recipe for i3d, r21d or videomaev2.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="field=value, for all of them.")] = None,
    name: Annotated[
        str | None, typer.Option(help="What the list is called in the root; else after the preset.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another list of that name, and its other or failed runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a list of experiments through Prefect, several seeds each, and compare them with the first of it.

    Finished runs are not repeated, so the same command goes on where it was. A run that diverged costs only itself, is
    named, and makes the exit code 1. Dev chooses; test stands beside it.
    """
    from csmv.flows.here import sweep_here
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa.experiments.ablation import ablation, ablation_results
    from csmv.pipeline.vccsa.experiments.experiment_tables import differences
    from csmv.pipeline.vccsa.result_tables import markdown
    from csmv.pipeline.vccsa.sweep import SWEEP_NAME, failed_runs, write_sweep
    from csmv.pipeline.vccsa.train_config import TrainConfig
    from csmv.pipeline.vccsa.training import SCORED

    if name is not None and not SWEEP_NAME.fullmatch(name):
        raise UsageError(f"A list's name is 1 to 40 letters, digits, - and _; '{name[:80]}' is not.")
    model = section.pop("model", None) or (None if config or paper else TrainConfig().model)
    [base] = base_configs(root, model, config, paper)
    store = Store.open(root)
    with usage():
        base = base.replace(one_value_each(settings) | section)
        asked = ablation(
            store, _preset(preset), base, _numbers(seeds, int, "--seeds"), _numbers(fraction, float, "--fraction"), name
        )
    write_sweep(store, asked, "always" if overwrite else "never")
    sweep_here(root, asked.name, overwrite)
    rows, comparisons = ablation_results(store, asked.name)
    failed = failed_runs(store, asked.name)
    for run, reason in failed.items():
        typer.echo(f"Left out: the run '{run}' failed: {reason}", err=True)
    if as_json:
        print_json({"rows": rows, "differences": comparisons, "failed": failed})
    else:
        typer.echo(markdown(rows, ["point", "seeds"], SCORED))
        typer.echo("Chosen by dev: the row in bold. What test says of the others has no part in it.\n")
        typer.echo(differences(f"Against {asked.labels[0]}", comparisons).markdown())
        typer.echo(f"Tables: {root}/sweeps/{asked.name}/results and differences.md, .tex and .json")
    if failed:
        raise typer.Exit(1)


@commands.command()
def results(
    root: Root,
    resamples: Annotated[int, typer.Option(min=10, help="Draws of videos and seeds for the intervals.")] = 2000,
    figures: Annotated[bool, typer.Option(help="Also draw reliability, differences and learning curves.")] = True,
    as_json: AsJson = False,
) -> None:
    """One page of all experiments: dev and test side by side, differences, calibration, hashtags, learning curves.

    Into reports/: results.md, .tex and .json, and figures as PNG and PDF under reports/results/.
    """
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa.experiments.results_page import write_results

    document = write_results(Store.open(root), resamples, figures)
    for run, reason in document["failed"].items():
        typer.echo(f"Left out: the run '{run}' failed: {reason}", err=True)
    for split in document["splits"].values():
        for name, reason in split["left_out"].items():
            typer.echo(f"Left out: {name}: {reason}", err=True)
    if as_json:
        print_json(document)
        return
    for name, split in document["splits"].items():
        typer.echo(f"{name}: {len(split['rows'])} experiments, of which dev chooses {split['chosen']}")
    drawn = f"; figures: {root}/reports/results/" if document["figures"] else ""
    typer.echo(f"Page: {root}/reports/results.md, .tex and .json{drawn}")


def _preset(text: str) -> Any:
    from csmv.pipeline.vccsa.experiments.presets import Preset

    if text not in get_args(Preset):
        raise UsageError(f"--preset takes {PRESETS}; '{text[:40]}' is none of them.")
    return text


def _numbers(text: str | None, kind: type, option: str) -> tuple[Any, ...]:
    """The numbers of a list with commas, each once."""
    try:
        return tuple(dict.fromkeys(kind(one) for one in text.split(","))) if text else ()
    except ValueError:
        raise UsageError(
            f"{option} takes numbers with commas between, and got '{text[:80] if text else ''}'."
        ) from None
