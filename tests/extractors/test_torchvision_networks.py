"""Networks out of torchvision give what torchvision's own modules give, with the same weights."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from goldens import cosine, golden_frames, relative_l2
from PIL import Image

from csmv.extractors import create
from csmv.extractors.base import Extractor
from csmv.extractors.clip import CLIP
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.precision import OneDnnConvolution
from csmv.extractors.registry import extractor_class
from csmv.extractors.resnet50 import ResNet
from csmv.extractors.sampling import ClipRule
from csmv.extractors.weights import random_state

BOUND = 1e-5


def original(name: str, network: Extractor) -> Any:
    """torchvision's module of that name, with the random weights that `network` has."""
    module: Any = getattr(torchvision.models.video, name)(weights=None).eval()
    module.load_state_dict(random_state(module, network.random_rule))
    return module


def pixels(network: Extractor, clip: np.ndarray) -> torch.Tensor:
    """The clip as torchvision's presets hand it to a module: (1, 3, T, H, W), normalised."""
    return network.normalise(torch.from_numpy(clip)[None].permute(0, 4, 1, 2, 3).float())


@dataclass
class Seen:
    """What went into a layer and came out of it."""

    input: torch.Tensor
    output: torch.Tensor


@contextmanager
def layers_of(module: torch.nn.Module, *names: str) -> Iterator[dict[str, Seen]]:
    """What the layers of these names see while the module runs."""
    seen: dict[str, Seen] = {}
    handles = [
        module.get_submodule(name).register_forward_hook(
            lambda _layer, inputs, output, name=name: seen.update({name: Seen(inputs[0], output)})
        )
        for name in names
    ]
    yield seen
    for handle in handles:
        handle.remove()


def maps_over_time(output: torch.Tensor) -> np.ndarray:
    """Rows over time of what a trunk puts out: of maps (1, C, T, H, W), or of (1, T, H, W, C) with channels last."""
    means = output.mean((2, 3)) if output.shape[2] == output.shape[3] == 7 else output.mean((3, 4)).transpose(1, 2)
    return means[0].numpy()


def check_against_torchvision(name: str, trunk: str, classifier: str, frames: int) -> Extractor:
    """Vectors, rows over time and scores of one clip are those of torchvision's module, and of that clip alone."""
    network = create(name, "random")
    theirs = original(name, network)
    clip, other = (golden_frames(k, frames, network.transform.size[0]) for k in (1, 0))
    with torch.inference_mode(), layers_of(theirs, trunk, classifier) as seen:
        scores = theirs(pixels(network, clip)).numpy()
    output, reaching = seen[trunk].output, seen[classifier].input
    vectors = network.embed(clip[None]).numpy()
    assert vectors.shape == (1, 1, network.dim)
    difference = relative_l2(vectors, (reaching.mean((2, 3, 4)) if reaching.ndim == 5 else reaching).numpy())
    print(f"{name}, {frames} frames: relative L2 {difference:.1e}")
    assert difference < BOUND
    assert relative_l2(network.embed(other[None]).numpy(), vectors) > 1e-2
    assert relative_l2(network.logits(clip[None]).numpy(), scores) < BOUND
    network.granularity = "temporal"
    rows = network.embed(clip[None])[0].numpy()
    assert frames != network.rule.frames or len(rows) == network.granularities["temporal"]
    wanted = output[0, 1:].unflatten(0, (8, 49)).mean(1).numpy() if output.ndim == 3 else maps_over_time(output)
    assert relative_l2(rows, wanted) < BOUND
    return network


def check_folded(network: Extractor) -> None:
    """Batch norms are part of their convolutions, all of which are oneDNN's."""
    modules = list(network.module.modules())
    assert sum(isinstance(module, OneDnnConvolution) for module in modules) >= 20
    assert not any(isinstance(module, torch.nn.BatchNorm3d | torch.nn.Conv3d) for module in modules)


@pytest.mark.parametrize(
    ("name", "trunk", "classifier", "frames"),
    [("mc3_18", "layer4", "fc", 2), ("s3d", "features", "classifier", 13), ("swin3d_t", "norm", "head", 4)],
)
def test_vectors_rows_and_scores_are_torchvisions(name: str, trunk: str, classifier: str, frames: int) -> None:
    network = check_against_torchvision(name, trunk, classifier, frames)
    if network.channels_last:
        check_folded(network)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "trunk", "classifier", "frames"),
    [
        ("r3d_18", "layer4", "fc", 16),
        ("r3d_18", "layer4", "fc", 17),
        ("mc3_18", "layer4", "fc", 16),
        ("s3d", "features", "classifier", 64),
        ("mvit_v2_s", "norm", "head", 16),
        ("swin3d_t", "norm", "head", 32),
    ],
)
def test_whole_windows_give_what_torchvision_gives(name: str, trunk: str, classifier: str, frames: int) -> None:
    check_against_torchvision(name, trunk, classifier, frames)


@pytest.mark.parametrize(
    ("name", "frames"), [("s3d", 13), ("s3d", 17), ("s3d", 21), ("mc3_18", 3), ("swin3d_t", 1), ("swin3d_t", 5)]
)
def test_windows_of_other_lengths_have_the_rows_that_are_promised(name: str, frames: int) -> None:
    with torch.device("meta"):
        module = extractor_class(name).build(extractor_class(name), 400)  # type: ignore[arg-type]
        clip = torch.empty(1, 3, frames, *extractor_class(name).transform.size)
    rule = ClipRule(frames=frames)
    extractor_class(name).check_rule(rule)
    network: Any = object.__new__(extractor_class(name))
    network.granularity, network.rule, network.module = "temporal", rule, module
    assert network.forward(clip).shape == (1, network.vectors_per_window, network.dim)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_swin3d_b_is_torchvisions() -> None:
    network = create("swin3d_b", "random")
    theirs = original("swin3d_b", network)
    clip = golden_frames(0, 4, 224)
    with torch.inference_mode(), layers_of(theirs, "head") as seen:
        theirs(pixels(network, clip))
    assert relative_l2(network.embed(clip[None]).numpy(), seen["head"].input.numpy()) < BOUND


@pytest.mark.slow
@pytest.mark.parametrize(("name", "frames"), [("r3d_18", 8), ("s3d", 16), ("mvit_v2_s", 16), ("swin3d_t", 8)])
def test_a_half_format_stays_close(name: str, frames: int) -> None:
    full, half = (create(name, "random", dtype=dtype) for dtype in ("float32", "bfloat16"))
    clip = golden_frames(0, frames, full.transform.size[0])[None]
    vectors = full.embed(clip).numpy()
    assert cosine(half.embed(clip).numpy(), vectors) >= 0.999
    assert not np.array_equal(half.embed(clip).numpy(), vectors)


def test_resnet18_by_timm_is_torchvisions() -> None:
    network = create("timm:resnet18.tv_in1k", "random")
    theirs: Any = torchvision.models.resnet18(weights=None).eval()
    theirs.load_state_dict(random_state(theirs, network.random_rule))
    clip = golden_frames(0, 2, 224)
    preset = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    small = np.stack([np.asarray(Image.fromarray(frame).resize((300, 256))) for frame in clip])
    images = torch.stack([preset(Image.fromarray(frame)) for frame in small])
    with torch.inference_mode(), layers_of(theirs, "fc") as seen:
        theirs(images)
    vectors = network.embed(network.preprocess(small)[None]).numpy()
    assert relative_l2(vectors, seen["fc"].input.mean(0).numpy()) < BOUND
    assert [extractor_class(f"timm:resnet{depth}.tv_in1k").dim for depth in (34, 101, 152)] == [512, 2048, 2048]


def test_clip_is_timms() -> None:
    network = create("clip", "random")
    with torch.device("meta"):
        theirs: Any = timm.create_model(CLIP).eval()
    theirs.load_state_dict(network.module.state_dict(), strict=True, assign=True)
    clip = golden_frames(1, 2, 224)
    with torch.inference_mode():
        wanted = theirs(network.prepared(torch.from_numpy(clip)[None])[0].transpose(0, 1)).mean(0)
    assert relative_l2(network.embed(clip[None])[0, 0].numpy(), wanted.numpy()) < BOUND


def test_written_out_networks_start_without_the_packages_that_they_are_held_to() -> None:
    names = ["clip", "i3d", "mc3_18", "r2plus1d_18", "r2plus1d_34_ig65m8", "r3d_18", "resnet50", "s3d", "videomaev2_s"]
    code = (
        "import sys; from csmv.extractors.registry import extractor_class\n"
        f"for name in {names}: extractor_class(name)\n"
        "print(*(one for one in ('torch', 'torchvision', 'timm', 'torch._dynamo', 'sympy') if one in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch"]


def test_random_weights_leave_the_wiring_of_shifted_windows_alone() -> None:
    network = create("swin3d_t", "random")
    index = network.module.get_submodule("features.0.0.attn").relative_position_index
    theirs = torchvision.models.video.swin3d_t(weights=None).features[0][0].attn.relative_position_index
    assert torch.equal(index, theirs)
    assert index.unique().numel() > 1000


def test_mvit_takes_the_frames_that_its_positions_are_for() -> None:
    with pytest.raises(ExtractorError, match="takes 16 frames a clip, not 17"):
        create("mvit_v2_s", "random").embed(golden_frames(0, 17, 224)[None])


def test_s3d_says_how_short_a_clip_may_be() -> None:
    network = create("s3d", "random")
    assert network.embed(golden_frames(0, 13, 224)[None]).shape == (1, 1, 1024)
    with pytest.raises(ExtractorError, match="at least 13 frames"):
        network.embed(golden_frames(0, 12, 224)[None])


@pytest.mark.slow
def test_files_with_other_classes_and_with_none_are_taken(tmp_path: Path) -> None:
    network = create("s3d", "random")
    module = torchvision.models.video.s3d(weights=None, num_classes=7)
    state = random_state(module, network.random_rule)
    torch.save(state, tmp_path / "seven.pt")
    seven = create("s3d", tmp_path / "seven.pt")
    clip = golden_frames(0, 13, 224)[None]
    assert seven.logits(clip).shape == (1, 7)
    torch.save({key: value for key, value in state.items() if "classifier" not in key}, tmp_path / "headless.pt")
    headless = create("s3d", tmp_path / "headless.pt")
    assert headless.classes == 0
    assert torch.equal(headless.embed(clip), network.embed(clip))


def test_resnet50_is_torchvisions() -> None:
    network = create("resnet50", "random", granularity="temporal")
    theirs: Any = torchvision.models.resnet50(weights=None).eval()
    ours = ResNet(1000).eval()
    assert [(key, value.shape) for key, value in ours.state_dict().items()] == [
        (key, value.shape) for key, value in theirs.state_dict().items()
    ]
    theirs.load_state_dict(random_state(theirs, network.random_rule))
    ours.load_state_dict(theirs.state_dict())
    clip = golden_frames(0, 1, 224)
    images = pixels(network, clip)[0].transpose(0, 1)
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))
        theirs.fc = torch.nn.Identity()
        wanted = theirs.double()(images.double()).numpy()
    # Random weights let rounding grow over 50 layers, in torchvision's own float32 as well.
    assert relative_l2(network.embed(clip[None])[0].numpy(), wanted) < 5 * BOUND
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.module.modules())
