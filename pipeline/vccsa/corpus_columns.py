"""Columns of a corpus: texts and token ids that read like lists, kept as arrays. A million rows are no million objects.

What goes over all rows does so in pieces of some thousand.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

PIECE = 1 << 14
"""Rows that are objects at the same time."""


class Strings(Sequence[str]):
    """A sequence of strings in one Arrow array. Many rows of few values are best given as a dictionary array."""

    def __init__(self, values: pa.Array | pa.ChunkedArray) -> None:
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        self.values = values

    @classmethod
    def of(cls, strings: "Iterable[str] | Strings") -> "Strings":
        """The same strings."""
        return strings if isinstance(strings, Strings) else cls(pa.array(strings, pa.large_string()))

    @classmethod
    def large(cls, column: pa.ChunkedArray) -> "Strings":
        """A column that may hold more bytes than 32-bit offsets reach; null is empty."""
        return cls(pc.fill_null(column, "").cast(pa.large_string()))

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> "Strings": ...

    def __getitem__(self, at: int | slice) -> "str | Strings":
        if isinstance(at, slice):
            return Strings(self.values[at])
        value: str = self.values[int(at)].as_py()
        return value

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.pieces())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Strings):
            return bool(self.values.equals(other.values))
        return isinstance(other, Sequence) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def pieces(self) -> Iterator[list[str]]:
        """All of them, as lists of some thousand."""
        for start in range(0, len(self), PIECE):
            yield self.values[start : start + PIECE].to_pylist()

    def take(self, rows: NDArray[np.int64]) -> "Strings":
        """Those at these places."""
        return Strings(self.values.take(pa.array(rows)))

    def distinct(self) -> tuple[list[str], NDArray[np.int64]]:
        """The different strings in order, and of each row which it is."""
        encoded = self.values if pa.types.is_dictionary(self.values.type) else self.values.dictionary_encode()
        used, code = np.unique(encoded.indices.to_numpy(), return_inverse=True)
        strings = encoded.dictionary.take(pa.array(used))
        order = pc.sort_indices(strings).to_numpy()
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return strings.take(pa.array(order)).to_pylist(), rank[code]


class TokenIds(Sequence[NDArray[np.int32]]):
    """The token ids of many texts, end to end in one array; each text's are a view."""

    def __init__(self, ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> None:
        self.joined = ids
        self._ends = np.cumsum(lengths)
        self.lengths = lengths

    @classmethod
    def of(cls, pieces: Iterable[Sequence[Sequence[int]]]) -> "TokenIds":
        """Of pieces, each with the ids of some texts."""
        ids, lengths = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for piece in pieces:
            lengths.append(np.fromiter(map(len, piece), np.int64, len(piece)))
            ids.append(np.fromiter(chain.from_iterable(piece), np.int32, int(lengths[-1].sum())))
        return cls(np.concatenate(ids), np.concatenate(lengths))

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, at: int) -> NDArray[np.int32]: ...

    @overload
    def __getitem__(self, at: slice) -> "list[NDArray[np.int32]]": ...

    def __getitem__(self, at: int | slice) -> "NDArray[np.int32] | list[NDArray[np.int32]]":
        if isinstance(at, slice):
            return [self[row] for row in range(len(self))[at]]
        end = self._ends[at]
        return self.joined[end - self.lengths[at] : end]
