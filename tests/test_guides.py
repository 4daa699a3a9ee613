"""Guides say what is so: their links lead somewhere, and the commands in them exist with the options they are given."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from csmv.flows.cli import build_app

REPOSITORY = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```|^((?: {4}\S.*\n?)+)|`(csmv [^`\n]+)`", re.M | re.S)


def guides() -> list[str]:
    listed = subprocess.check_output(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=REPOSITORY, text=True
    )
    return sorted(name for name in listed.splitlines() if (REPOSITORY / name).is_file())


@pytest.mark.parametrize("guide", guides())
def test_links_lead_somewhere(guide: str) -> None:
    page = (REPOSITORY / guide).read_text()
    inside = [link for link in LINK.findall(page) if "://" not in link and not link.startswith("mailto:")]

    for link in inside:
        path, _, heading = link.partition("#")
        target = (REPOSITORY / guide).parent / path if path else REPOSITORY / guide
        assert target.exists(), link
        if heading:
            assert heading in anchors(target.read_text()), link


def test_sentences_of_the_trouble_table_are_said_somewhere() -> None:
    table = (REPOSITORY / "README.md").read_text().partition("## When something is refused")[2].partition("\n## ")[0]
    sentences = re.findall(r"^\| `([^`]+)`", table, re.M)
    code = "".join(path.read_text() for part in ("pipeline", "flows") for path in (REPOSITORY / part).rglob("*.py"))

    assert len(sentences) >= 5
    assert [sentence for sentence in sentences if sentence not in code] == []


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 170


def anchors(page: str) -> set[str]:
    """What a page's headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", page, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands_in(page: str) -> Iterator[list[str]]:
    """The words of each `csmv` command in a page's code, up to a pipe or a redirection."""
    for match in CODE.finditer(page):
        code = next(part for part in match.groups() if part).replace("\\\n", " ")
        for line in code.splitlines():
            line = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if not line.startswith("csmv "):
                continue
            words = shlex.split(line.removeprefix("csmv "), comments=True)
            stop = next((at for at, word in enumerate(words) if word in ("|", ">", ">>", "&&", "&")), len(words))
            yield words[:stop]


def misfits(words: list[str], group: Any) -> Iterator[str]:
    """What in a command's words the application does not have."""
    command = group
    for at, word in enumerate(words):
        word = word.strip(",.;:")
        if hasattr(command, "commands"):
            if word.startswith("-"):
                continue
            if word not in command.commands:
                if re.fullmatch(r"[a-z][a-z-]+", word):
                    yield f"there is no command '{' '.join(words[: at + 1])}'"
                return
            command = command.commands[word]
        elif word.startswith("--"):
            parameters = command.get_params(typer.Context(command, info_name=command.name))
            options = {option for one in parameters for option in [*one.opts, *one.secondary_opts]}
            if word.split("=")[0] not in options:
                yield f"'{' '.join(words)}' has no option {word}"


@pytest.mark.parametrize("guide", guides())
def test_commands_are_those_of_the_application(guide: str) -> None:
    application = get_command(build_app())

    wrong = [
        sentence for words in commands_in((REPOSITORY / guide).read_text()) for sentence in misfits(words, application)
    ]

    assert not wrong


def test_a_wrong_command_in_a_guide_is_seen() -> None:
    page = "```sh\ncsmv split --root R --nonsense\ncsmv nonsense --root R\ncsmv status R\n```\n"

    wrong = [list(misfits(words, get_command(build_app()))) for words in commands_in(page)]

    assert [len(sentences) for sentences in wrong] == [1, 1, 0]
