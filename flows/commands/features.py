"""The commands that compute features: `csmv extract` for a root, `csmv features` for loose files, `csmv extractors`."""

import collections
import multiprocessing
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from csmv.extractors.decoders import DecoderName, require_decoder
from csmv.extractors.registry import card_of, extractor_class, names
from csmv.flows.options import AsJson, Fields, Root, Values, command, usage
from csmv.flows.terminal import print_json, print_table
from csmv.pipeline.errors import CsmvError, UnfinishedError, UsageError

if TYPE_CHECKING:
    from csmv.extractors.engine import VideoResult
    from csmv.pipeline.feature_config import FeatureConfig
    from csmv.pipeline.store import Store

commands = typer.Typer()

SECTION = "csmv.pipeline.feature_config:FeatureConfig"
COMMON = ("extractor", "weights", "device", "dtype", "granularity", "batch_size", "workers", "decoder")
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

    names, devices = section.pop("extractor"), section.pop("device").split(",")
    sections = [
        section | {"extractor": name, "weights": weights, "device": devices[0]}
        for name, weights in _chosen(names, section.pop("weights"))
    ]
    with usage():
        configs = [parse(FeatureConfig, one, "csmv extract") for one in sections]
    _check_names(names)
    store = Store.open(root)
    if len(devices) > 1:
        _on_devices(store, configs, devices)
    else:
        _extract_shards(store, configs, store.shards())
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


def _extract_shards(store: "Store", configs: "list[FeatureConfig]", shards: Any) -> None:
    from csmv.pipeline.features import extract_shard, missing
    from csmv.pipeline.progress import track

    store.sweep()
    total = sum(len(set().union(*(missing(store, shard, config) for config in configs))) for shard in shards)
    with track("features", total) as tick:
        for shard in shards:
            extract_shard(store, shard, *configs, tick=tick)


def _on_devices(store: "Store", configs: "list[FeatureConfig]", devices: list[str]) -> None:
    """One process a device, each with every n-th shard."""

    context = multiprocessing.get_context("spawn")
    shares = [
        context.Process(
            target=_share,
            args=(store.root, [c.model_copy(update={"device": one}).model_dump() for c in configs], at, len(devices)),
        )
        for at, one in enumerate(devices)
    ]
    for process in shares:
        process.start()
    for process in shares:
        process.join()
    failed = [one for one, process in zip(devices, shares, strict=True) if process.exitcode]
    if failed:
        raise CsmvError(f"The process on {failed[0]} stopped with an error (above); what it had done is kept.")


def _share(root: str, sections: list[dict[str, Any]], at: int, of: int) -> None:
    from csmv.pipeline.feature_config import FeatureConfig
    from csmv.pipeline.store import Store

    store = Store.open(root)
    try:
        _extract_shards(store, [FeatureConfig(**section) for section in sections], store.shards()[at::of])
    except CsmvError as error:
        print(f"csmv: {error}", file=sys.stderr)
        sys.exit(1)


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
        if config.dtype != "float32":
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
    videos: Annotated[list[Path], typer.Argument(help="Video files.")],
    out: Annotated[Path, typer.Option(help="Where to: .npz or .parquet for any number of files, .npy for one.")],
    section: Annotated[Values, Fields(SECTION, *COMMON, **OF_SEVERAL)],
    as_json: AsJson = False,
) -> None:
    """Features of loose files; exit code 1 if a file gave none, with what was done kept.

    Several extractors take their weights as --weights NAME=PATH,NAME=PATH.
    """
    from csmv.extractors import create
    from csmv.extractors.engine import Engine, Settings
    from csmv.pipeline.progress import track

    names, dtype = section["extractor"], section["dtype"]
    keys = _keys(videos)
    _check_out(out, keys, names)
    _check_names(names)
    require_decoder(section["decoder"])
    settings = Settings(**{name: section[name] for name in ("workers", "batch_size", "decoder")})
    way = {name: section[name] for name in ("device", "dtype", "granularity")}
    networks = {
        name: create(name, weights, **way, measure=True) for name, weights in _chosen(names, section["weights"])
    }
    results: dict[str, VideoResult] = {}
    with (
        Engine(networks, settings) as engine,
        track("features", len(videos)) as tick,
    ):
        for key, result in zip(keys, engine.run(videos), strict=True):
            results[key] = result
            tick(1)
    _write(out, results, networks, settings.decoder)
    for name, network in networks.items():
        if network.deviation is not None:
            typer.echo(f"{name}: deviation of {dtype} from float32: {network.deviation}", err=True)
    _report(results, as_json)


def _keys(videos: list[Path]) -> list[str]:
    """A name a file: its stem, or its path where two stems are equal."""
    stems = [video.stem for video in videos]
    keys = stems if len(set(stems)) == len(stems) else [str(video) for video in videos]
    if len(set(keys)) < len(keys):
        raise UsageError("The same file was given twice.")
    return keys


def _check_out(out: Path, keys: list[str], extractors: list[str]) -> None:
    if out.suffix not in (".npz", ".npy", ".parquet"):
        raise UsageError(f"--out must end in .npz, .npy or .parquet, and '{out.name}' does not.")
    if out.suffix == ".npy" and (len(keys) > 1 or len(extractors) > 1):
        raise UsageError("A .npy file holds one video by one extractor: use .npz or .parquet for more.")
    if out.suffix == ".parquet" and len(extractors) > 1:
        raise UsageError("A .parquet file holds one extractor's features: use .npz for more.")
    if not out.parent.is_dir():
        raise CsmvError(f"The folder '{out.parent}' of --out is not there.")


def _write(out: Path, results: "dict[str, VideoResult]", networks: dict[str, Any], decoder: DecoderName) -> None:
    import numpy as np

    if out.suffix == ".parquet":
        _write_parquet(out, results, networks, decoder)
        return
    several = len(networks) > 1
    arrays = {
        f"{key}/{name}" if several else key: vectors
        for key, result in results.items()
        for name, vectors in result.features.items()
    }
    if out.suffix == ".npz":
        np.savez(out, **arrays)  # type: ignore[arg-type]
    elif arrays:
        np.save(out, next(iter(arrays.values())))


def _write_parquet(
    out: Path, results: "dict[str, VideoResult]", networks: dict[str, Any], decoder: DecoderName
) -> None:
    import pyarrow as pa

    from csmv.pipeline.feature_config import FeatureConfig
    from csmv.pipeline.feature_sets import footer
    from csmv.pipeline.schemas import features_spec
    from csmv.pipeline.store import parquet_bytes

    ((name, network),) = networks.items()
    config = FeatureConfig(extractor=name, granularity=network.granularity, dtype=network.dtype, decoder=decoder)
    spec = features_spec(network.dim, "float32", footer(config, network))
    rows = [{"video_id": k, "features": list(r.features[name])} for k, r in results.items() if name in r.features]
    out.write_bytes(parquet_bytes(spec.conform(pa.Table.from_pylist(rows, schema=spec.schema))))


def _report(results: "dict[str, VideoResult]", as_json: bool) -> None:
    shapes = {
        key: {name: list(v.shape) for name, v in result.features.items()}
        | {name: str(reason) for name, (reason, _) in result.failures.items()}
        for key, result in results.items()
    }
    if as_json:
        print_json(shapes)
    for key, result in results.items():
        for name, (reason, detail) in result.failures.items():
            typer.echo(f"{key}: no {name} features: {reason}" + (f" ({detail})" if detail else ""), err=True)
        for name, lost in result.damage.items():
            typer.echo(f"{key}: damaged: {lost}; the {name} features are of the rest", err=True)
        if not as_json:
            for name, vectors in result.features.items():
                typer.echo(f"{key}: {name} {vectors.shape[0]} x {vectors.shape[1]}")
    if any(result.failures for result in results.values()):
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
    return "\n".join(lines)


def _one_line(value: Any) -> str:
    return "; ".join(f"{k} {v}" for k, v in value.items() if v) if isinstance(value, dict) else str(value)


def _as_row(card: dict[str, Any]) -> list[str]:
    vectors = ", ".join(f"{kind} {count}" for kind, count in card["vectors a window"].items())
    return [card["name"], card["kind"], str(card["dim"]), vectors, ", ".join(card["weights"]) or "none needed"]
