"""`csmv doctor` and `csmv deploy`: what this machine has, and the flows made known to a Prefect server."""

import os
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from csmv.flows.options import AsJson
from csmv.flows.terminal import print_json
from csmv.pipeline.errors import CsmvError, UsageError

commands = typer.Typer()


@commands.command()
def doctor(
    root: Annotated[Path, typer.Option(help="Where a dataset would be kept; its disk is looked at.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Say what is installed, what is missing, and how to get it. Fails only if something required is missing."""

    from csmv.flows.doctor import examine

    findings = examine(root)
    lacking = [finding for finding in findings if finding.required and not finding.present]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "ok     " if finding.present else "MISSING" if finding.required else "absent "
            typer.echo(f"{mark}  {finding.name:<26} {finding.found}")
            if not finding.present:
                typer.echo(f"{'':<9}for {finding.needed}: {finding.how}")
        typer.echo("Everything required is here." if not lacking else f"{len(lacking)} required thing(s) are missing.")
    raise typer.Exit(1 if lacking else 0)


@commands.command()
def metrics(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where Prometheus finds it.")] = 9464,
    address: Annotated[str, typer.Option(help="Whom it answers: 0.0.0.0 is everybody.")] = "127.0.0.1",
    folder: Annotated[
        Path | None, typer.Option(help="Where workers write; left out, CSMV_METRICS_DIR, which they need too.")
    ] = None,
) -> None:
    """Serve what this machine's workers count to Prometheus, until Ctrl-C: one exporter a machine."""
    from csmv.flows.worker_metrics import DIRECTORY, serve

    chosen = folder or Path(os.environ.get(DIRECTORY, ""))
    if chosen == Path():
        raise UsageError(f"Name the folder of the workers' counts with --folder, or set {DIRECTORY}.")
    server = serve(chosen, port, address)
    typer.echo(f"http://{address}:{server.server_port}/metrics serves what workers write into {chosen}.")
    if not chosen.is_dir() or not any(chosen.iterdir()):
        typer.echo(f"Nothing is there yet: start the workers with {DIRECTORY}={chosen} in their environment.", err=True)
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    server.shutdown()


@commands.command()
def deploy(
    root: Annotated[str | None, typer.Option(help="The dataset root of runs that name none.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A dataset.yaml for that root; left out, its own is used.")
    ] = None,
    pool: Annotated[str, typer.Option(help="The work pool; made, of type process, if it is not there.")] = "csmv",
    gpu_pool: Annotated[str | None, typer.Option(help="A pool for features and training; else they share.")] = None,
    on_workers: Annotated[
        bool,
        typer.Option(
            "--on-workers/--one-process",
            help="Divide runs over all workers of the pools, or do each in the process of one of them.",
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Register every flow as a deployment `<flow>/csmv` with the Prefect server that PREFECT_API_URL names."""

    from csmv.flows.server import CLIENT_SETTINGS, require_api
    from csmv.pipeline.config import DatasetConfig
    from csmv.pipeline.validated import read_text

    if config is not None and root is None:
        raise UsageError("--config describes the dataset of a root: say which one with --root.")
    settings = DatasetConfig.from_yaml(read_text(config), str(config)) if config else None
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        raise CsmvError("PREFECT_API_URL is not set: start a server with `prefect server start`, then set it.")
    require_api(url)
    for name, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)

    from csmv.flows.build import Build
    from csmv.flows.deploy import deploy as register

    stages_run = "on-workers" if on_workers else "here"
    dataset = Build(root=root, config=settings, stages_run=stages_run) if root else None
    registered = register(dataset, pool, gpu_pool or pool)
    if as_json:
        print_json([{"deployment": name, "work_pool": chosen} for name, chosen in registered])
        return
    for name, chosen in registered:
        typer.echo(f"{name:<20} on the work pool {chosen}")
    typer.echo("\nOn each machine that shall work, with PREFECT_API_URL set as here:")
    typer.echo(f"    prefect worker start --pool {pool} --type process --limit 1")
    if gpu_pool and gpu_pool != pool:
        typer.echo("On each machine with a GPU:")
        typer.echo(f"    prefect worker start --pool {gpu_pool} --type process --limit 1")
    typer.echo("Then, from anywhere:")
    if root:
        typer.echo("    prefect deployment run build-dataset/csmv")
    else:
        typer.echo('    prefect deployment run build-dataset/csmv --params \'{"dataset": {"root": "ROOT"}}\'')
