"""The Prefect server that a run on one machine uses: started on loopback, silent, stopped when the work is done.

Takes no server of its own where `PREFECT_API_URL` names one. Its database is kept below the dataset root's private
folder, its log beside it, and nothing is sent to anybody. One process at a time has a server in such a folder.
"""

import base64
import errno
import fcntl
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import IO, NoReturn

import psutil

from csmv.pipeline.errors import CsmvError, sentence_for, shown

START_TIMEOUT_S = 180
"""The first start compiles some thousand modules and makes the database; on a slow disk that takes a while."""

_STOP_TIMEOUT_S = 10
_ROOM_BYTES = 1 << 20
"""With less than that free, a database can't be made."""
_WATCH_EVERY_S = 0.5
_HEALTH_TIMEOUT_S = 5

IN_USE = "in-use"
"""Beside the database: the locked file that says which process has a server there."""

NO_ANALYTICS = {"DO_NOT_TRACK": "1"}
"""What keeps the Prefect of this process, and of those it starts, from sending events to its makers."""

CLIENT_SETTINGS = {
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # what goes wrong is said once, by us
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    **NO_ANALYTICS,
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
    **NO_ANALYTICS,
}


class ServerDied(CsmvError):
    """Our server ended before the work did."""


def end_process(sentence: str) -> NoReturn:
    """Say `sentence` and end this process with all that it started, at once: for a process that is csmv's own.

    Without its server, what waits in Prefect's threads would wait for minutes and end in pages about its internals.
    Nothing is lost that a kill would not lose: files appear whole or not at all.
    """

    print(f"csmv: {sentence}", file=sys.stderr, flush=True)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
    os._exit(1)


end_when_it_dies: Callable[[str], object] | None = None
"""What is called, on a thread, when our server has died: set by the command line. Without it, the main thread gets
interrupts until it has left the block, whose exception is then `ServerDied`."""


@contextmanager
def prefect_api(home: Path, root: str = "") -> Iterator[str]:
    """The address of a Prefect API, for the block's time.

    Sets the environment that Prefect reads, so enter it before anything imports Prefect.

    Args:
        home: keeps the database and log of a server of our own.
        root: what is worked on, for messages.

    Raises:
        CsmvError: The server that PREFECT_API_URL names does not answer as one; ours does not start in time; another
            process has a server in `home`.
        ServerDied: Our server ended before the block did.
        ModuleNotFoundError: Prefect is not installed.
    """
    if find_spec("prefect") is None:  # before a process is started that would end for it
        raise ModuleNotFoundError("No module named 'prefect'", name="prefect")
    given = os.environ.get("PREFECT_API_URL")
    if given:
        require_api(given)
        with _environment(NO_ANALYTICS):
            yield given
        return
    _make_home(home)
    log = home / "server.log"
    with _only_one(home, root), _opened(log) as messages:
        server = _start(home, messages)
        try:
            url = _address(server, log)
            places = {"PREFECT_HOME": str(home), "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage")}
            ours = {**CLIENT_SETTINGS, **places, "PREFECT_API_URL": url}
            with _environment(ours), _watching(server, log) as watch:
                try:
                    yield url
                finally:
                    watch.end()
                    if not watch.died:
                        _send_what_waits()
        finally:
            _stop(server)


def require_api(url: str) -> None:
    """Ask a Prefect API whether it is one. Raises CsmvError, one sentence, if it does not answer as it should."""
    problem = _problem(url, _HEALTH_TIMEOUT_S)
    if problem is not None:
        raise CsmvError(
            f"PREFECT_API_URL is {shown(url)[:200]}, and {problem}: start a server with `prefect server start` and set "
            "its address (http://127.0.0.1:4200/api), or unset PREFECT_API_URL."
        )


def is_healthy(url: str, timeout_s: float = _HEALTH_TIMEOUT_S) -> bool:
    """Whether a Prefect API answers at `url`."""
    return _problem(url, timeout_s) is None


def _problem(url: str, timeout_s: float) -> str | None:
    """Why `url` can't be used as a Prefect API; None if it can."""
    if not url.startswith(("http://", "https://")):
        return "that is no address of a server"
    try:
        request = urllib.request.Request(f"{url.rstrip('/')}/health", headers=_authorization())
        with urllib.request.urlopen(request, timeout=timeout_s, context=_certificates(url)) as answer:
            if answer.read(16).strip() == b"true":
                return None
        return "what answers there is no Prefect API"
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return "the server there wants other credentials (PREFECT_API_KEY or PREFECT_API_AUTH_STRING)"
        return f"what answers there is no healthy Prefect API (HTTP {error.code})"
    except TimeoutError:
        return f"nothing answers there within {timeout_s:g} s"
    except (urllib.error.URLError, OSError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            return f"nothing answers there within {timeout_s:g} s"
        return f"nothing answers there ({_why(cause)})"
    except Exception as error:  # http.client has a dozen kinds for an address or an answer that is none
        return f"what is there is no Prefect API ({type(error).__name__})"


def _why(cause: object) -> str:
    if isinstance(cause, socket.gaierror):
        return "no such host"
    if isinstance(cause, ssl.SSLError):
        return "its certificate or encryption is not accepted"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return type(cause).__name__


def _authorization() -> dict[str, str]:
    key, user = os.environ.get("PREFECT_API_KEY"), os.environ.get("PREFECT_API_AUTH_STRING")
    if user:
        return {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
    return {"Authorization": f"Bearer {key}"} if key else {}


def _certificates(url: str) -> ssl.SSLContext | None:
    """As Prefect's own settings say."""
    if not url.startswith("https://"):
        return None
    if os.environ.get("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "").lower() in ("1", "true", "yes"):
        return ssl._create_unverified_context()
    return ssl.create_default_context(cafile=os.environ.get("PREFECT_API_SSL_CERT_FILE") or None)


def _make_home(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CsmvError(f"The folder '{home}' can't be made ({error.strerror}): name another root.") from None


@contextmanager
def _opened(log: Path) -> Iterator[IO[bytes]]:
    try:
        file = log.open("wb")
    except OSError as error:
        raise CsmvError(sentence_for(error) or f"The file '{log}' can't be written: name another root.") from None
    with file:
        yield file


# ---------------------------------------------------------------------- one at a time

_used_here: set[Path] = set()


@contextmanager
def _only_one(home: Path, root: str) -> Iterator[None]:
    """Hold the lock of `home`. The system frees it when its process ends, however it ends.

    Two servers on one database would free each other's slots and trip over each other's locks.
    """
    home = home.resolve()
    if home in _used_here:  # the system's lock is the process's, so it can't tell two threads apart
        raise CsmvError(_used_by(root or str(home), f"{os.getpid()} on this machine"))
    path = home / IN_USE
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise CsmvError(sentence_for(error) or f"The file '{path}' can't be written: name another root.") from None
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                raise CsmvError(_used_by(root or str(home), file.read(200).strip() or "unknown")) from None
            # A file system that knows no locks: as it is, without one.
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M}")
        file.flush()
        _used_here.add(home)
        try:
            yield
        finally:
            _used_here.discard(home)


def _used_by(root: str, who: str) -> str:
    return (
        f"'{shown(root)}' is being worked on by process {who}: wait until it has ended, or start one server for both "
        "with `prefect server start` and set PREFECT_API_URL."
    )


# ---------------------------------------------------------------------- while it runs


class _Watch:
    """Looks every half second whether our server still runs."""

    def __init__(self, server: "subprocess.Popen[bytes]", log: Path) -> None:
        self.died = False
        self._server = server
        self._sentence = (
            f"The Prefect server of this run stopped in the middle of it; its log {log} may say why. "
            "Run it again: what was done stays done."
        )
        self._over = threading.Event()
        self._sending = threading.Lock()
        in_main = threading.current_thread() is threading.main_thread()
        self._main = threading.main_thread().ident if in_main else None
        self._thread = threading.Thread(target=self._look, name="csmv-server-watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop looking; no interrupt comes any more once this has returned."""
        while True:
            try:
                with self._sending:
                    self._over.set()
                return
            except KeyboardInterrupt:
                if not self.died:
                    raise

    def error(self) -> ServerDied:
        return ServerDied(self._sentence)

    def _look(self) -> None:
        while not self._over.wait(_WATCH_EVERY_S):
            if self._server.poll() is None:
                continue
            with self._sending:
                if self._over.is_set():
                    return
                self.died = True
                if end_when_it_dies is not None:
                    end_when_it_dies(self._sentence)
                if self._main is None:
                    return
                # Prefect's client answers one with further attempts; each interrupt ends one of them.
                signal.pthread_kill(self._main, signal.SIGINT)


@contextmanager
def _watching(server: "subprocess.Popen[bytes]", log: Path) -> Iterator[_Watch]:
    watch = _Watch(server, log)
    try:
        yield watch
    except BaseException:
        watch.end()
        if not watch.died:
            raise
    else:
        watch.end()
    if watch.died:
        raise watch.error() from None


def _start(home: Path, messages: IO[bytes]) -> "subprocess.Popen[bytes]":
    settings = {**os.environ, **SERVER_SETTINGS, "PREFECT_HOME": str(home)}
    settings["PREFECT_MEMO_STORE_PATH"] = str(home / "memo_store.toml")
    settings["PREFECT_API_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{home.resolve()}/prefect.db"
    return subprocess.Popen(
        [sys.executable, "-m", "csmv.flows.server"],
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
    if shutil.disk_usage(log.parent).free < _ROOM_BYTES:
        raise CsmvError(f"No space is left on the disk that holds '{log.parent}': make room, or name another root.")
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
