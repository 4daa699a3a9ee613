"""The configuration of a dataset, `dataset.yaml`: what made a root, validated, and nothing that is secret."""

import hashlib
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import Field, field_validator

from pipeline.errors import CsmvError
from pipeline.features import FeatureConfig
from pipeline.scrub import ScrubPolicy
from pipeline.sources.settings import ResearchSource, WebSource
from pipeline.splits import SplitConfig
from pipeline.validated import Validated, parse
from pipeline.vccsa.config import TrainConfig

FORMAT_VERSION: Final = 1
"""Of the dataset root. A root of another version is refused, never guessed at."""


class FolderSource(Validated):
    """A folder of videos, a JSONL of comments, and labels if there are any: see `pipeline.sources.folder`."""

    kind: Literal["folder"] = "folder"
    path: str
    comments: str = "comments.jsonl"
    videos: str | None = Field(default=None, description="a JSONL about the videos, if there is one")


class PublishedSource(Validated):
    """The published CSMV files, by name and SHA-256: see `pipeline.sources.published`."""

    kind: Literal["published"] = "published"
    files: dict[str, str] = Field(default_factory=dict, description="file name -> SHA-256, as imported")


Source = Annotated[FolderSource | PublishedSource | WebSource | ResearchSource, Field(discriminator="kind")]


class DatasetConfig(Validated):
    """All that decides what is in a root. Tables of one configuration and one source are equal, byte for byte.

    Features are too on one kind of processor, with the same versions and number of threads.
    """

    format_version: Literal[1] = FORMAT_VERSION
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    n_shards: int = Field(default=16, ge=1, le=9999, description="fixed when the root is made")
    source: Source
    scrub: ScrubPolicy = ScrubPolicy()
    features: tuple[FeatureConfig, ...] = ()
    splits: tuple[SplitConfig, ...] = ()
    train: tuple[TrainConfig, ...] = ()

    @field_validator("train", "features", "splits")
    @classmethod
    def _distinct(cls, sections: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(sections)) != len(sections):
            raise ValueError("the same section stands there twice")
        return sections

    @classmethod
    def from_yaml(cls, text: str, where: str) -> "DatasetConfig":
        """The configuration in `text`. Raises CsmvError, one sentence that begins with `where`."""
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f" at line {mark.line + 1}" if mark else ""
            raise CsmvError(f"{where}: this is not YAML{place}.") from None
        if not isinstance(data, dict):
            raise CsmvError(f"{where}: expected a mapping of configuration keys, found {type(data).__name__}.")
        version = data.get("format_version", FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise CsmvError(
                f"{where}: this root has format version {str(version)[:20]!r} and this csmv reads version "
                f"{FORMAT_VERSION}: use the csmv that made it, or build the root anew."
            )
        return parse(cls, data, where)

    def to_yaml(self) -> str:
        """The configuration as YAML, every setting written out, keys in the order of this class."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))

    def fingerprint(self) -> str:
        """SHA-256 of the YAML: the same for the same settings."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()
