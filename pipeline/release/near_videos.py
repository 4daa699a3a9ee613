"""Finds videos whose features say that they are nearly the same: copies, cut or encoded anew, under another id.

A video is the mean of its vectors, less the mean of all videos (without that, all vectors of one network point nearly
the same way); two are near if the cosine between them is at least `COSINE`.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from csmv.pipeline.feature_arrays import rows_of
from csmv.pipeline.feature_sets import set_footer
from csmv.pipeline.store import Store

COSINE = 0.95
FEWEST = 10
"""Of fewer videos the mean says too little."""
_ROWS_AT_ONCE = 1024

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


def feature_set_of(store: Store) -> str:
    """The feature set by which videos are compared: the first by name with real weights, else the first; or none."""
    names = sorted({name.split("/")[1] for name in store.files("features") if name.endswith(".parquet")})
    real = (name for name in names if set_footer(store, name).get("weights") != "random")
    return next(real, names[0] if names else "")


def directions(store: Store, name: str, videos: pa.Array) -> tuple[Floats, Flags]:
    """Where videos lie in a feature set.

    Args:
        store: the root.
        name: of the set.
        videos: ids (N), each once.

    Returns:
        Unit vectors (N, D), and which of the videos the set has (N); none if it has fewer than FEWEST of them.
    """
    has = np.zeros(len(videos), bool)
    places = dict(zip(videos.to_pylist(), range(len(videos)), strict=True))
    means: Floats | None = None
    for shard in store.shards():
        table = store.read(f"features/{name}", shard)
        if table is None or not table.num_rows:
            continue
        for row in rows_of(table):
            place = places.get(row.video)
            if place is None or not len(row.vectors):
                continue
            if means is None:
                means = np.zeros((len(videos), row.vectors.shape[1]), np.float32)
            means[place] = row.vectors.mean(axis=0, dtype=np.float64)
            has[place] = True
    if means is None or has.sum() < FEWEST:
        return np.zeros((len(videos), 0), np.float32), np.zeros(len(videos), bool)
    means[has] -= means[has].mean(axis=0, dtype=np.float64).astype(np.float32)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return means / lengths, has


def have_near(unit: Floats, these: npt.NDArray[np.int64], those: npt.NDArray[np.int64]) -> Flags:
    """Of each of `these` (places in `unit`) whether one of `those` is near."""
    near = np.zeros(len(these), bool)
    if not len(those):
        return near
    others = unit[those].T
    for start in range(0, len(these), _ROWS_AT_ONCE):
        cosines = unit[these[start : start + _ROWS_AT_ONCE]] @ others
        near[start : start + _ROWS_AT_ONCE] = cosines.max(axis=1) >= COSINE
    return near
