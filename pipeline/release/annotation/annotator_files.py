"""Reads what annotators said: Label Studio's JSON, its short JSON and CSV, and a plain CSV.

A plain CSV has the columns `comment_id`, `annotator`, `opinion`, `emotion`, and where they are known `lead_time`
(seconds) and `updated_at` (ISO 8601): the names that Label Studio's own CSV has.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import TASKS

NEEDED = ("comment_id", "opinion", "emotion")


@dataclass(frozen=True, repr=False)
class Answer:
    """One annotator's answer to one comment, or why a row is none. Names a person: prints nothing of itself.

    `place` says where it stood; `problem` is a sentence without what the row held. `row` is the rest of it.
    """

    place: str
    comment_id: str = ""
    annotator: str = ""
    labels: Mapping[str, str | None] = field(default_factory=dict)
    lead_time_s: float | None = None
    at: datetime | None = None
    skipped: bool = False
    problem: str = ""
    batch: str = ""
    origin: str = ""
    row: str = ""


def read_answers(path: Path) -> list[Answer]:
    """The answers of a file, in its order.

    Raises:
        CsmvError: the file is not there, or is neither of these formats.
    """
    if not path.is_file():
        raise CsmvError(f"The file '{path}' is not there.")
    return answers_in(path.read_bytes(), str(path))


def answers_in(data: bytes, where: str) -> list[Answer]:
    """The same of bytes; `where` begins the sentence about what is wrong with them."""
    expected = (
        f"{where}: expected Label Studio's JSON export (a list of tasks) or a CSV with {', '.join(NEEDED)}, found"
    )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CsmvError(f"{expected} bytes that are not UTF-8.") from None
    if not text.lstrip().startswith(("[", "{")):
        return list(_from_csv(text, expected))
    try:
        tasks = json.loads(text)
    except ValueError:
        raise CsmvError(f"{expected} JSON that is cut short or damaged.") from None
    if not isinstance(tasks, list):
        raise CsmvError(f"{expected} something else.")
    return list(_from_tasks(tasks))


def _from_csv(text: str, expected: str) -> Iterator[Answer]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise CsmvError(f"{expected} no column {missing[0]}.")
    for number, row in enumerate(reader, 2):
        place = f"line {number}"
        if None in row or None in row.values():
            yield Answer(place, problem="the line has more or fewer fields than the header")
            continue
        yield _from_row(place, row)


def _from_tasks(tasks: Sequence[Any]) -> Iterator[Answer]:
    for number, task in enumerate(tasks, 1):
        place = f"task {number}"
        if not isinstance(task, dict):
            yield Answer(place, problem="the task is no JSON object")
        elif "annotations" not in task:
            yield _from_row(place, task)
        else:
            yield from _from_annotations(place, task)


def _from_row(place: str, row: Mapping[str, Any]) -> Answer:
    """A row of Label Studio's CSV or short JSON, or of a plain CSV."""
    labels = {task: _text(row.get(task)) or None for task in TASKS}
    when = row.get("updated_at") or row.get("created_at")
    return _answer(place, row, row.get("annotator"), labels, row.get("lead_time"), when, row)


def _from_annotations(place: str, task: Mapping[str, Any]) -> Iterator[Answer]:
    data = task.get("data")
    annotations = task["annotations"]
    if not isinstance(data, dict) or not isinstance(annotations, list):
        yield Answer(place, problem="the task has no data, or its annotations are no list")
        return
    for number, one in enumerate(annotations, 1):
        at = f"{place}, annotation {number}"
        if not isinstance(one, dict):
            yield Answer(at, problem="the annotation is no JSON object")
            continue
        who = one.get("completed_by")
        who = who.get("id", who.get("email")) if isinstance(who, dict) else who
        when = one.get("updated_at") or one.get("created_at")
        if one.get("was_cancelled"):
            yield _answer(at, data, who, {}, one.get("lead_time"), when, one, skipped=True)
            continue
        labels, problem = _choices(one.get("result"))
        yield _answer(at, data, who, labels, one.get("lead_time"), when, one, problem=problem)


def _choices(result: Any) -> tuple[dict[str, str | None], str]:
    """Task -> chosen class, of an annotation's result, and what is wrong with it."""
    labels: dict[str, str | None] = dict.fromkeys(TASKS)
    for one in result if isinstance(result, list) else ():
        name = one.get("from_name") if isinstance(one, dict) else None
        value = one.get("value") if isinstance(one, dict) else None
        chosen = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(name, str) or name not in TASKS:
            continue
        if not isinstance(chosen, list) or len(chosen) != 1 or labels[name] is not None:
            return labels, f"the {name} is not one choice"
        labels[name] = _text(chosen[0])
    return labels, "" if isinstance(result, list) else "the annotation has no result"


def _answer(
    place: str,
    data: Mapping[str, Any],
    who: Any,
    labels: Mapping[str, str | None],
    seconds: Any,
    when: Any,
    row: Mapping[str, Any],
    *,
    skipped: bool = False,
    problem: str = "",
) -> Answer:
    comment, annotator = _text(data.get("comment_id")), _text(who).casefold()
    lead_time, at = _seconds(seconds), _moment(when)
    problem = problem or _problem(comment, annotator, labels, skipped)
    # The texts are the root's own; all that annotators added is rest.
    rest = {key: value for key, value in row.items() if key not in ("text", "video")}
    text = json.dumps(rest, ensure_ascii=False, sort_keys=True, default=str)
    batch, project = _text(data.get("batch")), _text(row.get("project"))
    origin = f"project {project}" if project else ""
    return Answer(place, comment, annotator, labels, lead_time, at, skipped, problem, batch, origin, text)


def _problem(comment: str, annotator: str, labels: Mapping[str, str | None], skipped: bool) -> str:
    if not comment:
        return "it names no comment (comment_id)"
    if not annotator:
        return "it names no annotator"
    for task, classes in TASKS.items():
        chosen = labels.get(task)
        if chosen is not None and chosen not in classes:
            return f"its {task} is none of {', '.join(classes)}"
    if not skipped and not any(labels.values()):
        return "it has neither an opinion nor an emotion"
    return ""


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
