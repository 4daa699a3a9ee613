"""`csmv scrub`, `audit` and `forget` as a person runs them."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from csmv.flows.cli import build_app
from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.report import facts
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.store import Store

Scrub = Callable[..., tuple[bytes, bytes]]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def in_a_process(data: bytes, environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "csmv.flows.cli", "scrub", *arguments]
    return subprocess.run(command, input=data, capture_output=True, env=environment, timeout=300, check=False)


@pytest.fixture
def scrub(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Scrub:
    """The command in this process, where Presidio need not be loaded anew: what it wrote to both streams."""

    def run(data: bytes, *arguments: str) -> tuple[bytes, bytes]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        build_app()(["scrub", *arguments], standalone_mode=False)
        sys.stdout.flush()
        return capfdbinary.readouterr()

    return run


def test_lines_keep_their_order_and_every_other_byte(environment: dict[str, str]) -> None:
    data = "hi @kayla_rose 😂\r\n\n".encode() + b"\xff\xfe raw @bob_99\nlast line, no end"
    done = in_a_process(data, environment)
    assert done.returncode == 0
    assert done.stdout == "hi <USERNAME> 😂\r\n\n".encode() + b"\xff\xfe raw <USERNAME>\nlast line, no end"
    assert b"4 lines, 2 with personal data: USERNAME 2." in done.stderr


def test_json_lines_pass_their_other_fields_through(scrub: Scrub) -> None:
    lines = [
        '{"id": 1.0e3, "text": "mail a@b.com \\u00e9", "z": [1,  2], "big": 123456789012345678901}',
        '{"text":"clean \\u00e9","a":1}',
        '{"nested": {"text": "@not_this_one"}, "text": "ask \\ud83d @kayla_rose"}',
    ]
    out = scrub("\n".join(lines).encode())[0].decode().split("\n")
    assert out[0] == '{"id": 1.0e3, "text": "mail <EMAIL> é", "z": [1,  2], "big": 123456789012345678901}'
    assert out[1] == lines[1]
    assert out[2] == '{"nested": {"text": "@not_this_one"}, "text": "ask \\ud83d <USERNAME>"}'


def test_another_field_a_file_and_two_processes(scrub: Scrub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csmv.pipeline.scrub_pool._WORTH_IT", 1000)
    rows = [{"n": n, "comment": f"{n} @user_number_{n}"} for n in range(5000)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done, _ = scrub(b"", str(tmp_path / "in.jsonl"), "--field", "comment", "--jobs", "2")
    out = [json.loads(line) for line in done.splitlines()]
    assert out == [{"n": n, "comment": f"{n} <USERNAME>"} for n in range(5000)]


def test_each_word_given_goes_and_ordinary_ones_are_told(scrub: Scrub, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("brimworth\nzq\nlove\n!best\n# a comment\n")
    text = b"Brimworth, ZQ and I love the best\n"
    out, told = scrub(text, "--names", str(tmp_path / "names.txt"))
    assert out == b"<USERNAME>, <USERNAME> and I love the <USERNAME>\n"
    assert b"1 of 4 words to remove are ordinary words and stay; --show-spared says which. A ! at" in told
    assert b"love" not in told
    assert b"and stay: love. A !" in scrub(text, "--names", str(tmp_path / "names.txt"), "--show-spared")[1]


def test_the_language_of_a_stream_chooses_a_policys_rules(scrub: Scrub, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("scrub: {languages: {de: {username: {replace: '[wer]'}}}}\n")
    assert scrub(b"hi @kayla_rose\n", "--policy", str(policy), "--language", "de")[0] == b"hi [wer]\n"
    assert scrub(b"hi @kayla_rose\n", "--policy", str(policy))[0] == b"hi <USERNAME>\n"


def test_words_are_put_on_a_roots_lists_and_hold_in_a_stream(
    scrub: Scrub, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    root = str(tmp_path / "root")
    Store.create(root, DatasetConfig(name="x", n_shards=1, source=FolderSource(path=str(folder))))
    (tmp_path / "deny.txt").write_text("brimworth\nlove\n")
    (tmp_path / "decisions.json").write_text(json.dumps({"allow": ["starclub77"], "deny": ["zq"]}))
    words = ["words", "--root", root, "--deny", str(tmp_path / "deny.txt"), "--from", str(tmp_path / "decisions.json")]

    build_app()(words, standalone_mode=False)
    said = capfdbinary.readouterr().out.decode()
    assert "allow: 1 words, 1 of them new." in said and "deny: 3 words, 3 of them new." in said
    assert "1 of them are ordinary words and stay in texts; --show says which" in said
    assert not any(word in said for word in ("brimworth", "love", "starclub77", "zq"))
    build_app()(["words", "--root", root, "--json"], standalone_mode=False)
    assert json.loads(capfdbinary.readouterr().out)["deny"] == {"words": 3, "new": 0, "moved": 0, "ordinary": 1}
    build_app()(["words", "--root", root, "--show"], standalone_mode=False)
    assert b"stay in texts: love." in capfdbinary.readouterr().out

    text = b"@starclub77 and @kayla_rose at zq\n"
    scrubbed = b"@starclub77 and <USERNAME> at <USERNAME>\n"
    assert scrub(text, "--root", root)[0] == scrubbed
    assert scrub(text, "--policy", f"{root}/dataset.yaml")[0] == scrubbed


def test_explain_says_where_what_who_and_how_surely(scrub: Scrub) -> None:
    out, told = scrub(b"hi @kayla_rose\n", "--explain")
    assert out == b"hi <USERNAME>\n"
    assert b"line 1: 3-14 USERNAME 0.95 HandleRecognizer/mention" in told
    made = json.loads(scrub(b"hi @kayla_rose\n", "--explain", "--json")[0])
    assert made["text"] == "hi <USERNAME>"
    assert made["kinds"] == ["USERNAME"]
    assert made["spans"] == [
        {"start": 3, "end": 14, "kind": "USERNAME", "score": 0.95, "recognizer": "HandleRecognizer/mention"}
    ]


def test_values_are_named_only_when_asked_for(scrub: Scrub) -> None:
    assert b"kayla_rose" not in scrub(b"hi @kayla_rose\n", "--explain")[1]
    told = scrub(b"hi @kayla_rose\n", "--explain", "--show-values")[1]
    assert b"line 1: 3-14 USERNAME 0.95 HandleRecognizer/mention '@kayla_rose'\n" in told
    (span,) = json.loads(scrub(b"hi @kayla_rose\n", "--explain", "--show-values", "--json")[0])["spans"]
    assert span["value"] == "@kayla_rose"
    with pytest.raises(UsageError, match="--explain"):
        scrub(b"hi @kayla_rose\n", "--show-values")


def test_a_review_writes_a_page_and_no_text(scrub: Scrub, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    out, told = scrub(b'{"body": "hi @kayla_rose"}\n', "--field", "body", "--review", str(page))
    assert (out, "@kayla_rose" in page.read_text(), b"kayla_rose" in told) == (b"", True, False)
    assert b"1 texts, 1 with personal data" in told and b"shows personal data" in told
    counts = json.loads(scrub(b"hi @kayla_rose\n", "--review", str(page), "--json")[0])
    assert counts["rules"][0]["kind"] == "USERNAME" and "kayla" not in json.dumps(counts)
    with pytest.raises(UsageError, match="Where should the page go"):
        scrub(b"hi @kayla_rose\n", "--review")


def test_a_policy_and_names_from_files(scrub: Scrub, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("scrub:\n  email: {enabled: false}\n  username: {operator: remove}\n")
    (tmp_path / "names.txt").write_text("lunarpost77\n")
    files = ("--policy", str(tmp_path / "policy.yaml"), "--names", str(tmp_path / "names.txt"))
    assert scrub(b"a@b.com by lunarpost77!\n", *files)[0] == b"a@b.com by !\n"


@pytest.mark.parametrize(
    ("arguments", "data", "sentence"),
    [
        (["--format", "jsonl"], b"not json @kayla_rose\n", "Line 1 was expected to be a JSON object"),
        (["--bad-rows", "stop"], b'{"text": "x"}\n{"text": ["@kayla_rose"]}\n', "Line 2 was expected"),
        ([], b'{"other": "@kayla_rose"}\n', "'text' is in no row"),
        (["--field", "a..b"], b'{"a": 1}\n', "'a..b' can't be read at '.b'"),
        (["nowhere.txt"], b"", "'nowhere.txt' is not there"),
    ],
)
def test_what_is_wrong_is_one_sentence(scrub: Scrub, arguments: list[str], data: bytes, sentence: str) -> None:
    with pytest.raises(CsmvError) as raised:
        scrub(data, *arguments)
    assert sentence in str(raised.value)
    assert "kayla_rose" not in str(raised.value)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("CSMV_PSEUDONYM_KEY", raising=False)
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "v1.mp4").write_bytes(b"never decoded here")
    row = {"id": "7679404102228370001", "video": "v1", "text": "by lunarpost77", "author": "lunarpost77"}
    (folder / "comments.jsonl").write_text(json.dumps(row) + "\n")
    source = FolderSource(path=str(folder))
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=1, source=source))
    ingest(store, source_of(source), read_config(store).scrub, store.key())
    return store


def test_an_audit_fails_on_a_hit_and_names_no_one(root: Store, csmv: Run) -> None:
    clean = csmv("audit", root.root)
    assert clean.returncode == 0, clean.stderr
    assert "nothing personal found" in clean.stdout
    root.write_file("logs/run.log", b"failed for lunarpost77\n")
    dirty = csmv("audit", root.root, "--json")
    assert dirty.returncode == 1
    assert json.loads(dirty.stdout)["hits"] == [
        {"file": "logs/run.log", "place": "line 1", "kind": "KNOWN_NAME", "count": 1}
    ]
    assert "lunarpost77" not in dirty.stdout + dirty.stderr


def test_a_root_is_reviewed_in_its_private_part_and_nowhere_else(root: Store, csmv_inside: Run, tmp_path: Path) -> None:
    done = csmv_inside("scrub", "--root", root.root, "--review")
    assert done.returncode == 0, done.stderr
    page = Path(root.root) / "private" / "review" / "scrub.html"
    assert str(page) in done.stderr and done.stdout == ""
    assert "<mark" in page.read_text() and "lunarpost77" in page.read_text()
    assert (page.stat().st_mode & 0o777, page.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    named = csmv_inside("scrub", "--root", root.root, "--review", "private/review/second.html")
    assert named.returncode == 0 and (page.parent / "second.html").is_file(), named.stderr
    lines = tmp_path / "lines.txt"
    lines.write_text("by lunarpost77, hi\n")
    for place, arguments in (
        (Path(root.root) / "page.html", ["--root", root.root]),
        (Path(root.root) / "page.html", [lines]),
        (Path(root.root) / "private" / ".." / "page.html", [lines]),
        (tmp_path / "page.html", ["--root", root.root]),
    ):
        refused = csmv_inside("scrub", *arguments, "--review", place)
        assert refused.returncode == 1 and "private/" in refused.stderr, refused.stderr
        assert not place.exists()
    assert csmv_inside("scrub", lines, "--root", root.root, "--review").returncode == 0
    assert "lunarpost77" in (page.parent / "stream.html").read_text()
    assert csmv_inside("audit", root.root).returncode == 0

    counted = facts(root)["review"]
    assert (counted["texts"], counted["touched"], counted["is_current"]) == (1, 1, True)
    assert csmv_inside("report", "--root", root.root).returncode == 0
    report = root.read_file("reports/index.html").decode()
    assert "Gazetteer/known name" in report and "private/review/second.html" in report and "<mark" not in report
    assert csmv_inside("audit", root.root).returncode == 0

    comments = root.read("comments", 0)
    assert comments is not None
    root.write("comments", 0, comments, made_from="another policy")
    assert facts(root)["review"]["is_current"] is False

    assert csmv_inside("forget", "--root", root.root, "--handle", "lunarpost77").returncode == 0
    assert facts(root)["review"] is None
    assert list(page.parent.iterdir()) == []


def test_an_audit_fails_on_what_it_can_not_open(root: Store, csmv: Run) -> None:
    root.write_file("release/all.zip", b"PK\x03\x04 cut short")
    done = csmv("audit", root.root)
    assert done.returncode == 1
    assert "release/all.zip: could not be searched: it is damaged or locked as ZIP" in done.stdout
    assert "1 could not be searched whole" in done.stdout


def test_forgetting_says_what_it_removed(root: Store, csmv: Run) -> None:
    done = csmv("forget", "--root", root.root, "--handle", "@lunarpost77")
    assert done.returncode == 0, done.stderr
    assert "comments/0000.parquet: 1 removed" in done.stdout
    assert "Forgotten: 1 comments and 0 videos." in done.stdout
    assert root.read_all("comments").num_rows == 0
    nothing = csmv("forget", "--root", root.root)
    assert nothing.returncode == 2
    assert "Say what to forget" in nothing.stderr
    unknown = csmv("forget", "--root", root.root, "--handle", "@nobody.here")
    assert unknown.returncode == 1
    assert "not known in the root" in unknown.stderr
    assert "Forgotten" not in unknown.stdout
