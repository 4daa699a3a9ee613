"""Video features for training: read once from the Parquet shards, then served as views, without a copy a comment.

Sets that fit stay as the Arrow buffers they were read into; larger ones are laid out once in a memory-mapped file
that has no name and vanishes with the process, so that memory stays flat however long training runs.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from csmv.extractors.nearest_names import did_you_mean
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_arrays import Vectors
from csmv.pipeline.parts import read_with_parts
from csmv.pipeline.progress import track
from csmv.pipeline.store import Store

IN_MEMORY_BYTES = 1 << 30
"""Feature sets up to this size are held in memory; CSMV_FEATURE_MEMORY (bytes) changes it."""


@dataclass(frozen=True)
class FeatureSet:
    """The vectors of one feature set: of each video a view (T, D), float32 or float16 as stored."""

    name: str
    dim: int
    videos: dict[str, Vectors]
    fingerprint: str

    def of(self, video_id: str) -> Vectors | None:
        """The video's vectors (T, D) with T >= 1, or None if it has none."""
        return self.videos.get(video_id)


def load_features(store: Store, name: str) -> FeatureSet:
    """The feature set `features/<name>` of a root.

    Raises CsmvError if there is none, if shards differ in width, or if a vector holds NaN or infinity.
    """
    table = f"features/{name}"
    digest = hashlib.sha256()
    videos: dict[str, Vectors] = {}
    dim = 0
    budget = int(os.environ.get("CSMV_FEATURE_MEMORY", IN_MEMORY_BYTES))
    held, spill = 0, None
    with track(f"read {table}", store.n_shards) as tick:
        for shard in store.shards():
            rows = read_with_parts(store, table, shard)
            if rows is not None and rows.num_rows:
                ids, offsets, vectors = _vectors(rows, f"{table}/{shard:04d}.parquet")
                if dim and vectors.shape[1] != dim:
                    raise CsmvError(
                        f"The vectors of {table} have {dim} numbers in one shard and {vectors.shape[1]} in shard "
                        f"{shard:04d}: extract the whole set again with one extractor."
                    )
                dim = vectors.shape[1]
                _refuse_non_finite(vectors, offsets, ids, table)
                digest.update("\0".join(ids).encode() + offsets.tobytes())
                digest.update(np.ascontiguousarray(vectors).data)
                held += vectors.nbytes
                if held > budget:
                    spill = spill or _Spill()
                    vectors = spill.keep(vectors)
                videos.update(
                    {video: vectors[a:b] for video, a, b in zip(ids, offsets, offsets[1:], strict=False) if b > a}
                )
            tick(1)
    if not dim:
        sets = sorted({path.split("/")[1] for path in store.files("features")} - {name})
        hint = did_you_mean(name, sets, "its feature sets are").rstrip(".")
        raise CsmvError(
            f"The root '{store.root}' has no {table} ({hint}); make it with `csmv extract --extractor {name}`."
        )
    return FeatureSet(name, dim, videos, digest.hexdigest())


def _vectors(rows: pa.Table, where: str) -> tuple[list[str], NDArray[np.int64], Vectors]:
    """Ids, offsets (n + 1) and all vectors (sum of T, D) of a shard, as views of its Arrow buffers."""
    lists = rows.column("features").combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = lists.chunk(0)
    if not pa.types.is_fixed_size_list(lists.type.value_type):
        raise CsmvError(f"{where} holds no lists of vectors of one width; extract it again.")
    dim = lists.type.value_type.list_size
    offsets = lists.offsets.to_numpy().astype(np.int64)
    numbers = lists.values.values.to_numpy(zero_copy_only=True).reshape(-1, dim)
    numbers = numbers[offsets[0] : offsets[-1]]
    return rows.column("video_id").to_pylist(), offsets - offsets[0], numbers


def _refuse_non_finite(vectors: Vectors, offsets: NDArray[np.int64], ids: list[str], table: str) -> None:
    # A sum is NaN or infinite if any number is, and needs no second array of the same size.
    with np.errstate(invalid="ignore", over="ignore"):
        fine = np.isfinite(vectors.sum(1, dtype=np.float64))
    if not fine.all():
        video = ids[int(np.searchsorted(offsets, int(fine.argmin()), side="right")) - 1]
        raise CsmvError(f"{table} holds NaN or infinity for video {video}; extract that video again.")


def unnamed_file() -> IO[bytes]:
    """A new file in the user's cache that no other process can open and that vanishes with this one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "csmv"
    cache.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=cache)


class _Spill:
    """Vectors on disk, memory-mapped, in a file without a name."""

    def __init__(self) -> None:
        self._file = unnamed_file()

    def keep(self, vectors: Vectors) -> Vectors:
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(np.ascontiguousarray(vectors).data)
        self._file.flush()
        return np.memmap(self._file, vectors.dtype, "r", offset=start, shape=vectors.shape)
