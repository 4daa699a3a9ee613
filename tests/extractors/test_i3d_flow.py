"""I3D on optical flow: RAFT is torchvision's, what follows is the paper's, and several files make one network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from goldens import golden_frames, relative_l2
from torchvision.models import optical_flow

from csmv.extractors import create
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.i3d import I3D, InceptionI3d
from csmv.extractors.i3d_flow import I3DBoth, I3DFlow, I3DFlowSmall, middle, quantised
from csmv.extractors.registry import extractor_class, own_names
from csmv.extractors.weights import Weights, file_sha256

FLOWS = [name for name in own_names() if name.startswith(("i3d_flow", "i3d_both"))]
ENUMS: dict[str, Any] = {"raft_large": optical_flow.Raft_Large_Weights, "raft_small": optical_flow.Raft_Small_Weights}


def part(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def flow_of_torchvision(network: Any, clip: np.ndarray) -> torch.Tensor:
    """(T - 1, 2, H, W) by torchvision's own network and preset, with the weights that `network` has."""
    raft = getattr(optical_flow, network.raft)(weights=None).eval()
    raft.load_state_dict(part(network.random_state(0), "raft"))
    frames = torch.from_numpy(clip).permute(0, 3, 1, 2)
    with torch.inference_mode():
        flows: torch.Tensor = raft(*ENUMS[network.raft].DEFAULT.transforms()(frames[:-1], frames[1:]))[-1]
    return flows


def moving(frames: int, windows: int = 1) -> torch.Tensor:
    """Flow as RAFT might give it: (B, 2, T, 256, 256), some of it beyond the bound."""
    return 12 * torch.randn(windows, 2, frames, 256, 256, generator=torch.Generator().manual_seed(0))


def without_raft(network: Any) -> Any:
    """The network with flow that costs nothing, the same in every window."""
    network._flow = lambda clips: moving(clips.shape[2] - 1).expand(len(clips), -1, -1, -1, -1)
    return network


@pytest.mark.parametrize(
    "name", ["i3d_flow:raft-small", pytest.param("i3d_flow", marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_flow_is_torchvisions(name: str) -> None:
    network: Any = create(name, "random", dtype="bfloat16")  # which is for I3D alone
    clip = golden_frames(0, 3, 256)
    wanted = flow_of_torchvision(network, clip)
    found = network.flow(clip[None])[0].transpose(0, 1)
    assert found.shape == (2, 2, 256, 256)
    assert 1 < wanted.abs().max() < 20
    assert (found - wanted).abs().max() < 1e-4
    still = np.repeat(clip[:1], 2, axis=0)
    assert not torch.allclose(network.flow(still[None])[0, :, 0], found[0], atol=1e-2)


def test_flow_is_cut_and_put_into_levels() -> None:
    flow = torch.tensor([-100, -20, -0.07, 0, 0.07, 0.08, 20, 1e9])
    levels = (quantised(flow) + 1) * 127.5
    assert levels.round().tolist() == [0, 0, 128, 128, 128, 129, 255, 255]
    assert quantised(flow).min() == -1
    assert quantised(flow).max() == 1


def test_i3d_sees_the_middle_of_the_flow() -> None:
    network: Any = without_raft(create("i3d_flow:raft-small", "random"))
    clip = golden_frames(0, 10, 256)[None]
    own = InceptionI3d(400, channels=2).eval()
    own.load_state_dict(part(network.random_state(0), "flow"))
    pictures = moving(9)[..., 16:240, 16:240].clamp(-20, 20)
    with torch.inference_mode():
        maps = own((pictures * 6.375 + 128).round().clamp(0, 255) / 127.5 - 1)
        pooled = maps.mean((3, 4)).mean(2)
        scores = own.get_submodule("logits")(pooled[..., None, None, None]).flatten(1)
    assert relative_l2(network.embed(clip).numpy(), pooled.numpy()) < 1e-5
    assert relative_l2(network.logits(clip).numpy(), scores.numpy()) < 1e-5
    network.granularity = "temporal"
    assert network.vectors_per_window == 2
    assert relative_l2(network.embed(clip).numpy()[0], maps.mean((3, 4))[0].T.numpy()) < 1e-5


def test_two_streams_are_i3d_and_i3d_flow_side_by_side() -> None:
    names = ("i3d_both:raft-small", "i3d_flow:raft-small", "i3d")
    both, flow, rgb = (create(name, "random") for name in names)
    clip = golden_frames(0, 10, 256)[None]
    vectors = without_raft(both).embed(clip)
    assert vectors.shape == (1, 1, 2048)
    assert torch.equal(vectors[..., 1024:], without_raft(flow).embed(clip))
    crop = np.ascontiguousarray(clip[:, :9, 16:240, 16:240])
    assert relative_l2(vectors[..., :1024].numpy(), rgb.embed(crop).numpy()) < 1e-6
    wanted = (flow.logits(clip) + rgb.logits(crop)) / 2
    assert relative_l2(both.logits(clip).numpy(), wanted.numpy()) < 1e-6


@pytest.mark.parametrize("size", [(1024, 576), (576, 1024), (97, 131), (1080, 1921)], ids=str)
def test_the_middle_of_the_picture_is_what_i3d_sees(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    square = torch.from_numpy(I3DFlow.transform(frames)).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(middle(square).permute(0, 2, 3, 1).numpy(), I3D.transform(frames))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_windows_flow_does_not_hang_on_its_batch() -> None:
    network = create("i3d_flow:raft-small", "random")
    clips = np.stack([golden_frames(k, 10, 256) for k in (0, 1)])
    vectors = network.embed(clips).numpy()
    assert relative_l2(network.embed(clips[1:]).numpy(), vectors[1:]) < 1e-5
    assert relative_l2(vectors[0], vectors[1]) > 1e-2


def test_shorter_windows_than_i3d_can_pool_are_refused() -> None:
    with pytest.raises(ExtractorError, match="at least 10 frames"):
        create("i3d_flow:raft-small", "random").embed(golden_frames(0, 9, 256)[None])


@pytest.mark.parametrize("name", FLOWS)
def test_every_file_of_a_network_is_published_and_on_its_card(name: str) -> None:
    extractor: Any = extractor_class(name)
    known = {one.url: one for one in ENUMS[extractor.raft]}
    for key, weights in extractor.weights.items():
        files = [weights, *weights.beside]
        assert [one.prefix.rstrip(".") for one in files] == [*extractor.streams, "raft"]
        assert files[-1].url in known
        assert files[-1].filename.endswith(f"-{files[-1].sha256}.pth")
        card = extractor.card()["weights"][key]
        assert all(one.url in str(card) and one.licence in str(card) for one in files)


def test_several_files_make_one_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSMV_CACHE", str(tmp_path / "cache"))
    state = create("i3d_flow:raft-small", "random").random_state(3)  # type: ignore[attr-defined]
    torch.save({"state_dict": part(state, "flow")}, tmp_path / "flow.pt")
    torch.save({f"module.{key}": value for key, value in part(state, "raft").items()}, tmp_path / "raft.pth")
    address = tmp_path.as_uri()
    digests = [file_sha256(tmp_path / name) for name in ("flow.pt", "raft.pth")]
    raft = Weights(f"{address}/raft.pth", "MIT", "here", digests[1], prefix="raft.")
    flow = Weights(f"{address}/flow.pt", "MIT", "here", prefix="flow.", beside=(raft,))
    monkeypatch.setattr(I3DFlowSmall, "weights", {"here": flow})
    network = create("i3d_flow:raft-small")
    assert (network.weights_origin, network.weights_sha256) == ("default", "+".join(digests))
    torch.save(state, tmp_path / "together.pt")
    together = create("i3d_flow:raft-small", tmp_path / "together.pt")
    assert together.weights_sha256 == file_sha256(tmp_path / "together.pt")
    ours, other = network.module.state_dict(), together.module.state_dict()
    assert all(torch.equal(ours[key], other[key]) for key in ours)
    with pytest.raises(ExtractorError, match="do not fit this network"):
        create("i3d_flow:raft-small", tmp_path / "flow.pt")
    wrong = Weights(
        f"{address}/flow.pt", "MIT", "here", prefix="flow.", beside=(Weights(raft.url, "", "", "00", "raft."),)
    )
    monkeypatch.setattr(I3DFlowSmall, "weights", {"here": wrong})
    with pytest.raises(ExtractorError, match="should have 00"):
        create("i3d_flow:raft-small")


def test_a_window_is_a_frame_more_than_its_flows() -> None:
    assert (I3DFlow.rule.frames, I3DFlow.rule.step) == (17, 16)
    assert [I3DFlow.rule.count(sampled) for sampled in (3, 16, 17, 32, 33)] == [1, 1, 1, 1, 2]
    assert (I3DFlow.dim, I3DBoth.dim) == (1024, 2048)
