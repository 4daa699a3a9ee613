"""Finds short texts that are nearly the same: MinHash candidates by datasketch, every one verified by its true Jaccard.

A text is the set of its runs of three characters. Two texts are near if those sets' Jaccard similarity is at least
`JACCARD`: one wrong letter in about thirty. Candidates share one of 25 bands of 5 MinHash values, so that of pairs at
the threshold 1 in 20,000 is missed, and fewer above it. datasketch hashes each run of characters once; a text's
MinHash is the minimum over its runs, which numpy takes for all texts at a time (Broder 1997; Leskovec et al., Mining
of Massive Datasets, chapter 3).
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

JACCARD = 0.8
SHINGLE = 3
BANDS, ROWS = 25, 5
SEED = 1
_WINDOW = 64
"""Texts of one band that a text is compared with, next in the order of the alphabet: all, but in very large bands."""
_SHINGLES_AT_ONCE = 1 << 22
_TEXTS_AT_ONCE = 1 << 16
_MIX = np.uint64(0x9E3779B97F4A7C15)
_CHARACTER = np.uint64(21)
"""Bits of a code point."""

Ints = npt.NDArray[np.int64]


def spoken(text: str) -> str:
    """A text as it is compared: NFKC, small letters, single spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def near_pairs(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """The pairs of near texts, each once, as two arrays of places.

    Args:
        texts: different, none empty, in sorted order: the order decides which candidates of a very large band are left
            out.
    """
    if len(texts) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    shingled = _shingled(texts)
    left, right = _candidates(shingled)
    sizes = shingled.sizes[left], shingled.sizes[right]
    possible = np.minimum(*sizes) >= JACCARD * np.maximum(*sizes)  # sets of other sizes can't be near
    left, right = left[possible], right[possible]
    near = _are_near(shingled, left, right)
    return left[near], right[near]


def signatures(texts: Sequence[str]) -> npt.NDArray[np.uint32]:
    """The MinHash of each text (texts, BANDS * ROWS): what datasketch gives for the set of its runs of characters."""
    shingled = _shingled(texts)
    hashes = _hashes(shingled.shingles)
    columns = [np.minimum.reduceat(column[shingled.codes], shingled.starts) for column in hashes]
    return np.stack(columns, axis=1)


@dataclass(frozen=True)
class _Shingled:
    """Texts as sets of numbered runs of characters: sorted numbers end to end, where each text's begin, how many."""

    shingles: list[str]
    codes: npt.NDArray[np.int32]
    starts: Ints
    sizes: Ints

    def of(self, text: int) -> list[int]:
        start = int(self.starts[text])
        codes: list[int] = self.codes[start : start + int(self.sizes[text])].tolist()
        return codes


def _shingled(texts: Sequence[str]) -> _Shingled:
    pieces = [_piece(texts[start : start + _TEXTS_AT_ONCE]) for start in range(0, len(texts), _TEXTS_AT_ONCE)]
    different = np.unique(np.concatenate([runs for runs, _, _ in pieces]))
    codes = np.concatenate([np.searchsorted(different, runs).astype(np.int32)[codes] for runs, codes, _ in pieces])
    sizes = np.concatenate([sizes for _, _, sizes in pieces])
    mask = (1 << int(_CHARACTER)) - 1
    shingles = [chr(run >> 42) + chr(run >> 21 & mask) + chr(run & mask) for run in different.tolist()]
    return _Shingled(shingles, codes, np.cumsum(sizes) - sizes, sizes)


def _piece(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32], Ints]:
    """The runs of three code points of some texts, sorted; which of them each text has, end to end; how many."""
    joined = "".join(f" {text} " for text in texts).encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(joined, np.uint32).astype(np.uint64)
    text_of = np.repeat(np.arange(len(texts)), [len(text) + 2 for text in texts])
    inside = text_of[:-2] == text_of[2:]
    runs = (points[:-2] << (2 * _CHARACTER) | points[1:-1] << _CHARACTER | points[2:])[inside]
    different, number = np.unique(runs, return_inverse=True)
    members = np.unique(text_of[:-2][inside] * len(different) + number)
    sizes = np.bincount(members // len(different), minlength=len(texts))
    return different, (members % len(different)).astype(np.int32), sizes


def _hashes(shingles: Sequence[str]) -> npt.NDArray[np.uint32]:
    """What each of datasketch's permutations makes of each run of characters (BANDS * ROWS, shingles)."""
    from datasketch import MinHash

    hashes = np.empty((BANDS * ROWS, len(shingles)), np.uint32)
    single = ([shingle.encode("utf-8", "surrogatepass")] for shingle in shingles)
    for place, minhash in enumerate(MinHash.generator(single, num_perm=BANDS * ROWS, seed=SEED, scheme="affine32")):
        hashes[:, place] = minhash.hashvalues
    return hashes


def _candidates(shingled: _Shingled) -> tuple[Ints, Ints]:
    """Pairs of texts that have a band in common."""
    hashes = _hashes(shingled.shingles)
    count = len(shingled.sizes)
    pairs = np.empty(0, np.int64)
    for band in range(BANDS):
        keys = _keys(shingled, hashes[band * ROWS : (band + 1) * ROWS])
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        new = []
        for step in range(1, min(_WINDOW, count - 1) + 1):
            equal = np.flatnonzero(ordered[step:] == ordered[:-step])
            if not len(equal):
                break
            new.append(order[equal] * count + order[equal + step])
        pairs = np.unique(np.concatenate([pairs, *new]))
    return pairs // count, pairs % count


def _keys(shingled: _Shingled, hashes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """A number for the values of one band of each text; equal ones for equal values."""
    keys = np.zeros(len(shingled.sizes), np.uint64)
    first = 0
    while first < len(keys):
        after = int(np.searchsorted(shingled.starts, shingled.starts[first] + _SHINGLES_AT_ONCE))
        after = max(first + 1, after)
        start = int(shingled.starts[first])
        codes = shingled.codes[start : int(shingled.starts[after - 1] + shingled.sizes[after - 1])]
        for column in hashes:
            values = np.minimum.reduceat(column[codes], shingled.starts[first:after] - start)
            keys[first:after] = (keys[first:after] ^ values) * _MIX
        first = after
    return keys


def _are_near(shingled: _Shingled, left: Ints, right: Ints) -> npt.NDArray[np.bool_]:
    near = np.zeros(len(left), bool)
    at, own = -1, frozenset[int]()
    for place, (one, other) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        if one != at:
            at, own = one, frozenset(shingled.of(one))
        common = len(own.intersection(shingled.of(other)))
        near[place] = common >= JACCARD * (len(own) + int(shingled.sizes[other]) - common)
    return near
