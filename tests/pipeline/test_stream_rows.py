"""The rows of a stream: what it is found to hold, in which encoding, and that no byte of it is lost."""

import io
import json
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csmv.pipeline import stream_rows
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub.policy import StreamSettings
from csmv.pipeline.stream_rows import Row, RowStream

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
TEXT = st.text(alphabet=st.sampled_from('ab"\\{}[],: \n\r\u0a0a\u2028é😂ਊ'), max_size=40)


def read(data: bytes, form: str = "auto") -> tuple[str, list[Row], bytes]:
    """The form of a stream, its rows, and all of its bytes again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
        with RowStream(StreamSettings.model_validate({"form": form}), None) as stream:
            rows = list(stream.rows())
            return stream.form, rows, stream.encoding.mark + b"".join(row.before + row.body for row in rows)


def marked(text: str, encoding: str) -> bytes:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    return f"{mark}{text}".encode(encoding)


@given(TEXT, st.sampled_from(ENCODINGS), st.sampled_from(["auto", "lines", "jsonl"]))
def test_rows_together_are_the_stream(text: str, encoding: str, form: str) -> None:
    data = marked(text, encoding)
    try:
        assert read(data, form)[2] == data
    except CsmvError as error:
        assert form == "auto" and "looks like a JSON document" in str(error)


@given(st.binary(max_size=40), st.sampled_from(["lines", "jsonl"]))
def test_bytes_that_are_no_text_are_kept(data: bytes, form: str) -> None:
    data = b"x" + data
    assert read(data, form)[2] == data


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("chunk", [2, 3, 7, 1 << 16])
def test_a_document_of_any_layout_comes_as_its_values(
    encoding: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_rows, "_CHUNK", chunk)
    values = [{"text": "one é \u0a0a", "n": -1.5e3}, {"text": 'tw"o', "nested": [{"a": [1, 2]}, "x"]}, {}]
    for text in (
        json.dumps(values, ensure_ascii=False),
        json.dumps(values, indent=2),
        "[\n" + ",\n".join(map(json.dumps, values)) + "\n]\n",
        "\n".join(json.dumps(value, indent="\t") for value in values),
    ):
        data = marked(text, encoding)
        form, rows, again = read(data)
        assert (form, again) == ("json", data)
        codec = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(encoding, encoding)
        assert [json.loads(row.body.decode(codec)) for row in rows if row.number] == values


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"a": 1}\n{"a": 2}\n', "jsonl"),
        ('\n\n {"a": 1}\n', "jsonl"),
        ('{"a": "cut of\n{"a": 1}\n{"a": 2}\n', "jsonl"),
        ('not json\n{"a": 1}\n', "jsonl"),
        ('{"a": 1}{"a": 2}\n', "json"),
        ('{\n  "a": [\n    {"b": 1}\n  ]\n}\n', "json"),
        ("[\n  {}\n]", "json"),
        ('[{"a": 1}]', "json"),
        ("[12:30] hi @x\n", "lines"),
        ("{lol}\n", "lines"),
        ('["a", "b"]\n["c"]\n', "lines"),
        ('one {"a": 1}\ntwo\nthree\n{"a": 1}\n', "lines"),
        ("", "lines"),
        ("\n\n", "lines"),
    ],
)
def test_what_a_stream_holds_is_told_by_its_first_lines(text: str, form: str) -> None:
    assert read(text.encode())[0] == form


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[{"a": 1}, {"a"', "breaks off at line 1, in row 2"),
        ('[\n{"a": 1},\n{"a": 2}\n', "breaks off at line 4, in row 2"),
        ('{"a": 1}{"a": 2}\n{"b": nonsense, "c": "and so on and on"}', "is no JSON at line 2, in row 3"),
        ('[{"a": 1}]]', "is no JSON at line 1, in row 2"),
    ],
)
def test_a_document_that_breaks_off_is_said_to(text: str, what: str) -> None:
    with pytest.raises(CsmvError, match=what):
        read(text.encode())


def test_utf_16_that_ends_within_a_character_is_an_error() -> None:
    [row] = read("hi\n".encode("utf-16")[:-1], "lines")[1]
    with pytest.raises(CsmvError, match="breaks off within a character"):
        stream_rows.encoding_of("hi".encode("utf-16")).decode(row.body)


@pytest.mark.parametrize("layout", ["array", "lines", "wide lines"])
def test_memory_does_not_grow_with_the_stream(layout: str, tmp_path: Path) -> None:
    row = json.dumps({"text": "x" * 500})
    text = {"array": f"[{', '.join([row] * 20_000)}]", "lines": f"{row}\n" * 20_000, "wide lines": f"{row}\n" * 10_000}
    path = tmp_path / "stream"
    path.write_text(text[layout], encoding="utf-16" if layout == "wide lines" else "utf-8")
    tracemalloc.start()
    with RowStream(StreamSettings(), path) as stream:
        assert sum(len(batch) for batch in stream.batches()) >= 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 2
