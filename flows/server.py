"""The Prefect server that a run on one machine uses: started on loopback, silent, stopped when the work is done.

Takes no server of its own where `PREFECT_API_URL` names one. Its database is kept below the dataset root's private
folder, its log beside it, and nothing is sent to anybody.
"""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pipeline.errors import CsmvError

START_TIMEOUT_S = 180
"""The first start compiles some thousand modules and makes the database; on a slow disk that takes a while."""

_STOP_TIMEOUT_S = 10

CLIENT_SETTINGS = {
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # what goes wrong is said once, by us
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "DO_NOT_TRACK": "1",
}

SERVER_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_MEMO_STORE_PATH": "memo_store.toml",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # no block is used, and registering them takes seconds
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    # One flow at a time, started by us: nothing to schedule, trigger, repossess or vacuum.
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}


@contextmanager
def prefect_api(home: Path) -> Iterator[str]:
    """The address of a Prefect API, for the block's time; `home` keeps the database of a server of our own.

    Sets the environment that Prefect reads, so enter it before anything imports Prefect. Raises CsmvError if the
    server does not answer in time.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield given
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CsmvError(f"The folder '{home}' can't be made ({error.strerror}): name another root.") from None
    log = home / "server.log"
    with log.open("wb") as messages:
        server = _start(home, messages)
        try:
            url = _address(server, log)
            places = {"PREFECT_HOME": str(home), "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage")}
            ours = {**CLIENT_SETTINGS, **places, "PREFECT_API_URL": url}
            with _environment(ours):
                try:
                    yield url
                finally:
                    _send_what_waits()
        finally:
            _stop(server)


def is_healthy(url: str, timeout_s: float = 5) -> bool:
    """Whether a Prefect API answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _start(home: Path, messages: IO[bytes]) -> "subprocess.Popen[bytes]":
    settings = {**os.environ, **SERVER_SETTINGS, "PREFECT_HOME": str(home)}
    settings["PREFECT_MEMO_STORE_PATH"] = str(home / "memo_store.toml")
    settings["PREFECT_API_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{home.resolve()}/prefect.db"
    return subprocess.Popen(
        [sys.executable, "-m", "flows.server"],
        stdin=subprocess.PIPE,  # held open; when we die, however we die, it closes and the server stops
        stdout=subprocess.PIPE,
        stderr=messages,
        env=settings,
        start_new_session=True,  # a Ctrl-C at the terminal is ours to handle first
    )


def _address(server: "subprocess.Popen[bytes]", log: Path) -> str:
    """The API's address, once it answers."""
    assert server.stdout is not None
    port: list[bytes] = []
    # Reading on a thread of its own lets the time limit hold for a server that says nothing at all.
    reader = threading.Thread(target=lambda stream: port.append(stream.readline()), args=(server.stdout,), daemon=True)
    reader.start()
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end and server.poll() is None:
        if port and port[0].strip().isdigit():
            url = f"http://127.0.0.1:{int(port[0])}/api"
            if is_healthy(url):
                return url
        time.sleep(0.1)
    how = "stopped" if server.poll() is not None else f"did not answer within {START_TIMEOUT_S} s"
    raise CsmvError(
        f"The Prefect server {how} while starting; its log {log} says why. "
        "Set PREFECT_API_URL to use a server that runs already."
    )


def _send_what_waits() -> None:
    """Have Prefect's client send its queued logs and events while there is still a server to take them."""
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    EventsWorker.drain_all(timeout=5)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    assert server.stdin is not None and server.stdout is not None
    with suppress(OSError):
        server.stdin.close()
    try:
        server.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    server.stdout.close()


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _serve() -> None:
    """Be the server: say the port on standard output, serve until standard input ends."""
    import uvicorn
    from prefect.server.api.server import create_app

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    app = create_app(ephemeral=True, final=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=2))

    def stop_with_parent() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True
        time.sleep(_STOP_TIMEOUT_S / 2)
        os._exit(0)

    threading.Thread(target=stop_with_parent, daemon=True).start()
    server.run(sockets=[listener])


if __name__ == "__main__":
    _serve()
