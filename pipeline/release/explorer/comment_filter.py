"""What the explorer is asked for: every word of an address is checked against what there is before it is used."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from csmv.pipeline.errors import UsageError
from csmv.pipeline.labels import TASKS
from csmv.pipeline.schemas import SPLIT_NAMES, FailureReason

PAGE_SIZE = 50
MOST_WORDS = 100
"""Characters of the text that is searched for."""
_VIDEO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NUMBER = re.compile(r"[0-9]{1,9}")

OUTCOMES = ("right", "wrong", "gained", "lost")
"""Of the chosen task: the first run is right or wrong; it is right where the second is wrong, and the other way."""

FIELDS = (
    *("hashtag", "opinion", "emotion", "split", "part", "failure", "words", "video"),
    *("run", "against", "answered", "task", "predicted", "outcome", "page"),
)
"""The names that an address may have behind its question mark."""


@dataclass(frozen=True)
class CommentFilter:
    """Which comments, and beside which runs. Empty text means any.

    Attributes:
        opinion, emotion: the label's class, or `none`.
        split, part: comments of that part of that split; a split alone only says whose parts are shown.
        failure: comments on videos that failed for this reason.
        words: text that the comment contains, whatever the case.
        run, against: runs whose answers are shown.
        answered: dev or test: what the first run answered of that part.
        task, predicted: the first run's class of that task.
        outcome: one of OUTCOMES.
        page: counted from 0.
    """

    hashtag: str = ""
    opinion: str = ""
    emotion: str = ""
    split: str = ""
    part: str = ""
    failure: str = ""
    words: str = ""
    video: str = ""
    run: str = ""
    against: str = ""
    answered: str = ""
    task: str = "opinion"
    predicted: str = ""
    outcome: str = ""
    page: int = 0

    @property
    def is_of_comments(self) -> bool:
        """Whether it says anything of comments, and not of their videos alone."""
        names = ("opinion", "emotion", "part", "words", "answered", "predicted", "outcome")
        return any(getattr(self, name) for name in names)


def comment_filter(given: Mapping[str, str], splits: Iterable[str], runs: Iterable[str]) -> CommentFilter:
    """The filter that an address asks for.

    Args:
        given: field -> value, as it stands in the address.
        splits: those of the root.
        runs: those of the root.

    Raises:
        UsageError: a field is none of FIELDS, or a value none of those that there are.
    """
    unknown = sorted(set(given) - set(FIELDS))
    if unknown:
        raise UsageError(f"There is no field '{unknown[0][:40]}': the fields are {', '.join(FIELDS)}.")
    task = given.get("task") or "opinion"
    _one_of("task", task, TASKS)
    runs, splits = list(runs), list(splits)
    choices: dict[str, Iterable[str]] = {
        **{name: (*names, "none") for name, names in TASKS.items()},
        "split": splits,
        "part": SPLIT_NAMES,
        "failure": [str(reason) for reason in FailureReason],
        "run": runs,
        "against": runs,
        "answered": ("dev", "test"),
        "predicted": TASKS[task],
        "outcome": OUTCOMES,
    }
    values: dict[str, Any] = {"task": task}
    for name, value in given.items():
        if not value:
            continue
        if name in choices:
            values[name] = _one_of(name, value, choices[name])
        elif name == "video" and _VIDEO_ID.fullmatch(value) is None:
            raise UsageError("An id of a video is letters, digits, dots, - and _, and at most 128 of them.")
        elif name == "page":
            if _NUMBER.fullmatch(value) is None:
                raise UsageError("A page is a number from 0.")
            values[name] = int(value)
        else:
            values[name] = value[:MOST_WORDS]
    asked = CommentFilter(**values)
    if asked.part and not asked.split:
        raise UsageError("A part is one of a split: name the split too.")
    if (asked.answered or asked.predicted or asked.outcome) and not asked.run:
        raise UsageError("What a run answered is asked of a run: name the run too.")
    if asked.outcome in ("gained", "lost") and not asked.against:
        raise UsageError("Gained and lost are of two runs: name the other with `against`.")
    return asked


def _one_of(name: str, value: str, choices: Iterable[str]) -> str:
    if value not in choices:
        raise UsageError(f"There is no {name} '{value[:40]}' here.")
    return value
