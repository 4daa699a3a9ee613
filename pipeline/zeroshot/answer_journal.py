"""Answers as they come, under `private/zeroshot`, so that a run that was killed asks nothing twice.

A file holds the answers of one model asked in one way, whatever the run. It names no comment and holds no text: a key
is a digest of what was asked. So a request to forget leaves it, and nobody pays for the other answers again. On a local
disk a line is added for each request; elsewhere a request is a file.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from csmv.pipeline.labels import TASKS
from csmv.pipeline.store import Store
from csmv.pipeline.zeroshot.answer_parser import Answer, NoClass
from csmv.pipeline.zeroshot.spending import Usage
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig

FOLDER = "private/zeroshot"


@dataclass(frozen=True)
class Answered:
    """What came of a request: an answer for each of its comments, what it used, and whether it asked by a schema."""

    answers: tuple[Answer, ...]
    usage: Usage
    structured: bool = False

    def line(self, key: str) -> bytes:
        """As a line of JSON."""
        data = {
            "key": key,
            "answers": [[one.classes.get(task) for task in TASKS] for one in self.answers],
            "reasons": [[one.reasons.get(task) for task in TASKS] for one in self.answers],
            "tokens_in": self.usage.tokens_in,
            "tokens_out": self.usage.tokens_out,
            "structured": self.structured,
        }
        return json.dumps(data).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> "tuple[str, Answered] | None":
        """The key and what was answered; None of a line that was cut short, as by a kill."""
        try:
            data = json.loads(line)
            answers = tuple(
                Answer(
                    {task: name for task, name in zip(TASKS, classes, strict=True) if name is not None},
                    {task: NoClass(why) for task, why in zip(TASKS, reasons, strict=True) if why is not None},
                )
                for classes, reasons in zip(data["answers"], data["reasons"], strict=True)
            )
            usage = Usage(1, int(data["tokens_in"]), int(data["tokens_out"]))
            return str(data["key"]), cls(answers, usage, bool(data["structured"]))
        except (ValueError, KeyError, TypeError):
            return None


def key_of(config: ZeroShotConfig, files: str, media: str, comments: Sequence[tuple[str, str]]) -> str:
    """The digest of a question.

    Args:
        config: how it is asked.
        files: the digest of a local model's files; empty for an endpoint.
        media: SHA-256 of the video's file.
        comments: id and text of each comment.
    """
    asked: list[Any] = [config.asking, files, media, *comments]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


class AnswerJournal:
    """The answers of one model asked in one way; safe for several threads.

    Args:
        store: the root.
        config: how the model is asked.
    """

    def __init__(self, store: Store, config: ZeroShotConfig) -> None:
        self._store = store
        self._folder = f"{FOLDER}/{hashlib.sha256(config.asking.encode()).hexdigest()[:16]}"
        self._lock = threading.Lock()
        self._answered: dict[str, Answered] = {}
        for name in store.files(self._folder):
            for line in store.read_file(name).split(b"\n"):
                if entry := Answered.of_line(line):
                    self._answered.setdefault(*entry)

    @property
    def answered(self) -> int:
        """How many questions the model has answered: those that were rejected do not count."""
        with self._lock:
            return sum(NoClass.REJECTED not in one.answers[0].reasons.values() for one in self)

    @property
    def structured(self) -> bool | None:
        """Whether it took a schema with its answers; None if none is there."""
        answers = [one for one in self if NoClass.REJECTED not in one.answers[0].reasons.values()]
        return any(one.structured for one in answers) if answers else None

    def __iter__(self) -> Iterator[Answered]:
        return iter(list(self._answered.values()))

    def get(self, key: str) -> Answered | None:
        """What was answered to a question; None if it was not asked, or had no answer."""
        with self._lock:
            return self._answered.get(key)

    def add(self, key: str, answered: Answered) -> None:
        """Keep an answer: it is on the disk when this returns."""
        line = answered.line(key)
        with self._lock:
            if not self._store.is_local:
                self._store.write_file(f"{self._folder}/{key}.json", line)
            else:
                path = self._store.private_folder(self._folder) / "answers.jsonl"
                # A line that a kill cut short is ended before the next: an empty line is nothing.
                shared = path.parent.stat().st_mode & 0o060  # where the members of a group work on one root
                file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600 | shared)
                try:
                    os.write(file, b"\n" + line)
                finally:
                    os.close(file)
            self._answered[key] = answered
