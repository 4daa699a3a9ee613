"""VideoMAEv2 S, B and g (OpenGVLab): the fine-tuned Kinetics-710 networks, as their extraction script uses them.

Frames are stretched to 224x224 without rounding and only divided by 255: that script leaves out mean and std.
"""

from typing import ClassVar

from csmv.extractors.registry import register
from csmv.extractors.videomae import VideoMAEBase
from csmv.extractors.weights import Weights

_HOME = "https://huggingface.co/OpenGVLab/VideoMAE2/resolve/706cc172d65ebd4dedbee3f9c0183a93df9fa125"


def _published(folder: str, name: str, sha256: str = "") -> dict[str, Weights]:
    return {
        "k710": Weights(
            url=f"{_HOME}/{folder}/{name}.pth",
            licence="Apache-2.0 as stated at huggingface.co/OpenGVLab/VideoMAE2",
            source=f"OpenGVLab/VideoMAEv2 model zoo, {name}",
            sha256=sha256,
        )
    }


@register
class VideoMAEv2S(VideoMAEBase):
    """ViT-S, distilled from g."""

    name = "videomaev2_s"
    dim = 384
    depth, heads, hidden = 12, 6, 1536
    classes = 710
    weights: ClassVar = _published(
        "distill", "vit_s_k710_dl_from_giant", "24fb71687fa3671b8387cadfbcbab0f72af695692e93cf1ecc82caa888626172"
    )


@register
class VideoMAEv2B(VideoMAEBase):
    """ViT-B, distilled from g."""

    name = "videomaev2_b"
    dim = 768
    depth, heads, hidden = 12, 12, 3072
    classes = 710
    weights: ClassVar = _published(
        "distill", "vit_b_k710_dl_from_giant", "8141a6955e0700d11bf15928fe6d61e5cfe482606fed8cfdddb1b922c0fd88ec"
    )


@register
class VideoMAEv2G(VideoMAEBase):
    """ViT-g: a billion parameters, patch 14."""

    name = "videomaev2_g"
    dim = 1408
    depth, heads, hidden, patch = 40, 16, 6144, 14
    classes = 710
    weights: ClassVar = _published("mae-g", "vit_g_hybrid_pt_1200e_k710_ft")
