"""The commands that compute features: `csmv extract` for a root, `csmv features` for loose files, `csmv extractors`."""

import collections
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from csmv.extractors.decoders import DecoderName, require_decoder
from csmv.extractors.extractor_errors import MediaError
from csmv.extractors.registry import card_of, extractor_class, names
from csmv.flows.options import AsJson, Fields, Root, Values, command, usage
from csmv.flows.terminal import print_json, print_table
from csmv.pipeline.errors import UnfinishedError, UsageError
from csmv.pipeline.loose_inputs import Found, find

if TYPE_CHECKING:
    from csmv.extractors.base import Extractor
    from csmv.pipeline.feature_config import FeatureConfig
    from csmv.pipeline.loose_files import LooseRun
    from csmv.pipeline.store import Store

commands = typer.Typer()

SECTION = "csmv.pipeline.feature_config:FeatureConfig"
LOOSE = "csmv.pipeline.loose_config:LooseConfig"
COMMON = ("extractor", "weights", "device", "dtype", "compile", "granularity", "batch_size", "workers", "decoder")
OF_SEVERAL = {"repeated": ("extractor",), "short": {"extractor": "-e"}}


@command(commands, "extract")
def extract_command(
    *,
    root: Root,
    section: Annotated[Values, Fields(SECTION, *COMMON, "storage", "max_damage", **OF_SEVERAL)],
    as_json: AsJson = False,
) -> None:
    """Features for every video of a root that has none yet; each video is decoded once for all extractors.

    Several extractors take their weights as --weights NAME=PATH,NAME=PATH; several devices, with commas, get one
    process each. Exit code 3 if a video may still succeed in a later run.
    """
    from csmv.pipeline.config import record_section
    from csmv.pipeline.feature_config import FeatureConfig
    from csmv.pipeline.features import complete, missing
    from csmv.pipeline.own_weights import without_path
    from csmv.pipeline.store import Store
    from csmv.pipeline.validated import parse

    names = section.pop("extractor")
    sections = [
        section | {"extractor": name, "weights": weights} for name, weights in _chosen(names, section.pop("weights"))
    ]
    with usage():
        configs = [parse(FeatureConfig, one, "csmv extract") for one in sections]
    _check_names(names)
    store = Store.open(root)
    _extract_shards(store, configs)
    for config in configs:
        complete(store, config)
    counts = {config.name: _counts(store, config) for config in configs}
    for config in configs:
        if counts[config.name]["videos"]:
            record_section(store, "features", without_path(store, config))
    _say(counts, as_json)
    if left := sum(len(missing(store, shard, config)) for config in configs for shard in store.shards()):
        raise UnfinishedError(f"{left:,} may succeed later: run the same command again.")


def _check_names(names: list[str]) -> None:
    """Raises UnknownChoiceError, with the nearest name there is, for an extractor that there is not."""
    for name in names:
        extractor_class(name)


def _chosen(names: list[str], weights: str) -> list[tuple[str, str]]:
    """(extractor, its weights); `weights` is one for all or NAME=VALUE pairs."""
    pairs = dict(pair.split("=", 1) for pair in weights.split(",") if "=" in pair and not pair.startswith("http"))
    if not pairs:
        return [(name, weights) for name in names]
    strange = [name for name in pairs if name not in names]
    if strange:
        raise UsageError(f"--weights names '{strange[0]}', which is none of the extractors asked for.")
    return [(name, pairs.get(name, "default")) for name in names]


def _extract_shards(store: "Store", configs: "list[FeatureConfig]") -> None:
    from csmv.pipeline.features import extract_shards, missing
    from csmv.pipeline.progress import track

    store.sweep()
    total = sum(len(set().union(*(missing(store, shard, config) for config in configs))) for shard in store.shards())
    with track("features", total) as tick:
        extract_shards(store, *configs, tick=tick)


def _counts(store: "Store", config: "FeatureConfig") -> dict[str, Any]:
    """Videos with features, failures by reason, and what a dtype other than float32 costs, of a set."""

    from csmv.pipeline.feature_sets import read_footer
    from csmv.pipeline.schemas import FailureClass, FailureReason

    done = 0
    deviation = ""
    reasons, warnings = collections.Counter[str](), collections.Counter[str]()
    for shard in store.shards():
        rows, failed = store.read(config.table, shard), store.read(f"failures/{config.table}", shard)
        done += 0 if rows is None else rows.num_rows
        for reason in [] if failed is None else failed["reason"].to_pylist():
            is_warning = FailureReason(reason).kind is FailureClass.WARNING
            (warnings if is_warning else reasons)[reason] += 1
        if config.dtype != "float32" or config.compile:
            deviation = deviation or (read_footer(store, config.table, shard) or {}).get("deviation_from_float32", "")
    counts = {"videos": done, "failed": dict(sorted(reasons.items()))}
    counts |= {"warnings": dict(sorted(warnings.items()))} if warnings else {}
    return counts | {"deviation_from_float32": deviation} if deviation else counts


def _say(counts: dict[str, dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(counts)
        return
    for name, of_set in counts.items():
        failed = ", ".join(f"{count} {reason}" for reason, count in of_set["failed"].items())
        typer.echo(f"{name}: {of_set['videos']} videos have features" + (f"; failed: {failed}" if failed else ""))
        for reason, count in of_set.get("warnings", {}).items():
            typer.echo(f"{name}: {count} of them {reason.replace('_', ' ')}: see failures/features/{name}")
        if deviation := of_set.get("deviation_from_float32"):
            typer.echo(f"{name}: deviation from float32: {deviation}")


@command(commands, "features")
def features_command(
    *,
    videos: Annotated[list[Path] | None, typer.Argument(help="Video files, and folders of them.")] = None,
    lists: Annotated[
        list[Path] | None,
        typer.Option("--list", help="A text file of more of them, one path a line; - for standard input."),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Where to: a folder, for a file a video; or one .npz or .parquet file; .npy for one."),
    ],
    section: Annotated[Values, Fields(SECTION, *COMMON, **OF_SEVERAL)],
    loose: Annotated[Values, Fields(LOOSE, "format", "max_clips", "fps", "frames", "step", "max_damage")],
    show_pred: Annotated[
        bool, typer.Option("--show-pred", help="Also the five likeliest classes of each file, to check weights by.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Features of loose files; exit code 1 if a file gave none, with what was done kept.

    What is there already and was made in the same way is not computed again, so that a run that was ended goes on.
    Several extractors take their weights as --weights NAME=PATH,NAME=PATH.
    """
    from csmv.pipeline.feature_config import FeatureConfig
    from csmv.pipeline.loose_config import LooseConfig
    from csmv.pipeline.loose_files import planned
    from csmv.pipeline.loose_outputs import output_for
    from csmv.pipeline.validated import parse

    if not videos and not lists:
        raise UsageError("Name video files or folders, or a list of them with --list.")
    names = list(dict.fromkeys(section["extractor"]))
    with usage():
        asked = parse(LooseConfig, loose, "csmv features")
    output = output_for(out, asked.format, names)
    with_sound = any(card_of(name)["kind"] == "audio" for name in names)
    inputs = find(videos or (), lists or (), with_sound=with_sound)
    _tell_of(inputs)
    _check_names(names)
    require_decoder(section["decoder"])
    configs = {
        name: parse(FeatureConfig, section | {"extractor": name, "weights": weights}, "csmv features")
        for name, weights in _chosen(names, section["weights"])
    }
    with output.open():
        run = planned(output, inputs.files, configs, asked)
        try:
            if run.todo or show_pred:
                _compute(run, show_pred)
        except KeyboardInterrupt:
            raise UnfinishedError(
                f"Interrupted; of {len(run.todo):,} files to do {len(run.done):,} are done and kept: the same command "
                "goes on."
            ) from None
        output.finish()
    _report(run, inputs, as_json)


def _tell_of(found: Found) -> None:
    for path in found.repeated:
        typer.echo(f"{path}: given twice, taken once", err=True)
    if found.left_out:
        left = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.left_out.items()))
        typer.echo(f"Left out of the folders: {left}", err=True)


def _compute(run: "LooseRun", show_pred: bool) -> None:
    from csmv.extractors import create
    from csmv.extractors.engine import Settings
    from csmv.pipeline.loose_files import extract_loose
    from csmv.pipeline.progress import track

    networks = {
        name: create(
            name,
            config.weights,
            device=config.device,
            dtype=config.dtype,
            compile=config.compile,
            granularity=config.granularity,
            rule=run.asked.rule(extractor_class(name).rule),
            measure=True,
        )
        for name, config in run.configs.items()
    }
    one = next(iter(run.configs.values()))
    settings = Settings(
        workers=one.workers, batch_size=one.batch_size, decoder=one.decoder, max_damage=run.asked.max_damage
    )
    if run.todo:
        with track("features", len(run.todo)) as tick:
            extract_loose(run, networks, settings, lambda _key: tick(1))
    if show_pred:
        _predict(run, networks, one.decoder)
    for name, network in networks.items():
        if network.deviation is not None:
            typer.echo(f"{name}: deviation of {network.dtype} from float32: {network.deviation}", err=True)


def _predict(run: "LooseRun", networks: "dict[str, Extractor]", decoder: DecoderName) -> None:
    """Say what the networks' own classifiers make of each file, the mean over its windows; decodes it once more."""
    from csmv.extractors.predictions import predictions

    for name, network in networks.items():
        for key, file in run.files.items():
            try:
                classes = predictions(network, file.path, decoder=decoder)
            except MediaError:  # told with its features
                continue
            typer.echo(f"{key}: {name} predicts " + ", ".join(map(str, classes)), err=True)


def _report(run: "LooseRun", found: Found, as_json: bool) -> None:
    """What each file gave, in the order in which they were given; exit code 1 if one gave less than was asked for."""
    shapes: dict[str, dict[str, Any]] = {}
    failures = {path: dict.fromkeys(run.configs, why) for path, why in found.wrong.items()} | run.failures
    for key in run.files:
        entry = run.entry(key)
        given: dict[str, Any] = entry.features if entry is not None else {}
        shapes[key] = given | {name: reason for name, (reason, _) in failures.get(key, {}).items()}
        for name, lost in entry.damage.items() if entry is not None else ():
            typer.echo(f"{key}: damaged: {lost}; the {name} features are of the rest", err=True)
    for path in found.wrong:
        shapes.setdefault(path, {name: reason for name, (reason, _) in failures[path].items()})
    for key in shapes:
        for name, (reason, detail) in failures.get(key, {}).items():
            typer.echo(f"{key}: no {name} features: {reason}" + (f" ({detail})" if detail else ""), err=True)
    if as_json:
        print_json(shapes)
    for key, of_key in () if as_json else shapes.items():
        for name, shape in of_key.items():
            if not isinstance(shape, str):
                typer.echo(f"{key}: {name} {shape[0]} x {shape[1]}")
    if there := len(run.files) - len(run.todo):
        typer.echo(f"{there:,} of {len(run.files):,} files had been done before", err=True)
    if failures:
        raise typer.Exit(1)


@commands.command("extractors")
def extractors_command(
    name: Annotated[str | None, typer.Argument(help="One extractor, to see its card.")] = None,
    as_json: AsJson = False,
) -> None:
    """What extractors there are, those of installed plugins too; or the card of one."""
    if name is not None:
        card = dict(card_of(name))
        if as_json:
            print_json(card)
        else:
            typer.echo(_as_lines(card))
        return
    listed = [one for one in names() if not one.endswith(":NAME")]
    families = [one for one in names() if one.endswith(":NAME")]
    cards = [dict(card_of(one)) for one in listed]
    if as_json:
        print_json(cards)
        return
    print_table(["name", "kind", "dim", "vectors a window", "weights"], [_as_row(card) for card in cards])
    typer.echo("and any " + ", ".join(families) + "; `csmv extractors NAME` shows the card of one.")


def _as_lines(card: dict[str, Any]) -> str:
    lines = []
    for key, value in card.items():
        if isinstance(value, dict):
            lines.append(f"{key}:")
            lines += [f"  {inner}: {_one_line(what)}" for inner, what in value.items()]
        else:
            lines.append(f"{key}: {value}")
    return "\n".join(wrapped for line in lines for wrapped in _wrapped(line))


def _wrapped(line: str) -> list[str]:
    """Lines of 80 columns, those after the first set in; an address is never broken."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    wrapper = textwrap.TextWrapper(80, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return wrapper.wrap(line) or [""]


def _one_line(value: Any) -> str:
    return "; ".join(f"{k} {v}" for k, v in value.items() if v) if isinstance(value, dict) else str(value)


def _as_row(card: dict[str, Any]) -> list[str]:
    vectors = ", ".join(f"{kind} {count}" for kind, count in card["vectors a window"].items())
    return [card["name"], card["kind"], str(card["dim"]), vectors, ", ".join(card["weights"]) or "none needed"]
