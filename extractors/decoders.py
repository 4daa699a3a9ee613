"""The decoders that turn a video's packets into pictures: their names, what each is for, whether it works here.

No decoder is imported before it is asked for; what they do is in extractors/decode.py.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from csmv.extractors.extractor_errors import ExtractorError

DecoderName = Literal["pyav", "decord", "torchcodec", "torchcodec-cuda"]
DEFAULT: DecoderName = "pyav"


@dataclass(frozen=True)
class DecoderPackage:
    """Where a decoder comes from: `package` is installed, `module` imported."""

    package: str
    module: str
    purpose: str
    how: str
    gpu: bool = False
    """Whether it decodes on an NVIDIA GPU."""


PACKAGES: dict[DecoderName, DecoderPackage] = {
    "pyav": DecoderPackage(
        "av", "av", "decoding videos: the default, and sound and timestamps for every decoder", "`pip install av`"
    ),
    "decord": DecoderPackage(
        "decord",
        "decord",
        "decoding videos with `--decoder decord`",
        "`pip install decord`, which has wheels for Linux and Windows on x86-64 only",
    ),
    "torchcodec": DecoderPackage(
        "torchcodec",
        "torchcodec.decoders",
        "decoding videos with `--decoder torchcodec`",
        "`pip install 'csmv[torchcodec]'`, and FFmpeg's shared libraries (`apt-get install ffmpeg`)",
    ),
    "torchcodec-cuda": DecoderPackage(
        "torchcodec",
        "torchcodec.decoders",
        "decoding videos on a GPU with `--decoder torchcodec-cuda`",
        "an NVIDIA GPU, `pip install 'csmv[torchcodec]'` in a build with CUDA, and FFmpeg's shared libraries",
        gpu=True,
    ),
}


def obstacle(name: DecoderName) -> str:
    """Why a decoder cannot be used here, in a few words; empty where it can. Imports it."""
    package = PACKAGES[name]
    try:
        import_module(package.module)
    except ModuleNotFoundError:
        return "not installed"
    except (ImportError, OSError, RuntimeError) as error:  # torchcodec without FFmpeg, a library of another system
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"it cannot be loaded: {lines[0].rstrip('.:')}"
    return _no_gpu() if package.gpu else ""


def _no_gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else "PyTorch sees no NVIDIA GPU"


def decoder_named(name: str) -> DecoderName:
    """The decoder called `name`, which can be used here; ExtractorError says otherwise why not, and what to do."""
    for decoder in PACKAGES:
        if decoder == name:
            require_decoder(decoder)
            return decoder
    raise ExtractorError(f"There is no decoder '{name}': choose one of {', '.join(PACKAGES)}.")


def require_decoder(name: DecoderName) -> None:
    """ExtractorError, which says what to install, unless the decoder can be used here."""
    if why := obstacle(name):
        raise ExtractorError(
            f"The decoder '{name}' cannot be used here ({why}): {PACKAGES[name].how}; or choose {DEFAULT}."
        )


def decoder_version(name: DecoderName) -> str:
    """The installed package and its version, as a footer names it."""
    package = PACKAGES[name].package
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
