"""One page opened for one target: the requests it makes by itself, paced; its answers, read as they come; the obstacles
that are visible on it.

Makes no request of its own besides opening the page: data come only from what the page's own script asks for.
"""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, urlsplit

from csmv.pipeline.sources.collect_settings import Manners
from csmv.pipeline.sources.hosts import is_site
from csmv.pipeline.sources.landing import Record
from csmv.pipeline.sources.pacing import Pacer, Paused
from csmv.pipeline.sources.responses import MAX_BODY_BYTES, read_json
from csmv.pipeline.sources.walls import Outcome, Verdict, verdict_of_status

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page, Request, Response, Route

ITEMS = "/api/challenge/item_list/"
DETAIL = "/api/challenge/detail/"
COMMENTS = "/api/comment/list/"
REPLIES = "/api/comment/list/reply/"
_LISTS = frozenset({ITEMS, DETAIL, COMMENTS, REPLIES})
_VISITS_OF_A_TAB = 50
_HEAVY = frozenset({"image", "media", "font"})

Kind = Literal["page", "list"]

OBSTACLES: dict[str, str] = {
    "captcha": ".captcha_verify_container, .captcha-verify-container, #captcha-verify-container-main-page, "
    "#captcha_container, [class*='secsdk-captcha']",
    "login": "[data-e2e='login-modal']",
    "banner": "tiktok-cookie-banner",
}
"""What may stand in the way, by the elements that show it."""

_LOOK = """
([obstacles]) => {
  const seen = element => {
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    return style.visibility !== 'hidden' && style.display !== 'none' && (box.width > 0 || element.shadowRoot !== null);
  };
  const found = Object.entries(obstacles)
    .filter(([, selector]) => [...document.querySelectorAll(selector)].some(seen)).map(([name]) => name);
  const texts = [...document.querySelectorAll('h1, h2, p, [role=dialog]')].filter(seen)
    .map(element => element.textContent.trim());
  if (texts.some(text => /^Something went wrong$/.test(text))) found.push('panel');
  if (texts.some(text => /^Couldn.t find this (hashtag|account)$/.test(text))) found.push('not_found');
  return found;
}
"""


@dataclass(frozen=True)
class Capture:
    """An answer that the page got. `verdict` is what its transport alone already says."""

    kind: Kind
    record: Record
    verdict: Verdict | None = None


class Tab:
    """The one tab of a worker, opened anew now and then; between visits it is blank and lets nothing through."""

    def __init__(self, context: "BrowserContext") -> None:
        self.context = context
        self.visit: Visit | None = None
        self._page: Page | None = None
        self._used = 0

    async def page(self) -> "Page":
        """The tab's page."""
        if self._page is not None and (self._used >= _VISITS_OF_A_TAB or self._page.is_closed()):
            with suppress(Exception):
                await self._page.close()
            self._page = None
        if self._page is None:
            self._page, self._used = await self.context.new_page(), 0
            await self._page.route("**/*", self._admit)
            self._page.on("response", self._response)
            self._page.on("requestfailed", self._failed)
        self._used += 1
        return self._page

    async def clear(self) -> None:
        """Leave the page: what it still wanted to ask is cancelled."""
        self.visit = None
        if self._page is not None:
            try:
                await self._page.goto("about:blank", timeout=5000)
            except Exception:
                self._used = _VISITS_OF_A_TAB  # whatever is the matter with it, the next visit gets a new one

    async def _admit(self, route: "Route") -> None:
        if self.visit is not None:
            await self.visit.admit(route)
            return
        with suppress(Exception):
            if route.request.url == "about:blank":
                await route.continue_()
            else:
                await route.abort()

    def _response(self, response: "Response") -> None:
        if self.visit is not None:
            self.visit.saw(response)

    def _failed(self, request: "Request") -> None:
        if self.visit is not None:
            self.visit.failed(request)


@dataclass
class Visit:
    """A page that is open. Once `stopped`, it lets nothing more through."""

    tab: Tab
    pacer: Pacer
    manners: Manners
    stopped: bool = False
    paused: Paused | None = None
    _captures: "asyncio.Queue[Capture]" = field(default_factory=asyncio.Queue)
    _page: "Page | None" = None
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    _closed_popups: set[str] = field(default_factory=set)

    async def __aenter__(self) -> "Visit":
        self._page = await self.tab.page()
        self.tab.visit = self
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopped = True
        await self.tab.clear()
        for task in list(self._tasks):
            task.cancel()

    @property
    def page(self) -> "Page":
        """The open page."""
        assert self._page is not None, "a visit is used inside `async with`"
        return self._page

    # ------------------------------------------------------------------ what the page asks for

    async def admit(self, route: "Route") -> None:
        """Every request of the page passes here: heavy files are left out, requests to the site wait their turn."""
        request = route.request
        with suppress(Exception):
            if self.stopped or request.resource_type in _HEAVY or not _may_go(request):
                await route.abort()
                return
            if _counts(request):
                try:
                    await asyncio.to_thread(self.pacer.wait)
                except Paused as paused:
                    self.paused, self.stopped = paused, True
                if self.stopped:
                    await route.abort()
                    return
            await route.continue_()

    def saw(self, response: "Response") -> None:
        """An answer has begun to arrive: read it at once, for the browser does not keep it."""
        task = asyncio.ensure_future(self._read(response))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, response: "Response") -> None:
        kind = _kind_of(response.request)
        if kind is None or self.stopped or response.status in (301, 302, 303, 307, 308):
            return
        parts = urlsplit(response.url)
        query = dict(parse_qsl(parts.query))
        record = Record(path=parts.path, body=b"", query=query, status=response.status)
        verdict = verdict_of_status(response.status, response.headers.get("retry-after", ""))
        if kind == "page" and parts.path.rstrip("/") == "/login":
            verdict = Verdict(Outcome.LOGIN_REQUIRED)
        if kind == "page" and not is_site(parts.hostname or ""):
            verdict = Verdict(Outcome.REFUSED_ADDRESS)
        if int(response.headers.get("content-length", "0") or 0) > MAX_BODY_BYTES:
            verdict = Verdict(Outcome.OVERSIZED, note=f"{int(response.headers['content-length']) >> 20} MiB")
        if verdict is not None:
            if verdict.outcome.wall:
                self.stopped = True
                self._hold(verdict)
            self._captures.put_nowait(Capture(kind, record, verdict))
            return
        try:
            body = await response.body()
        except Exception:
            self._captures.put_nowait(Capture(kind, record, Verdict(Outcome.NETWORK, note="the body was lost")))
            return
        said = read_json(body)[1] if kind == "list" else None
        if said is not None and said.outcome.wall:
            self.stopped = True  # at once: what the page's script asks for next must not leave
        self._captures.put_nowait(Capture(kind, Record(record.path, body, query, record.status)))

    def _hold(self, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.RATE_LIMITED:
            wait = verdict.retry_after_s
            self.pacer.pause(self.manners.wait_without_retry_after_s if wait is None else wait)

    def failed(self, request: "Request") -> None:
        """A request of the page found no answer."""
        kind = _kind_of(request)
        if kind is not None and not self.stopped:
            record = Record(path=urlsplit(request.url).path, body=b"", status=0)
            self._captures.put_nowait(Capture(kind, record, Verdict(Outcome.NETWORK)))

    # ------------------------------------------------------------------ what we do on it

    async def open(self, url: str) -> Capture:
        """Open an address; its own answer, or what stood in the way."""
        with suppress(Exception):
            # Errors are told by the captures: a connection that failed, an answer that never came.
            await self.page.goto(url, wait_until="commit", timeout=self.manners.page_timeout_s * 1000)
        capture = await self.next(self.manners.page_timeout_s, "page")
        return capture or Capture(
            "page", Record(url, b"", status=0), Verdict(Outcome.NETWORK, note="no answer in time")
        )

    async def next(self, timeout_s: float, kind: Kind = "list") -> Capture | None:
        """The next answer of a kind, or None if none comes in time. Raises Paused if the run has to stop."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while (left := end - loop.time()) > 0:
            if self.paused is not None:
                raise self.paused
            with suppress(TimeoutError):
                capture = await asyncio.wait_for(self._captures.get(), min(left, 0.25))
                if capture.kind == kind:
                    return capture
        return None

    async def look(self) -> Verdict | None:
        """Deal with what stands visibly in the way, each once: decline, close, refresh. A wall or None."""
        with suppress(Exception):
            for name in await self.page.evaluate(_LOOK, [OBSTACLES]):
                verdict = await self._face(name)
                if verdict is not None:
                    if verdict.outcome.wall:
                        self.stopped = True
                    return verdict
        return None

    async def _face(self, name: str) -> Verdict | None:
        if name == "captcha":
            return Verdict(Outcome.CAPTCHA)
        if name == "not_found":
            return Verdict(Outcome.NOT_FOUND)
        if name in self._closed_popups:
            walls = {"login": Outcome.LOGIN_REQUIRED, "panel": Outcome.ERROR_PANEL}
            return Verdict(walls[name]) if name in walls else None
        self._closed_popups.add(name)
        buttons = {
            "login": self.page.locator("[data-e2e='modal-close-inner-button']"),
            "banner": self.page.locator("tiktok-cookie-banner").get_by_role("button", name="Decline optional cookies"),
            "panel": self.page.get_by_role("button", name="Refresh"),
        }
        await self.rest()
        await buttons[name].first.click(timeout=3000)
        await asyncio.sleep(0.2)
        return None

    async def scroll(self, selector: str, *, nudge_up: bool = False) -> None:
        """Turn the mouse wheel over an element, as a person does, after a pause."""
        await self.rest()
        with suppress(Exception):
            box = await self.page.locator(selector).first.bounding_box(timeout=1000)
            x = box["x"] + min(box["width"], 1280) / 2 if box else 640
            y = min(max(box["y"] + box["height"] / 2, 50), 850) if box else 450
            await self.page.mouse.move(x, y)
            if nudge_up:
                await self.page.mouse.wheel(0, -300)
                await asyncio.sleep(0.1)
            await self.page.mouse.wheel(0, random.uniform(1400, 2600))

    async def click(self, selector: str) -> bool:
        """Click the first such element after a pause; whether there was one."""
        await self.rest()
        try:
            await self.page.locator(selector).first.click(timeout=3000)
        except Exception:
            return False
        return True

    async def count(self, selector: str) -> int:
        """How many such elements there are."""
        with suppress(Exception):
            return await self.page.locator(selector).count()
        return 0

    async def rest(self) -> None:
        """A pause of a person's length."""
        await asyncio.sleep(random.uniform(*self.manners.scroll_pause_s))


def _kind_of(request: "Request") -> Kind | None:
    parts = urlsplit(request.url)
    if request.is_navigation_request() and request.frame.parent_frame is None:
        return "page"
    return "list" if parts.path in _LISTS and is_site(parts.hostname or "") else None


def _counts(request: "Request") -> bool:
    """Whether a request has to wait its turn: every page and every call of the site's interface does."""
    parts = urlsplit(request.url)
    return request.is_navigation_request() or parts.path.startswith("/api/")


def _may_go(request: "Request") -> bool:
    """No files, no other schemes, and the tab itself never leaves TikTok, wherever a redirect may point."""
    if _kind_of(request) == "page":
        return request.url == "about:blank" or is_site(urlsplit(request.url).hostname or "")
    return request.url.startswith(("https://", "http://", "blob:", "data:"))
