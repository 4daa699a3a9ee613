"""An S3 API on loopback that counts what it is asked: moto's server behind a counter."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from typing import Any


class CountedS3:
    """moto's S3, started on a free port.

    `requests` counts by what was asked: LIST, HEAD, GET, PUT, POST, DELETE; `sent` counts the bytes of answers to GET.
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self.requests: Counter[str] = Counter()
        self.sent = 0
        self._lock = Lock()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._server.log = lambda *_: None  # type: ignore[method-assign]
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
        for part in self._moto(environ, start):
            if kind == "GET":
                with self._lock:
                    self.sent += len(part)
            yield part
