"""What the media stage asks of each kind of source section, until every source is a class of its own."""

from functools import cached_property
from pathlib import Path

from pipeline.config import FolderSource, PublishedSource
from pipeline.media.get import Origin
from pipeline.sources.folder import read_folder
from pipeline.sources.settings import Manners, ResearchSource, WebSource
from pipeline.store import Store


class _Folder:
    has_files = True
    manners = Manners()

    def __init__(self, source: FolderSource) -> None:
        self._source = source

    @cached_property
    def _files(self) -> "dict[str, Path]":
        return dict(read_folder(self._source).files)

    def file(self, _store: Store, video_id: str) -> Path | None:
        return self._files.get(video_id)


class _Site:
    has_files = False

    def __init__(self, manners: Manners) -> None:
        self.manners = manners

    def file(self, _store: Store, _video_id: str) -> Path | None:
        return None


def origin_of(source: FolderSource | PublishedSource | WebSource | ResearchSource) -> Origin:
    """Where the media of a root come from."""
    if isinstance(source, FolderSource):
        return _Folder(source)
    return _Site(source.manners if isinstance(source, WebSource) else Manners())
