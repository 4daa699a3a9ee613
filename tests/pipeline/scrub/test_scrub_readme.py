"""The examples of the scrub's README: each policy is read, and each line comes out as it is shown."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from pydantic import SecretStr

from csmv.pipeline.scrub import Scrubber, ScrubPolicy
from csmv.pipeline.scrub.policy import Kind, Operator
from csmv.pipeline.scrub.word_lists import WordLists, digest_of_list
from csmv.pipeline.validated import parse

README = Path(__file__).parents[3] / "pipeline" / "scrub" / "README.md"
_HASH = re.compile(r"(?<=:)[0-9a-f]{12}(?=>)")


class Example(NamedTuple):
    """A section of the README: words that are allowed, the policy, and what becomes of lines in a language."""

    allow: str
    policy: str
    lines: list[tuple[str, str, str]]


def examples() -> list[Example]:
    found = []
    chapter = README.read_text().split("\n## Three examples")[1].split("\n## ")[0]
    for section in chapter.split("\n### ")[1:]:
        (policy,) = re.findall(r"```yaml\n(.*?)```", section, re.S)
        words = re.search(r"<!-- words: allow = (.*?) -->", section)
        lines = re.findall(r"    before(?: \((\w+)\))?: (.*)\n    after(?: \(\w+\))?: (.*)", section)
        found.append(Example(words[1].replace(", ", "\n") if words else "", policy, lines))
    return found


def test_there_are_three_examples_with_lines() -> None:
    assert [len(example.lines) > 0 for example in examples()] == [True] * 3


@pytest.mark.parametrize("example", examples(), ids=["figures", "threads", "numbers"])
def test_an_example_does_what_it_shows(example: Example) -> None:
    allow = example.allow.encode() if example.allow else None
    digest = digest_of_list(allow) if allow else ""
    data = yaml.safe_load(example.policy.replace("ALLOW_DIGEST", digest))
    scrubber = Scrubber(
        parse(ScrubPolicy, data["scrub"], "README"),
        SecretStr("a key that is long enough"),
        names=["Zorvan Quell"],
        words=WordLists.of_files(allow),
    )
    for language, before, after in example.lines:
        out = scrubber.scrub([before], [language or None])[0].text
        assert _HASH.sub("HASH", out) == after


def test_every_field_of_a_policy_and_every_operator_is_described() -> None:
    text = README.read_text()
    for word in (*ScrubPolicy.model_fields, *(kind.lower() for kind in Kind), *Operator):
        assert re.search(rf"`[^`\n]*\b{word}\b[^`\n]*`", text), word
