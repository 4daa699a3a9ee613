"""Features of loose files: what is there already stays, each video is kept as it gets done, a bad one costs itself."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from csmv.extractors.decoders import DEFAULT
from csmv.extractors.reasons import MediaFailure
from csmv.extractors.registry import extractor_class
from csmv.extractors.sampling import vector_spans
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.feature_footer import COMPILED, NO, PREPROCESSING, YES, decoder_used, footer
from csmv.pipeline.loose_config import LooseConfig
from csmv.pipeline.loose_inputs import UNREADABLE, LooseFile, keys_of
from csmv.pipeline.loose_outputs import Entry, Output, Timed, sha256_of

if TYPE_CHECKING:
    from csmv.extractors.base import Extractor
    from csmv.extractors.engine import VideoResult

_MADE_ON = ("versions", "device", "cpu_threads", "deviation_from_float32")
"""What of a footer moves the last digits at most."""

_SETTLED = (MediaFailure.NO_AUDIO, MediaFailure.NO_VIDEO_STREAM)
"""What no later run of the same file can change; other failures are tried again."""


@dataclass
class LooseRun:
    """One run: files under their keys, and those that are still to do.

    Made by `planned`, within the output's `open`.
    """

    output: Output
    configs: Mapping[str, FeatureConfig]
    """By extractor."""
    asked: LooseConfig
    files: dict[str, LooseFile]
    todo: list[str]
    done: set[str] = field(default_factory=set)
    """Of those to do, the ones that this run has kept what it could of."""
    failures: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """Key -> extractor -> reason and detail, of the files that gave less than was asked for."""

    def entry(self, key: str) -> Entry | None:
        """What is recorded of a file by now."""
        return self.output.recorded.videos.get(key)


def planned(
    output: Output, files: Sequence[LooseFile], configs: Mapping[str, FeatureConfig], asked: LooseConfig
) -> LooseRun:
    """What is to be done, by what is there. Loads no network.

    Raises:
        CsmvError: what is there was made otherwise.
        UnknownChoiceError: an extractor does not exist, or can't work by the clip rule that is asked for.
    """
    for name in configs:
        cls = extractor_class(name)
        cls.check_rule(asked.rule(cls.rule))
    _refuse_other(output, {name: _foreseen(config, asked) for name, config in configs.items()})
    recorded = output.recorded.videos
    digests: dict[str, str] = {}

    def is_it(key: str, file: LooseFile) -> bool:
        return key in recorded and _is_same(file, recorded[key], digests)

    key_of_path = {entry.path: key for key, entry in recorded.items()}
    keys = keys_of(files, key_of_path, is_it)
    output.claim([*keys])
    named = dict(zip(keys, files, strict=True))
    todo = [key for key, file in named.items() if not _is_done(output, key, file, configs, digests)]
    settled = {key: _failures(recorded[key]) for key in named.keys() - set(todo) if recorded[key].failures}
    return LooseRun(output, configs, asked, named, todo, failures=settled)


def _failures(entry: Entry) -> dict[str, tuple[str, str]]:
    return {name: (reason, detail) for name, (reason, detail) in entry.failures.items()}


def extract_loose(
    run: LooseRun, networks: "Mapping[str, Extractor]", settings: Any, tick: Callable[[str], None] = lambda _key: None
) -> None:
    """Do what is to be done, and keep each file's features as they come; `tick` gets its key then.

    Args:
        run: what is to be done.
        networks: the extractors, loaded, by name.
        settings: of the engine.
        tick: called with the key of each file once it is kept.

    Raises:
        CsmvError: what is there was made with other weights.
    """
    from csmv.extractors.engine import Engine

    footers = {name: footer(run.configs[name], network) for name, network in networks.items()}
    deciding = {name: _deciding(footers[name], networks[name]) for name in networks}
    _refuse_other(run.output, deciding)
    recorded = run.output.recorded
    recorded.extractors = deciding
    here = {name: {key: one[key] for key in _MADE_ON if key in one} for name, one in footers.items()}
    if here not in recorded.made_on:
        recorded.made_on.append(here)
    run.output.begin({name: network.dim for name, network in networks.items()})
    with Engine(dict(networks), settings) as engine, ThreadPoolExecutor(1, "csmv-digests") as thread:
        digests: dict[str, Future[Entry]] = {}

        def paths() -> Iterator[Path]:
            for key in run.todo:
                digests[key] = thread.submit(_looked_at, run.files[key])
                yield run.files[key].path

        for number, result in engine.run_as_done(paths()):
            key = run.todo[number]
            _keep(run, key, result, networks, digests.pop(key))
            tick(key)


def _keep(
    run: LooseRun, key: str, result: "VideoResult", networks: "Mapping[str, Extractor]", look: "Future[Entry]"
) -> None:
    try:
        entry = look.result()
    except OSError as error:
        reason = (UNREADABLE, os.strerror(error.errno or 0).lower())
        run.failures[key] = dict.fromkeys(networks, reason)
        return
    vectors = {name: _timed(networks[name], vectors) for name, vectors in result.features.items()}
    entry.features = {name: list(timed.vectors.shape) for name, timed in vectors.items()}
    entry.failures = {name: [str(reason), detail] for name, (reason, detail) in result.failures.items()}
    entry.damage = {name: str(lost) for name, lost in result.damage.items() if name in vectors}
    if result.failures:
        run.failures[key] = _failures(entry)
    run.output.add(key, entry, vectors)
    run.done.add(key)


def _timed(network: "Extractor", vectors: Any) -> Timed:
    spans = vector_spans(network.rule, network.vectors_per_window, len(vectors))
    return Timed(vectors, np.array([start for start, _ in spans], np.float64))


def _looked_at(file: LooseFile) -> Entry:
    status = file.path.stat()
    return Entry(file.identity, status.st_size, status.st_mtime_ns, sha256_of(file.path), {})


def _is_same(file: LooseFile, entry: Entry, digests: dict[str, str]) -> bool:
    """Whether a file is the one that an entry is of; read whole only where its size says yes and its time says no."""
    try:
        status = file.path.stat()
        if status.st_size != entry.size:
            return False
        if status.st_mtime_ns == entry.mtime_ns and file.identity == entry.path:
            return True
        if file.identity not in digests:
            digests[file.identity] = sha256_of(file.path)
    except OSError:
        return False
    return digests[file.identity] == entry.sha256


def _is_done(
    output: Output, key: str, file: LooseFile, configs: Mapping[str, FeatureConfig], digests: dict[str, str]
) -> bool:
    entry = output.recorded.videos.get(key)
    if entry is None or entry.features.keys() | entry.failures.keys() != configs.keys():
        return False
    if any(reason not in _SETTLED for reason, _ in entry.failures.values()):
        return False
    return _is_same(file, entry, digests) and output.is_there(entry)


# ---------------------------------------------------------------------- how it was made


def _foreseen(config: FeatureConfig, asked: LooseConfig) -> dict[str, str]:
    """What decides the numbers, as far as that is known without a network."""
    cls = extractor_class(config.extractor)
    settings = {
        "extractor": config.extractor,
        "clip_rule": str(asked.rule(cls.rule)),
        "granularity": config.granularity,
        "dtype": config.dtype,
        "decoder": decoder_used(config),
        COMPILED: YES if config.compile else NO,
    }
    if cls.weightless:
        return settings
    path = Path(config.weights).expanduser()
    if config.weights in ("default", "random", *cls.weights) or not path.is_file():
        return settings | {"weights": _weights_name(config.weights, cls)}
    return settings | {"weights_sha256": sha256_of(path)}


def _weights_name(weights: str, cls: "type[Extractor]") -> str:
    """Published weights as their card calls them, of other ones the file's name."""
    if weights == "default":
        return next(iter(cls.weights), weights)
    return weights if weights in cls.weights else weights.rsplit("/", 1)[-1].partition("?")[0]


def _deciding(made: Mapping[str, str], network: "Extractor") -> dict[str, str]:
    shape = getattr(network, "transform", None)
    said = {PREPROCESSING: "none" if shape is None else repr(shape), "decoder": DEFAULT, COMPILED: NO}
    made = dict(made) | {"weights": _weights_name(made["weights"], type(network))}
    return {key: value for key, value in (said | made).items() if key not in _MADE_ON}


def _refuse_other(output: Output, asked: Mapping[str, Mapping[str, str]]) -> None:
    """Raises CsmvError, naming the first thing that differs, if what is there was made otherwise."""
    recorded = output.recorded.extractors
    if not recorded:
        return
    if recorded.keys() != asked.keys():
        then, now = (", ".join(sorted(one)) for one in (recorded, asked))
        raise CsmvError(_refusal(output, "by the extractor(s)", then, now))
    for name, settings in asked.items():
        before = {COMPILED: NO} | recorded[name]
        for key, value in settings.items():
            if key in ("weights", "weights_revision") and "weights_sha256" in settings:
                continue  # which tells more
            if before.get(key) != value:
                what = f"with {key}" if len(asked) == 1 else f"with {key} of {name}"
                raise CsmvError(_refusal(output, what, str(before.get(key)), value))


def _refusal(output: Output, what: str, then: str, now: str) -> str:
    return (
        f"What is in '{output.where}' was made {what} '{then}', and '{now}' is asked for: ask for the same, or name "
        "another --out."
    )
