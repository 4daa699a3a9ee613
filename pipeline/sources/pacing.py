"""One pace for all: a worker asks before every request, and waits its turn; after a 429 everybody waits.

The pause is a file in the root, so that workers on other machines see it. Prefect's shared limit plugs in as the turn.
"""

import json
import threading
import time
import urllib.error
import urllib.request
from typing import Protocol

from csmv.pipeline import interrupt
from csmv.pipeline.sources.collect_settings import FLOOR_S, Connection, Manners
from csmv.pipeline.store import Store

PAUSE_FILE = "private/state/pause.json"


class Turn(Protocol):
    """Something that lets one request pass at a time."""

    def __call__(self) -> None:
        """Return when the next request may be sent."""


class Paused(Exception):
    """The site asked for a longer pause than the run may wait. `until` is Unix seconds."""

    def __init__(self, until: float) -> None:
        super().__init__("the site asked for a pause")
        self.until = until


class Interrupted(Paused):
    """The run is to end now: nothing more is sent."""

    def __init__(self) -> None:
        super().__init__(time.time())
        self.args = (interrupt.SENTENCE,)


class Interval:
    """Turns at least so many seconds apart, for all threads of this process."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._next = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Wait for this caller's turn."""
        with self._lock:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + self.interval_s
        interrupt.rest(mine - now)


class Pacer:
    """A turn, held back while the root is paused."""

    def __init__(self, store: Store, turn: Turn, longest_wait_s: float) -> None:
        self.store = store
        self.turn = turn
        self.longest_wait_s = longest_wait_s

    def wait(self) -> None:
        """Return when the next request may be sent. Raises Paused if that is too far away, or the run is to end."""
        self._sit_out()
        self.turn()
        # Somebody may have been told to slow down while this one stood in line.
        self._sit_out()

    def pause(self, seconds: float) -> None:
        """Nobody sends anything for so long."""
        until = time.time() + seconds
        if until > self.paused_until():
            self.store.write_file(PAUSE_FILE, json.dumps({"until": until}).encode())

    def paused_until(self) -> float:
        """When the current pause ends, Unix seconds; 0 if there is none."""
        if not self.store.exists(PAUSE_FILE):
            return 0.0
        try:
            return float(json.loads(self.store.read_file(PAUSE_FILE))["until"])
        except (ValueError, KeyError, TypeError):
            return 0.0

    def _sit_out(self) -> None:
        while (left := self.paused_until() - time.time()) > 0:
            if left > self.longest_wait_s:
                raise Paused(time.time() + left)
            interrupt.rest(min(left, 5.0))
            _go_on()
        _go_on()


def _go_on() -> None:
    if interrupt.is_asked():
        raise Interrupted


def interval_for(manners: Manners, connection: Connection) -> float:
    """Seconds between requests: as configured, but never below the floor unless the site is the sandbox."""
    if manners.interval_s >= FLOOR_S or is_sandbox(connection.proxy):
        return manners.interval_s
    return FLOOR_S


def is_sandbox(proxy: str | None) -> bool:
    """Whether a proxy is this project's sandbox, by its own word, on loopback."""
    if proxy is None or not proxy.startswith("http://127.0.0.1:"):
        return False
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(proxy, timeout=5) as answer:
            return str(answer.headers.get("Server", "")).startswith("csmv-sandbox")
    except (urllib.error.URLError, OSError, ValueError):
        return False
