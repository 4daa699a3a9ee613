"""An S3 API on loopback that counts what it is asked: moto's server behind a counter."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random
from threading import Lock, Thread
from typing import Any


class CountedS3:
    """moto's S3, started on a free port.

    `requests` counts by what was asked: LIST, HEAD, GET, PUT, POST, DELETE; `got` has the paths of GET requests, `sent`
    the number of bytes in the answers to them, and `received` that of what was put. `fails` is the share of requests
    that are refused as by a storage under too much load, drawn with a fixed seed; `failed` counts them.
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Silent(WSGIRequestHandler):
            def log_request(self, *_: object) -> None:
                pass

        self.requests: Counter[str] = Counter()
        self.got: list[str] = []
        self.sent = 0
        self.received = 0
        self.fails = 0.0
        self.failed = 0
        self._draws = Random(1)
        self._lock = Lock()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=Silent)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address, for AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a client comes here."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join()

    @contextmanager
    def counted(self) -> "Iterator[Counter[str]]":
        """What is asked inside the block; complete when it has ended."""
        before, inside = self.requests.copy(), Counter[str]()
        yield inside
        inside.update(self.requests - before)

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
        kind = "LIST" if method == "GET" and ("list-type" in query or "prefix=" in query) else method
        with self._lock:
            self.requests[kind] += 1
            refused = self._draws.random() < self.fails
            self.failed += refused
            if kind == "GET":
                self.got.append(environ["PATH_INFO"])
            elif kind in ("PUT", "POST"):
                self.received += int(environ.get("CONTENT_LENGTH") or 0)
        if refused:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Type", "application/xml")])
            yield b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
            return
        for part in self._moto(environ, start):
            if kind == "GET":
                with self._lock:
                    self.sent += len(part)
            yield part
