"""How far a comment's text alone can go: what the same text is labelled under different videos.

Two comments are of the same text if nothing but case and white space differs. Of the texts that stand under at least
two videos, for each task over the comments that have its label:

- agreement: of all pairs of comments with the same text under different videos, the share with the same label;
- most_by_text: of these comments, the share with the label that their text has most often. No model that sees the text
  alone, and answers the same text alike, can have more of them right.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from csmv.pipeline.labels import TASKS, resolve
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.corpus_columns import Strings

Ints = NDArray[np.int64]

OF_COMMENTS = ("comment_id", "video_id", "text")
"""The columns of comments that are read."""


def same_text_of(store: Store) -> dict[str, dict[str, Any]]:
    """`same_text` of all labelled comments of a root, whatever split they are in."""
    return same_text_in(store.read_all("comments", OF_COMMENTS), resolve(store.read_all("labels")))


def same_text_in(comments: pa.Table, settled: pa.Table) -> dict[str, dict[str, Any]]:
    """`same_text` of a root's tables, for who has read them.

    Args:
        comments: with at least the columns OF_COMMENTS.
        settled: what `csmv.pipeline.labels.resolve` gives, at least the rows with a label.
    """
    at = pc.index_in(comments["comment_id"], value_set=settled["comment_id"].combine_chunks())
    return same_text(
        Strings.large(comments["text"]),
        Strings.large(comments["video_id"]),
        {task: settled[task].combine_chunks().take(at.combine_chunks()) for task in TASKS},
    )


def same_text(texts: Strings, videos: Strings, labels: dict[str, pa.Array]) -> dict[str, dict[str, Any]]:
    """By task: texts, comments, pairs (how many there are), agreement and most_by_text (shares, None if no pair).

    Args:
        texts: of comments (N).
        videos: under which they stand (N).
        labels: class names by task (N), null where there is none.
    """
    spoken = pa.chunked_array(
        [pa.array([" ".join(text.casefold().split()) for text in piece], pa.large_string()) for piece in texts.pieces()]
        or [pa.array([], pa.large_string())]
    )
    text, video = (_codes(column) for column in (spoken, videos.values))
    is_text = pc.not_equal(spoken, "").to_numpy().astype(bool)
    shares = {}
    for task, classes in TASKS.items():
        label = pc.fill_null(pc.index_in(labels[task].cast(pa.string()), value_set=pa.array(classes)), -1).to_numpy()
        chosen = is_text & (label >= 0)
        shares[task] = _shares(text[chosen], video[chosen], label[chosen].astype(np.int64))
    return shares


def _codes(column: pa.ChunkedArray | pa.Array) -> Ints:
    """A number for each different value."""
    encoded = column.dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    return encoded.indices.to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def _shares(text: Ints, video: Ints, label: Ints) -> dict[str, Any]:
    stands = np.unique(np.stack([text, video]), axis=1)[0]
    videos = np.bincount(stands, minlength=int(text.max(initial=-1)) + 1)
    several = videos[text] > 1
    text, video, label = text[several], video[several], label[several]
    pairs = _pairs(text) - _pairs(text, video)
    agreeing = _pairs(text, label) - _pairs(text, video, label)
    (of_text, _), counts = np.unique(np.stack([text, label]), axis=1, return_counts=True)
    most = np.zeros(int(text.max(initial=-1)) + 1, np.int64)
    np.maximum.at(most, of_text, counts)
    return {
        "texts": int((videos > 1).sum()),
        "comments": len(text),
        "pairs": pairs,
        "agreement": agreeing / pairs if pairs else None,
        "most_by_text": int(most.sum()) / len(text) if pairs else None,
    }


def _pairs(*columns: Ints) -> int:
    """How many pairs of rows agree in all columns."""
    counts = np.unique(np.stack(columns), axis=1, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def sentence(shares: dict[str, dict[str, Any]]) -> str:
    """The same for a terminal; empty where no text stands under two videos."""
    if any(one["agreement"] is None for one in shares.values()):
        return ""
    counts = " and ".join(
        f"{one['texts']:,} texts ({one['comments']:,} comments, {task})" for task, one in shares.items()
    )
    agreeing = ", ".join(f"{task} {one['agreement']:.1%}" for task, one in shares.items())
    most = ", ".join(f"{task} {one['most_by_text']:.1%}" for task, one in shares.items())
    return (
        f"The same text under different videos, in the whole root: {counts}. Pairs that agree: {agreeing}. "
        f"At most right of these comments by text alone: {most}."
    )
