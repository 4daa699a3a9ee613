"""Columns that read like lists."""

import numpy as np
import pyarrow as pa
import pytest

from csmv.pipeline.vccsa import corpus_columns
from csmv.pipeline.vccsa.corpus_columns import Strings, TokenIds

WORDS = ["b", "a", "", "b", "Ω", "z"]


@pytest.mark.parametrize("values", [pa.array(WORDS), pa.array(WORDS).dictionary_encode()])
def test_strings_read_like_a_list(values: pa.Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_columns, "PIECE", 4)
    strings = Strings(values)
    assert strings == WORDS
    assert (list(strings), len(strings), strings[-1], list(strings[1:3])) == (WORDS, 6, "z", ["a", ""])
    assert [len(piece) for piece in strings.pieces()] == [4, 2]
    assert "Ω" in strings
    assert strings.index("a") == 1
    taken = strings.take(np.array([3, 1, 3]))
    assert taken == ["b", "a", "b"]
    videos, row = taken.distinct()
    assert (videos, row.tolist()) == (["a", "b"], [1, 0, 1])
    assert strings.distinct()[0] == sorted(set(WORDS))


def test_token_ids_are_views_of_one_array() -> None:
    ids = TokenIds.of([[[1, 2], [3]], [[4, 5, 6]]])
    assert [one.tolist() for one in ids] == [[1, 2], [3], [4, 5, 6]]
    assert ids[-1].tolist() == [4, 5, 6]
    assert not ids[0].flags.owndata
    assert len(TokenIds.of([])) == 0
