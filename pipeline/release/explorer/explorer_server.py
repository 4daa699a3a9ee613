"""The explorer's web server: loopback only, reading only, for the one page that it serves itself.

A page of another site that a browser has open can't read from it: no answer carries leave to (CORS), and a request
under another host name is refused (DNS rebinding). The page may load nothing from elsewhere (content security policy).
"""

import json
import threading
from collections import OrderedDict
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from csmv.pipeline.errors import CsmvError, UsageError, sentence_for
from csmv.pipeline.release.explorer.comment_filter import CommentFilter, comment_filter
from csmv.pipeline.release.explorer.explorer_database import MOST_OF_A_VIDEO, ExplorerDatabase
from csmv.pipeline.release.explorer.explorer_page import served_page
from csmv.pipeline.release.explorer.grounding import video_windows
from csmv.pipeline.store import Store

HOST = "127.0.0.1"
_NAMES = ("127.0.0.1", "localhost")
_LONGEST_ADDRESS = 4096
_MOST_WINDOWS = 64
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Explorer:
    """What the server answers from: the tables, the runs' answers, and windows that are asked of a network."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = ExplorerDatabase(store)
        self._windows: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._network = threading.Lock()
        self._reading = threading.Event()
        self._answers = {
            "comments": self._database.comments,
            "videos": self._database.videos,
            "video": self._database.video,
            "failures": self._database.failures,
            "confusion": self._confusion,
            "windows": self._windows_of,
        }

    def close(self) -> None:
        """Give the memory back."""
        self._database.close()

    def answer(self, question: str, given: dict[str, str]) -> Any:
        """What a question of the page is answered with; None where there is nothing of that name.

        Raises:
            UsageError: it asks for what there can't be.
            CsmvError: a run or its answers can't be read.
        """
        if question == "about":
            if not self._reading.is_set():
                self._reading.set()
                threading.Thread(target=self._database.read_ahead, daemon=True).start()
            return self._database.about
        if question not in self._answers:
            return None
        return self._answers[question](comment_filter(given, self._database.splits, self._database.runs))

    def _confusion(self, asked: CommentFilter) -> Any:
        if not asked.run:
            raise UsageError("A confusion matrix is of a run: name it.")
        return {"cells": self._database.confusion(asked)}

    def _windows_of(self, asked: CommentFilter) -> Any:
        if not asked.run or not asked.video:
            raise UsageError("Windows are of a run and a video: name both.")
        key = asked.run, asked.video
        with self._network:  # one network at a time: it takes all cores by itself
            if key not in self._windows:
                self._windows[key] = self._looked_at(asked)
                while len(self._windows) > _MOST_WINDOWS:
                    self._windows.popitem(last=False)
            return self._windows[key]

    def _looked_at(self, asked: CommentFilter) -> Any:
        video = self._database.video(CommentFilter(video=asked.video))
        if video is None:
            return None
        comments = video["comments"][:MOST_OF_A_VIDEO]
        try:
            windows = video_windows(self._store, asked.run, {asked.video: [one["text"] for one in comments]})
        except CsmvError as error:
            return {"why": str(error)}
        if asked.video not in windows:
            return {"why": "The root has no vectors of this video, or it has no comments."}
        return windows[asked.video].as_dict()


class ExplorerServer(ThreadingHTTPServer):
    """Serves the explorer of a root at `url` until it is shut down.

    Args:
        store: the root.
        port: 0 for any that is free.

    Raises:
        CsmvError: a table is damaged, or something else listens at the port.
    """

    daemon_threads = True

    def __init__(self, store: Store, port: int = 0) -> None:
        self.explorer = Explorer(store)
        self.page, self.policy = served_page(store.header.name)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError:
            self.explorer.close()
            raise CsmvError(f"Port {port} of this machine is taken: name another with --port, or 0 for any.") from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a browser that left before its answer came: a traceback may hold words of a comment."""

    def server_close(self) -> None:
        """Stop listening, and give the memory back."""
        super().server_close()
        self.explorer.close()


class _Handler(BaseHTTPRequestHandler):
    server: ExplorerServer
    server_version = "csmv"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self._send(*refusal)
            return
        address = urlsplit(self.path)
        if address.path == "/":
            self._send(200, self.server.page, "text/html; charset=utf-8")
        elif address.path.startswith("/api/"):
            self._send(*self._answer(address.path.removeprefix("/api/"), address.query))
        else:
            self._send(404, _error("There is no such page here."))

    do_HEAD = do_GET

    def _refusal(self) -> tuple[int, bytes] | None:
        """Why a request is not answered: it came by another name, from another site's page, or is too long."""
        hosts = {f"{name}:{self.server.server_port}" for name in _NAMES}
        if self.headers.get_all("Host", []) not in [[host] for host in hosts]:
            return 403, _error("This server answers under its own address only.")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            is_link = self.headers.get("Sec-Fetch-Mode") == "navigate" and urlsplit(self.path).path == "/"
            if not is_link:
                return 403, _error("Another site's page may not ask this server.")
        if len(self.path) > _LONGEST_ADDRESS:
            return 414, _error("The address is too long.")
        return None

    def _answer(self, question: str, query: str) -> tuple[int, bytes]:
        try:
            given = parse_qsl(query, keep_blank_values=True, max_num_fields=32, errors="strict")
            if len({name for name, _ in given}) < len(given):
                raise UsageError("A field stands twice.")
            answer = self.server.explorer.answer(question, dict(given))
        except (UsageError, ValueError) as error:
            sentence = str(error) if isinstance(error, UsageError) else "The address can't be read."
            return 400, _error(sentence)
        except CsmvError as error:
            return 409, _error(str(error))
        except Exception as error:
            sentence = sentence_for(error) or f"csmv met something it did not expect ({type(error).__name__})."
            return 500, _error(sentence)
        if answer is None:
            return 404, _error("There is nothing of that name here.")
        return 200, json.dumps(answer, ensure_ascii=False, separators=(",", ":"), default=str).encode()

    def _send(self, status: int, body: bytes, kind: str = "application/json; charset=utf-8") -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: an address may hold words of a comment."""


def _error(sentence: str) -> bytes:
    return json.dumps({"error": sentence}).encode()


def serving(server: ExplorerServer) -> threading.Thread:
    """Answer in a thread of its own, until `server.shutdown()`."""
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.1), daemon=True)
    thread.start()
    return thread
