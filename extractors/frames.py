"""What extractors that see one picture at a time share: a vector a frame, averaged over the window for `clip`."""

from typing import ClassVar, Literal

from torch import Tensor

from csmv.extractors.base import Extractor, standardised

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FrameExtractor(Extractor):
    """A subclass writes `pictures`; `temporal` gives the 16 vectors of a window's frames."""

    kind: ClassVar[Literal["clip", "frame", "audio"]] = "frame"
    granularities: ClassVar = {"clip": 1, "temporal": 16}
    frames_a_window: ClassVar = (1, 1024)
    frames_a_vector = 1
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def pictures(self, images: Tensor) -> Tensor:
        """Normalised (N, 3, H, W) to (N, D)."""
        vectors: Tensor = self.module(images)
        return vectors

    def normalise(self, clips: Tensor) -> Tensor:
        return standardised(clips, self.mean, self.std)

    def forward(self, clips: Tensor) -> Tensor:
        batch, channels, frames, height, width = clips.shape
        images = clips.transpose(1, 2).reshape(batch * frames, channels, height, width)
        vectors = self.pictures(images).view(batch, frames, -1)
        return vectors if self.granularity == "temporal" else vectors.mean(1, keepdim=True)
