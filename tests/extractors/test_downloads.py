"""A download that breaks off, or is not what it should be, is never kept; one that can be taken up is."""

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.registry import card_of, own_names
from csmv.extractors.weights import TRIES, Weights, fetch, git_blob_id

DATA = bytes(range(256)) * 4096  # a mebibyte
SHA256 = hashlib.sha256(DATA).hexdigest()


class Host:
    """A web server on loopback whose behaviour a test sets."""

    cut_at = 0
    """Bytes after which each reply breaks off; 0 for never."""
    ranges = True
    etag = '"first"'
    linked = ""
    requests: list[str]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Host, str]]:
    monkeypatch.setenv("CSMV_CACHE", str(tmp_path / "cache"))
    state = Host()
    state.requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.headers.get("Range", "all"))
            if self.path.startswith("/resolve/"):
                self.send_response(302)
                self.send_header("Location", "/w.pt")
                self.send_header("X-Linked-Etag", f'"{state.linked}"')
                self.end_headers()
                return
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            resumes = bool(asked) and state.ranges and self.headers.get("If-Range") in (None, state.etag)
            start = int(asked[1]) if asked and resumes else 0
            body = DATA[start:]
            self.send_response(206 if resumes else 200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", state.etag)
            if resumes:
                self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
            self.end_headers()
            self.wfile.write(body[: state.cut_at] if state.cut_at else body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def kept(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "cache" / "weights").iterdir()]


def test_a_transfer_is_taken_up_where_it_broke_off(host: tuple[Host, str]) -> None:
    state, address = host
    state.cut_at = 400_000
    path = fetch(Weights(f"{address}/w.pt", "MIT", "here", SHA256))
    assert path.read_bytes() == DATA
    assert state.requests == ["all", "bytes=400000-", "bytes=800000-"]


def test_a_file_that_never_comes_whole_is_not_kept(host: tuple[Host, str], tmp_path: Path) -> None:
    state, address = host
    state.cut_at, state.ranges = 400_000, False
    with pytest.raises(ExtractorError, match=r"400,000 of 1,048,576 bytes came"):
        fetch(Weights(f"{address}/w.pt", "MIT", "here"))  # though no digest is published
    assert kept(tmp_path) == []
    assert len(state.requests) == 1 + TRIES


def test_a_file_that_changed_between_is_fetched_from_its_beginning(host: tuple[Host, str]) -> None:
    state, address = host
    state.cut_at = 1_000_000
    served = state.requests

    class Changes(list[str]):
        def append(self, what: str) -> None:
            served.append(what)
            state.etag, state.cut_at = ('"first"', 1_000_000) if len(served) == 1 else ('"second"', 0)

    state.requests = Changes()
    assert fetch(Weights(f"{address}/w.pt", "MIT", "here", SHA256)).read_bytes() == DATA
    assert served == ["all", "bytes=1000000-"]


def test_what_is_not_as_published_is_not_kept(host: tuple[Host, str], tmp_path: Path) -> None:
    _, address = host
    with pytest.raises(ExtractorError, match="should have 00000000: it was not kept"):
        fetch(Weights(f"{address}/w.pt", "MIT", "here", "00000000"))
    assert kept(tmp_path) == []


def test_the_digest_that_hugging_face_gives_is_compared(host: tuple[Host, str], tmp_path: Path) -> None:
    state, address = host
    state.linked = "0" * 64
    with pytest.raises(ExtractorError, match="it was not kept"):
        fetch(Weights(f"{address}/resolve/main/w.pt", "MIT", "here"))
    assert kept(tmp_path) == []
    state.linked = SHA256
    assert fetch(Weights(f"{address}/resolve/main/w.pt", "MIT", "here")).read_bytes() == DATA


def test_a_file_that_is_not_there_is_asked_for_once(host: tuple[Host, str], tmp_path: Path) -> None:
    with pytest.raises(ExtractorError, match="could not be fetched"):
        fetch(Weights("http://127.0.0.1:9/w.pt", "MIT", "here"))
    assert kept(tmp_path) == []


def test_a_file_of_a_git_repository_is_compared_with_its_id_there(host: tuple[Host, str], tmp_path: Path) -> None:
    _, address = host
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert git_blob_id(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"  # as `git hash-object` says
    blob = hashlib.sha1(b"blob 1048576\0" + DATA).hexdigest()
    with pytest.raises(ExtractorError, match=f"git blob id {blob} and should have 73a4fd1d: it was not kept"):
        fetch(Weights(f"{address}/w.pt", "MIT", "here", git_blob="73a4fd1d"))
    assert kept(tmp_path) == []
    path = fetch(Weights(f"{address}/w.pt", "MIT", "here", git_blob=blob))
    path.write_bytes(DATA[:-1])
    with pytest.raises(ExtractorError, match=f"should have {blob}: delete that file"):
        fetch(Weights(f"{address}/w.pt", "MIT", "here", git_blob=blob))


def test_files_of_one_name_and_different_addresses_are_kept_apart(host: tuple[Host, str]) -> None:
    _, address = host
    first, second = (
        fetch(Weights(f"{address}/{one}/model.safetensors", "unknown", "a person", anybodys=True)) for one in "ab"
    )
    assert first != second
    assert first.name == second.name == "model.safetensors"
    hub = "https://huggingface.co/{}/resolve/main/model.safetensors"
    places = {Weights(hub.format(name), "MIT", "there").place for name in ("timm/one", "timm/two", "other/one")}
    assert len(places) == 3


def test_published_weights_are_checked_and_of_one_commit() -> None:
    for name in own_names():
        for card in card_of(name)["weights"].values():
            said = " ".join(map(str, card.values()))
            assert "/main/" not in said, name
            assert "no digest is published" not in said, name
            assert card["checked"], name
