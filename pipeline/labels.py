"""What a comment can be labelled with, and the one rule that settles its label when several sources gave one.

Splits, training and the report all ask `resolve`, so a comment is counted in the class that a model learns.
"""

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError

OPINIONS = {"positive": 0, "neutral": 1, "negative": 2}
"""The opinion a comment holds, with the published label numbers."""

EMOTIONS = {
    "joy": 0,
    "disgust": 1,
    "surprise": 2,
    "sadness": 3,
    "trust": 4,
    "fear": 5,
    "anger": 6,
    "anticipation": 7,
}
"""The emotion the video induced in the commenter, with the published label numbers."""

TASKS: Mapping[str, tuple[str, ...]] = {"opinion": tuple(OPINIONS), "emotion": tuple(EMOTIONS)}
"""The two tasks and their classes in the order of the published numbers."""

CLASSES: Mapping[str, str] = {f"classes.{task}": json.dumps(list(names)) for task, names in TASKS.items()}
"""The same as schema metadata: labels and predictions name their classes, in the order of their numbers."""

NO_LABEL = -100
"""Class number of a label that nobody gave; losses and metrics leave it out."""

ADJUDICATED = "adjudicated"
PUBLISHED = "published"
"""The two sources of labels that are no annotator's."""

_UNSETTLED = -1


def resolve(labels: pa.Table) -> pa.Table:
    """The label that counts for each comment of a labels table: comment_id, opinion, emotion, sorted by comment_id.

    Each task is settled by itself: the adjudicated label if there is one, else the published one, else the class
    that most annotators chose; a tie between annotators is no label (null). A source that leaves a task open (null)
    says nothing about it, and the next one decides. Every comment of the table has a row, with nulls where nothing is
    settled.

    An adjudicator has seen the annotators' labels and decided between them, so theirs stands. The published label is
    what other people train on and compare with, so it stands before votes that came later. A tie is not broken, by
    name or by chance, because the class would then say more about the rule than about the comment.

    Args:
        labels: rows of the labels table, of one shard or all; a source labels a comment at most once.

    Raises:
        CsmvError: a label is none of its task's classes.
    """
    comments = pc.unique(labels["comment_id"]).sort()
    row = pc.index_in(labels["comment_id"], value_set=comments).to_numpy()
    is_adjudicated, is_published = (pc.equal(labels["source"], name).to_numpy() for name in (ADJUDICATED, PUBLISHED))
    columns = {"comment_id": comments}
    for task, classes in TASKS.items():
        chosen = _numbers(labels[task], task, classes)
        settled = np.full(len(comments), _UNSETTLED)
        # Later sources overrule earlier ones wherever they say anything.
        for said in (~is_adjudicated & ~is_published, is_published, is_adjudicated):
            voting = said & (chosen != _UNSETTLED)
            votes = np.bincount(row[voting] * len(classes) + chosen[voting], minlength=len(comments) * len(classes))
            settled = _outvoted(settled, votes.reshape(len(comments), len(classes)))
        columns[task] = pa.array(classes).take(pa.array(settled, mask=settled == _UNSETTLED))
    return pa.table(columns)


def labelled(settled: pa.Table) -> pa.Table:
    """The rows of `resolve` with an opinion, an emotion or both."""
    return settled.filter(pc.or_(pc.is_valid(settled["opinion"]), pc.is_valid(settled["emotion"])))


def named_classes(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """The classes of each task that a table's metadata name, in the order of their numbers.

    Tables by earlier versions name none; those had the classes that there are now.
    """
    metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    return {task: tuple(json.loads({**CLASSES, **metadata}[f"classes.{task}"])) for task in TASKS}


def _numbers(column: pa.ChunkedArray, task: str, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """The class numbers of a column of class names, _UNSETTLED for null."""
    indices = pc.index_in(column, value_set=pa.array(classes))
    strange = column.filter(pc.and_(pc.is_null(indices), pc.is_valid(column)))
    if len(strange):
        raise CsmvError(
            f"A label has the {task} '{str(strange[0])[:40]}', which is none of {', '.join(classes)}: correct it "
            "in the source, and build the labels again."
        )
    numbers: NDArray[np.int64] = pc.fill_null(indices, _UNSETTLED).to_numpy().astype(np.int64)
    return numbers


def _outvoted(settled: NDArray[np.int64], votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """`settled` (N) with the class of most votes (N, K) wherever there are votes; _UNSETTLED where those are tied."""
    most = votes.max(axis=1)
    tied = (votes == most[:, None]).sum(axis=1) > 1
    winner = np.where(tied, _UNSETTLED, votes.argmax(axis=1))
    return np.where(most > 0, winner, settled)
