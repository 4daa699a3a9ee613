"""Where the texts of fields stand in a row of JSON, and what is said of a row that holds something else."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csmv.pipeline.errors import UsageError
from csmv.pipeline.json_fields import UnreadableError, all_texts, field_path, read_row, unescaped

JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["a", "b", "c.d", "é"]), inner, max_size=4)
    ),
    max_leaves=20,
)


def places(line: str, *fields: str) -> dict[str, str]:
    return {found.place: found.text for found in read_row(line, fields).texts}


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        ("text", ("text",)),
        ("reply.text", ("reply", "text")),
        ("comments[].text", ("comments", None, "text")),
        ("a[][]", ("a", None, None)),
        ("[].text", (None, "text")),
        ('"a.b".c', ("a.b", "c")),
        ('"say \\"x\\""', ('say "x"',)),
        ("with space", ("with space",)),
        (".text", ("text",)),
    ],
)
def test_a_field_is_keys_with_dots_and_lists_with_brackets(written: str, steps: tuple[str | None, ...]) -> None:
    assert field_path(written).steps == steps
    assert field_path(f"{written}?").steps == steps
    assert (field_path(written).optional, field_path(f"{written}?").optional) == (False, True)


@pytest.mark.parametrize("written", ["", "?", "a..b", "a.", "a.[]", "a[0]", "a[*]", "a.*", '"a', 'a"b"', "a]", '"\\q"'])
def test_a_field_that_can_not_be_read_is_refused(written: str) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        field_path(written)


def test_texts_are_found_in_objects_and_lists_at_any_depth() -> None:
    line = '{"c": [{"t": "one"}, {"t": null}, {}, {"t": "tw\\u006f"}], "a.b": {"x": ["three", "four"]}, "t": "other"}'
    assert places(line, "c[].t", '"a.b".x[]') == {
        "c[0].t": "one",
        "c[3].t": "two",
        '"a.b".x[0]': "three",
        '"a.b".x[1]': "four",
    }


def test_a_key_that_stands_twice_is_found_twice() -> None:
    assert [found.text for found in read_row('{"t": "one", "t": "two"}', ("t",)).texts] == ["one", "two"]


def test_a_field_may_be_text_here_and_a_list_of_objects_there() -> None:
    fields = ("content", "content[].text")
    assert places('{"content": "plain"}', *fields) == {"content": "plain"}
    assert places('{"content": [{"text": "part"}, {"image": 1}]}', *fields) == {"content[0].text": "part"}


def test_what_is_null_or_missing_is_told_apart() -> None:
    reading = read_row('{"a": null, "b": {}, "c": [], "d": null}', ("a", "b.x", "c[].x", "d.x", "e"))
    assert (reading.texts, reading.null, reading.missing) == ([], {0, 3}, {1, 4})
    assert reading.there == {0, 2, 3}, "an empty list lacks nothing"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"a": "x"', "is not JSON"),
        ('{"a": "x",}', "is not JSON"),
        ('{"a" "x"}', "is not JSON"),
        ('{a: "x"}', "is not JSON"),
        ("not json", "is not JSON"),
        ('{"a": "x"} {"a": "y"}', "holds something behind its JSON value"),
        ('"x"', "holds text and not an object"),
        ("null", "holds null and not an object"),
        ('["x"]', "holds a list and not an object"),
        ('{"a": 1.5}', "holds a number at 'a' and not text"),
        ('{"a": true}', "holds a truth value at 'a' and not text"),
        ('{"a": ["x"]}', "holds a list at 'a' and not text"),
        ('{"a": "x", "a": {}}', "holds an object at 'a' and not text"),
        ('{"z": ' + "[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_row_that_holds_something_else_is_said_to(line: str, what: str) -> None:
    with pytest.raises(UnreadableError, match=f"^{what}$"):
        read_row(line, ("a",))


@given(JSON, JSON, st.sampled_from([None, 2]), st.booleans())
def test_the_walk_ends_where_the_value_ends(
    before: object, after: object, indent: int | None, ascii_only: bool
) -> None:
    line = json.dumps({"before": before, "t": "here", "after": after}, indent=indent, ensure_ascii=ascii_only)
    [found] = read_row(line, ("t",)).texts
    assert line[found.start : found.end] == '"here"'


@given(JSON)
def test_all_texts_are_every_string_and_number(value: object) -> None:
    line = json.dumps(value)
    found = all_texts(line)
    assert [one.text for one in found] == list(strings_and_numbers(value))
    assert all(json.dumps(one.text) == line[one.start : one.end] or line[one.start] != '"' for one in found)


def strings_and_numbers(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings_and_numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_and_numbers(inner)
    elif isinstance(value, str):
        yield value
    elif not isinstance(value, bool | None):
        yield json.dumps(value)


def test_escapes_are_read_where_a_line_is_no_json() -> None:
    assert unescaped(r'{"a": "\u0040x\n\ud83d\ude02 \\ \"') == '{"a": "@x 😂 \\ "'
    assert unescaped("plain") == "plain"
