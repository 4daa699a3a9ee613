"""The scrub holds what it promises: recall and precision on held-out templates, false alarms, speed.

`bench_scrub.py` measures the same at full size and writes the page of results.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bench_scrub import (
    FALSE_ALARM_GOAL,
    GOALS,
    PRECISION_GOAL,
    RATE_GOAL,
    adversarial,
    beside_stock,
    evaluate,
    false_alarms,
    fuzz,
)
from scrub_corpus import LOCALES, PHONE_REGIONS, corpus, templates

from csmv.pipeline.scrub import Scrubber, ScrubPolicy


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(ScrubPolicy())


def test_held_out_templates_are_no_development_templates() -> None:
    held_out, development = templates("held_out"), templates("development")
    for section, lines in held_out.items():
        if section != "clean":
            assert not {line for line in lines if "⟦" in line} & set(development[section])
    assert sum(map(len, held_out.values())) >= 200
    assert len(LOCALES) >= 12
    assert len(PHONE_REGIONS) >= 15


def test_the_corpus_is_the_same_for_a_seed_and_its_spans_are_exact() -> None:
    one, same, other = corpus("held_out", 300, 7), corpus("held_out", 300, 7), corpus("held_out", 300, 8)
    assert one == same
    assert one != other
    handles = [item for item in one if item.section == "handle"]
    assert all(item.text[start:end].strip() for item in handles for start, end in item.spans)


def test_recall_and_precision_on_held_out_templates(scrubber: Scrubber) -> None:
    found = evaluate(scrubber, "held_out", 2500, seed=11)
    for section, goal in GOALS.items():
        assert found["sections"][section]["recall"] >= goal, section
    assert found["precision"] >= PRECISION_GOAL


def test_false_alarms_on_a_sixth_of_the_real_comments(scrubber: Scrubber, shared: Path) -> None:
    found = false_alarms(scrubber, every=6)
    assert found["comments"] > 19_000
    assert found["share"] <= FALSE_ALARM_GOAL
    assert "not looked at" not in found["by_verdict"]


@pytest.mark.slow
def test_false_alarms_on_every_real_comment(scrubber: Scrubber, shared: Path) -> None:
    found = false_alarms(scrubber)
    assert found["comments"] == 117_057
    assert found["comments_in_splits"] == 107_267
    assert found["share"] <= FALSE_ALARM_GOAL
    assert found["share_in_splits"] <= FALSE_ALARM_GOAL
    assert "not looked at" not in found["by_verdict"]


@pytest.mark.slow
def test_speed(scrubber: Scrubber, shared: Path) -> None:
    assert false_alarms(scrubber)["comments_per_second"] >= RATE_GOAL
    assert beside_stock(scrubber, 1000, seed=7)["times"] >= 2


@pytest.mark.slow
def test_adversarial_input_and_ten_thousand_texts(scrubber: Scrubber) -> None:
    assert all(row["ratio"] < 3.5 for row in adversarial(scrubber)["patterns"].values())
    assert fuzz(scrubber, 10_000, seed=3) == {"cases": 10_000, "raised": 0, "unstable": 0, "altered": 0}
