"""Decides between annotators: by majority or by Dawid and Skene's model; ties are for an expert, whose word stands."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from csmv.pipeline.annotation_labels import (
    ANNOTATION,
    ANNOTATIONS,
    apply_annotations,
    label_file,
    read_annotations,
    read_parquet,
    write_parquet,
)
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import ADJUDICATED, TASKS
from csmv.pipeline.release.annotation.agreement import MISSING, Ratings, counts_of
from csmv.pipeline.release.annotation.annotation_batch import Labels, find_batch
from csmv.pipeline.release.annotation.dawid_skene import dawid_skene
from csmv.pipeline.store import Store

DECISIONS = f"{ANNOTATION}/decisions"
_DECISIONS_SCHEMA = pa.schema(
    [pa.field("comment_id", pa.string(), nullable=False), *(pa.field(task, pa.string()) for task in TASKS)]
)
SURE = 0.6
"""Posterior probability below which Dawid and Skene's model is taken to be undecided."""


class Method(StrEnum):
    """How annotators' labels become one."""

    MAJORITY = "majority"
    DAWID_SKENE = "dawid-skene"


@dataclass(frozen=True)
class Ballot:
    """A batch's labels as arrays: comments (N) in order, annotators (A) in order, ratings by task (N, A)."""

    comments: list[str]
    annotators: list[str]
    ratings: Mapping[str, Ratings]


@dataclass
class Adjudicated:
    """What was decided: comments with a label each, by task, by an expert, and ties that are still to decide."""

    comments: int = 0
    settled: dict[str, int] = field(default_factory=dict)
    by_expert: int = 0
    single: int = 0
    ties: list[str] = field(default_factory=list)
    unknown: int = 0


def ballot_of(store: Store, batch: str) -> Ballot:
    """The annotators' labels of a batch.

    Raises:
        CsmvError: nobody has labelled it.
    """
    tables = {source: rows for (_, source), rows in read_annotations(store, batch).items() if source != ADJUDICATED}
    rows_of = {source: rows.to_pylist() for source, rows in sorted(tables.items())}
    comments = sorted({row["comment_id"] for rows in rows_of.values() for row in rows})
    if not comments:
        raise CsmvError(
            f"Nobody's labels of the batch '{batch[:40]}' are in the root '{store.root}': bring them with "
            "`csmv annotate import` or `pull`."
        )
    at = {comment: place for place, comment in enumerate(comments)}
    ratings = {task: np.full((len(comments), len(rows_of)), MISSING, np.int64) for task in TASKS}
    numbers = {task: {name: number for number, name in enumerate(classes)} for task, classes in TASKS.items()}
    for column, rows in enumerate(rows_of.values()):
        for row in rows:
            for task in TASKS:
                if row[task] is not None:
                    ratings[task][at[row["comment_id"]], column] = numbers[task][row[task]]
    return Ballot(comments, list(rows_of), ratings)


def decide(ratings: Ratings, classes: int, method: Method) -> NDArray[np.int64]:
    """The class of each item, MISSING where it is tied.

    Args:
        ratings: class numbers (N, A); every item has at least one.
        classes: how many classes there are.
        method: how.
    """
    if method is Method.MAJORITY:
        votes = counts_of(ratings, classes)
        most = votes.max(axis=1)
        tied = (votes == most[:, None]).sum(axis=1) > 1
        return np.where(tied, MISSING, votes.argmax(axis=1))
    posterior = dawid_skene(ratings, classes).posterior
    return np.where(posterior.max(axis=1) < SURE, MISSING, posterior.argmax(axis=1))


def adjudicate(
    store: Store, batch: str, method: Method = Method.MAJORITY, decisions: Mapping[str, Labels] | None = None
) -> Adjudicated:
    """Decide a batch and write its labels with the source `adjudicated`.

    Of comments with at least two labels; a single label stands as it is. An expert's decisions, of now and of before,
    and gold labels by an expert stand before what is computed. Done again, after an import or with another method, it
    replaces what it wrote.

    Args:
        store: the root.
        batch: the batch's name.
        method: by majority, or by Dawid and Skene's model.
        decisions: comment_id -> label by an expert, of ties or of any comment.

    Raises:
        CsmvError: the batch has no labels.
    """
    ballot = ballot_of(store, batch)
    in_root = set(store.read_all("comments", ["comment_id"])["comment_id"].to_pylist())
    report = Adjudicated(unknown=sum(comment not in in_root for comment in decisions or ()))
    if decisions:
        _remember(store, batch, {comment: label for comment, label in decisions.items() if comment in in_root})
    expert = _decided_by_experts(store, batch)
    labels: dict[str, dict[str, str | None]] = {}
    ties: set[str] = set()
    single: set[str] = set()
    for task, classes in TASKS.items():
        ratings = ballot.ratings[task]
        votes = (ratings != MISSING).sum(axis=1)
        rated = np.flatnonzero(votes > 0)
        chosen = np.full(len(votes), MISSING)
        if len(rated):
            chosen[rated] = decide(ratings[rated], len(classes), method)
        for place in rated:
            comment = ballot.comments[place]
            if expert.get(comment, {}).get(task):
                continue
            if votes[place] < 2:
                single.add(comment)
            elif chosen[place] == MISSING:
                ties.add(comment)
            else:
                labels.setdefault(comment, dict.fromkeys(TASKS))[task] = classes[chosen[place]]
    for comment, label in expert.items():
        own = {task: chosen for task, chosen in label.items() if chosen}
        labels[comment] = dict.fromkeys(TASKS) | labels.get(comment, {}) | own
    rows = [{"comment_id": comment, **label} for comment, label in labels.items() if comment in in_root]
    write_parquet(store, label_file(batch, ADJUDICATED), pa.Table.from_pylist(rows, ANNOTATIONS))
    apply_annotations(store)
    report.comments, report.by_expert, report.single = len(ballot.comments), len(expert), len(single - ties)
    report.ties = sorted(ties)
    report.settled = {task: sum(row[task] is not None for row in rows) for task in TASKS}
    return report


def write_ties(store: Store, batch: str, ties: Sequence[str], path: Path) -> None:
    """Write a CSV for an expert to fill in: a tied comment a line, its votes, and two empty columns.

    Texts that a spreadsheet would take for a formula get an apostrophe in front.
    """
    ballot = ballot_of(store, batch)
    places = {comment: place for place, comment in enumerate(ballot.comments)}
    rows = {
        row["comment_id"]: row for row in store.read_all("comments", ["comment_id", "video_id", "text"]).to_pylist()
    }
    videos = store.read_all("videos", ["video_id", "url"]).to_pylist()
    urls = {row["video_id"]: row["url"] for row in videos}
    file = io.StringIO(newline="")
    columns = ["comment_id", *TASKS, *(f"{task}_votes" for task in TASKS), "text", "video"]
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    for comment in ties:
        said = {f"{task}_votes": _votes(ballot, task, places[comment]) for task in TASKS}
        text, url = rows[comment]["text"], urls.get(rows[comment]["video_id"]) or ""
        writer.writerow({"comment_id": comment} | said | {"text": _harmless(text), "video": url})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file.getvalue(), encoding="utf-8", newline="")


def _votes(ballot: Ballot, task: str, place: int) -> str:
    counts = counts_of(ballot.ratings[task][place : place + 1], len(TASKS[task]))[0]
    order = np.argsort(-counts, kind="stable")
    return " ".join(f"{TASKS[task][one]}:{counts[one]}" for one in order if counts[one])


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _decided_by_experts(store: Store, batch: str) -> dict[str, Labels]:
    """comment_id -> what an expert said of it: gold labels, and decisions, which stand before them."""
    drawn = find_batch(store, batch)
    gold = {item.comment_id: item.gold for item in drawn.items if item.gold and item.from_expert} if drawn else {}
    rows = read_parquet(store, f"{DECISIONS}/{batch}.parquet", _DECISIONS_SCHEMA)
    decided: dict[str, Labels] = {
        row["comment_id"]: {task: row[task] for task in TASKS} for row in (rows.to_pylist() if rows is not None else ())
    }
    return {**gold, **decided}


def _remember(store: Store, batch: str, decisions: Mapping[str, Labels]) -> None:
    rows = read_parquet(store, f"{DECISIONS}/{batch}.parquet", _DECISIONS_SCHEMA)
    before: dict[str, dict[str, Any]] = {
        row["comment_id"]: row for row in (rows.to_pylist() if rows is not None else ())
    }
    for comment, label in decisions.items():
        own = {task: chosen for task, chosen in label.items() if chosen}
        before[comment] = {"comment_id": comment} | before.get(comment, {}) | own
    write_parquet(
        store, f"{DECISIONS}/{batch}.parquet", pa.Table.from_pylist(list(before.values()), schema=_DECISIONS_SCHEMA)
    )
