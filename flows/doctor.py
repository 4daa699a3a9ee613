"""What this machine has of what csmv can use, and how to get the rest. Looks only; installs and sends nothing."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from csmv.extractors.decoders import DEFAULT, PACKAGES, decoder_version, obstacle
from csmv.pipeline.errors import how_to_install, shown

LEAST_DISK_GB = 5.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CODECS = ("h264", "hevc", "vp9", "av1", "aac")


@dataclass(frozen=True)
class Finding:
    """One thing looked for. `needed` is what cannot work without it; `required` things fail the whole examination."""

    name: str
    present: bool
    found: str
    needed: str
    how: str
    required: bool = True


def examine(root: Path) -> list[Finding]:
    """Everything that is looked for, with `root` the folder whose disk a dataset would fill."""
    return [finding for look in _LOOKS for finding in look(root)]


def _python(_root: Path) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", sys.version_info >= (3, 11), version, "everything", "install Python 3.11 or newer")


def _packages(_root: Path) -> Iterator[Finding]:
    needed_for = {
        "presidio-analyzer": "removing personal data",
        "torch": "features and training",
        "torchvision": "features",
        "transformers": "text encoders",
        "scikit-learn": "training and scores",
        "playwright": "collecting by hashtag",
        "yt-dlp": "downloading videos",
        "s3fs": "roots at s3://",
    }
    yield _package("pyarrow", "tables", "`pip install csmv`", required=True)
    yield _package("prefect", "running stages", how_to_install("prefect"), required=True)
    for package, needed in needed_for.items():
        yield _package(package, needed, how_to_install(package), required=False)
    yield _package("spacy", "finding names of people and places", "`pip install spacy`", required=False)


def _package(package: str, needed: str, how: str, *, required: bool) -> Finding:
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return Finding(package, False, "not installed", needed, how, required)
    return Finding(package, True, version, needed, how, required)


def _spacy_model(_root: Path) -> Iterator[Finding]:
    model = "en_core_web_sm"
    present = find_spec("spacy") is not None and find_spec(model) is not None
    yield Finding(
        f"spaCy model {model}",
        present,
        metadata.version(model) if present else "not installed",
        "finding names of people and places",
        f"`python -m spacy download {model}`",
        required=False,
    )


def _decoders(_root: Path) -> Iterator[Finding]:
    for name, package in PACKAGES.items():
        why = obstacle(name)
        state = why or f"{decoder_version(name)}, for {package.purpose}"  # a choice, so what is there says it too
        yield Finding(name, not why, state, package.purpose, package.how, required=name == DEFAULT)


def _codecs(_root: Path) -> Iterator[Finding]:
    try:
        available = import_module("av.codec").codecs_available
    except ImportError:
        yield Finding("video codecs", False, "PyAV is not installed", "reading videos", "`make setup`")
        return
    missing = [codec for codec in CODECS if codec not in available and f"lib{codec}" not in available]
    shown_codecs = f"all of {', '.join(CODECS)}" if not missing else f"missing {', '.join(missing)}"
    yield Finding("video codecs", not missing, shown_codecs, "reading videos", "`pip install --force-reinstall av`")


def _browser(_root: Path) -> Iterator[Finding]:
    path = next((browser for name in BROWSERS if (browser := shutil.which(name))), None)
    how = "`apt-get install chromium`, or `playwright install chromium`"
    yield Finding("Chromium", path is not None, path or "not found", "collecting by hashtag", how, required=False)


def _gpu(_root: Path) -> Iterator[Finding]:
    how = "install NVIDIA's driver; without a GPU everything runs on the CPU, features slower"
    needed = "fast features and training"
    try:
        import torch
    except ImportError:
        yield Finding("GPU", False, "torch is not installed", needed, how, required=False)
        return
    if not torch.cuda.is_available():
        yield Finding("GPU", False, "none that CUDA can use", needed, how, required=False)
        return
    for number in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(number).total_memory / 2**30
        card = f"{torch.cuda.get_device_name(number)}, {memory:.0f} GiB, CUDA {torch.version.cuda}"
        yield Finding(f"GPU {number}", True, card, needed, how, required=False)


def _disk(root: Path) -> Iterator[Finding]:
    folder_here = next(folder for folder in (root.resolve(), *root.resolve().parents) if folder.exists())
    free = shutil.disk_usage(folder_here).free / 1e9
    how = "free some space, or put the root on another disk; a thousand videos take about 5 GB"
    yield Finding("disk space", free >= LEAST_DISK_GB, f"{free:.1f} GB free at {folder_here}", "a dataset root", how)


def _weights(_root: Path) -> Iterator[Finding]:
    how = "they are downloaded when first used; CSMV_CACHE moves the folder, --weights takes a file"
    try:
        from csmv.extractors.weights import cache_dir
    except ImportError:
        return
    folder = cache_dir()
    files = sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files) / 1e9
    contents = f"{len(files)} file(s), {size:.1f} GB in {folder}" if files else f"empty ({folder})"
    yield Finding("weights cache", bool(files), contents, "features with published weights", how, required=False)


def _prefect_api(_root: Path) -> Iterator[Finding]:
    from csmv.flows.server import is_healthy

    how = "`prefect server start`, then set PREFECT_API_URL; without one, `csmv demo` starts its own"
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        yield Finding("Prefect API", False, "PREFECT_API_URL is not set", "deployments and workers", how, False)
        return
    healthy = is_healthy(url)
    answer = f"answers at {shown(url)}" if healthy else f"no Prefect API answers at {shown(url)}"
    yield Finding("Prefect API", healthy, answer, "deployments and workers", how, required=False)


_LOOKS: tuple[Callable[[Path], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _decoders,
    _codecs,
    _gpu,
    _disk,
    _weights,
    _browser,
    _spacy_model,
    _prefect_api,
)
