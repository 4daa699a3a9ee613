"""Reading a model's answer: a class that it names without doubt, or why there is none. Nothing is guessed.

An answer is read as JSON, the whole of it or all that stands in its only code fence. An answer about one comment that
is no JSON may instead say `opinion: ...` and `emotion: ...`. A class counts if it is named exactly, but for capitals
and white space around it. One that is named twice, differently, is not named.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from csmv.pipeline.labels import TASKS


class NoClass(StrEnum):
    """Why a comment has no class of a task. All of them count as wrong."""

    REFUSED = "refused"  # the model, or a filter before it, declines to answer
    UNPARSED = "unparsed"  # the answer names no class of the task, or several
    REJECTED = "rejected"  # the endpoint refuses the request, and would again
    NO_VIDEO = "no_video"  # there is no picture of the video to ask about
    UNANSWERED = "unanswered"  # no answer came, and the run was told to give up


@dataclass(frozen=True)
class Answer:
    """What came of one comment: of each task the class, and where there is none, why."""

    classes: dict[str, str]
    reasons: dict[str, NoClass]

    @classmethod
    def without(cls, reason: NoClass) -> "Answer":
        """No class of any task, for one reason."""
        return cls({}, dict.fromkeys(TASKS, reason))


_FENCE = re.compile(r"```(?:json)?\s*\n?(.*?)```", re.DOTALL | re.IGNORECASE)
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
"""What some models write before their answer, and is none."""
_DECLINES = re.compile(
    r"\b(?:i(?:['’]m| am) (?:sorry|unable|not able)|i (?:can(?:no|['’])t|cannot|can not|won['’]t|will not|must decline)"
    r"|as an ai\b|unable to (?:assist|help|comply|answer))",
    re.IGNORECASE,
)


def parsed(text: str, count: int, *, is_refusal: bool = False) -> list[Answer]:
    """What an answer says of each of `count` comments.

    Args:
        text: what the model wrote.
        count: how many comments it was asked about.
        is_refusal: whether the endpoint marks the answer as a refusal or as filtered.
    """
    if is_refusal:
        return [Answer.without(NoClass.REFUSED)] * count
    text = _THOUGHTS.sub("", text)
    named = _named_in_json(text, count)
    if named is None:
        named = [_named_in_text(text)] if count == 1 else [{}] * count
    declines = not any(named) and _DECLINES.search(text) is not None
    why = NoClass.REFUSED if declines else NoClass.UNPARSED
    return [Answer(one, {task: why for task in TASKS if task not in one}) for one in named]


def _named_in_json(text: str, count: int) -> list[dict[str, str]] | None:
    """Of each comment the classes by task; None if the text is no JSON."""
    fenced = _FENCE.findall(text)
    try:
        value = json.loads(fenced[0] if len(fenced) == 1 else text, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        return None
    rows = value.get("answers") if isinstance(value, dict) and "answers" in value else [value] if count == 1 else value
    if not isinstance(rows, list):
        return [{}] * count
    by_number: dict[int, list[dict[str, str]]] = {}
    for row in rows:
        if isinstance(row, dict):
            number = row.get("comment", 1 if count == 1 and len(rows) == 1 else None)
            if isinstance(number, int) and not isinstance(number, bool):
                by_number.setdefault(number, []).append(_classes_of(row))
    # A comment that is answered twice is not answered.
    return [by_number[number][0] if len(by_number.get(number, ())) == 1 else {} for number in range(1, count + 1)]


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object, without the keys that it has twice with different values."""
    values: dict[str, list[Any]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return {key: several[0] for key, several in values.items() if all(one == several[0] for one in several)}


def _classes_of(row: dict[str, Any]) -> dict[str, str]:
    named = {task: _class_in(row.get(task), names) for task, names in TASKS.items()}
    return {task: name for task, name in named.items() if name is not None}


def _class_in(value: object, names: Sequence[str]) -> str | None:
    text = value.strip().lower() if isinstance(value, str) else ""
    return text if text in names else None


def _named_in_text(text: str) -> dict[str, str]:
    """Classes that a text names as `opinion: positive`, of tasks of which it names no other."""
    classes = {}
    for task, names in TASKS.items():
        said = re.findall(rf"\b{task}\b[\s\"'*_]*[:=][\s\"'*_]*([^\n\r,;.\"'*_|]*)", text, re.IGNORECASE)
        named = {one.strip().lower() for one in said}
        if len(named) == 1 and (name := _class_in(next(iter(named)), names)) is not None:
            classes[task] = name
    return classes
