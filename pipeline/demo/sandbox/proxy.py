"""The sandbox's sockets: a CONNECT proxy on loopback that leads TikTok's hosts to a TLS site, and refuses all others.

Listens on 127.0.0.1 only and opens no connection to anywhere: what the proxy does not answer itself does not happen.
"""

import contextlib
import json
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from csmv.pipeline.demo.sandbox.answers import Answer, Request
from csmv.pipeline.demo.sandbox.certificate import make_certificate
from csmv.pipeline.demo.sandbox.site import Site
from csmv.pipeline.demo.sandbox.world import SandboxSettings, World

HOSTS = ("tiktok.com", "tiktokcdn.com", "tiktokv.com", "open.tiktokapis.com")
"""What the proxy leads to the site: these and their subdomains."""

MARK = "csmv-sandbox"
"""How the proxy names itself in its `Server` header when it is asked as a site."""


@dataclass(frozen=True)
class Logged:
    """A request that reached the site. `at` is when it came, Unix seconds; `bogus` its X-Bogus signature, if any."""

    at: float
    method: str
    host: str
    path: str
    kind: str
    target: str
    status: int
    bogus: str = ""
    agent: str = ""


class Sandbox:
    """The sandbox, running while its `with` block does.

    `proxy` and `ca_file` are the two settings with which a collector meets it under TikTok's own addresses.
    """

    def __init__(self, settings: SandboxSettings | None = None, port: int = 0) -> None:
        self.world = World(settings or SandboxSettings())
        self.site = Site(self.world)
        self.refused: list[str] = []
        self._log: list[Logged] = []
        self._lock = threading.Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="csmv-sandbox-"))
        self.ca_file, key_file = make_certificate(self._folder, HOSTS)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self.ca_file, key_file)
        self._server = _Proxy(self, port)
        self.port = int(self._server.server_address[1])

    @property
    def proxy(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Sandbox":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve_forever(self) -> None:
        """Serve in this thread until interrupted."""
        self._server.serve_forever()

    def close(self) -> None:
        """Stop serving and remove the certificate."""
        self._server.shutdown()
        self.close_files()

    def close_files(self) -> None:
        """Remove the certificate, once nothing is served any more."""
        self._server.server_close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> list[Logged]:
        """Every request to the site so far, in order of arrival."""
        with self._lock:
            return sorted(self._log, key=lambda entry: entry.at)

    def forget_log(self) -> None:
        """Begin the request log anew."""
        with self._lock:
            self._log.clear()

    # ------------------------------------------------------------------ for the handlers

    def answer(self, request: Request) -> Answer:
        """The site's answer, logged."""
        came = time.time()
        answer = self.site.answer(request)
        answer.delay_s += self.world.settings.latency_s
        entry = Logged(
            at=came,
            method=request.method,
            host=request.host,
            path=request.path,
            kind=_kind(request),
            target=answer.target,
            status=answer.status,
            bogus=request.query.get("X-Bogus", ""),
            agent=request.headers.get("user-agent", ""),
        )
        with self._lock:
            self._log.append(entry)
        return answer

    def status(self) -> dict[str, Any]:
        """What `GET /` on the proxy tells: the truth table and the log, for tests in other processes."""
        truth = self.world.truth()
        return {
            "log": [asdict(entry) for entry in self.log()],
            "refused": list(self.refused),
            "collected": {video: sorted(cids) for video, cids in truth.collected.items()},
            "failed": truth.failed,
        }

    def wrap(self, plain: socket.socket) -> ssl.SSLSocket:
        """TLS on an accepted tunnel, as the site."""
        return self._tls.wrap_socket(plain, server_side=True)


def _kind(request: Request) -> str:
    if request.host.endswith("tiktokapis.com"):
        return "research"
    if "webapp-prime" in request.host:
        return "media"
    if request.path.startswith("/api/"):
        return "list"
    if request.path == "/robots.txt":
        return "robots"
    return "page" if request.path.startswith(("/tag/", "/@", "/share/")) else "other"


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, sandbox: Sandbox, port: int) -> None:
        self.sandbox = sandbox
        super().__init__(("127.0.0.1", port), _ProxyHandler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up is no error of ours."""


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = MARK
    server: _Proxy

    def do_CONNECT(self) -> None:
        host = self.path.rpartition(":")[0].lower()
        if not any(host == name or host.endswith(f".{name}") for name in HOSTS) or not self.path.endswith(":443"):
            self.server.sandbox.refused.append(self.path)
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError, ssl.SSLError):
            tunnel = self.server.sandbox.wrap(self.connection)
            try:
                _SiteHandler(tunnel, self.client_address, self.server)
            finally:
                tunnel.close()

    def do_GET(self) -> None:
        """Asked as a site: who this is; asked to fetch something in the clear: no."""
        if not self.path.startswith("/"):
            self.server.sandbox.refused.append(self.path)
            self.send_error(403)
            return
        body = json.dumps(self.server.sandbox.status()).encode() if self.path == "/status" else MARK.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the sandbox keeps its own log."""


class _SiteHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    server: _Proxy

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        cookies = SimpleCookie(self.headers.get("Cookie", ""))
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            method=self.command,
            host=(self.headers.get("Host") or "").partition(":")[0].lower(),
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            cookies={name: morsel.value for name, morsel in cookies.items()},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length) if length else b"",
        )
        self._send(self.server.sandbox.answer(request))

    def _send(self, answer: Answer) -> None:
        if answer.delay_s:
            time.sleep(min(answer.delay_s, 60))
        if answer.cut_after == 0:
            self._reset()
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(answer.body[: answer.cut_after])
        if answer.cut_after is not None:
            self.wfile.flush()
            self._reset()

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the sandbox keeps its own log."""
