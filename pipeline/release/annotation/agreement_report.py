"""How a batch's annotators did: agreement, gold items, who looks careless, and what a label took and cost."""

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from csmv.pipeline.annotation_labels import AGREEMENT_FILES, read_annotations
from csmv.pipeline.labels import ADJUDICATED, TASKS
from csmv.pipeline.release.annotation.adjudicate import Ballot, ballot_of
from csmv.pipeline.release.annotation.agreement import (
    MISSING,
    Ratings,
    cohen_kappa,
    confusion,
    fleiss_kappa,
    krippendorff_alpha,
    longest_run,
    wilson_upper,
)
from csmv.pipeline.release.annotation.annotation_batch import Labels, find_batch
from csmv.pipeline.store import Store

FEWEST_GOLD = 10
"""Gold items below which nobody's accuracy is called low."""
FAR_BELOW = 0.15
"""How far below the mean of the others an accuracy has to be, its interval too, to be called low."""
LONGEST_RUN = 25
"""Equal answers in a row that may be honest: more than a video has tasks, whose comments may well feel alike."""
RARE = 1e-3
"""Chance of a run that long, by how often the others give that answer, below which it is called a straight line."""
SHARE_OF_TIME = 1 / 3
"""Share of the others' usual time below which an annotator's is called too short."""
FEWEST_TIMED = 20


def agreement_report(store: Store, batch: str, wage_per_hour: float | None = None) -> dict[str, Any]:
    """Everything that is to be told of a batch's labels, as JSON has it; written to reports/annotation-BATCH.json.

    Args:
        store: the root.
        batch: the batch's name.
        wage_per_hour: what an annotator's hour costs, in any currency; left out, no cost is told.

    Raises:
        CsmvError: nobody has labelled the batch.
    """
    ballot = ballot_of(store, batch)
    drawn = find_batch(store, batch)
    gold = drawn.gold if drawn is not None else {}
    tables = {who: rows for (_, who), rows in read_annotations(store, batch).items() if who != ADJUDICATED}
    rows = {who: tables[who].to_pylist() for who in ballot.annotators}
    seconds = {
        who: [row["lead_time_s"] for row in mine if row["lead_time_s"] is not None] for who, mine in rows.items()
    }
    against = {task: against_gold(ballot, task, gold) for task in TASKS}
    annotators = {
        who: {
            "labels": len(rows[who]),
            "seconds": _times(seconds[who]),
            "gold": {task: against[task][who] for task in TASKS},
        }
        for who in ballot.annotators
    }
    report = {
        "batch": batch,
        "comments": len(ballot.comments),
        "labels": sum(map(len, rows.values())),
        "labels_a_comment": _how_many(ballot),
        "agreement": {task: task_agreement(ballot, task) for task in TASKS},
        "gold_items": len(gold),
        "annotators": annotators,
        "suspicious": {who: why for who in ballot.annotators if (why := doubts(who, rows, seconds, against))},
        "effort": effort(seconds, rows, len(ballot.comments), wage_per_hour),
    }
    text = json.dumps(report, indent=1, ensure_ascii=False)
    store.write_file(f"{AGREEMENT_FILES}{batch}.json", (text + "\n").encode())
    return report


def task_agreement(ballot: Ballot, task: str) -> dict[str, Any]:
    """Kappas and alpha of one task: of each pair with common comments, their mean, and of all together."""
    ratings, classes = ballot.ratings[task], len(TASKS[task])
    pairs = []
    for one, other in combinations(range(len(ballot.annotators)), 2):
        common = int(((ratings[:, one] != MISSING) & (ratings[:, other] != MISSING)).sum())
        if common:
            kappa = cohen_kappa(ratings[:, one], ratings[:, other], classes)
            names = [ballot.annotators[one], ballot.annotators[other]]
            pairs.append({"annotators": names, "comments": common, "cohen_kappa": kappa})
    kappas = [pair["cohen_kappa"] for pair in pairs if isinstance(pair["cohen_kappa"], float)]
    return {
        "mean_cohen_kappa": statistics.fmean(kappas) if kappas else None,
        "fleiss_kappa": fleiss_kappa(ratings, classes),
        "krippendorff_alpha": krippendorff_alpha(ratings, classes),
        "pairs": pairs,
    }


def against_gold(ballot: Ballot, task: str, gold: Mapping[str, Labels]) -> dict[str, dict[str, Any]]:
    """Of each annotator, how their answers to the gold items compare: confusion has gold classes as rows."""
    classes = TASKS[task]
    truth: Ratings = np.array(
        [classes.index(label) if (label := gold.get(one, {}).get(task)) else MISSING for one in ballot.comments],
        np.int64,
    )
    compared = {}
    for column, who in enumerate(ballot.annotators):
        table = confusion(truth, ballot.ratings[task][:, column], len(classes))
        total, right = int(table.sum()), int(np.trace(table))
        compared[who] = {
            "items": total,
            "right": right,
            "accuracy": right / total if total else None,
            "cohen_kappa": cohen_kappa(truth, ballot.ratings[task][:, column], len(classes)),
            "confusion": table.tolist(),
        }
    return compared


def doubts(
    who: str,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    seconds: Mapping[str, Sequence[float]],
    against: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> list[str]:
    """What about an annotator a person should look at, a sentence each; no proof of anything."""
    why = []
    others = [other for other in rows if other != who]
    for task, compared in against.items():
        mine = compared[who]
        theirs = [compared[other]["accuracy"] for other in others if compared[other]["items"] >= FEWEST_GOLD]
        if mine["items"] < FEWEST_GOLD or not theirs:
            continue
        usual = statistics.mean(theirs)
        if wilson_upper(mine["right"], mine["items"]) < usual - FAR_BELOW:
            why.append(f"{mine['accuracy']:.0%} of the gold items' {task}s right, where the others have {usual:.0%}")
    answers = [(row["opinion"], row["emotion"]) for row in sorted(rows[who], key=_when)]
    length, answer = longest_run(answers)
    said = [(row["opinion"], row["emotion"]) for other in others for row in rows[other]]
    share = (sum(one == answer for one in said) + 1) / (len(said) + 2) if said else 0.5
    if length > LONGEST_RUN and len(answers) * share**length < RARE:
        why.append(f"the same answer {length} times in a row, which the others give {share:.0%} of the time")
    usual_times = [statistics.median(seconds[other]) for other in others if len(seconds[other]) >= FEWEST_TIMED]
    if len(seconds[who]) >= FEWEST_TIMED and usual_times:
        mine_s, usual_s = statistics.median(seconds[who]), statistics.median(usual_times)
        if mine_s < SHARE_OF_TIME * usual_s:
            why.append(f"{mine_s:.1f} s for half of the labels, where the others take {usual_s:.1f} s")
    return why


def effort(
    seconds: Mapping[str, Sequence[float]],
    rows: Mapping[str, Sequence[Any]],
    comments: int,
    wage_per_hour: float | None,
) -> dict[str, Any]:
    """Time and cost a label and a comment; labels without a time are taken to need the mean of the others."""
    timed = [one for mine in seconds.values() for one in mine]
    labels = sum(map(len, rows.values()))
    if not timed:
        return {"timed_labels": 0, "hours": None, "seconds_a_label": None, "cost": None}
    mean = statistics.fmean(timed)
    hours = mean * labels / 3600
    cost = None if wage_per_hour is None else hours * wage_per_hour
    return {
        "timed_labels": len(timed),
        "hours": hours,
        "seconds_a_label": mean,
        "median_seconds_a_label": statistics.median(timed),
        "wage_per_hour": wage_per_hour,
        "cost": cost,
        "cost_a_label": None if cost is None else cost / labels,
        "cost_a_comment": None if cost is None else cost / comments,
    }


def _how_many(ballot: Ballot) -> dict[str, int]:
    """Comments by how many annotators labelled them."""
    rated = np.zeros(ballot.ratings["opinion"].shape, bool)
    for ratings in ballot.ratings.values():
        rated |= ratings != MISSING
    return {str(number): count for number, count in sorted(Counter(rated.sum(axis=1).tolist()).items())}


def _times(seconds: Sequence[float]) -> dict[str, float | None]:
    if not seconds:
        return {"mean": None, "median": None}
    return {"mean": statistics.fmean(seconds), "median": statistics.median(seconds)}


def _when(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["at"] or ""), str(row["comment_id"])
