"""Sending a release away: real clients against servers on loopback, and nothing sent unless asked for.

moto answers as S3 does. The hub and Zenodo can't be reached from tests: two small servers here speak the parts of their
interfaces that an upload needs, and keep what they were told.
"""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from release_roots import LICENSED, release

from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.release.push_release import push_release
from csmv.pipeline.release.verify_release import verify_release

TOKEN = "a-token-that-no-log-may-have"
DOI = "10.5281/zenodo.4242"


class Recorder(BaseHTTPRequestHandler):
    """Keeps every request; `answer` says what to reply."""

    requests: list[tuple[str, str, bytes]]

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        raise NotImplementedError

    def _any(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.requests.append((self.command, path, body))
        allowed = self.headers.get("Authorization", "").lower() == f"bearer {TOKEN}"
        status, value = self.answer(path, body) if allowed else (401, {"error": "who?"})
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_HEAD = _any


class Hub(Recorder):
    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/api/repos/create":
            return 200, {"url": "http://127.0.0.1/datasets/team/small"}
        if path.endswith("/preupload/main"):
            files = [{**one, "uploadMode": "regular", "shouldIgnore": False} for one in json.loads(body)["files"]]
            return 200, {"files": files}
        if path.endswith("/commit/main"):
            return 200, {"commitUrl": "http://127.0.0.1/datasets/team/small/commit/ab", "commitOid": "ab"}
        if path.endswith("/tree/main"):
            return 200, []
        if "/tag/" in path:
            return 200, {}
        return 200, {"id": "team/small", "sha": "ab", "siblings": []}


class Archive(Recorder):
    fails = False

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        host = self.headers["Host"]
        if path == "/api/deposit/depositions":
            links = {"bucket": f"http://{host}/api/files/bucket-1"}
            return 201, {"id": 4242, "links": links, "metadata": {"prereserve_doi": {"doi": DOI}}}
        return (500 if self.fails and path.endswith("publish") else 200), {}


@pytest.fixture
def serve() -> Iterator[Any]:
    servers = []

    def start(handler: type[Recorder], **more: Any) -> tuple[str, list[tuple[str, str, bytes]]]:
        requests: list[tuple[str, str, bytes]] = []
        kind = type(handler.__name__, (handler,), {"requests": requests, **more})
        server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", requests

    yield start
    for server in servers:
        server.shutdown()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_being_asked_to_nothing_is_sent(released: Path, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url, requests = serve(Archive)
    monkeypatch.setenv("CSMV_ZENODO_URL", url)
    monkeypatch.delenv("ZENODO_TOKEN", raising=False)

    told = push_release(str(released), "zenodo", send=False)

    assert (told.files, told.was_sent, requests) == (len(contents(released)), False, [])
    assert "ZENODO_TOKEN" in told.needs
    with pytest.raises(CsmvError, match="ZENODO_TOKEN"):
        push_release(str(released), "zenodo", send=True)
    with pytest.raises(UsageError, match="hf:ORG/NAME"):
        push_release(str(released), "ftp://x", send=False)


def test_to_s3_and_what_lies_there_is_the_release(released: Path, s3_bucket: str, root: str) -> None:
    target = f"{s3_bucket}/released/small"

    sent = push_release(str(released), target, send=True)
    verified = verify_release(target)
    smaller = release(root, LICENSED.model_copy(update={"splits": ("video",)})).address
    push_release(smaller, target, send=True)

    assert sent.was_sent and verified.problems == () and verified.files == sent.files - 1
    assert list(verify_release(target).about.splits) == ["video"] and verify_release(target).problems == ()


def test_to_zenodo_with_its_doi_in_the_papers(root: str, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url, requests = serve(Archive)
    monkeypatch.setenv("CSMV_ZENODO_URL", url)
    monkeypatch.setenv("ZENODO_TOKEN", TOKEN)
    address = release(root).address

    def with_doi(doi: str) -> None:
        release(root, LICENSED.model_copy(update={"doi": doi}))

    sent = push_release(address, "zenodo", send=True, with_doi=with_doi)

    assert sent.doi == DOI
    assert [(method, path) for method, path, _ in requests] == [
        ("POST", "/api/deposit/depositions"),
        ("PUT", "/api/files/bucket-1/small-1.0.0.zip"),
        ("PUT", "/api/deposit/depositions/4242"),
        ("POST", "/api/deposit/depositions/4242/actions/publish"),
    ]
    packed = zipfile.ZipFile(io.BytesIO(requests[1][2]))
    files = {name.removeprefix("small-1.0.0/"): packed.read(name) for name in packed.namelist()}
    assert files == contents(Path(address))
    assert yaml.safe_load(files["CITATION.cff"])["doi"] == DOI and DOI.encode() in files["DATASHEET.md"]
    metadata = json.loads(requests[2][2])["metadata"]
    assert (metadata["license"], metadata["version"], metadata["upload_type"]) == ("cc-by-4.0", "1.0.0", "dataset")


@pytest.mark.parametrize(("token", "fails", "says"), [("wrong", False, "refused the token"), (TOKEN, True, "500")])
def test_what_zenodo_refuses_is_a_sentence_without_the_token(
    released: Path, serve: Any, monkeypatch: pytest.MonkeyPatch, token: str, fails: bool, says: str
) -> None:
    url, _ = serve(Archive, fails=fails)
    monkeypatch.setenv("CSMV_ZENODO_URL", url)
    monkeypatch.setenv("ZENODO_TOKEN", token)

    with pytest.raises(CsmvError, match=says) as refused:
        push_release(str(released), "zenodo", send=True)

    assert token not in str(refused.value)


PUSH = (
    "import sys; from csmv.pipeline.release.push_release import push_release;"
    "print(push_release(sys.argv[1], 'hf:team/small', send=True))"
)


def test_to_the_hub_in_one_commit_with_its_tag(released: Path, serve: Any) -> None:
    """In a process of its own: the hub's library reads its address and whether it is offline when it is imported."""
    url, requests = serve(Hub)
    environment = os.environ | {"HF_ENDPOINT": url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}

    done = subprocess.run([sys.executable, "-c", PUSH, str(released)], env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    [commit] = [body for _, path, body in requests if path == "/api/datasets/team/small/commit/main"]
    lines = [json.loads(line) for line in commit.splitlines()]
    sent = {
        line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
    }
    assert sent == contents(released)
    assert lines[0]["value"]["summary"] == "Version 1.0.0"
    assert any("/tag/" in path for _, path, _ in requests)


def test_a_damaged_release_is_not_sent(released: Path, s3_bucket: str, tmp_path: Path) -> None:
    got = shutil.copytree(released, tmp_path / "got")
    (got / "README.md").write_text("else")

    with pytest.raises(CsmvError, match=r"was not sent: 'README\.md'"):
        push_release(str(got), f"{s3_bucket}/damaged", send=True)
