"""The datasheet of a release, as Markdown and as one HTML page: what the data say, and places for what people know.

A place is the text between two marks in `DATASHEET.md`. What a person writes there stays in every release after.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from csmv.pipeline.release.datasheet_questions import SECTIONS, Question

if TYPE_CHECKING:
    from jinja2 import Template

MARKDOWN, PAGE = "DATASHEET.md", "DATASHEET.html"
OPEN_PLACE = "*To be answered by a person.*"
_PLACE = re.compile(r"<!-- answer: (\w+) -->\n(.*?)\n?<!-- end of answer -->", re.S)
_KEYS = {question.key for questions in SECTIONS.values() for question in questions if question.for_people}


@dataclass(frozen=True)
class Answer:
    """What the data say to a question: sentences, and tables with a heading row."""

    sentences: tuple[str, ...] = ()
    tables: tuple[tuple[tuple[str, ...], ...], ...] = ()


def answers_in(text: str) -> dict[str, str]:
    """What people wrote into a datasheet: the key of a question -> their text. Open places are left out."""
    answers = {key: written.strip() for key, written in _PLACE.findall(text) if key in _KEYS}
    return {key: written for key, written in answers.items() if written and written != OPEN_PLACE}


def open_questions(answers: Mapping[str, str]) -> list[Question]:
    """The questions that wait for a person; those about anything else wait for nobody."""
    questions = (question for several in SECTIONS.values() for question in several)
    return [one for one in questions if one.for_people and one.key not in answers and not one.key.endswith("_more")]


def as_markdown(title: str, version: str, said: Mapping[str, Answer], answers: Mapping[str, str]) -> str:
    """The datasheet as Markdown.

    Args:
        title: of the dataset.
        version: of the release.
        said: the key of a question -> what the data say.
        answers: the key of a question -> what a person wrote.
    """
    lines = [
        f"# Datasheet of {title}, version {version}",
        "",
        "The questions are those of Gebru and others, *Datasheets for Datasets* (2021). What the data say was filled",
        "in by csmv; between the marks is what people say, which every later release keeps.",
    ]
    for section, questions in SECTIONS.items():
        lines += ["", f"## {section}"]
        for question in questions:
            lines += ["", f"### {question.text}", ""]
            answer = said.get(question.key, Answer())
            lines += [f"{sentence}\n" for sentence in answer.sentences]
            for heading, *rows in answer.tables:
                lines += [_row(heading), _row(["---"] * len(heading)), *map(_row, rows), ""]
            if question.for_people:
                written = answers.get(question.key, OPEN_PLACE)
                lines += [f"<!-- answer: {question.key} -->", written, "<!-- end of answer -->"]
            elif lines[-1] == "":
                lines.pop()
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def as_page(title: str, version: str, said: Mapping[str, Answer], answers: Mapping[str, str]) -> str:
    """The datasheet as one HTML page without any external reference; arguments as for `as_markdown`."""
    paragraphs = {key: re.split(r"\n\s*\n", written) for key, written in answers.items()}
    return _template().render(
        title=title, version=version, sections=SECTIONS, said=said, answers=paragraphs, nothing=Answer()
    )


@cache
def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("datasheet.html")


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', ' ') for cell in cells)} |"
