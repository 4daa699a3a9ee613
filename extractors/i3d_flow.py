"""I3D on optical flow and two-stream I3D (Carreira and Zisserman 2017, arXiv:1705.07750), with flow by RAFT.

A window is 17 frames: RAFT (Teed and Deng 2020, arXiv:2003.12039), torchvision's with its 12 updates, follows each
frame to the next, which gives 16 flows. As in the paper they are cut to -20..20 pixels and put into -1..1, by way of
the 256 grey levels of the flow pictures that I3D's published loader reads. The paper's flow is another, TV-L1's on grey
frames, and the weights were trained on that.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.i3d import I3D, InceptionI3d, published
from csmv.extractors.precision import Dtype, compute_dtype, prepare
from csmv.extractors.registry import register
from csmv.extractors.sampling import ClipRule
from csmv.extractors.transforms import FrameTransform, PillowShortSide
from csmv.extractors.weights import RandomRule, State, Weights, random_state

SIDE = 224
"""Height and width of what I3D sees, the middle of the flow."""
BOUND = 20.0
"""Pixels of movement, in each direction, beyond which flow is cut."""
RAFT_RULE = RandomRule(gain=0.7, centre=0.7)
"""Random weights whose flow stays within the bound and still differs from clip to clip."""
_TORCHVISION = "https://download.pytorch.org/models"


def _raft(name: str, digits: str, enum: str) -> Weights:
    return Weights(
        url=f"{_TORCHVISION}/{name}-{digits}.pth",
        sha256=digits,
        licence="BSD-3-Clause (torchvision)",
        source=f"torchvision {enum}",
        prefix="raft.",
    )


SINTEL = _raft("raft_large_C_T_SKHT_V2", "ff5fadd5", "Raft_Large_Weights.C_T_SKHT_V2")
THINGS = _raft("raft_large_C_T_V2", "1bb1363a", "Raft_Large_Weights.C_T_V2")
SMALL = _raft("raft_small_C_T_V2", "01064c6d", "Raft_Small_Weights.C_T_V2")


def _i3d(name: str, *beside: Weights) -> Weights:
    return published(name, prefix=f"{name.split('_')[0]}.", beside=beside)


def quantised(flow: Tensor) -> Tensor:
    """Flow in pixels to -1..1 in 256 levels, no movement being level 128, a little above 0."""
    levels = (flow.clamp(-BOUND, BOUND) * (127.5 / BOUND) + 128).round().clamp(max=255)
    return levels / 127.5 - 1


def middle(maps: Tensor) -> Tensor:
    """The centre, 224 pixels high and wide, of (..., H, W)."""
    top, left = (maps.shape[-2] - SIDE) // 2, (maps.shape[-1] - SIDE) // 2
    return maps[..., top : top + SIDE, left : left + SIDE]


@register
class I3DFlow(I3D):
    """I3D on optical flow by RAFT, ImageNet then Kinetics-400 (or Charades) weights.

    RAFT sees the centre 256x256 of the frame whose shorter side is 256, and I3D the centre 224x224 of the flow, so that
    what moves in from up to 16 pixels beside it is still followed.
    """

    name = "i3d_flow"
    rule = ClipRule(frames=17)
    transform: FrameTransform = PillowShortSide(short=256, size=(256, 256), filter="bilinear")
    predecessor = ""
    frames_a_window: ClassVar = (10, 1025)
    streams: ClassVar[tuple[str, ...]] = ("flow",)
    raft: ClassVar[str] = "raft_large"
    head: ClassVar[str | tuple[str, ...]] = "flow.logits."
    weights: ClassVar = {
        "imagenet": _i3d("flow_imagenet", SINTEL),
        "charades": _i3d("flow_charades", SINTEL),
        "imagenet_raft_C_T_V2": _i3d("flow_imagenet", THINGS),
    }

    def build(self, classes: int) -> nn.Module:
        from torchvision.models import optical_flow

        networks: dict[str, nn.Module] = {
            stream: InceptionI3d(classes, channels=3 if stream == "rgb" else 2) for stream in self.streams
        }
        return nn.ModuleDict(networks | {"raft": getattr(optical_flow, self.raft)(weights=None)})

    def random_state(self, seed: int) -> State:
        """Each network's own, so that I3D's on RGB are those of `i3d`."""
        state: State = {}
        for part, network in self._empty(self.classes).named_children():
            own = random_state(network, RAFT_RULE if part == "raft" else self.random_rule, seed)
            state |= {f"{part}.{key}": value for key, value in own.items()}
        return state

    def _set(self, module: nn.Module, dtype: Dtype) -> None:
        # Flow is always computed in float32: in half the numbers it would be off by pixels.
        self.dtype = dtype
        parts = {
            part: prepare(network, self.device, "float32", channels_last=False)
            if part == "raft"
            else prepare(network, self.device, dtype, channels_last=True)
            for part, network in module.named_children()
        }
        self.module = nn.ModuleDict(parts)

    @property
    def vectors_per_window(self) -> int:
        return -(-(self.rule.frames - 1) // self.frames_a_vector) if self.granularity == "temporal" else 1

    def prepared(self, batch: Tensor) -> Tensor:
        """(B, T, 256, 256, 3) of 0..255 to float32 (B, 3, T, 256, 256) of -1..1, as RAFT and I3D both take them."""
        return self.normalise(batch.permute(0, 4, 1, 2, 3).float())

    def check(self, batch: Tensor) -> None:
        super().check(batch)
        fewest = self.frames_a_window[0]
        if batch.shape[1] < fewest:
            raise ExtractorError(f"{self.name} takes at least {fewest} frames a clip, not {batch.shape[1]}.")

    @torch.inference_mode()
    def flow(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        """Movement in pixels (B, 2, T - 1, 256, 256), across then down, from each frame to the next, on the CPU."""
        return self._flow(self.prepared(torch.as_tensor(clips).to(self.device))).float().cpu()

    def _flow(self, clips: Tensor) -> Tensor:
        raft = self.module.get_submodule("raft")
        # A window at a time: it bounds the memory, and no flow hangs on the batch that it was computed in.
        flows = [raft(frames[:-1].contiguous(), frames[1:].contiguous())[-1] for frames in clips.transpose(1, 2)]
        return torch.stack(flows).transpose(1, 2)

    def _maps(self, clips: Tensor) -> list[Tensor]:
        """Mixed_5c of each stream."""
        pictures = {"flow": lambda: quantised(middle(self._flow(clips))), "rgb": lambda: middle(clips[:, :, :-1])}
        maps = []
        for stream in self.streams:
            seen = pictures[stream]().to(compute_dtype(self.device, self.dtype))
            maps.append(self.module.get_submodule(stream)(seen.contiguous(memory_format=torch.channels_last_3d)))
        return maps

    def forward(self, clips: Tensor) -> Tensor:
        return torch.cat([self.rows(maps) for maps in self._maps(clips)], 2)

    @torch.inference_mode()
    def logits(self, clips: Tensor | np.ndarray[Any, Any]) -> Tensor:
        """Class scores (B, classes), the mean of the streams' as in the paper."""
        maps = self._maps(self.prepared(torch.as_tensor(clips).to(self.device)))
        scores = [
            self.scores(one, self.module.get_submodule(f"{stream}.logits"))
            for stream, one in zip(self.streams, maps, strict=True)
        ]
        return torch.stack(scores).mean(0).cpu()


@register
class I3DFlowSmall(I3DFlow):
    """I3D on optical flow by RAFT's small network: less exact flow in a third of the time."""

    name = "i3d_flow:raft-small"
    raft = "raft_small"
    weights: ClassVar = {"imagenet": _i3d("flow_imagenet", SMALL), "charades": _i3d("flow_charades", SMALL)}


@register
class I3DBoth(I3DFlow):
    """Two-stream I3D: RGB's 1,024 numbers, then those of optical flow by RAFT, of the same frames."""

    name = "i3d_both"
    dim = 2048
    streams = ("rgb", "flow")
    head = ("rgb.logits.", "flow.logits.")
    weights: ClassVar = {
        "imagenet": _i3d("rgb_imagenet", _i3d("flow_imagenet"), SINTEL),
        "charades": _i3d("rgb_charades", _i3d("flow_charades"), SINTEL),
        "imagenet_raft_C_T_V2": _i3d("rgb_imagenet", _i3d("flow_imagenet"), THINGS),
    }


@register
class I3DBothSmall(I3DBoth):
    """Two-stream I3D with optical flow by RAFT's small network: less exact flow in a third of the time."""

    name = "i3d_both:raft-small"
    raft = "raft_small"
    weights: ClassVar = {
        "imagenet": _i3d("rgb_imagenet", _i3d("flow_imagenet"), SMALL),
        "charades": _i3d("rgb_charades", _i3d("flow_charades"), SMALL),
    }
