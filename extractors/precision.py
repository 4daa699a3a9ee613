"""Number formats and memory layouts a network can run in, and the batch norms folded into its convolutions.

Only rearranges a network that is already loaded; never touches its weights' meaning.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

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
                parent._modules[before] = fold(conv, norm)
                parent._modules[after] = nn.Identity()


def fold(conv: nn.Module, norm: nn.Module) -> nn.Module:
    """One convolution that does `norm(conv(x))` in evaluation mode."""
    dtype = next(conv.parameters()).dtype
    first: Any = conv.double()
    second: Any = norm.double()
    fused: Any = fuse_conv_bn_eval(first, second)
    result: nn.Module = fused.to(dtype).requires_grad_(False)
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


def prepare(module: nn.Module, device: torch.device, dtype: Dtype, *, channels_last: bool) -> nn.Module:
    """Move and cast a network that is in evaluation mode."""
    module = module.to(device=device, dtype=compute_dtype(device, dtype))
    if device.type == "cpu" and DTYPES[dtype] is not torch.float32:
        round_between_layers(module, DTYPES[dtype])
    if channels_last and device.type == "cuda":
        module = module.to(memory_format=torch.channels_last_3d)
    return module
