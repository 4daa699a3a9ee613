"""`csmv import` of what other tools collected: files into a root, from nothing to tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csmv.pipeline.collect import collect
from csmv.pipeline.config import DatasetConfig, create_root, is_ours, read_config, refuse_another, write_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.root import CONFIG_FILE, name_for
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.by_shard import sha256_of
from csmv.pipeline.sources.imported import Imported, ImportReport, ImportSource
from csmv.pipeline.sources.others_records import require_records
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.tables import write_tables
from csmv.pipeline.sources.web import Web
from csmv.pipeline.store import Store


@dataclass(frozen=True)
class ImportedCrawl:
    """What an import brought, and how many videos and comments the root has now."""

    report: ImportReport
    videos: int
    comments: int


def import_crawl(
    root: str, files: Sequence[Path], settings: dict[str, Any], n_shards: int | None, *, mix: bool = False
) -> ImportedCrawl:
    """Read files of other tools into a root: landing, then scrubbed tables. More files can be added later.

    Args:
        root: The dataset root, made if need be.
        files: The files; one that the root has already is not read again.
        settings: `format` and `media` of the section, where they are given.
        n_shards: The number of shards of a new root; None for what suits the number of videos.
        mix: Let a root that was collected from the site take them in; its configuration keeps note of it.

    Returns:
        What came of it.

    Raises:
        CsmvError: a file is not there or is of no format that is read, or the root is made from another source.
    """
    for path in files:
        require_records(path, settings.get("format") or "auto")
    given = {name: value for name, value in settings.items() if value is not None}
    digests = tuple(dict.fromkeys(sha256_of(path) for path in files))
    reading = Imported(ImportSource.model_validate({"paths": tuple(map(str, files))} | given))
    if Store(root).exists(CONFIG_FILE):
        before = read_config(Store.open(root))
        asked = before.n_shards if n_shards is None else n_shards
        section = _with_files(root, before.source, digests, given, mix=mix)
        config = before.model_copy(update={"source": section, "n_shards": asked})
        refuse_another(root, before, config)
        store = Store.open(root)
        if section.kind == Web.kind:
            write_config(store, config)  # that two sources are mixed is written down, or it is not done
    else:
        config = DatasetConfig(name=name_for(root), source=ImportSource.model_validate({"files": digests} | given))
        empty = config.model_copy(update={"source": config.source.model_copy(update={"files": ()})})
        if n_shards is None:
            store = create_root(root, empty, expected_videos=reading.expected_videos())
            config = config.model_copy(update={"n_shards": store.n_shards})
        else:
            config = config.model_copy(update={"n_shards": n_shards})
            store = create_root(root, empty.model_copy(update={"n_shards": n_shards}))
    report = collect(store, reading, Reach())
    assert isinstance(report, ImportReport)
    if is_ours(store.read_file(CONFIG_FILE).decode("utf-8", "replace")):
        write_config(store, config)  # only what has landed is the root's
    write_tables(store, source_of(config.source), config.scrub, store.key())
    return ImportedCrawl(report, store.read_all("videos").num_rows, store.read_all("comments").num_rows)


def _with_files(root: str, section: Any, digests: tuple[str, ...], given: dict[str, Any], *, mix: bool) -> Any:
    """The section of a root that is there, with more files. Raises CsmvError where they would mix two sources."""
    if section.kind == Imported.kind:
        return section.model_copy(update={"files": tuple(dict.fromkeys((*section.files, *digests))), **given})
    if section.kind == Web.kind and mix:
        return section.model_copy(update={"mixed_with": tuple(dict.fromkeys((*section.mixed_with, *digests)))})
    more = ", or say --mix to add to what was collected from the site" if section.kind == Web.kind else ""
    raise CsmvError(
        f"The root '{root}' is made from a '{section.kind}' source, and sources are never mixed in one dataset: import "
        f"into a root of its own{more}."
    )
