"""The explorer in a real Chromium: served and as the report's page, light and dark, wide and narrow, by keyboard."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.privacy.review_settings import EXPLORER_PAGE
from csmv.pipeline.release.explorer.embedded_data import write_explorer_page
from csmv.pipeline.release.explorer.explorer_server import ExplorerServer, serving
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import TrainConfig, train

VIDEO = "7" + "0" * 17 + "4"
"""One of the test part."""


@contextmanager
def watched(chromium: Path, **options: Any) -> Iterator[tuple[Any, list[str], list[str]]]:
    """A page, what it asked for, and what it or its console complained of."""
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    trouble: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(**options)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        yield page, asked, trouble
        browser.close()


@contextmanager
def served(store: Store) -> Iterator[str]:
    server = ExplorerServer(store)
    serving(server)
    yield server.url
    server.shutdown()
    server.server_close()


def visit(page: Any, address: str) -> str:
    """Go there afresh, wait for the answer, and give what the page says of how much there is."""
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("#results:not([aria-busy])")
    return str(page.locator("#status").inner_text())


def embedded(store: Store) -> str:
    return Path(store.path(write_explorer_page(store))).as_uri()


def test_both_pages_show_the_same_and_a_cell_leads_to_its_comments(browsed_root: Store, chromium: Path) -> None:
    from playwright.sync_api import expect

    said: dict[str, list[str]] = {}
    page_file = embedded(browsed_root)
    with served(browsed_root) as url, watched(chromium) as (page, asked, trouble):
        for kind, address in (("served", url), ("embedded", page_file)):
            said[kind] = [visit(page, f"{address}#models?run=both&against=words-only")]
            cell = page.get_by_role("link", name="both: label positive, predicted positive:")
            count = cell.inner_text()
            cell.press("Enter")
            expect(page.locator("#status")).to_have_text(re.compile(rf"^{count} comments?$"))
            said[kind] += [page.locator("ol.comments").inner_text()]
            page.get_by_label("Words in the comment").fill("<img")
            page.get_by_label("Words in the comment").press("Enter")
            page.get_by_label("First model", exact=True).select_option("")
            page.get_by_label("Label: opinion").select_option("")
            expect(page.locator("#status")).to_have_text("1 comment")
            assert "<img src=x onerror='window.ran = 1'>" in page.locator("ol.comments").inner_text()
            assert page.evaluate("window.ran") is None
        assert said["served"] == said["embedded"]
        assert trouble == []
        assert all(address.startswith((url, page_file, "about:")) for address in asked)
        # What would run if a text got in as markup all the same.
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x\">')")
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
        assert page.evaluate("window.ran") is None
        assert trouble and all("Content Security Policy" in message for message in trouble)


QUESTIONS = (
    *(
        "",
        "?hashtag=sea",
        "?opinion=neutral&emotion=none",
        "?emotion=joy",
        "?split=video&part=dev",
        "?failure=truncated",
    ),
    *(
        "?words=F%C3%9CSSE",
        "?words=love&hashtag=wave",
        "?run=both&answered=dev",
        "?run=both&task=emotion&outcome=wrong",
    ),
    *("?run=both&against=words-only&outcome=gained", "?run=both&against=words-only&task=emotion&outcome=lost"),
    *("?run=words-only&predicted=negative&answered=test&opinion=positive", "?page=2", "?opinion=none"),
)


@pytest.mark.slow
@pytest.mark.parametrize("view", ["comments", "videos", "models", "failures"])
def test_the_page_answers_every_question_as_the_server_does(browsed_root: Store, chromium: Path, view: str) -> None:
    said: dict[str, list[str]] = {"served": [], "embedded": []}
    page_file = embedded(browsed_root)
    with served(browsed_root) as url, watched(chromium) as (page, _, trouble):
        for kind, address in (("served", url), ("embedded", page_file)):
            for question in QUESTIONS:
                status = visit(page, f"{address}#{view}{question}")
                said[kind].append(f"{status}\n{page.locator('#view').inner_text()}")
        assert trouble == []
    assert said["served"] == said["embedded"]
    assert len(set(said["served"])) > (len(QUESTIONS) // 2 if view in ("comments", "videos") else 1)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_can_be_read_in_light_and_dark_wide_and_narrow(
    browsed_root: Store, chromium: Path, scheme: str, width: int
) -> None:
    viewport = {"width": width, "height": 800}
    with served(browsed_root) as url, watched(chromium, color_scheme=scheme, viewport=viewport) as (page, _, trouble):
        for view in (
            "comments?run=both&against=words-only",
            "videos",
            f"video?video={VIDEO}",
            "models?run=both",
            "failures",
        ):
            visit(page, f"{url}#{view}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for contrast in page.evaluate(CONTRASTS):
                assert contrast["ratio"] >= 4.5, contrast
        assert trouble == []


CONTRASTS = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const linear = (one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = colour.slice(0, 3).map((one) => linear(one / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const seen = (element) => element.offsetParent !== null && !element.closest(".sr, :disabled, label:has(:disabled)");
  return [...document.querySelectorAll("body *")].filter((element) => seen(element) &&
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())).map((element) => {
      const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
      const of = `${element.tagName} ${element.className}`;
      return { ratio: (a + 0.05) / (b + 0.05), text: element.textContent.slice(0, 40), of };
    });
}"""


NAMELESS = """() => {
  const controls = [...document.querySelectorAll("a, button, select, input, [role=img]")];
  const named = (one) => one.getAttribute("aria-label") || one.textContent.trim();
  const labelled = (one) => one.labels ? one.labels.length : named(one);
  return controls.filter((one) => one.offsetParent && !(one.matches("select, input") ? labelled(one) : named(one)))
    .map((one) => one.outerHTML);
}"""


@pytest.mark.slow
def test_it_is_used_by_keyboard_and_everything_has_a_name(browsed_root: Store, chromium: Path) -> None:
    with served(browsed_root) as url, watched(chromium) as (page, _, trouble):
        visit(page, url)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "results"
        page.get_by_role("link", name="Models").press("Enter")
        page.wait_for_selector("h2:has-text('Models')")
        assert page.evaluate("document.activeElement.tagName") == "H2"
        page.get_by_role("button", name="both as the first model").press("Enter")
        page.wait_for_selector("section[aria-label='Answers of both']")
        page.go_back()
        page.wait_for_selector("section[aria-label='Answers of both']", state="detached")
        for view in ("comments", "videos", "models?run=both", f"video?video={VIDEO}&run=both"):
            visit(page, f"{url}#{view}")
            nameless = page.evaluate(NAMELESS)
            assert nameless == []
        assert trouble == []


@pytest.mark.slow
def test_a_videos_windows_stand_on_a_timeline_and_follow_the_comment(
    tmp_path: Path, browsed_root_maker: Callable[..., Store], chromium: Path
) -> None:
    store = browsed_root_maker(tmp_path / "root")
    train(store, TrainConfig(model="vccsa", split="video", features=("made",), epochs=1), "trained")
    page_file = embedded(store)
    shown: dict[str, list[str]] = {}
    with served(store) as url, watched(chromium) as (page, _, trouble):
        for kind, address in (("served", url), ("embedded", page_file)):
            visit(page, f"{address}#video?video={VIDEO}&run=trained&against=both")
            bars = page.get_by_role("img", name="Weights of 7 windows; heaviest:")
            bars.wait_for()
            assert page.locator(".timeline i").count() == 7
            shown[kind] = [str(bars.get_attribute("aria-label"))]
            page.get_by_role("button", name="Where it looks").nth(1).press("Enter")
            page.wait_for_selector("figcaption:has-text('looks: “')")
            shown[kind].append(str(bars.get_attribute("aria-label")))
            assert page.locator("button[aria-pressed=true]").count() == 1
            why = page.locator("figure.second p").inner_text()
            assert ("keeps no weights" if kind == "served" else "no windows of this run") in why
        assert trouble == []
    assert shown["served"] == shown["embedded"]
    assert " s (" in shown["served"][0]
    assert store.exists(EXPLORER_PAGE)
