"""`csmv scrub` on JSONL and JSON as people have it: nothing lost, nothing told that is not so."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from csmv.flows.cli import build_app
from csmv.pipeline.errors import CsmvError


class Done(NamedTuple):
    """What a command wrote to its two streams, and the sentence that it ended with."""

    out: bytes
    told: str
    ended: str


Scrub = Callable[..., Done]
ROW = '{{"id": 1.0e3, "text": "{}", "z": [1,  2], "big": 123456789012345678901}}'


@pytest.fixture
def scrub(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Scrub:
    """The command in this process; an error that would end it is its last sentence."""

    def run(data: str | bytes, *arguments: str) -> Done:
        given = data.encode() if isinstance(data, str) else data
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(given))))
        ended = ""
        try:
            build_app()(["scrub", *arguments], standalone_mode=False)
        except CsmvError as error:
            ended = f"{type(error).__name__}: {error}"
        sys.stdout.flush()
        out, told = capfdbinary.readouterr()
        return Done(out, told.decode(), ended)

    return run


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_every_other_byte_stays_in_any_encoding(scrub: Scrub, encoding: str, end: str) -> None:
    text = f"{ROW}\r\n\n{ROW}\n \t\n{ROW}{end}"
    done = scrub(text.format("hi @kayla_rose é", "clean \\u00e9", "😂 a@b.com").encode(encoding))
    assert done.out == text.format("hi <USERNAME> é", "clean \\u00e9", "😂 <EMAIL>").encode(encoding)
    assert (done.ended, "5 lines, 2 with personal data: EMAIL 1, USERNAME 1." in done.told) == ("", True)


def test_utf_16_without_a_mark_is_read_too(scrub: Scrub) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert scrub("hi @kayla_rose\n".encode(encoding)).out == "hi <USERNAME>\n".encode(encoding)


def test_nested_fields_lists_and_several_fields(scrub: Scrub) -> None:
    row = '{{"c" : [{{"t":"{0}"}},{{"t":null}},{{}}], "a.b": {{"tags":["{0}", "ok"]}}, "title":"{0}", "text":"{1}"}}'
    fields = ("--field", "c[].t", "--field", '"a.b".tags[]', "--field", "title")
    done = scrub(row.format("@kayla_rose", "@kayla_rose"), *fields)
    assert done.out.decode() == row.format("<USERNAME>", "@kayla_rose")
    assert "1 lines, 1 with personal data: USERNAME 3. 1 have null in one." in done.told


def test_a_key_that_stands_twice_hides_nothing(scrub: Scrub) -> None:
    assert scrub('{"text": "@kayla_rose", "text": "x"}').out == b'{"text": "<USERNAME>", "text": "x"}'


def test_rows_without_the_field_or_with_null_pass_and_are_counted(scrub: Scrub) -> None:
    data = '{"text": "@kayla_rose"}\n{"id": 2}\n{"text": null}\n{"text": ""}\n'
    done = scrub(data)
    assert done.out.decode() == data.replace("@kayla_rose", "<USERNAME>")
    assert (done.ended, "1 lack a field. 1 have null in one." in done.told) == ("", True)


@pytest.mark.parametrize(
    ("data", "fields", "advice"),
    [
        ('{"id": 1, "body": "@kayla_rose"}', (), "there is 'body'"),
        ('{"text": "@kayla_rose"}', ("texd",), "there is 'text'"),
        ('{"a.b": "@kayla_rose"}', ("a.b",), """write --field '"a.b"'"""),
        ('{"kayla_rose": 1}', ("text",), "name the right one"),
        ('{"text": "@kayla_rose"}', ("text", "reply.text"), "'reply.text?' if it may be missing"),
    ],
)
def test_a_field_that_is_in_no_row_is_an_error_before_anything_is_written(
    scrub: Scrub, data: str, fields: Sequence[str], advice: str
) -> None:
    done = scrub(f"{data}\n" * 3, *(word for field in fields for word in ("--field", field)))
    assert done.out == b""
    assert done.ended.startswith("CsmvError: The field '")
    assert advice in done.ended
    assert "kayla" not in done.told + done.ended


def test_a_field_that_may_be_missing_is_said_to(scrub: Scrub) -> None:
    done = scrub('{"text": "@kayla_rose"}\n', "--field", "text", "--field", "reply.text?")
    assert (done.out, done.ended) == (b'{"text": "<USERNAME>"}\n', "")


def test_a_mistyped_field_in_a_long_stream_lets_nothing_through(scrub: Scrub) -> None:
    done = scrub('{"text": "@kayla_rose"}\n' * 12_000, "--field", "tetx")
    assert done.out == b""
    assert "in none of the first 10,000 rows" in done.ended


BAD = [
    '{"text": "@kayla_rose',
    "no json, \\u0040kayla_rose",
    '{"text": ["x"], "kayla@b.com": "\\u0040kayla_rose"}',
    '["@kayla_rose"]',
    '{"text": "x"} {"text": "@kayla_rose"}',
]


@pytest.mark.parametrize("bad", BAD)
def test_a_broken_row_is_told_and_scrubbed_whole(scrub: Scrub, bad: str) -> None:
    done = scrub(f'{{"text": "a"}}\n{bad}\n{{"text": "b"}}\n')
    first, middle, last = done.out.decode().splitlines()
    assert (first, last) == ('{"text": "a"}', '{"text": "b"}')
    assert "<USERNAME>" in middle
    assert "kayla" not in middle
    assert done.told.startswith("Line 2 was expected to be a JSON object with text in the field 'text', and ")
    assert done.ended.startswith(
        "UnfinishedError: 1 of 3 lines could not be read as asked, and each was scrubbed whole"
    )
    assert "kayla" not in done.told + done.ended


@pytest.mark.parametrize("bad", BAD)
def test_a_broken_row_stops_passes_or_is_dropped_as_asked(scrub: Scrub, bad: str) -> None:
    before, after = '{"text": "<USERNAME>"}\n', '{"text": "b"}\n'
    data = f"{before}{bad}\n{after}".replace("<USERNAME>", "@kayla_rose", 1)
    stopped, passed, dropped = (scrub(data, "--bad-rows", what) for what in ("stop", "pass", "drop"))
    assert (stopped.out.decode(), stopped.ended[:33]) == (before, "CsmvError: Line 2 was expected to")
    assert (passed.out.decode(), passed.ended[:15]) == (f"{before}{bad}\n{after}", "UnfinishedError")
    assert "perhaps with personal data" in passed.ended
    assert (dropped.out.decode(), dropped.ended[:15]) == (before + after, "UnfinishedError")


def test_what_is_valid_json_stays_so_when_it_is_scrubbed_whole(scrub: Scrub) -> None:
    done = scrub('{"text": 4111111111111111, "x": ["\\"@kayla_rose\\"", 1.50, null]}\n')
    assert done.out == b'{"text": "<CREDIT_CARD>", "x": ["\\"<USERNAME>\\"", 1.50, null]}\n'


@pytest.mark.parametrize("how", [[], ["--json"], ["--bad-rows", "drop"]])
def test_a_review_tells_broken_rows_and_writes_its_page(scrub: Scrub, tmp_path: Path, how: list[str]) -> None:
    page = tmp_path / "page.html"
    done = scrub('{"text": "hi @kayla_rose"}\n{"text": 5}\n', "--review", str(page), *how)
    assert "@kayla_rose" in page.read_text()
    assert done.ended.startswith("UnfinishedError: 1 of 2 lines could not be read as asked")
    assert "line 2" in done.told.lower() and "kayla" not in done.told
    assert scrub('{"text": "hi @kayla_rose"}\n', "--review", str(page), *how).ended == ""


def test_many_broken_rows_are_counted_and_some_told(scrub: Scrub) -> None:
    done = scrub('{"text": "a"}\n' + "nothing\n" * 700 + '{"text": "b"}\n' * 700)
    assert done.told.count("was expected to be") == 20
    assert "700 of 1,401 lines" in done.ended


def test_documents_keep_their_layout(scrub: Scrub) -> None:
    rows = [{"text": "hi @kayla_rose", "n": [1.5, {}]}, {"text": "ok"}]
    for data in (json.dumps(rows), json.dumps(rows, indent=2) + "\n", "\n".join(json.dumps(r, indent=1) for r in rows)):
        done = scrub(data)
        assert done.out.decode() == data.replace("@kayla_rose", "<USERNAME>")
        assert (done.ended, "2 rows, 1 with personal data" in done.told) == ("", True)


def test_a_document_that_breaks_off_is_an_error_behind_what_was_whole(scrub: Scrub) -> None:
    done = scrub('[{"text": "@kayla_rose"}, {"text": "x"')
    assert done.out == b'[{"text": "<USERNAME>"}'
    assert "breaks off at line 1, in row 2" in done.ended


def test_json_and_explain_say_which_text_of_a_row(scrub: Scrub) -> None:
    data = '{"c": [{"t": "x"}, {"t": "hi @kayla_rose"}]}\n{"c": []}\n'
    made = [json.loads(line) for line in scrub(data, "--field", "c[].t", "--json").out.splitlines()]
    assert [row["row"] for row in made] == [1, 2]
    assert made[0]["texts"][1] == {"field": "c[1].t", "text": "hi <USERNAME>", "kinds": ["USERNAME"]}
    assert "line 1, c[1].t: 3-14 USERNAME" in scrub(data, "--field", "c[].t", "--explain").told
    assert scrub('{"text": null}\n', "--json").out == b'{"text": null, "kinds": []}\n'


def test_the_bytes_are_the_same_by_any_number_of_processes(
    scrub: Scrub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csmv.pipeline.scrub_pool._WORTH_IT", 300)
    rows = [f'{{"n": {n}, "text": "{n} @user_number_{n}"}}\n' for n in range(2000)]
    rows[700], rows[1500], rows[1700] = "broken @kayla_rose\n", '{"n": 1}\n', "\n"
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(rows), encoding="utf-16")
    one, two = (scrub(b"", str(path), "--explain", "--jobs", jobs) for jobs in "12")
    assert one == two
    piped = scrub(path.read_bytes(), "--explain", "--jobs", "2")
    assert piped == one
    assert "Line 701 was expected" in one.told


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_reader_that_leaves_ends_it_quietly(environment: dict[str, str], tmp_path: Path, jobs: str) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("hi @kayla_rose\n" * 60_000)
    script = (
        "import sys; from csmv.pipeline import scrub_pool; scrub_pool._WORTH_IT = 1000; "
        "from csmv.flows.cli import main; main()"
    )
    command = [sys.executable, "-c", script, "scrub", str(path), "--jobs", jobs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"hi <USERNAME>\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) != 0


def test_a_one_line_scrub_loads_nothing_heavy(environment: dict[str, str]) -> None:
    heavy = ("spacy", "presidio_analyzer", "torch", "prefect", "playwright", "pyarrow", "numpy", "phonenumbers")
    script = (
        "import sys; sys.argv = ['csmv', 'scrub']; from csmv.flows.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, input="hi @kayla_rose\n", capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "hi <USERNAME>\n[]\n"
