"""The sources there are. Adding one touches its own file and this list: the configuration's type is made from it."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from csmv.pipeline.sources.base import Source
from csmv.pipeline.sources.collect_settings import WebSource
from csmv.pipeline.sources.folder import Folder, FolderSource
from csmv.pipeline.sources.imported import Imported, ImportSource
from csmv.pipeline.sources.published import Published, PublishedSource
from csmv.pipeline.sources.released import Released, ReleasedSource
from csmv.pipeline.sources.research import Research, ResearchSource
from csmv.pipeline.sources.web import Web
from csmv.pipeline.sources.ytdlp import Ytdlp, YtdlpSource

_CLASSES: tuple[type[Source], ...] = (Folder, Published, Web, Research, Ytdlp, Imported, Released)
SOURCES: dict[str, type[Source]] = {source.kind: source for source in _CLASSES}
"""Kind -> class, in the order of the README."""

if TYPE_CHECKING:
    Section = FolderSource | PublishedSource | WebSource | ResearchSource | YtdlpSource | ImportSource | ReleasedSource
else:
    Section = Annotated[reduce(or_, (source.section_class for source in SOURCES.values())), Field(discriminator="kind")]
"""The type of a configuration's `source`: one of the sections, told apart by `kind`."""


def source_of(section: Any) -> Source:
    """The source that a section of dataset.yaml describes."""
    return SOURCES[section.kind](section)
