"""The configuration of a dataset, `dataset.yaml`: what made a root, validated, and nothing that is secret."""

import hashlib
from typing import Any, Final, Literal

import yaml
from pydantic import Field, field_validator

from pipeline.errors import CsmvError
from pipeline.features import FeatureConfig
from pipeline.media.settings import MediaSettings
from pipeline.scrub import ScrubPolicy
from pipeline.sources.folder import FolderSource
from pipeline.sources.published import PublishedSource
from pipeline.sources.registry import Section
from pipeline.sources.research import ResearchSource
from pipeline.sources.web import WebSource
from pipeline.splits import SplitConfig
from pipeline.store import CONFIG_FILE, Store
from pipeline.validated import Validated, parse
from pipeline.vccsa.config import TrainConfig

__all__ = ["DatasetConfig", "FolderSource", "PublishedSource", "ResearchSource", "WebSource"]

FORMAT_VERSION: Final = 2
"""Of new roots. What a root's own is, its header says; a configuration written for format 1 reads the same."""


class DatasetConfig(Validated):
    """All that decides what is in a root. Two roots of one configuration and one source are equal, byte for byte."""

    format_version: Literal[1, 2] = FORMAT_VERSION
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    n_shards: int = Field(default=16, ge=1, le=9999, description="fixed when the root is made")
    source: Section
    scrub: ScrubPolicy = ScrubPolicy()
    media: MediaSettings = MediaSettings()
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
        if version not in (1, FORMAT_VERSION):
            raise CsmvError(
                f"{where}: this root has format version {str(version)[:20]!r} and this csmv reads version "
                f"{FORMAT_VERSION}: use the csmv that made it, or build the root anew."
            )
        return parse(cls, data | {"format_version": FORMAT_VERSION}, where)

    def to_yaml(self) -> str:
        """The configuration as YAML, every setting written out, keys in the order of this class."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))

    def fingerprint(self) -> str:
        """SHA-256 of the YAML: the same for the same settings."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()


def record_section(
    store: Store, name: Literal["features", "splits", "train"], section: FeatureConfig | SplitConfig | TrainConfig
) -> None:
    """Write what a command did into a root's configuration, so that later commands and `csmv build` know of it.

    Nothing happens if the same section stands there. A feature set or split of that name is replaced; a training run
    has no name but its settings, so it is added.

    Args:
        store: the root; its `config` is the new one afterwards.
        name: the list in the configuration.
        section: what was done.
    """
    sections: tuple[Any, ...] = getattr(store.config, name)
    if section in sections:
        return
    same_name = [one for one in sections if _title(one) is not None and _title(one) == _title(section)]
    if same_name:
        sections = tuple(section if one is same_name[0] else one for one in sections if one not in same_name[1:])
    else:
        sections = (*sections, section)
    config = store.config.model_copy(update={name: sections})
    store.write_file(CONFIG_FILE, config.to_yaml().encode())
    del store.config  # read anew when asked for


def _title(section: FeatureConfig | SplitConfig | TrainConfig) -> str | None:
    """The name under which a section's result stands in the root; None for a training run."""
    if isinstance(section, FeatureConfig):
        return section.name
    return section.title if isinstance(section, SplitConfig) else None
