"""Number formats and memory layouts a network can run in, and the batch norms folded into its convolutions.

Only rearranges a network that is already loaded; never touches its weights' meaning.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from csmv.extractors.extractor_errors import ExtractorError

Dtype = Literal["float32", "tf32", "bfloat16", "float16"]

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def compute_dtype(device: torch.device, dtype: Dtype) -> torch.dtype:
    """What arithmetic runs in. On a CPU the half formats are emulated: see `round_between_layers`."""
    return torch.float32 if device.type == "cpu" else DTYPES[dtype]


@dataclass(frozen=True)
class Deviation:
    """How far a dtype's vectors are from float32's: relative L2 error, and cosine of the two."""

    relative_l2: float
    cosine: float

    def __str__(self) -> str:
        return f"relative L2 {self.relative_l2:.1e}, cosine {self.cosine:.6f}"

    @classmethod
    def between(cls, computed: Tensor, wanted: Tensor) -> "Deviation":
        a, b = computed.double().flatten(), wanted.double().flatten()
        norms = a.norm() * b.norm()
        return cls(((a - b).norm() / b.norm().clamp_min(1e-30)).item(), (a @ b / norms.clamp_min(1e-30)).item())


def specimen(shape: tuple[int, ...]) -> Tensor:
    """One window (1, *shape), always the same: moving waves and noise as frames 0..255, or as sound -1..1.

    Fixed, so that what is measured on it, and stored, does not depend on which video came first.
    """
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    places = torch.meshgrid(*(torch.arange(size, dtype=torch.float32) for size in shape), indexing="ij")
    wave = torch.sin(sum((0.05 * (at + 1) * place for at, place in enumerate(places)), torch.zeros(())))
    mixed = 0.4 * (wave + 1) + 0.2 * noise  # 0..1
    return (255 * mixed if len(shape) > 1 else 2 * mixed - 1)[None]


@contextmanager
def matmul_mode(dtype: Dtype) -> Iterator[None]:
    """TF32 exactly while a tf32 network runs; float32 stays full float32, whatever the process had set."""
    if not torch.cuda.is_available():
        yield
        return
    wanted = dtype == "tf32"
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def require_compiler(device: torch.device) -> None:
    """ExtractorError, which says what to install, unless networks can be compiled for the device here."""
    if device.type == "cpu":
        wanted = (os.environ["CXX"],) if os.environ.get("CXX") else ("g++", "clang++")
        if not any(shutil.which(name) for name in wanted):
            raise ExtractorError(
                f"Compiling a network for the CPU needs a C++ compiler, and there is no {' or '.join(wanted)}: install "
                "one (`apt-get install g++`), or leave --compile out."
            )
    elif device.type == "cuda" and find_spec("triton") is None:
        raise ExtractorError(
            "Compiling a network for a GPU needs Triton, which is not installed: `pip install triton`, or leave "
            "--compile out."
        )


def compiled(vectors: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`vectors`, compiled for each shape when it first sees it; ExtractorError where that does not work here."""
    run: Callable[[Tensor], Tensor] = torch.compile(vectors, dynamic=False)
    seen: set[tuple[int, ...]] = set()

    def compiling(batch: Tensor) -> Tensor:
        if tuple(batch.shape) in seen:
            return run(batch)
        try:
            result = run(batch)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            raise ExtractorError(
                f"The network could not be compiled here ({type(error).__name__}): leave --compile out."
            ) from error
        seen.add(tuple(batch.shape))
        return result

    return compiling


def fold_batch_norms(module: nn.Module) -> None:
    """Fold each batch norm into the convolution right before it in the same Sequential, in place.

    Done in float64, so float32 results move by rounding only. A network whose norms stand elsewhere folds its own.
    """
    for parent in module.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        names = list(parent._modules)
        for before, after in pairwise(names):
            conv, norm = parent._modules[before], parent._modules[after]
            if isinstance(conv, nn.Conv3d | nn.Conv2d) and isinstance(norm, nn.BatchNorm3d | nn.BatchNorm2d):
                fold_pair(parent, before, after)


def fold_pair(parent: nn.Module, conv: str, norm: str) -> None:
    """Fold the batch norm that is called `norm` in `parent` into the convolution that is called `conv`, in place."""
    parent._modules[conv] = fold(parent.get_submodule(conv), parent.get_submodule(norm))
    parent._modules[norm] = nn.Identity()


_FOLDED_AT_ONCE = 1 << 16
"""Weights whose product is computed together: fresh memory for a whole convolution's costs more than this."""


def fold(conv: nn.Module, norm: nn.Module) -> nn.Module:
    """The convolution, changed to one that does `norm(conv(x))` in evaluation mode; computed in float64."""
    first: Any = conv
    second: Any = norm
    weight, dtype = first.weight, first.weight.dtype
    scale = second.weight.double() * torch.rsqrt(second.running_var.double() + second.eps)
    bias = torch.zeros_like(scale) if first.bias is None else first.bias.double()
    bias = (bias - second.running_mean.double()) * scale + second.bias.double()
    filters = max(1, _FOLDED_AT_ONCE * len(weight) // max(weight.numel(), 1))
    for some, factors in zip(weight.data.split(filters), scale.split(filters), strict=True):
        some.copy_(some.double() * factors.view(-1, *[1] * (weight.ndim - 1)))
    first.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
    result: nn.Module = first.requires_grad_(False)
    return result


def round_between_layers(module: nn.Module, dtype: torch.dtype) -> None:
    """Emulate a half format in float32: weights, and what every layer puts out, rounded to it.

    GPUs multiply in the half format and add up in float32, which is this. CPUs without their own bfloat16 units
    would otherwise take a minute a clip.
    """

    def rounded(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return output.to(dtype).float() if isinstance(output, Tensor) and output.is_floating_point() else output

    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype).float()
    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_hook(rounded)


class OneDnnConvolution(nn.Module):
    """A 2-d or 3-d convolution that oneDNN computes on channels-last memory, whatever its shape.

    What PyTorch itself chooses on a CPU for a single clip, im2col or blocked kernels, takes twice the time of these.
    """

    def __init__(self, conv: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self._padding: Any = conv.padding
        self._stride, self._dilation, self._groups = conv.stride, conv.dilation, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():  # the compiler chooses for itself, and cannot see into oneDNN's
            none = [0] * len(self._stride)
            return torch.convolution(
                x, self.weight, self.bias, self._stride, self._padding, self._dilation, False, none, self._groups
            )
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self._padding, self._stride, self._dilation, self._groups
        )


def _is_plain(conv: nn.Conv2d | nn.Conv3d) -> bool:
    """Whether a convolution computes what torch's does, not something of its own such as standardised weights."""
    own, plain = type(conv), nn.Conv3d if isinstance(conv, nn.Conv3d) else nn.Conv2d
    return own.forward is plain.forward and own._conv_forward is plain._conv_forward


def use_onednn(module: nn.Module) -> None:
    """Replace the plain convolutions of a network by `OneDnnConvolution`, in place."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if not isinstance(child, nn.Conv2d | nn.Conv3d) or not _is_plain(child):
                continue
            if child.padding_mode == "zeros" and not isinstance(child.padding, str):
                parent._modules[name] = OneDnnConvolution(child)


def use_channels_last(module: nn.Module) -> None:
    """Lay the weights of a network's convolutions out with their channels last, in place."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv3d):
            conv.to(memory_format=torch.channels_last_3d)
        elif isinstance(conv, nn.Conv2d):
            conv.to(memory_format=torch.channels_last)


def prepare(module: nn.Module, device: torch.device, dtype: Dtype, *, channels_last: bool) -> nn.Module:
    """Move and cast a network that is in evaluation mode."""
    module = module.to(device=device, dtype=compute_dtype(device, dtype))
    if channels_last:
        use_channels_last(module)
        if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            use_onednn(module)
    if device.type == "cpu" and DTYPES[dtype] is not torch.float32:
        round_between_layers(module, DTYPES[dtype])
    return module
