"""Addresses that yt-dlp reads, on a site on loopback: politely, once each, and nothing but what is named lands."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from csmv.pipeline.collect import collect
from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.collect_settings import Manners
from csmv.pipeline.sources.ytdlp import Ytdlp, YtdlpSource
from csmv.pipeline.store import Store

MOVIE = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"


class Site:
    """A site with one film and one address that leads nowhere; `asked` are the paths that were asked for."""

    def __init__(self) -> None:
        self.robots = ""
        self.asked: list[str] = []
        site = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                if self.path == "/robots.txt" and site.robots:
                    self._answer(200, "text/plain", site.robots.encode())
                elif self.path == "/films/sea.mp4":
                    self._answer(200, "video/mp4", MOVIE)
                else:
                    self._answer(404, "text/plain", b"")

            do_HEAD = do_GET

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    running = Site()
    yield running
    running.server.shutdown()


def root(tmp_path: Path, section: YtdlpSource) -> Store:
    return Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=2, source=section))


def test_an_address_is_read_once_and_one_that_fails_is_left(site: Site, tmp_path: Path) -> None:
    urls = (f"{site.address}/films/sea.mp4", f"{site.address}/films/nothing")
    section = YtdlpSource(urls=urls, manners=Manners(interval_s=1))
    store, source = root(tmp_path, section), Ytdlp(section)

    report = collect(store, source, Reach())

    assert (report.landed, report.left) == (1, 1)
    videos = [video.video_id for shard in store.shards() for video in source.rows(store, shard).videos]
    assert videos == ["generic-sea"]
    assert site.asked[0] == "/robots.txt"
    assert [row["reason"] for row in store.read_all("failures/collect").to_pylist()] == ["network"]
    site.asked.clear()
    assert collect(store, source, Reach()).landed == 0
    assert "/films/sea.mp4" not in site.asked


def test_robots_txt_is_obeyed_on_any_site(site: Site, tmp_path: Path) -> None:
    site.robots = "User-agent: *\nDisallow: /films/\n"
    section = YtdlpSource(urls=(f"{site.address}/films/sea.mp4",))

    with pytest.raises(CsmvError, match=r"robots\.txt disallows"):
        collect(root(tmp_path, section), Ytdlp(section), Reach())

    assert site.asked == ["/robots.txt"]


def test_tiktoks_addresses_belong_to_the_web_source() -> None:
    with pytest.raises(ValueError, match="kind web"):
        YtdlpSource(urls=("https://www.tiktok.com/@x/video/7679402590399889401",))
    with pytest.raises(ValueError, match="path, urls"):
        YtdlpSource()
