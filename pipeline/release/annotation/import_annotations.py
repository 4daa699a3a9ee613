"""Takes annotators' answers into a root: raw rows into `private/`, names into pseudonyms, labels into the table."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from csmv.pipeline.annotation_labels import (
    ANNOTATION,
    ANNOTATIONS,
    apply_annotations,
    label_file,
    read_annotations,
    write_parquet,
)
from csmv.pipeline.failures import Failure, clear_failures, failure_rows, record_failures
from csmv.pipeline.labels import ADJUDICATED, TASKS
from csmv.pipeline.pseudonym import Pseudonymiser
from csmv.pipeline.release.annotation.annotation_batch import batch_names
from csmv.pipeline.release.annotation.annotator_files import Answer, read_answers
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.store import Store

STAGE = "annotate"
RAW = f"{ANNOTATION}/raw"
IMPORTED = "imported"
"""The batch of answers that name none, such as those of a plain CSV."""

_RAW_SCHEMA = pa.schema([pa.field("comment_id", pa.string()), pa.field("row", pa.string(), nullable=False)])


@dataclass
class ImportedLabels:
    """What an import took in: labels by annotator's pseudonym, skipped tasks, and what it could not use.

    `replaced` are labels of an earlier import that these took the place of, `older` annotators whose labels in the root
    are newer than those of the file, and stay.
    """

    labels: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    repeated: int = 0
    replaced: int = 0
    older: list[str] = field(default_factory=list)
    problems: dict[str, int] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Labels taken in."""
        return sum(self.labels.values())


def import_files(store: Store, paths: Sequence[Path], batch: str | None = None) -> ImportedLabels:
    """Import Label Studio exports or CSV files; see `import_answers`.

    Raises:
        CsmvError: a file is not there or of no known format (nothing is imported then), or the key is gone.
    """
    return import_answers(store, [answer for path in paths for answer in read_answers(path)], batch)


def import_answers(store: Store, answers: Sequence[Answer], batch: str | None = None) -> ImportedLabels:
    """Take answers in. What an annotator said in a batch is replaced by a newer export of the same project.

    Of other projects, batches and annotators it stays.

    Killed at any moment and run again, it ends in the same tables. An answer that can't be used costs only itself: it
    is recorded in `failures/annotate` by its place, never by what it held.

    Args:
        store: the root; its comments are written.
        answers: what was read, of one or several files.
        batch: the batch that answers belong to that name none that the root has.

    Raises:
        CsmvError: the root's key is gone, or a batch's name may not become a file's.
    """
    pseudonyms = Pseudonymiser(store.key())
    in_root = set(store.read_all("comments", ["comment_id"])["comment_id"].to_pylist())
    batches = set(batch_names(store))
    report = ImportedLabels()
    groups: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        of_batch = answer.batch if answer.batch in batches else batch or IMPORTED
        who = pseudonyms.user_id(f"annotator:{answer.annotator}") if answer.annotator else ""
        groups.setdefault((of_batch, who), []).append(answer)
    _keep_raw(store, groups)
    before = read_annotations(store)
    for (of_batch, who), mine in sorted(groups.items()):
        _take(store, of_batch, who, mine, in_root, before.get((of_batch, who)), report)
    apply_annotations(store)
    report.stale = sorted({of_batch for of_batch, _ in groups if (of_batch, ADJUDICATED) in before})
    return report


def _take(
    store: Store,
    batch: str,
    who: str,
    answers: Sequence[Answer],
    in_root: set[str],
    before: pa.Table | None,
    report: ImportedLabels,
) -> None:
    """One annotator's answers to one batch."""
    label_file(batch, who or "nobody")  # refuses a name before anything is written
    origins = {answer.origin for answer in answers}
    earlier_rows = [] if before is None else before.to_pylist()
    same = [row for row in earlier_rows if (row["origin"] or "") in origins]
    newest = max((answer.at for answer in answers if answer.at), default=None)
    latest = max((row["at"] for row in same if row["at"]), default=None)
    if newest is not None and latest is not None and newest < latest:
        report.older.append(who)
        return
    rows: dict[str, Answer] = {}
    failures = []
    for answer in answers:
        reason, problem = FailureReason.BAD_ROW, answer.problem
        if not problem and answer.comment_id not in in_root:
            reason, problem = FailureReason.UNKNOWN_COMMENT, FailureReason.UNKNOWN_COMMENT.sentence
        if problem:
            failures.append(Failure(f"{batch}:{who or 'nobody'}:{answer.place}", reason, f"{answer.place}: {problem}"))
            report.problems[problem] = report.problems.get(problem, 0) + 1
        elif answer.skipped:
            report.skipped += 1
        else:
            earlier = rows.get(answer.comment_id)
            report.repeated += earlier is not None
            if earlier is None or not (answer.at and earlier.at and answer.at < earlier.at):
                rows[answer.comment_id] = answer
    _settle_failures(store, f"{batch}:{who or 'nobody'}:", failures)
    if not who:
        return
    report.labels[who] = report.labels.get(who, 0) + len(rows)
    stay = [row for row in earlier_rows if (row["origin"] or "") not in origins and row["comment_id"] not in rows]
    report.replaced += len(earlier_rows) - len(stay)
    written = [*map(_row, rows.values()), *stay]
    write_parquet(store, label_file(batch, who), pa.Table.from_pylist(written, ANNOTATIONS))


def _row(answer: Answer) -> dict[str, Any]:
    labels = {task: answer.labels.get(task) for task in TASKS}
    how = {"lead_time_s": answer.lead_time_s, "at": answer.at, "origin": answer.origin or None}
    return {"comment_id": answer.comment_id} | labels | how


def _keep_raw(store: Store, groups: Mapping[tuple[str, str], Sequence[Answer]]) -> None:
    """Keep the rows as they came, a file an import and batch, named by its content."""
    by_batch: dict[str, list[dict[str, str]]] = {}
    for (batch, _), answers in sorted(groups.items()):
        label_file(batch, "nobody")
        rows = [{"comment_id": answer.comment_id, "row": answer.row} for answer in answers if answer.row]
        by_batch.setdefault(batch, []).extend(rows)
    for batch, rows in by_batch.items():
        digest = hashlib.sha256("\n".join(sorted(row["row"] for row in rows)).encode()).hexdigest()
        ordered = sorted(rows, key=lambda row: row["row"])
        write_parquet(store, f"{RAW}/{batch}/{digest}.parquet", pa.Table.from_pylist(ordered, _RAW_SCHEMA))


def _settle_failures(store: Store, prefix: str, failures: Sequence[Failure]) -> None:
    """Make failures/annotate say of one annotator and batch what the last import could not use."""
    by_shard: dict[int, list[Failure]] = {}
    for failure in failures:
        by_shard.setdefault(store.shard_of(failure.key), []).append(failure)
    now = {failure.key for failure in failures}
    recorded = store.files(f"failures/{STAGE}")
    for shard in store.shards():
        if shard not in by_shard and f"failures/{STAGE}/{shard:04d}.parquet" not in recorded:
            continue
        rows = failure_rows(store, STAGE, shard)
        said = {row["key"]: (row["reason"], row["detail"]) for row in rows if row["key"].startswith(prefix)}
        clear_failures(store, STAGE, shard, said.keys() - now)
        mine = by_shard.get(shard, [])
        news = [one for one in mine if said.get(one.key) != (str(one.reason), one.detail)]
        record_failures(store, STAGE, shard, news)
