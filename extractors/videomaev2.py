"""VideoMAEv2 S, B and g (OpenGVLab): the fine-tuned Kinetics-710 networks, as their extraction script uses them.

Frames are stretched to 224x224 without rounding and only divided by 255: that script leaves out mean and std.
"""

from typing import ClassVar

from csmv.extractors.registry import register
from csmv.extractors.videomae import VideoMAEBase
from csmv.extractors.weights import Weights

_HOME = "https://huggingface.co/OpenGVLab/VideoMAE2/resolve/main"


def _published(folder: str, name: str) -> dict[str, Weights]:
    return {
        "k710": Weights(
            url=f"{_HOME}/{folder}/{name}.pth",
            licence="Apache-2.0 as stated at huggingface.co/OpenGVLab/VideoMAE2",
            source=f"OpenGVLab/VideoMAEv2 model zoo, {name}",
        )
    }


@register
class VideoMAEv2S(VideoMAEBase):
    """ViT-S, distilled from g."""

    name = "videomaev2_s"
    dim = 384
    depth, heads, hidden = 12, 6, 1536
    classes = 710
    weights: ClassVar = _published("distill", "vit_s_k710_dl_from_giant")


@register
class VideoMAEv2B(VideoMAEBase):
    """ViT-B, distilled from g."""

    name = "videomaev2_b"
    dim = 768
    depth, heads, hidden = 12, 12, 3072
    classes = 710
    weights: ClassVar = _published("distill", "vit_b_k710_dl_from_giant")


@register
class VideoMAEv2G(VideoMAEBase):
    """ViT-g: a billion parameters, patch 14."""

    name = "videomaev2_g"
    dim = 1408
    depth, heads, hidden, patch = 40, 16, 6144, 14
    classes = 710
    weights: ClassVar = _published("mae-g", "vit_g_hybrid_pt_1200e_k710_ft")
