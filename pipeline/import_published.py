"""`csmv import`: the published CSMV files into a root, from nothing to tables and the published split."""

from pathlib import Path

from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, create_root, is_ours, read_config, refuse_another, write_config
from csmv.pipeline.root import CONFIG_FILE
from csmv.pipeline.scrub import ScrubPolicy
from csmv.pipeline.sources.published import Published, PublishedFiles, PublishedSource, read_published
from csmv.pipeline.store import Store


def import_published(
    root: str,
    annotations: Path,
    links: Path,
    n_shards: int | None,
    scrub: ScrubPolicy | None = None,
    *,
    replace_source: bool = False,
) -> PublishedFiles:
    """Read the published files and write them into the root: videos, comments, labels, the published split, failures
    and `import_report.json`. Importing again gives the same bytes and keeps what later stages found out.

    Args:
        root: The dataset root, made if need be.
        annotations: The label dictionary, plain or zipped, or the folder it is in.
        links: The published workbook of links.
        n_shards: The number of shards of a new root; None for what suits the number of videos.
        scrub: How comments are scrubbed; None for the root's own policy, or the default in a new one.
        replace_source: Take other published files into a root that was made from some.

    Returns:
        What the files hold.

    Raises:
        CsmvError: a file is missing or is not what it should be.
    """
    published = read_published(annotations, links)
    recorded = PublishedSource(files=published.sha256)
    if Store(root).exists(CONFIG_FILE):
        before = read_config(Store.open(root))
        asked = before.n_shards if n_shards is None else n_shards
        policy = before.scrub if scrub is None else scrub
        config = before.model_copy(update={"source": recorded, "scrub": policy, "n_shards": asked})
        refuse_another(root, before, config, replace_source=replace_source)
        store = Store.open(root)
        if is_ours(store.read_file(CONFIG_FILE).decode("utf-8", "replace")):
            write_config(store, config)
    else:
        config = DatasetConfig(name="csmv", source=recorded, scrub=scrub or ScrubPolicy())
        if n_shards is not None:
            config = config.model_copy(update={"n_shards": n_shards})
        videos = {entry.video_id for entry in published.entries.values()}
        store = create_root(root, config, expected_videos=len(videos))
    source = Published(PublishedSource(annotations=str(annotations), links=str(links), files=published.sha256))
    ingest(store, source, config.scrub, store.key())
    return published
