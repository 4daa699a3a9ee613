"""`csmv import`: the published CSMV files into a root, from nothing to tables and the published split."""

from pathlib import Path

from pipeline.collect import ingest
from pipeline.config import DatasetConfig
from pipeline.scrub import ScrubPolicy
from pipeline.sources.published import Published, PublishedFiles, PublishedSource, read_published
from pipeline.store import CONFIG_FILE, Store


def import_published(root: str, annotations: Path, links: Path, n_shards: int, scrub: ScrubPolicy) -> PublishedFiles:
    """Read the published files and write them into the root: videos, comments, labels, the published split, failures
    and `import_report.json`. Importing again gives the same bytes and keeps what later stages found out.

    Args:
        root: The dataset root, made if need be.
        annotations: The label dictionary, plain or zipped, or the folder it is in.
        links: The published workbook of links.
        n_shards: The number of shards of a new root.
        scrub: How comments are scrubbed.

    Returns:
        What the files hold.

    Raises:
        CsmvError: a file is missing or is not what it should be.
    """
    published = read_published(annotations, links)
    recorded = PublishedSource(files=published.sha256)
    if Store(root).exists(CONFIG_FILE):
        config = Store.open(root).config.model_copy(update={"source": recorded, "scrub": scrub, "n_shards": n_shards})
    else:
        config = DatasetConfig(name="csmv", n_shards=n_shards, source=recorded, scrub=scrub)
    store = Store.create(root, config)
    source = Published(PublishedSource(annotations=str(annotations), links=str(links), files=published.sha256))
    ingest(store, source, scrub, store.key())
    return published
