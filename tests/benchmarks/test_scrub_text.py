"""The benchmark of the scrub on other people's text reads what they have, and counts what a person said of it."""

import gzip
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import bench_scrub_text
from bench_scrub_text import Found, Hit, figures, find, judged_in, main, read_verdicts, samples, write_samples
from gold_suites import cases_in, recall
from text_sets import TextSet, text_sets, texts_of

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub import Scrubbed
from csmv.pipeline.scrub.scrubber import Span

TEXTS = ["so good, mail kayla@quillmar.org", "nothing here", "ask @kayla_r_91 about it"]


def _texts(file: Path, **said: str) -> list[str]:
    return [text for text in texts_of(file, **said) if text.strip()]


def test_text_is_read_whatever_form_it_has(tmp_path: Path) -> None:
    rows = [{"id": at, "comment": {"body": text}, "lang": "en"} for at, text in enumerate(TEXTS)]
    files = {
        "lines.txt": "\r\n".join([TEXTS[0], "", *TEXTS[1:]]).encode(),
        "marked.txt": "\n".join(TEXTS).encode("utf-8-sig"),
        "wide.txt": "\n".join(TEXTS).encode("utf-16"),
        "comma.csv": ("id,text,lang\n" + "".join(f'{at},"{text}",en\n' for at, text in enumerate(TEXTS))).encode(),
        "semicolon.csv": ("id;text\n" + "".join(f"{at};{text}\n" for at, text in enumerate(TEXTS))).encode(),
        "untitled.csv": "".join(f'{at},"{text}",en\n' for at, text in enumerate(TEXTS)).encode(),
        "tabs.tsv": ("text\tlabel\n" + "".join(f"{text}\tnone\n" for text in TEXTS)).encode(),
        "list.json": json.dumps(TEXTS).encode(),
        "records.json": json.dumps([{"lang": "en", "body": text} for text in TEXTS]).encode(),
        "records.jsonl": "".join(json.dumps({"lang": "en", "body": text}) + "\n" for text in TEXTS).encode(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(data))
    pq.write_table(pa.table({"lang": ["en"] * 3, "body": TEXTS}), tmp_path / "table.parquet")
    for file in sorted(tmp_path.iterdir()):
        assert _texts(file) == TEXTS, file.name
    (tmp_path / "nested.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert _texts(tmp_path / "nested.jsonl", column="comment.body") == TEXTS


def test_a_stray_quotation_mark_in_a_table_of_tabs_swallows_no_line(tmp_path: Path) -> None:
    file = tmp_path / "tweets.tsv"
    file.write_text('"so good\tnone\nnothing here\tnone\nreally" good\tnone\n', encoding="utf-8")
    assert _texts(file) == ['"so good', "nothing here", 'really" good']


def test_a_text_keeps_its_lines_and_its_odd_signs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"first line\nsecond line",1\nother words here,0\n', encoding="utf-8")
    assert _texts(tmp_path / "a.csv") == ["first line\nsecond line", "other words here"]
    (tmp_path / "a.txt").write_text("one\u2028two\x0cthree\nfour\n", encoding="utf-8")
    assert _texts(tmp_path / "a.txt") == ["one\u2028two\x0cthree", "four"]


def test_an_encoding_is_found_out_or_given(tmp_path: Path) -> None:
    words = "сегодня очень хорошая погода и мы идём гулять в парк вместе с друзьями\n" * 20
    (tmp_path / "ru.txt").write_bytes(words.encode("cp1251"))
    assert _texts(tmp_path / "ru.txt")[0] == words.split("\n")[0]
    assert _texts(tmp_path / "ru.txt", encoding="cp1251")[0] == words.split("\n")[0]
    (tmp_path / "cut.txt").write_bytes(("ça va très bien, merci\n" * 200).encode()[:-2] + b"\xc3")
    assert _texts(tmp_path / "cut.txt")[0] == "ça va très bien, merci"
    with pytest.raises(CsmvError, match="ascii"):
        _texts(tmp_path / "ru.txt", encoding="ascii")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,some words\n", encoding="utf-8")
    with pytest.raises(CsmvError, match="no column 'body'; it has id, text"):
        _texts(tmp_path / "a.csv", column="body")
    (tmp_path / "b.json").write_text("{", encoding="utf-8")
    with pytest.raises(CsmvError, match=r"b\.json"):
        _texts(tmp_path / "b.json")
    (tmp_path / "none").mkdir()
    for path in (tmp_path / "none", tmp_path / "missing"):
        with pytest.raises(CsmvError, match=path.name):
            text_sets([path])


def test_folders_that_say_what_they_are_are_sets_by_themselves(tmp_path: Path) -> None:
    for name, language in (("one", "English"), ("two", "German")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("other;words\n" + "\n".join(f"{name};{text}" for text in TEXTS))
        (tmp_path / name / "about.json").write_text(json.dumps({"language": language, "column": "words"}))
    (tmp_path / "two" / "picture.png").write_bytes(b"\x89PNG")
    sets = text_sets([tmp_path])
    assert [(one.name, one.about["language"], len(one.skipped)) for one in sets] == [
        ("one", "English", 0),
        ("two", "German", 1),
    ]
    assert list(sets[0].texts()) == TEXTS
    (tmp_path / "two" / "about.json").write_text('{"lingo": "de"}')
    with pytest.raises(CsmvError, match=r"about\.json"):
        text_sets([tmp_path])


def test_a_line_counts_once_and_every_finding_by_its_rule(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    (tmp_path / "b.txt").write_text("\n".join([*TEXTS, "call me: +44 20 7946 0018"]))
    sets = text_sets([tmp_path / "a.txt", tmp_path / "b.txt"])
    found = find(sets, jobs=1)
    assert dict(found.lines) == {"a.txt": 3, "b.txt": 1}
    assert [(hit.text_set, hit.kind) for hit in found.hits] == [
        ("a.txt", "EMAIL"),
        ("a.txt", "USERNAME"),
        ("b.txt", "PHONE"),
    ]
    told = figures(sets, found, {})
    assert told["lines"] == 4
    assert sum(rule["hits"] for rule in told["rules"].values()) == 3
    assert all(rule["false_per_10000"] is None and not rule["over"] for rule in told["rules"].values())


def _found(lines: int, hits: int) -> Found:
    found = Found(hits=[Hit("set", f"text {at}", 0, 4, "Rule/one", "PHONE") for at in range(hits)])
    found.lines["set"] = lines
    return found


def _told(lines: int, hits: int, said: list[str]) -> dict[str, object]:
    found = _found(lines, hits)
    verdicts = dict(zip([hit.key for hit in samples(found.hits, len(said))], said, strict=True))
    return figures([TextSet("set", ())], found, verdicts)["rules"]["Rule/one"]


def test_false_alarms_are_counted_if_all_were_judged_and_estimated_if_some_were() -> None:
    all_judged = _told(10_000, 4, ["right", "false: a time of day", "false: a time of day", "right"])
    assert (all_judged["false_per_10000"], all_judged["at_most_per_10000"], all_judged["over"]) == (2.0, 2.0, False)
    assert all_judged["mistakes"] == {"a time of day": 2}
    assert _told(9_000, 4, ["false", "false", "right", "right"])["over"]
    some = _told(10_000, 100, ["false"] + ["right"] * 19)
    assert some["false_per_10000"] == 5.0
    assert 5.0 < some["at_most_per_10000"] < 25.0
    assert not some["counted"]
    # None false among 20 of 100 doesn't say that none is.
    assert _told(10_000, 100, ["right"] * 20)["at_most_per_10000"] > 5


def test_samples_are_the_same_every_time_and_go_back_as_verdicts_without_text(tmp_path: Path) -> None:
    hits = _found(100, 50).hits
    chosen = samples(hits, 20)
    assert chosen == samples(list(reversed(hits)), 20)
    assert len(chosen) == 20
    assert set(samples(hits, 10)) <= set(chosen)
    file = tmp_path / "samples.tsv"
    write_samples(file, chosen, {chosen[0].key: "right"})
    assert file.stat().st_mode & 0o077 == 0
    lines = file.read_text(encoding="utf-8").splitlines()
    assert "⟦text⟧" in lines[1]
    file.write_text("\n".join([*lines[:2], "false: a word" + lines[2], *lines[3:]]), encoding="utf-8")
    assert judged_in(file) == {chosen[0].key: "right", chosen[1].key: "false: a word"}
    file.write_text("\n".join([lines[0], "maybe" + lines[2]]), encoding="utf-8")
    with pytest.raises(CsmvError, match="neither 'right' nor 'false'"):
        judged_in(file)


def test_samples_are_never_written_into_the_project() -> None:
    file = Path(bench_scrub_text.HERE) / "samples.tsv"
    with pytest.raises(CsmvError, match="outside"):
        write_samples(file, [], {})
    assert not file.exists()


def test_from_a_folder_to_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder, judged, verdicts = tmp_path / "texts", tmp_path / "samples.tsv", tmp_path / "verdicts.json"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(TEXTS))
    measured = tmp_path / "measured.json"
    measured.write_text('{"date": "2020-01-01"}')
    monkeypatch.setattr(bench_scrub_text, "MEASURED", measured)
    monkeypatch.setattr(bench_scrub_text, "RESULTS", tmp_path / "scrub_text_results")
    main([str(folder), "--samples", str(judged)])
    lines = judged.read_text(encoding="utf-8").splitlines()
    said = [lines[0], *("false: a test" + line for line in lines[1:])]
    judged.write_text("\n".join(said), encoding="utf-8")
    main([str(folder), "--judged", str(judged), "--verdicts", str(verdicts), "--write"])
    assert set(read_verdicts(verdicts).values()) == {"false: a test"}
    results = json.loads((tmp_path / "scrub_text_results.json").read_text(encoding="utf-8"))
    assert all(rule["over"] for rule in results["rules"].values())
    told = json.loads(measured.read_text())
    assert told["date"] == "2020-01-01"
    assert (
        told["public_text"] | {"lines": 3, "hits": 2, "judged": 2, "false": 2, "rules_over": 2} == told["public_text"]
    )
    written = [verdicts.read_text(), json.dumps(results), measured.read_text(), capsys.readouterr().out]
    written.append((tmp_path / "scrub_text_results.md").read_text(encoding="utf-8"))
    assert not [one for one in written if "kayla" in one or str(tmp_path) in one]


def test_suites_that_others_marked_are_read_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "tests" / "test_email_recognizer.py").write_text(
        "import pytest\n\n\n@pytest.mark.parametrize('text, number, places', [\n"
        "    ('mail kayla@quillmar.org', 1, ((5, 23),),),\n    ('mail nobody', 0, (),),\n    # a stray row\n"
        "    (make(), 1, ((0, 3),),),\n])\ndef test_it(text, number, places): pass\n"
    )
    (tmp_path / "tests" / "test_detector_twitter.py").write_text(
        "class Test:\n    def create_docstring(self, one):\n"
        '        return "BEFORE: ask %s AFTER: ask {{TWITTER}}" % one\n\n'
        "    def test_one(self):\n        '''\n        BEFORE: mail kayla@quillmar.org, or @kayla_r_91\n"
        "        AFTER: mail {{EMAIL}}, or {{TWITTER}}\n        '''\n\n"
        "    def test_two(self):\n        self.check_names('@kayla_r_92')\n"
    )
    rows = [{"entity_type": "PHONE_NUMBER", "start_position": 5, "end_position": 21}]
    rows.append({"entity_type": "PERSON", "start_position": 0, "end_position": 4})
    (tmp_path / "data" / "made.json").write_text(json.dumps([{"full_text": "Kay: +44 20 7946 0018", "spans": rows}]))
    cases = cases_in(tmp_path)
    assert sorted((one.suite, one.label, [one.text[start:end] for start, end in one.spans]) for one in cases) == [
        ("Presidio", "email", ["kayla@quillmar.org"]),
        ("presidio-research", "phone_number", ["+44 20 7946 0018"]),
        ("scrubadub", "email", ["kayla@quillmar.org"]),
        ("scrubadub", "twitter", ["@kayla_r_91"]),
        ("scrubadub", "twitter", ["@kayla_r_92"]),
    ]
    half = [Scrubbed(one.text, (), (Span(*one.spans[0], "EMAIL", 1.0, "r"),)) for one in cases[:-1]]
    short = Span(cases[-1].spans[0][0], cases[-1].spans[0][1] - 1, "EMAIL", 1.0, "r")
    told = recall(cases, [*half, Scrubbed(cases[-1].text, (), (short,))])
    assert sum(row["places"] for labels in told.values() for row in labels.values()) == 5
    assert sum(row["gone"] for labels in told.values() for row in labels.values()) == 4
    with pytest.raises(CsmvError, match="no suite"):
        cases_in(tmp_path / "data" / "made.json")


def test_the_mask_of_a_set_is_no_finding(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("@user ask @kayla_r_91\n@USER no @url\n")
    (tmp_path / "about.json").write_text('{"mask": "@user @url"}')
    found = find(text_sets([tmp_path]), jobs=1)
    assert [hit.text[hit.start : hit.end] for hit in found.hits] == ["@kayla_r_91"]
    assert sum(found.masks.values()) == 3
