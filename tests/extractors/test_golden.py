"""The networks give what the original implementations give, and load the layouts the originals publish."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from goldens import Golden, cosine, golden_frames, relative_l2

from csmv.extractors import create
from csmv.extractors.base import Extractor
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.precision import OneDnnConvolution
from csmv.extractors.r2plus1d import R2Plus1D
from csmv.extractors.videomae import VideoTransformer
from csmv.extractors.videomae_b import VideoMAEB
from csmv.extractors.videomaev2 import VideoMAEv2G, VideoMAEv2S
from csmv.extractors.weights import random_state

BOUND = 1e-5
NETWORKS = {
    "i3d": ("i3d", "", 224),
    "r2plus1d_18": ("r2plus1d", "", 112),
    "videomaev2_s": ("videomaev2", "vit_s", 224),
    "videomaev2_b": ("videomaev2", "vit_b", 224),
    "videomaev2_g": ("videomaev2", "vit_g", 224),
}
SMALL = [name for name in NETWORKS if name != "videomaev2_g"]
Goldens = Callable[..., Golden]


def loaded(name: str, golden: Golden, **options: Any) -> Extractor:
    """The network with the golden weights: random weights of seed 0 are made by the same recipe."""
    network = create(name, "random", **options)
    assert network.weights_sha256 == golden.checks["weights_sha256"]
    return network


def remembering(network: Extractor) -> Extractor:
    """The network, its trunk computing each clip once: what comes after it is what differs between the arrays."""
    owner: Any = network if isinstance(network, R2Plus1D) else network.module
    name = "_trunk" if isinstance(network, R2Plus1D) else "forward"
    compute, known = getattr(owner, name), {}

    def trunk(clips: torch.Tensor) -> torch.Tensor:
        key = clips.shape, clips.sum().item()
        if key not in known:
            known[key] = compute(clips)
        return known[key]

    setattr(owner, name, trunk)
    return network


def embedded(network: Extractor, granularity: str, clip: np.ndarray) -> np.ndarray:
    network.granularity = granularity  # type: ignore[assignment]
    return network.embed(clip[None]).numpy()[0]


def check_network(name: str, golden: Golden, size: int, clips: int = 2) -> None:
    network = remembering(loaded(name, golden))
    for at, k in enumerate(golden.arrays["k"][:clips]):
        clip = golden_frames(int(k), 16, size)
        for granularity in ("clip", "temporal"):
            found = embedded(network, granularity, clip)
            assert found.dtype == np.float32
            assert found.shape[1] == network.dim
            difference = relative_l2(found, golden.arrays[granularity][at])
            print(f"{name}, {granularity}, clip {k}: relative L2 {difference:.1e}")
            assert difference < BOUND
        assert relative_l2(network.logits(clip[None]).numpy()[0], golden.arrays["logits"][at]) < BOUND


@pytest.mark.parametrize("name", SMALL)
def test_clip_temporal_and_logits_are_the_originals(name: str, golden: Goldens) -> None:
    folder, part, size = NETWORKS[name]
    # B is S with other sizes, so that one clip shows what it can show.
    check_network(name, golden(folder, part), size, clips=1 if name == "videomaev2_b" else 2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_videomaev2_g_is_the_original(golden: Goldens) -> None:
    check_network("videomaev2_g", golden("videomaev2", "vit_g"), 224)


@pytest.mark.parametrize("name", ["i3d", "r2plus1d_18"])
def test_odd_lengths_pad_as_the_originals_do(name: str, golden: Goldens) -> None:
    folder, part, size = NETWORKS[name]
    arrays = golden(folder, part)
    clip = golden_frames(int(arrays.arrays["t17_k"]), 17, size)
    network = remembering(loaded(name, arrays))
    for granularity in ("clip", "temporal"):
        assert relative_l2(embedded(network, granularity, clip), arrays.arrays[f"t17_{granularity}"]) < BOUND


def test_temporal_rows_go_through_fc_norm_to_the_stated_array(golden: Goldens) -> None:
    arrays = golden("videomaev2", "vit_s")
    network = loaded("videomaev2_s", arrays, granularity="temporal")
    rows = network.embed(golden_frames(0, 16, 224)[None])[0]
    normed = network.module.get_submodule("fc_norm")(rows).detach().numpy()
    assert relative_l2(normed, arrays.arrays["temporal_fcnorm"][0]) < BOUND


def test_every_layer_norm_has_the_originals_eps() -> None:
    with torch.device("meta"):
        network = VideoMAEv2S.build(VideoMAEv2S, 710)  # type: ignore[arg-type]
    norms = [module for module in network.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 25
    assert {norm.eps for norm in norms} == {1e-6}


@pytest.mark.parametrize("name", ["i3d", "r2plus1d_18", "videomaev2_s"])
def test_the_half_formats_stay_close(name: str, golden: Goldens) -> None:
    folder, part, size = NETWORKS[name]
    arrays = golden(folder, part)
    clip = golden_frames(0, 16, size)
    for dtype in ("bfloat16", "float16") if size == 112 else ("bfloat16",):
        network = remembering(loaded(name, arrays, dtype=dtype))
        for granularity in ("clip", "temporal"):
            found = embedded(network, granularity, clip)
            assert cosine(found, arrays.arrays[granularity][0]) >= 0.999, (dtype, granularity)


def saved(path: Path, keys: dict[str, Any], wrap: Callable[[dict[str, Any]], Any], half: bool = False) -> Path:
    """A checkpoint of the listed keys, all zero, in the wrapping a published file has."""
    kind = torch.float16 if half else torch.float32
    state = {key: torch.zeros(shape, dtype=torch.int64 if of == "int64" else kind) for key, (shape, of) in keys.items()}
    torch.save(wrap(state), path)
    return path


def without_counters(keys: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if not key.endswith("num_batches_tracked")}


WRAPPINGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "bare": lambda s: s,
    "model": lambda s: {"model": s, "epoch": 3},
    "deepspeed": lambda s: {"module": s},
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "backbone": lambda s: {"state_dict": {f"backbone.{k}": v for k, v in s.items()}},
}


@pytest.mark.parametrize(
    ("name", "wrapping"),
    [
        ("r2plus1d_18", "bare"),
        ("videomaev2_s", "model"),
        ("videomaev2_s", "deepspeed"),
        *(("i3d", wrapping) for wrapping in WRAPPINGS),  # unwrapping knows nothing of networks: the smallest will do
    ],
)
def test_published_key_layouts_load_strictly(name: str, wrapping: str, golden: Goldens, tmp_path: Path) -> None:
    folder, part, _ = NETWORKS[name]
    wrap = WRAPPINGS[wrapping]
    keys = golden(folder, part).keys
    path = saved(tmp_path / "weights.pth", without_counters(keys), wrap, half=name.startswith("videomae"))
    network = create(name, path)
    assert network.weights_origin == "weights.pth"
    assert len(network.weights_sha256) == 64


def test_files_with_and_without_norm_counters_load(golden: Goldens, tmp_path: Path) -> None:
    keys = golden("i3d").keys
    assert len(keys) - len(without_counters(keys)) == 57
    create("i3d", saved(tmp_path / "new.pt", keys, dict))
    create("i3d", saved(tmp_path / "old.pt", without_counters(keys), dict))


def test_charades_has_another_head_and_the_same_features(golden: Goldens, tmp_path: Path) -> None:
    keys = dict(golden("i3d").keys)
    keys["logits.conv3d.weight"], keys["logits.conv3d.bias"] = [[157, 1024, 1, 1, 1], "float32"], [[157], "float32"]
    network = create("i3d", saved(tmp_path / "rgb_charades.pt", keys, dict))
    assert network.logits(golden_frames(0, 16, 224)[None]).shape == (1, 157)
    headless = {key: value for key, value in keys.items() if not key.startswith("logits")}
    assert create("i3d", saved(tmp_path / "headless.pt", headless, dict)).classes == 0


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_weights_that_do_not_fit_are_refused_by_name(change: str, golden: Goldens, tmp_path: Path) -> None:
    keys = dict(golden("i3d").keys)
    if change == "missing":
        del keys["Mixed_5c.b0.conv3d.weight"]
    elif change == "unexpected":
        keys["Mixed_6a.conv3d.weight"] = [[1], "float32"]
    else:
        keys["Mixed_5c.b0.conv3d.weight"] = [[384, 832, 3, 1, 1], "float32"]
    with pytest.raises(ExtractorError, match=r"do not fit.*Mixed_(5c.b0|6a).conv3d.weight"):
        create("i3d", saved(tmp_path / "w.pt", keys, dict))


def test_an_ig65m_file_is_an_r2plus1d_with_34_layers(tmp_path: Path) -> None:
    created = create("r2plus1d_34_ig65m_kinetics32", "random")
    assert sum(isinstance(module, OneDnnConvolution) for module in created.module.modules()) == 2 * 33 + 3
    with torch.device("meta"):
        network = created.build(400)
    assert sum(isinstance(module, torch.nn.Conv3d) for module in network.modules()) == 2 * 33 + 3
    first = network.get_submodule("layer2.0")
    assert first.conv1[0][0].out_channels == 230  # 64 -> 128, from its own input
    assert first.conv2[0][0].out_channels == 288  # 128 -> 128, from its own
    # ~63.7 million parameters: the published file of 255,061,555 bytes is these in float32.
    stored = sum(4 * tensor.numel() for tensor in network.state_dict().values() if tensor.is_floating_point())
    assert abs(stored - 255_061_555) < 250_000


def test_videomae_v1_takes_the_layout_of_transformers(tmp_path: Path) -> None:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    torch.manual_seed(0)
    # The original's eps; transformers' default of 1e-12 shows only in the tiny activations of untrained weights.
    config = VideoMAEConfig(num_labels=400, num_hidden_layers=2, layer_norm_eps=1e-6)
    theirs = VideoMAEForVideoClassification(config).eval()
    theirs.fc_norm.eps = 1e-6
    theirs.save_pretrained(tmp_path)

    class TwoBlocks(VideoMAEB):
        """Two of the twelve blocks: they are all alike."""

        depth = 2

    ours = TwoBlocks(tmp_path / "model.safetensors")
    clip = golden_frames(1, 16, 224)[None]
    pixels = ours.normalise(torch.from_numpy(clip).permute(0, 4, 1, 2, 3).float()).transpose(1, 2)
    with torch.no_grad():
        wanted = theirs(pixels).logits.numpy()
    assert relative_l2(ours.logits(clip).numpy(), wanted) < BOUND


def test_embedding_takes_only_what_the_network_takes() -> None:
    network = create("r2plus1d_18", "random")
    with pytest.raises(ExtractorError, match=r"\(B, T, 112, 112, 3\)"):
        network.embed(np.zeros((1, 16, 224, 224, 3), np.uint8))
    with pytest.raises(ExtractorError, match="uint8"):
        network.embed(np.zeros((1, 16, 112, 112, 3), np.int64))


@pytest.mark.parametrize("conv", [torch.nn.Conv3d(4, 8, (3, 1, 1), (2, 1, 1)), torch.nn.Conv2d(4, 8, 3, 1, 2, 2, 4)])
def test_our_convolution_is_the_plain_one_and_can_be_compiled(conv: Any) -> None:
    x = torch.rand(1, 4, *[9] * len(conv.kernel_size))
    with torch.inference_mode():
        wanted, ours = conv(x), OneDnnConvolution(conv)
        torch.testing.assert_close(ours(x), wanted)
        torch.testing.assert_close(torch.compile(ours, backend="eager", fullgraph=True)(x), wanted)


def test_making_a_network_takes_seconds_not_its_initialisation() -> None:
    begun = time.monotonic()
    create("videomaev2_s", "random")
    assert time.monotonic() - begun < 30


def test_videomaev2_g_has_the_originals_keys_and_first_block(golden: Goldens) -> None:
    """A fortieth of the network, for every run; all of it is checked in the slow test above."""
    arrays = golden("videomaev2", "vit_g")
    with torch.device("meta"):
        whole = VideoMAEv2G.build(VideoMAEv2G, 710)  # type: ignore[arg-type]
    assert {key: list(value.shape) for key, value in whole.state_dict().items()} == {
        key: shape for key, (shape, _) in arrays.keys.items()
    }
    first = VideoTransformer(1408, 1, 16, 6144, 14, 0).eval()
    first.load_state_dict(random_state(first, VideoMAEv2G.random_rule))
    clip = torch.from_numpy(golden_frames(arrays.checks["probes_k"], 16, 224)[None]).permute(0, 4, 1, 2, 3)
    found: dict[str, torch.Tensor] = {}
    block = first.blocks[0]
    for name, module in (
        ("patch_embed", first.patch_embed),
        ("blocks.0.attn", block.attn),
        ("blocks.0.mlp", block.mlp),
    ):
        module.register_forward_hook(lambda _m, _i, out, name=name: found.update({name: out}))
    with torch.inference_mode():
        found["blocks.0"] = first(clip.float() / 255)
    for name, value in found.items():
        wanted = arrays.checks["probes"][name]
        assert list(value.shape) == wanted["shape"]
        flat = value.flatten()
        at = [flat[j * (flat.numel() - 1) // 4].item() for j in range(5)]
        np.testing.assert_allclose(at, wanted["at"], rtol=1e-4, atol=1e-5)
        assert value.double().mean().item() == pytest.approx(wanted["mean"], rel=1e-4, abs=1e-6)
        assert value.double().std(correction=0).item() == pytest.approx(wanted["std"], rel=1e-5)
