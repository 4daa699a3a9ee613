"""The section of dataset.yaml that asks for a feature set: apart, so that a command line has read it at once."""

from typing import Literal

from pydantic import Field

from csmv.extractors.decoders import DEFAULT, DecoderName
from csmv.pipeline.validated import Validated

MAX_DAMAGE = 0.1


class FeatureConfig(Validated):
    """One feature set of a dataset: which extractor, with which weights, how computed and stored."""

    extractor: str = Field(min_length=1, description="name of an extractor, of those that `csmv extractors` lists")
    weights: str = Field(default="default", description="weights of the network: default, random, a path or a URL")
    sha256: str | None = None
    granularity: Literal["clip", "temporal"] = Field(
        default="clip", description="vectors of a window: clip, one; temporal, several"
    )
    dtype: Literal["float32", "tf32", "bfloat16", "float16"] = Field(
        default="float32", description="numbers that the network computes with"
    )
    compile: bool = Field(
        default=False, description="compile the network for the device: slow to start, faster after; moves last digits"
    )
    device: str = Field(
        default="cpu",
        description="where the network runs: cpu, cuda, one of several such as cuda:1, or several with commas, a "
        "process each",
    )
    storage: Literal["float32", "float16"] = Field(default="float32", description="numbers that are stored")
    batch_size: int = Field(default=0, ge=0, description="windows a batch; 0 chooses by device")
    max_clips: int = Field(default=180, ge=1, le=100_000, description="windows of a video, at most")
    workers: int = Field(default=0, ge=0, description="decoding processes; 0 chooses by cores")
    max_damage: float = Field(
        default=MAX_DAMAGE, ge=0, le=1, description="part of a file that may be undecodable; with more of it, it fails"
    )
    decoder: DecoderName = Field(default=DEFAULT, description="what decodes pictures; sound and times are pyav's")

    @property
    def name(self) -> str:
        """The set's name in the root: the extractor's, made fit for a path, and _temporal for that granularity."""
        plain = self.extractor.replace(":", "-").replace("/", "-")
        return plain if self.granularity == "clip" else f"{plain}_{self.granularity}"

    @property
    def table(self) -> str:
        return f"features/{self.name}"
