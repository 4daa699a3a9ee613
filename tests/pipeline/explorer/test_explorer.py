"""The explorer's answers and its server: what it shows, and to whom."""

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.labels import TASKS
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.privacy.review_settings import EXPLORER_PAGE
from csmv.pipeline.release.explorer import embedded_data, explorer_server
from csmv.pipeline.release.explorer.browsed_tables import NOTHING
from csmv.pipeline.release.explorer.comment_filter import comment_filter
from csmv.pipeline.release.explorer.embedded_data import write_explorer_page
from csmv.pipeline.release.explorer.explorer_server import Explorer, ExplorerServer, serving
from csmv.pipeline.store import Store

FIRST = "7" + "0" * 18


@pytest.fixture(scope="module")
def explorer(browsed_root: Store) -> Iterator[Explorer]:
    opened = Explorer(browsed_root)
    yield opened
    opened.close()


def test_what_there_is_to_choose_from(explorer: Explorer) -> None:
    about = explorer.answer("about", {})
    assert (about["videos"], about["comments"]) == (12, 120)
    assert about["hashtags"] == [["sea", 60], ["tide", 30], ["wave", 30]]
    assert [run["name"] for run in about["runs"]] == ["both", "words-only"]
    assert about["failures"] == [{"stage": "media", "reason": "truncated", "count": 1}]
    assert sum(about["splits"][0]["counts"]) == 108


def test_a_filter_lets_through_what_the_tables_say(browsed_root: Store, explorer: Explorer) -> None:
    comments = browsed_root.read_all("comments")
    asked = explorer.answer("comments", {"words": "LOVE", "hashtag": "sea"})
    here = pc.and_(
        pc.match_substring(comments["text"], "love", ignore_case=True),
        pc.is_in(comments["video_id"], value_set=_videos_with(browsed_root, "sea")),
    )
    assert asked["total"] == pc.sum(here).as_py() > 0
    assert all("love" in row["text"] for row in asked["rows"])
    assert explorer.answer("comments", {"opinion": "none"})["total"] == 12
    assert explorer.answer("comments", {"split": "video", "part": "test"})["total"] == 18
    assert {row["video"] for row in explorer.answer("comments", {"failure": "truncated"})["rows"]} == {
        "7" + "0" * 16 + "11"
    }
    assert len(explorer.answer("comments", {"page": "2"})["rows"]) == 20


def _videos_with(store: Store, hashtag: str) -> Any:
    rows = store.read_all("videos").to_pylist()
    import pyarrow as pa

    return pa.array([row["video_id"] for row in rows if hashtag in row["hashtags"]])


@pytest.mark.parametrize("task", TASKS)
def test_a_cell_of_the_confusion_matrix_has_as_many_comments_as_it_says(explorer: Explorer, task: str) -> None:
    cells = explorer.answer("confusion", {"run": "both", "task": task, "answered": "test"})["cells"]
    assert sum(map(sum, cells)) == 18
    for label, row in zip(TASKS[task], cells, strict=True):
        for predicted, count in zip(TASKS[task], row, strict=True):
            fields = {"run": "both", "task": task, "answered": "test", task: label, "predicted": predicted}
            assert explorer.answer("comments", fields)["total"] == count


def test_two_models_side_by_side(explorer: Explorer) -> None:
    both = {"run": "both", "against": "words-only", "task": "emotion"}
    totals = {
        name: explorer.answer("comments", both | {"outcome": name})["total"]
        for name in ("right", "wrong", "gained", "lost")
    }
    answered = 18 + explorer.answer("comments", {"run": "both", "answered": "dev"})["total"]
    assert totals["right"] + totals["wrong"] == answered
    assert 0 < totals["gained"] < totals["right"] and totals["lost"] <= totals["wrong"]
    for row in explorer.answer("comments", both | {"outcome": "gained"})["rows"]:
        assert row["a"][2] == row["emotion"] != row["b"][2]
    assert [row["a"] for row in explorer.answer("comments", {"run": "both", "opinion": "none"})["rows"]] == [None] * 12


def test_a_video_has_its_comments_and_failures_and_no_account(explorer: Explorer) -> None:
    video = explorer.answer("video", {"video": FIRST, "split": "video"})
    assert (video["video"]["hashtags"], video["video"]["seconds"], len(video["comments"])) == (["sea"], 4.0, 10)
    assert video["comments"][-1]["part"] == NOTHING and video["failures"] == []
    assert explorer.answer("video", {"video": "7" + "0" * 16 + "11"})["failures"][0]["reason"] == "truncated"
    assert explorer.answer("video", {"video": "nowhere"}) is None
    everything = json.dumps([explorer.answer(question, {}) for question in ("about", "comments", "videos", "failures")])
    assert "author-" not in everything and "creator-" not in everything


def test_there_are_no_windows_of_a_video_that_is_not_there(explorer: Explorer) -> None:
    assert explorer.answer("windows", {"run": "both", "video": "nowhere"}) is None
    with pytest.raises(UsageError, match="name both"):
        explorer.answer("windows", {"run": "both"})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"run": "../../private"}, "no run"),
        ({"run": "both' OR 1=1 --", "answered": "test"}, "no run"),
        ({"split": "video; DROP TABLE comments"}, "no split"),
        ({"opinion": "joy"}, "no opinion"),
        ({"video": "../private/key"}, "letters, digits"),
        ({"page": "-1"}, "number from 0"),
        ({"path": "/etc/passwd"}, "no field"),
        ({"part": "test"}, "name the split"),
        ({"predicted": "neutral"}, "name the run"),
        ({"run": "both", "outcome": "gained"}, "name the other"),
    ],
)
def test_what_there_can_not_be_is_refused(given: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        comment_filter(given, ["video"], ["both", "words-only"])


def test_words_and_hashtags_are_values_and_no_sql(explorer: Explorer) -> None:
    for text in ("'; DROP TABLE comments; --", "%", "' OR '1'='1"):
        assert explorer.answer("comments", {"words": text})["total"] == 0
        assert explorer.answer("videos", {"hashtag": text})["total"] == 0
    assert explorer.answer("about", {})["comments"] == explorer.answer("comments", {})["total"]


def test_a_query_can_open_no_file_and_change_no_setting(explorer: Explorer) -> None:
    import duckdb

    connection = explorer._database._connection
    for query in ("SELECT * FROM read_text('/etc/hostname')", "SET enable_external_access = true"):
        with pytest.raises(duckdb.Error):
            connection.execute(query)


# ---------------------------------------------------------------------- the server


@pytest.fixture(scope="module")
def server(browsed_root: Store) -> Iterator[ExplorerServer]:
    started = ExplorerServer(browsed_root)
    serving(started)
    yield started
    started.shutdown()
    started.server_close()


def ask(server: ExplorerServer, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_it_listens_on_this_machine_alone_and_answers_under_its_own_name_only(server: ExplorerServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    port = server.server_port
    assert ask(server, "/api/about", Host=f"localhost:{port}").status == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1.evil.example:{port}", ""):
        answer = ask(server, "/api/about", Host=host)
        assert (answer.status, b"comments" in answer.body) == (403, False)  # type: ignore[attr-defined]


def test_another_sites_page_gets_nothing(server: ExplorerServer) -> None:
    for site in ("cross-site", "same-site"):
        assert ask(server, "/api/about", Sec_Fetch_Site=site, Origin="https://evil.example").status == 403
    assert ask(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200
    for path in ("/", "/api/about", "/nowhere"):
        headers = dict(ask(server, path, Origin="https://evil.example").getheaders())
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_it_only_reads(server: ExplorerServer, method: str) -> None:
    assert ask(server, "/api/about", method).status == 501


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/private/key", 404),
        ("/../private/key", 404),
        ("/api/../private", 404),
        ("/api/video?video=..%2F..%2Fprivate", 400),
        ("/api/comments?run=%00", 400),
        ("/api/comments?words=%ff", 400),
        ("/api/comments?words=a&words=b", 400),
        ("/api/comments?words=" + "a" * 5000, 414),
        ("/api/video?video=nowhere", 404),
    ],
)
def test_a_strange_address_is_answered_with_a_sentence(server: ExplorerServer, path: str, status: int) -> None:
    answer = ask(server, path)
    assert answer.status == status
    assert json.loads(answer.body)["error"]  # type: ignore[attr-defined]


def test_a_port_that_is_taken_is_said(server: ExplorerServer, browsed_root: Store) -> None:
    with pytest.raises(CsmvError, match="is taken"):
        ExplorerServer(browsed_root, server.server_port)


def test_nothing_private_is_opened(browsed_root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    browsed_root.write_file("private/secret.txt", b"x")
    opened: list[str] = []
    path = Store.path
    monkeypatch.setattr(Store, "path", lambda store, relative: opened.append(relative) or path(store, relative))
    explorer = Explorer(browsed_root)
    for question in ("about", "comments", "videos", "failures"):
        explorer.answer(question, {})
    explorer.answer("video", {"video": FIRST, "run": "both"})
    explorer.close()
    assert opened and not [one for one in opened if one.startswith("private/") and "manifest" not in one]


# ---------------------------------------------------------------------- the page that holds its own data


def test_the_page_is_the_same_bytes_and_no_text_is_markup(browsed_root: Store) -> None:
    write_explorer_page(browsed_root)
    page = browsed_root.read_file(EXPLORER_PAGE)
    write_explorer_page(browsed_root)
    assert browsed_root.read_file(EXPLORER_PAGE) == page
    assert page.count(b"<script") == 2 and b"<img" not in page and b"window.ran" not in page
    assert b"https:" not in page and b"http:" not in page


def test_a_root_that_is_too_large_is_shown_in_part_and_the_page_says_so(
    browsed_root: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_explorer_page(browsed_root)
    whole = len(browsed_root.read_file(EXPLORER_PAGE))
    remarks = []
    remark = embedded_data._remark
    monkeypatch.setattr(embedded_data, "_remark", lambda *parts: remarks.append(remark(*parts)) or remarks[-1])
    monkeypatch.setattr(embedded_data, "MOST_BYTES", whole - 1500)
    write_explorer_page(browsed_root)
    assert len(browsed_root.read_file(EXPLORER_PAGE)) <= whole - 1500
    assert "of 120 comments, of videos chosen by chance" in remarks[-1]


def test_a_request_to_forget_removes_the_page(tmp_path: Path, browsed_root_maker: Callable[..., Store]) -> None:
    store = browsed_root_maker(tmp_path / "root", 6, 3)
    write_explorer_page(store)
    removal = forget(store, video_ids=[FIRST])
    assert not store.exists(EXPLORER_PAGE) and EXPLORER_PAGE in removal.files


def test_windows_are_asked_of_one_network_once(browsed_root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(_store: Store, run: str, texts: dict[str, list[str]]) -> None:
        asked.extend(texts)
        raise CsmvError("no network here")

    monkeypatch.setattr(explorer_server, "video_windows", refuse)
    explorer = Explorer(browsed_root)
    for _ in range(3):
        assert explorer.answer("windows", {"run": "both", "video": FIRST}) == {"why": "no network here"}
    explorer.close()
    assert asked == [FIRST]
