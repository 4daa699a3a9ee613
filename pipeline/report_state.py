"""A digest of everything in a root that the report speaks of, by which a page knows whether it is current."""

import hashlib

from csmv.pipeline.feature_sets import read_footer
from csmv.pipeline.privacy.review_settings import REVIEW_COUNTS
from csmv.pipeline.stage import digest
from csmv.pipeline.store import Store

_END_OF_PREDICTIONS = 1 << 16
"""Bytes at the end of a run's predictions, with the sums and sizes of their columns, that tell one from another."""
SHOWN = ("videos", "comments", "labels", "splits", "failures", "features", "models")
"""The folders of a root that the page speaks of."""


def page_state(store: Store) -> str:
    """A digest of everything that the page shows; of features and models what says how they were made."""
    lines = []
    states = {
        name: sha256 for table in ("videos", "comments", "labels") for name, sha256 in store.states(table).items()
    }
    for name in (name for folder in SHOWN for name in store.files(folder)):
        table, _, file = name.rpartition("/")
        if table.startswith("features/"):
            lines.append(f"{name} {read_footer(store, table, int(file[:4]))}")
        elif table.startswith("failures/"):
            rows = store.read(table, int(file[:4]))
            # The page gives no times.
            lines.append(f"{name} {digest('' if rows is None else rows.drop_columns(['at']))}")
        elif name in states:
            lines.append(f"{name} {states[name]}")
        elif table == "splits" and name.endswith(".parquet"):
            lines.append(f"{name} {store.sha256_of(name.removesuffix('.parquet'), None)}")
        elif name.endswith("/predictions.parquet"):
            end = store.read_end(name, _END_OF_PREDICTIONS) or b""
            lines.append(f"{name} {hashlib.sha256(end).hexdigest()}")
        elif name.endswith((".parquet", ".json")):
            lines.append(f"{name} {hashlib.sha256(store.read_file(name)).hexdigest()}")
    counts = store.read_if_there(REVIEW_COUNTS)
    if counts is not None:
        lines.append(f"{REVIEW_COUNTS} {hashlib.sha256(counts).hexdigest()}")
    return digest(*lines)
