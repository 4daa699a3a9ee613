"""The examples of the scrub's README: each policy is read, and each line comes out as it is shown."""

import re
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest
import yaml
from pydantic import SecretStr

from csmv.flows.cli import build_app
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.policy_words import words_of
from csmv.pipeline.privacy.review_settings import ReviewSettings
from csmv.pipeline.scrub import Scrubber, ScrubPolicy
from csmv.pipeline.scrub.policy import Kind, Operator
from csmv.pipeline.scrub.word_lists import WordLists, digest_of_list
from csmv.pipeline.store import Store
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


def test_a_review_and_its_decisions_do_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    chapter = README.read_text().split("\n## Reviewing")[1].split("\n## ")[0]
    blocks = [dedent(block) for block in re.findall(r"(?:^    .*\n)+", chapter, re.M)]
    reviewing, lines, deciding, shown = blocks
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text(lines)
    command, told = reviewing.removeprefix("$ csmv ").split("\n", 1)
    build_app()(command.split(), standalone_mode=False)
    assert capfd.readouterr().err == told.replace("PAGE", str(tmp_path / "page.html"))
    assert "@kayla_r" in Path("page.html").read_text()

    store = Store.create("root", DatasetConfig(name="x", n_shards=2, source=FolderSource(path=str(tmp_path))))
    (decisions,) = re.findall(r"<!-- decisions: (.*) -->", chapter)
    Path("decisions.json").write_text(decisions)
    command, told = deciding.removeprefix("$ csmv ").split("\n", 1)
    build_app()(command.replace("ROOT", "root").split(), standalone_mode=False)
    assert capfd.readouterr().out == told
    policy = read_config(store).scrub
    before, after = (line.split(": ", 1)[1] for line in shown.splitlines())
    assert Scrubber(policy, words=words_of(store, policy)).scrub([before])[0].text == after
    for name in re.findall(r"`(--[a-z]+)`", chapter):
        assert name in {"--json", *(f"--{field}" for field in ReviewSettings.model_fields)}


def test_every_field_of_a_policy_and_every_operator_is_described() -> None:
    text = README.read_text()
    for word in (*ScrubPolicy.model_fields, *(kind.lower() for kind in Kind), *Operator):
        assert re.search(rf"`[^`\n]*\b{word}\b[^`\n]*`", text), word
