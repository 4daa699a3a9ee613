"""`csmv zeroshot`: multimodal language models asked about dev and test as they are, to compare trained models with."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from csmv.flows.options import AsJson, Fields, Root, Values, command, one_value_each, usage
from csmv.flows.terminal import print_json, print_table
from csmv.pipeline import interrupt
from csmv.pipeline.errors import UnfinishedError, UsageError

if TYPE_CHECKING:
    from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig
    from csmv.pipeline.zeroshot.zeroshot_run import ZeroShotResult

commands = typer.Typer()

SECTION = "csmv.pipeline.zeroshot.zeroshot_config:ZeroShotConfig"
_FIELDS = Fields(
    SECTION,
    *("model", "base_url", "local", "revision", "split", "frames", "frame_side", "comments_per_request", "structured"),
    *("sample", "seed", "send_media", "concurrency", "give_up", "max_cost", "max_tokens", "price_in", "price_out"),
    *("device", "dtype"),
    base="the configuration's",
)


@command(commands, "zeroshot")
def zeroshot(
    *,
    root: Root,
    section: Annotated[Values, _FIELDS],
    settings: Annotated[list[str] | None, typer.Option("--set", help="field=value of the zeroshot section.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a multimodal language model about the dev and test comments of a split; without one, all of dataset.yaml.

    The model is behind an OpenAI-compatible endpoint, or a Hugging Face model on this machine (--local). What is sent:
    pictures of each video, the scrubbed comments, and a fixed prompt. To an endpoint on another machine nothing is sent
    without --send-media. Its key comes from CSMV_ZEROSHOT_KEY, or a private file that CSMV_ZEROSHOT_KEY_FILE names.
    Answers are kept as they come: the same command goes on, and asks nothing twice. Exit code 3 if some are left.
    """
    from csmv.pipeline.config import record_section
    from csmv.pipeline.progress import track
    from csmv.pipeline.store import Store
    from csmv.pipeline.zeroshot.zeroshot_run import zero_shot

    store = Store.open(root)
    configs = _configs(root, one_value_each(settings) | section)
    results = []
    with interrupt.ending_in_order(lambda: typer.echo("Ending what is under way ...", err=True)):
        for config in configs:
            if config.base_url is not None and not as_json:
                typer.echo(
                    f"Asking {config.model} at {config.place}: {config.frames} pictures of each video, at most "
                    f"{config.frame_side} pixels, and the scrubbed comments are sent there."
                )
            with track(f"zeroshot {config.model}", None) as tick:
                results.append(zero_shot(store, config, tick))
            record_section(store, "zeroshot", config)
            if interrupt.is_asked():
                break
    if as_json:
        print_json([result.as_dict() for result in results])
    else:
        _print(results, root)
    if left := [result for result in results if result.stopped]:
        told = "; ".join(f"{one.run}: {one.left:,} comments have no answer yet ({one.stopped})" for one in left)
        raise UnfinishedError(f"{told}. The same command goes on, and asks nothing twice; higher limits let it.")


def _configs(root: str, values: dict[str, Any]) -> "list[ZeroShotConfig]":
    """The model that the options name, or all of the root's configuration with the other options laid over them."""
    from csmv.pipeline.config import read_config
    from csmv.pipeline.store import Store
    from csmv.pipeline.validated import parse
    from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig

    if values.get("model") is not None or values.get("local") is not None:
        with usage():
            return [parse(ZeroShotConfig, values, "csmv zeroshot")]
    listed = read_config(Store.open(root)).zeroshot
    if not listed:
        raise UsageError("Name a model: --model with --base-url, or --local; dataset.yaml has no zeroshot section.")
    with usage():
        return [parse(ZeroShotConfig, one.model_dump() | values, "csmv zeroshot") for one in listed]


def _print(results: "list[ZeroShotResult]", root: str) -> None:
    from csmv.pipeline.vccsa.metrics import HEADINGS, TASKS, in_row

    for result in results:
        cost = "" if result.cost is None else f", cost {result.cost:.4f}"
        used = f"{result.usage.tokens_in:,} tokens in, {result.usage.tokens_out:,} out{cost}"
        typer.echo(f"{result.run}: {result.asked:,} comments answered now; all answers so far: {used}.")
        for part, tasks in result.unanswered.items():
            for task, reasons in tasks.items():
                if reasons:
                    counted = ", ".join(f"{count:,} {why}" for why, count in reasons.items())
                    typer.echo(f"  {part}, {task}: no class, so counted as wrong: {counted}")
    finished = [result for result in results if not result.stopped]
    if not finished:
        return
    rows = []
    for result in finished:
        scores = ["-" if value is None else f"{100 * value:.2f}" for value in in_row(result.metrics["test"])]
        shares = [result.metrics["test"][task] for task in TASKS]
        unanswered = [f"{100 * one['unanswered'] / max(one['n'], 1):.1f} %" for one in shares]
        rows.append([result.run, *scores, *unanswered])
    print_table(["run", *HEADINGS, *(f"{task} unanswered" for task in TASKS)], rows)
    typer.echo(f"Intervals, and against a trained run: csmv evaluate {finished[0].run} --against RUN --root {root}")
