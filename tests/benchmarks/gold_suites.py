"""Reads suites that others made to test tools like this one: checkouts of Presidio, presidio-research and scrubadub.

Nothing of them is copied into the project; a checkout is read where it lies. Presidio's tests name the places where a
text holds something, presidio-research's data sets do too, and scrubadub's tell a text before and after.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub import Scrubbed


@dataclass(frozen=True)
class Case:
    """A text of a suite, what its makers say is in it, by [start, end), and what they call that."""

    suite: str
    label: str
    text: str
    spans: tuple[tuple[int, int], ...]


OUTSIDE = frozenset(
    {
        *("person", "organization", "gpe", "nationality", "date_time", "age", "title", "zip_code", "religion", "nrp"),
        *("date", "medical_ner", "spacy", "stanza", "transformers", "location", "date_of_birth", "postalcode", "name"),
        *("city", "prefix", "uk_postcode", "de_plz"),
    }
)
"""Labels of what the default policy leaves alone: names of persons and places, dates, ages, postcodes."""


def cases_in(folder: Path) -> list[Case]:
    """The cases of every suite in a folder.

    Raises:
        CsmvError: there is none.
    """
    cases = []
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or not {"tests", "data"} & {folder.name, *file.relative_to(folder).parts[:-1]}:
            continue
        if file.suffix == ".json":
            cases += _of_research(file)
        elif file.suffix == ".py" and file.name.startswith("test_"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            found = file.name.startswith("test_detector_")
            cases += _of_scrubadub(tree) if found else _of_presidio(tree, file.stem)
    if not cases:
        raise CsmvError(f"'{folder}' holds no suite: expected a checkout of Presidio, presidio-research or scrubadub.")
    return list(dict.fromkeys(case for case in cases if case.spans and case.label not in OUTSIDE))


def _of_research(file: Path) -> Iterator[Case]:
    data = json.loads(file.read_text(encoding="utf-8"))
    for one in data if isinstance(data, list) else []:
        for span in one.get("spans", []) if isinstance(one, dict) else []:
            label = str(span["entity_type"]).lower()
            place = (int(span["start_position"]), int(span["end_position"]))
            yield Case("presidio-research", label, one["full_text"], (place,))


def _of_presidio(tree: ast.Module, stem: str) -> Iterator[Case]:
    """The rows of `pytest.mark.parametrize` that begin with a text and say where in it something is."""
    label = stem.removeprefix("test_").removesuffix("_recognizer")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "parametrize" and len(node.args) > 1:
            for row in getattr(node.args[1], "elts", []):
                values = [_literal(one) for one in getattr(row, "elts", [])]
                places = next((places for one in values[1:] if (places := _places(one))), ())
                if places and isinstance(values[0], str) and max(end for _, end in places) <= len(values[0]):
                    yield Case("Presidio", label, values[0], places)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _places(value: Any) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, tuple | list) or not value:
        return ()
    pairs = [one for one in value if isinstance(one, tuple) and len(one) == 2 and all(type(at) is int for at in one)]
    return tuple(pairs) if len(pairs) == len(value) and all(start < end for start, end in pairs) else ()


def recall(cases: list[Case], found: list[Scrubbed]) -> dict[str, dict[str, dict[str, int]]]:
    """By suite and label, how many places there are and how many are gone, every character but blanks.

    Args:
        cases: what the suites hold.
        found: what the scrub made of each case's text.
    """
    told: dict[str, dict[str, dict[str, int]]] = {}
    for case, scrubbed in zip(cases, found, strict=True):
        gone = {at for span in scrubbed.spans for at in range(span.start, span.end)}
        row = told.setdefault(case.suite, {}).setdefault(case.label, {"places": 0, "gone": 0})
        for start, end in case.spans:
            row["places"] += 1
            row["gone"] += all(at in gone or case.text[at].isspace() for at in range(start, end))
    return {suite: dict(sorted(told[suite].items())) for suite in sorted(told)}


_MARK = re.compile(r"\{\{([A-Z_]+)\}\}")


def _of_scrubadub(tree: ast.Module) -> Iterator[Case]:
    """Texts before and after: in the docstrings of tests, and in a template that a test fills in."""
    for group in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        methods = [node for node in group.body if isinstance(node, ast.FunctionDef)]
        pairs = [text for method in methods if "AFTER:" in (text := ast.get_docstring(method, clean=False) or "")]
        templates = [
            text
            for method in methods
            if method.name == "create_docstring"
            for text in (node.value for node in ast.walk(method) if isinstance(node, ast.Constant))
            if isinstance(text, str) and "%s" in text
        ]
        for call in ast.walk(group):
            if isinstance(call, ast.Call) and str(getattr(call.func, "attr", "")).startswith("check_"):
                filled = [value for one in call.args if isinstance(value := _literal(one), str)]
                pairs += [template.replace("%s", value) for template in templates for value in filled]
        for pair in pairs:
            before, after = (" ".join(part.split()) for part in pair.split("BEFORE:")[1].split("AFTER:"))
            labels = _MARK.findall(after)
            found = re.fullmatch("(.+?)".join(map(re.escape, _MARK.split(after)[::2])), before)
            if found:
                for number, label in enumerate(labels, 1):
                    yield Case("scrubadub", label.lower(), before, (found.span(number),))
