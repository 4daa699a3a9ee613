"""`csmv scrub --compare MODEL`: what the rules find and a model doesn't, and the other way round."""

import json
from pathlib import Path

import pytest
from tiny_models import spacy_folder

from csmv.flows.cli import build_app
from csmv.pipeline.errors import CsmvError, UnfinishedError, UsageError

LINES = """hi @kayla_rose, call the usual number
😀 mail me@example.com
ask Zorvina Plenk at me2@example.com
nothing
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """It knows one address that the rules find too, one number that they don't, a name, and one mention by half."""
    found = {"me@example.com": "EMAIL", "the usual number": "PHONE", "Zorvina Plenk": "PERSON", "@kayla_rose": "URL"}
    return spacy_folder(tmp_path / "opinion", found)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


def compare(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    build_app()(["scrub", *map(str, arguments)], standalone_mode=False)
    return capfd.readouterr().out


def test_each_finding_of_one_alone_is_told_with_its_place(
    model: Path, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = compare(capfd, file, "--compare", model)
    told = [line for line in out.splitlines() if line.startswith("line ")]
    assert told == [
        "line 1: 21-37 PHONE only model 0.85 ModelRecognizer/opinion:PHONE",
        "line 3: 21-36 EMAIL only rules 0.95 MailAddressRecognizer/address",
    ]
    rows = [line.replace("│", " ").split() for line in out.splitlines() if "│" in line]
    assert ["EMAIL", "1", "1", "0"] in rows and ["PHONE", "0", "0", "1"] in rows and ["USERNAME", "1", "0", "0"] in rows
    assert "4 lines." in out and "1 findings of both have another kind" in out
    assert "the policy leaves these kinds in: PERSON 1." in out
    for value in ("usual", "kayla", "Zorvina", "me2"):
        assert value not in out


def test_words_are_shown_only_when_asked_for(model: Path, file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = compare(capfd, file, "--compare", model, "--show-values")
    assert "line 1: 21-37 PHONE only model 0.85 ModelRecognizer/opinion:PHONE 'the usual number'" in out.splitlines()


def test_a_machine_gets_an_object_a_line_and_the_counts_last(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": 1, "body": line}) + "\n" for line in LINES.splitlines()))
    out = compare(capfd, rows, "--field", "body", "--compare", model, "--json", "--show-values").splitlines()
    first, second, counts = map(json.loads, out)
    assert first == {
        "row": 1,
        "start": 21,
        "end": 37,
        "kind": "PHONE",
        "who": "model",
        "score": 0.85,
        "recognizer": "ModelRecognizer/opinion:PHONE",
        "value": "the usual number",
    }
    assert (second["row"], second["who"], second["value"]) == (3, "rules", "me2@example.com")
    assert counts["rows"] == 4 and counts["off"] == {"PERSON": 1} and counts["renamed"] == 1
    assert counts["kinds"]["EMAIL"] == {"both": 1, "only_rules": 1, "only_model": 0}


def test_a_model_of_the_policy_keeps_its_settings_and_is_no_rule(
    model: Path, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    entry = {"name": str(model), "labels": {"PERSON": "PERSON"}, "threshold": 0.1}
    policy.write_text(json.dumps({"scrub": {"person": {"enabled": True, "threshold": 0.99}, "models": [entry]}}))
    out = compare(capfd, file, "--policy", policy, "--compare", model)
    told = [line.split(" only ")[0] for line in out.splitlines() if line.startswith("line ") and " model " in line]
    assert told == ["line 3: 4-17 PERSON"]  # the label PHONE is not read, and its own threshold counts


def test_more_texts_than_one_process_takes_are_compared_in_order(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    many = tmp_path / "many.txt"
    many.write_text("so good\n" * 300 + "call the usual number\n" * 3 + "so good\n" * 900 + "the usual number\n")
    out = compare(capfd, many, "--compare", model, "--jobs", "2")
    assert [line.split(":")[0] for line in out.splitlines() if " only " in line and line.startswith("line ")] == [
        *("line 301", "line 302", "line 303", "line 1204")
    ]


def test_a_row_that_can_not_be_read_is_told(model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"a": {"b": ["good", "the usual number"]}}\n{"a": {"b": [7, "the usual number"]}}\n')
    with pytest.raises(UnfinishedError, match="1 of 2 lines could not be read as asked"):
        build_app()(["scrub", str(rows), "--field", "a.b[]", "--compare", str(model)], standalone_mode=False)
    told = [line for line in capfd.readouterr().out.splitlines() if line.startswith("line ")]
    assert told[0] == "line 1, a.b[1]: 0-16 PHONE only model 0.85 ModelRecognizer/opinion:PHONE"
    assert len(told) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--compare", "nobody/nothing"), "hf download nobody/nothing"),
        (("--compare", "{folder}"), "no model that is known here"),
        (("--compare", "{model}", "--framework", "transformers"), "safetensors"),
    ],
)
def test_a_model_that_can_not_be_read_is_told_with_what_to_do(
    arguments: tuple[str, ...],
    sentence: str,
    model: Path,
    file: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given = [argument.format(folder=tmp_path, model=model) for argument in arguments]
    with pytest.raises(CsmvError, match=sentence):
        compare(capfd, file, *given)


def test_options_that_contradict_each_other_are_refused(
    model: Path, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="--explain and --review"):
        compare(capfd, file, "--compare", model, "--explain")
    with pytest.raises(UsageError, match="--explain or --compare"):
        compare(capfd, file, "--show-values")
