"""Tables made anew from what has landed, by the reader of now, without a request: `csmv collect --reparse`.

What could not be read when it came was kept whole. After csmv has been mended, this gives the rows of it.
"""

from pydantic import SecretStr

from csmv.pipeline.landed_names import extract_names
from csmv.pipeline.progress import track
from csmv.pipeline.scrub.policy import ScrubPolicy
from csmv.pipeline.sources.base import Source
from csmv.pipeline.sources.tables import TableSummary, finish_tables, write_reread
from csmv.pipeline.store import Store


def reparse(store: Store, source: Source, policy: ScrubPolicy, key: SecretStr) -> TableSummary:
    """Read all of landing anew and write every shard whose rows come out otherwise.

    Killed at any moment and run again, it ends in the same bytes.

    Args:
        store: The root.
        source: Where the rows come from; it has landed.
        policy: How texts are scrubbed.
        key: What pseudonyms are made with.

    Returns:
        How much was written; `reused` shards came out as they were.

    Raises:
        CsmvError: nothing has landed, or a landing file is damaged.
    """
    store.sweep()
    extract_names(store)
    source.reread(store)
    total = TableSummary()
    with track("landing", store.n_shards) as tick:
        for shard in store.shards():
            total += write_reread(store, source, policy, key, shard)
            tick(1)
    finish_tables(store, source)
    return total
