"""VideoMAE (v1) ViT-B, fine-tuned on Kinetics-400 (Tong et al. 2022, arXiv:2203.12602).

Takes the original's files and those in Hugging Face `transformers` layout. Input as that release's processor does
it: shorter side to 224, centre crop, ImageNet mean and std.
"""

from typing import ClassVar

from torch import Tensor

from csmv.extractors.base import standardised
from csmv.extractors.frames import IMAGENET_MEAN, IMAGENET_STD
from csmv.extractors.registry import register
from csmv.extractors.transforms import PillowShortSide
from csmv.extractors.videomae import VideoMAEBase, from_transformers
from csmv.extractors.weights import State, Weights

_COMMIT = "488eb9a0565f257b32866000305c8178965eb9f6"


@register
class VideoMAEB(VideoMAEBase):
    """ViT-B/16 of VideoMAE."""

    name = "videomae_b"
    dim = 768
    depth, heads, hidden = 12, 12, 3072
    classes = 400
    transform = PillowShortSide(short=224, size=(224, 224), filter="bilinear")
    weights: ClassVar = {
        "kinetics400": Weights(
            url=f"https://huggingface.co/MCG-NJU/videomae-base-finetuned-kinetics/resolve/{_COMMIT}/model.safetensors",
            licence="CC-BY-NC-4.0",
            source="MCG-NJU/videomae-base-finetuned-kinetics on Hugging Face",
        )
    }

    def translate(self, state: State) -> State:
        return from_transformers(state)

    def normalise(self, clips: Tensor) -> Tensor:
        return standardised(clips, IMAGENET_MEAN, IMAGENET_STD)
