"""A state of a shard that is told by its rows, for sources whose landing says the same in other files at other times.

What was visited twice, or on another day, is other files; killed and run again, a collection must still end in the same
tables, and what came out the same is not stale.
"""

import json
import threading
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from csmv.pipeline.sources.base import Rows


class LastRows:
    """The rows of the shard at hand: asked for its state and then for its rows, landing is read once.

    `at` names the landing that rows are read from: another `at`, other rows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: tuple[Any, ...] = ()
        self._rows = Rows()
        self._digests: dict[tuple[Any, ...], str] = {}

    def rows(self, at: tuple[Any, ...], read: Callable[[], Rows]) -> Rows:
        """The rows, read unless they are at hand."""
        with self._lock:
            if at == self._at:
                return self._rows
        rows = read()
        with self._lock:
            self._at, self._rows = at, rows
        return rows

    def forget(self) -> None:
        """Read everything anew."""
        with self._lock:
            self._at, self._rows, self._digests = (), Rows(), {}

    def digest(self, at: tuple[Any, ...], read: Callable[[], Rows]) -> str:
        """A digest of everything in the rows; equal rows give equal digests."""
        if at not in self._digests:
            self._digests[at] = digest_of_rows(self.rows(at, read))
        return self._digests[at]


def digest_of_rows(rows: Rows) -> str:
    """SHA-256 of everything that a source says of a shard."""
    digest = sha256()
    for group in (rows.videos, rows.comments, rows.labels, rows.failures):
        for row in group:
            digest.update(json.dumps(vars(row), default=_plain).encode() + b"\n")
        digest.update(b"--\n")
    return digest.hexdigest()


def _plain(value: object) -> object:
    return vars(value) if hasattr(value, "__dict__") else str(value)
