"""The page by which a person judges a scrub: what is counted and shown, where it may lie, and that it is inert."""

import json
import re
import stat
from pathlib import Path

import pytest

from csmv.pipeline import scrub_pool
from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.privacy.review import Mark, Of, Part, Review, Samples, likeliest_names, review
from csmv.pipeline.privacy.review_settings import ReviewSettings
from csmv.pipeline.review_page import page_of, review_stream
from csmv.pipeline.scrub import Scrubber, ScrubPolicy
from csmv.pipeline.scrub.policy import StreamSettings
from csmv.pipeline.scrub_pool import ScrubPool
from csmv.pipeline.sources.browser import find_chromium

MENTION = Of(Part.REMOVED, "USERNAME", "HandleRecognizer/mention")
UNSURE = ScrubPolicy.model_validate({"username": {"threshold": 0.99}})
"""Leaves every mention alone, since it is only nearly sure."""
TEXTS = [
    *(f"nice one @kayla_rose{number} and @bob_{number}" for number in range(60)),
    *(["so true @sam.river9"] * 5),
    *(f"nothing at all {number}" for number in range(30)),
    "my name is somebody else",
    "add my insta someday",
    "hope wins, I am hope, @hope",
]


def reviewed(
    texts: list[str],
    names: tuple[str, ...] = (),
    jobs: int = 1,
    policy: ScrubPolicy = ScrubPolicy(),  # noqa: B008
    **settings: int,
) -> Review:
    with ScrubPool(policy, names=names, jobs=jobs) as pool:
        return review([(text, None) for text in texts], pool, ReviewSettings(**settings))


def text_of(pieces: tuple[object, ...]) -> str:
    return "".join(piece.text for piece in pieces)  # type: ignore[attr-defined]


def test_candidates_are_what_the_policy_leaves_since_it_is_not_sure() -> None:
    text = "write a@b.com or @kayla_rose22"
    scrubber = Scrubber(UNSURE)
    (candidate,) = scrubber.candidates([text])[0]
    assert (text[candidate.start : candidate.end], candidate.kind) == ("@kayla_rose22", "USERNAME")
    assert candidate.score < 0.99
    assert scrubber.scrub([text])[0].text == "write <EMAIL> or @kayla_rose22"
    assert scrubber.candidates([text], at_least=0.98) == [()]
    assert Scrubber(ScrubPolicy()).candidates([text]) == [()]
    long = "@kayla_rose22 " * 3000
    assert len(scrubber.candidates([long])[0]) == 3000


def test_what_lies_over_something_that_goes_is_no_candidate() -> None:
    text = "mail kayla.rose@b.com"
    assert Scrubber(UNSURE).candidates([text], at_least=0.01) == [()]


def test_counts_are_exact_and_samples_few() -> None:
    found = reviewed(TEXTS, samples=3)
    assert (found.texts, found.touched) == (len(TEXTS), 66)
    assert (found.groups[MENTION].findings, found.groups[MENTION].texts) == (126, 66)
    nearly = reviewed(TEXTS, policy=UNSURE, samples=3)
    assert nearly.groups[MENTION._replace(part=Part.NEARLY)].findings == 126 and nearly.touched == 0
    assert all(len(group.samples.in_order()) <= 3 for group in found.groups.values())
    left = {of.rule for of, _ in found.of(Part.LEFT)}
    assert {"a name that is told", "a platform's name"} <= left


def test_a_sample_marks_its_spans_and_says_what_becomes_of_them() -> None:
    ((sample, times),) = reviewed(["see @kayla_rose22 or a@b.com"]).groups[MENTION].samples.in_order()
    assert [(piece.text, piece.mark) for piece in sample.before if piece.mark] == [
        ("@kayla_rose22", Mark.HERE),
        ("a@b.com", Mark.ALSO),
    ]
    assert text_of(sample.before) == "see @kayla_rose22 or a@b.com"
    assert text_of(sample.after) == "see <USERNAME> or <EMAIL>"
    assert (sample.word, times) == ("@kayla_rose22", 1)


def test_a_text_is_judged_by_the_rules_for_its_language() -> None:
    policy = ScrubPolicy.model_validate({"languages": {"de": {"username": {"threshold": 0.99}}}})
    told = [("see @kayla_rose22", "en"), ("siehe @kayla_rose23", "de")]
    with ScrubPool(policy, jobs=1) as pool:
        found = review(told, pool, ReviewSettings())
    assert found.groups[MENTION].texts == 1
    ((nearly, _),) = found.groups[MENTION._replace(part=Part.NEARLY)].samples.in_order()
    assert nearly.word == "@kayla_rose23"


def test_a_long_text_is_shown_around_what_was_found() -> None:
    text = "word " * 4000 + "@kayla_rose22" + " word" * 4000 + " @kayla_rose22"
    ((sample, _),) = reviewed([text]).groups[MENTION].samples.in_order()
    assert len(text_of(sample.before)) < 600
    assert "@kayla_rose22" in text_of(sample.before)
    assert text_of(sample.before).startswith("… ") and text_of(sample.before).endswith(" …")


def test_samples_are_not_the_first_ones_and_the_same_in_any_order_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reviewed(TEXTS, samples=4)
    monkeypatch.setattr("csmv.pipeline.privacy.review._BATCH", 11)
    samples = found.groups[MENTION].samples.in_order()
    assert samples == reviewed(TEXTS[::-1], samples=4).groups[MENTION].samples.in_order()
    assert page_of(found, "x", None) == page_of(reviewed(TEXTS, samples=4), "x", None)
    first = {text_of(sample.before) for sample, _ in samples}
    assert first != set(TEXTS[:4])
    other = reviewed(TEXTS, samples=4, seed=1).groups[MENTION].samples.in_order()
    assert first != {text_of(sample.before) for sample, _ in other}
    everything = reviewed(TEXTS, samples=200).groups[MENTION].samples.in_order()
    assert {text_of(sample.before): times for sample, times in everything}["so true @sam.river9"] == 5


@pytest.mark.slow
def test_the_page_is_the_same_by_any_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub_pool, "_AT_ONCE", 5)
    monkeypatch.setattr(scrub_pool, "_WORTH_IT", 10)
    monkeypatch.setattr("csmv.pipeline.privacy.review._BATCH", 11)
    assert page_of(reviewed(TEXTS), "x", None) == page_of(reviewed(TEXTS, jobs=2), "x", None)


def test_memory_does_not_grow_with_the_samples_offered() -> None:
    samples = Samples(5)
    sample = reviewed(["@kayla_rose22"]).groups[MENTION].samples.in_order()[0][0]
    for number in range(10_000):
        samples.offer((number * 7919 % 10_007).to_bytes(4, "big"), lambda: sample)
    assert [int.from_bytes(digest, "big") for digest in sorted(samples.kept)] == [0, 1, 2, 3, 4]


def test_names_that_are_ordinary_words_are_told_with_given_names_first() -> None:
    names = ("hope", "sarah", "love", "lunarpost77", "kai river")
    found = reviewed(["hope and love", "Sarah said so", "@hope, lunarpost77", "kai river"], names)
    spared = likeliest_names(found.of(Part.SPARED))
    assert spared[0][0].rule == "sarah"
    assert {of.rule: group.texts for of, group in spared} == {"sarah": 1, "hope": 1, "love": 1}


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("meet me @ the park", "an @"),
        ("anyone on discord tonight", "a platform's name"),
        ("who still types http: today", "a web address"),
        ("I have 1.234.567 problems", "seven digits or more"),
        ("you should call me sometime", "a wish to be called"),
        ("my name is not important", "a name that is told"),
        ("hi I'm Sarah", "“I am” before a given name"),
        ("Ich bin Anna", "“I am” before a given name"),
        ("i live in a van", "a word of living somewhere"),
        ("send it to my gmail", "a word of mail"),
    ],
)
def test_a_text_that_stays_whole_is_listed_by_its_trigger(text: str, trigger: str) -> None:
    found = reviewed([text])
    assert found.touched == 0
    assert trigger in {of.rule for of, _ in found.of(Part.LEFT)}


HOSTILE = [
    "</script><script>document.title='broken'</script> @kayla_rose22",
    "<img src=x onerror=\"document.title='broken'\"> @kayla_rose23",
    '"><svg onload=document.title="broken"> @"onfocus="document.title=1 @kayla_rose24',
    "\u202egnp.exe @kayla_rose25 \x00\x1b[2J \ud83d",
    "{{ 7*7 }} {% raw %} @kayla_rose26",
]


def test_no_text_becomes_markup_and_nothing_is_fetched() -> None:
    page = page_of(reviewed(HOSTILE, samples=50), "<b>about</b>", "/a root's")
    assert page.count("<script") == 1 and "<img" not in page and "<svg" not in page and "<b>about" not in page
    assert "{{ 7*7 }}" in page
    assert not re.search("[\x00\x1b\u202e\ud800-\udfff]", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1] and "unsafe" not in policy[1]


@pytest.fixture
def chromium() -> Path:
    """A real browser; the tests that need one are skipped where there is none."""
    found = find_chromium()
    if found is None:
        pytest.skip("Chromium is not installed: `make set-up` or `apt-get install chromium`")
    return found


def test_in_a_browser_texts_are_inert_and_decisions_are_saved(tmp_path: Path, chromium: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    path = tmp_path / "page.html"
    path.write_text(page_of(reviewed([*HOSTILE, "my name is somebody else"], samples=50), "x", "/my root"))
    asked: list[str] = []
    blocked: list[str | None] = []
    trouble: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.on("request", lambda request: asked.append(request.url))
        page.on("requestfailed", lambda request: blocked.append(request.failure))
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(path.as_uri())
        assert page.title() == "Review of the scrub – x"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert asked == [path.as_uri()]
        # What would run if a text got in as markup all the same.
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x\">')")
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
        assert page.evaluate("window.ran") is None
        assert all("Content Security Policy" in message for message in trouble) and trouble
        assert blocked == ["csp"]

        samples = page.locator("#removed .sample")
        word = samples.first.locator("input").input_value()
        page.keyboard.press("j")
        page.keyboard.press("a")
        assert samples.first.locator("button[data-list=allow]").get_attribute("aria-pressed") == "true"
        left = page.locator("#left .sample").first
        left.locator(".text").evaluate("one => getSelection().setBaseAndExtent(one.lastChild, 1, one.lastChild, 5)")
        expect(left.locator("input")).to_have_value("else")
        left.locator("button[data-list=deny]").press("Enter")
        left.locator("input").fill("</script>")
        left.locator("button[data-list=deny]").click()
        left.locator("button[data-list=allow]").click()  # moves it
        page.locator("#decisions summary").click()
        assert "1 denied" in page.locator("#counts").inner_text()
        assert page.locator("#command").inner_text() == "csmv words --root '/my root' --from decisions.json"
        with page.expect_download() as saved:
            page.locator("#save").click()
        saved.value.save_as(tmp_path / "saved.json")
        assert saved.value.suggested_filename == "decisions.json"
        browser.close()
    assert json.loads((tmp_path / "saved.json").read_text()) == {
        "allow": sorted([word, "</script>"]),
        "deny": ["else"],
    }


def stream(tmp_path: Path, page: str, **settings: object) -> object:
    (tmp_path / "in.txt").write_text("\n".join(TEXTS) + "\n")
    return review_stream(StreamSettings.model_validate(settings), ReviewSettings(), tmp_path / "in.txt", page)


def test_a_page_outside_of_roots_is_its_owners_alone(tmp_path: Path) -> None:
    for _ in range(2):  # a page of before is replaced
        told = stream(tmp_path, str(tmp_path / "page.html"))
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600
    assert "shows personal data" in told.sentence()  # type: ignore[attr-defined]
    assert "@kayla_rose" in (tmp_path / "page.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "page.html"]


def test_counts_name_nobody(tmp_path: Path) -> None:
    counts = stream(tmp_path, str(tmp_path / "page.html")).counts()  # type: ignore[attr-defined]
    assert "kayla" not in json.dumps(counts) and counts["texts"] == len(TEXTS)
    assert {
        "part": "removed",
        "kind": "USERNAME",
        "rule": "HandleRecognizer/mention",
        "findings": 126,
        "texts": 66,
    } in (counts["rules"])


def test_a_page_never_takes_the_place_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "notes.html").write_text("mine")
    with pytest.raises(CsmvError, match="no page of a review"):
        stream(tmp_path, str(tmp_path / "notes.html"))
    assert (tmp_path / "notes.html").read_text() == "mine"
    with pytest.raises(CsmvError, match=r"such as page\.html"):
        stream(tmp_path, str(tmp_path / "in.txt"))
    with pytest.raises(CsmvError, match="is not there"):
        stream(tmp_path, str(tmp_path / "nowhere" / "page.html"))
    with pytest.raises(UsageError, match="Where should the page go"):
        stream(tmp_path, "")
