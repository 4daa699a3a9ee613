"""What the sandbox site answers: pages, lists, media, short links, oEmbed and robots.txt, with the faults of its world.

Knows HTTP only as a request and an answer; sockets, TLS and the proxy are in `csmv.pipeline.demo.sandbox.proxy`.
"""

import hashlib
import html
import json
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from csmv.pipeline.demo.sandbox import shapes
from csmv.pipeline.demo.sandbox.alterations import Alteration, altered
from csmv.pipeline.demo.sandbox.answers import Answer, Request, broken_list, broken_page, json_answer, ranged
from csmv.pipeline.demo.sandbox.faults import EFFECTS, Fault, Place
from csmv.pipeline.demo.sandbox.media import RENDITIONS, video_bytes
from csmv.pipeline.demo.sandbox.research_sandbox import ResearchApi
from csmv.pipeline.demo.sandbox.world import Video, World

_EXPIRES_S = 3600
_RESETS_LAST_S = 1.0
_MEDIA_HOST = re.compile(r"v1[69]-webapp-prime\.tiktok\.com")
_MEDIA_PATH = re.compile(r"/video/tos/sandbox/tos-sandbox-ve-0068/(?P<key>\w+)-(?P<id>\d+)/")
_TEMPLATE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


class Site:
    """The site's answers to requests; counts visits, so that passing faults pass."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._retry_after_s = world.settings.retry_after_s
        self.research = ResearchApi(world)
        self.alter: Alteration | None = None
        self._visits: Counter[tuple[Place, str]] = Counter()
        self._first_struck: dict[tuple[Place, str], float] = {}
        self._signatures: set[str] = set()
        self._lock = threading.Lock()
        self._routes: list[tuple[re.Pattern[str], Callable[[Request, re.Match[str]], Answer]]] = [
            (re.compile(r"/robots\.txt"), self._robots),
            (re.compile(r"/tag/(?P<tag>[^/]+)"), self._tag_page),
            (re.compile(r"/@[^/]*/(?:video|photo)/(?P<id>[^/]+)/?"), self._video_page),
            (re.compile(r"/share/video/(?P<id>\d+)/?"), self._video_page),
            (re.compile(r"/login"), self._login_page),
            (re.compile(r"/api/challenge/detail/"), self._challenge_detail),
            (re.compile(r"/api/challenge/item_list/"), self._item_list),
            (re.compile(r"/api/comment/list/"), self._comment_list),
            (re.compile(r"/api/comment/list/reply/"), self._reply_list),
            (re.compile(r"/oembed"), self._oembed),
            (re.compile(r"/t/(?P<code>\w+)/?"), self._short_link),
        ]

    def answer(self, request: Request) -> Answer:
        """The answer to a request, whatever its host; rewritten where `alter` says so."""
        answer = self._answer(request)
        return altered(answer, request.path, self.alter) if self.alter is not None else answer

    def _answer(self, request: Request) -> Answer:
        if request.host == "open.tiktokapis.com":
            status, body, headers = self.research.answer(request.path, request.query, request.headers, request.body)
            return Answer(status, body, headers.pop("Content-Type", "application/json"), list(headers.items()))
        if _MEDIA_HOST.fullmatch(request.host):
            return self._media(request)
        if request.host in ("vm.tiktok.com", "vt.tiktok.com"):
            match = re.fullmatch(r"/(?P<code>\w+)/?", request.path)
            return self._short_link(request, match) if match else Answer(404)
        if not request.host.endswith("tiktok.com"):
            return Answer(404)
        for pattern, route in self._routes:
            if match := pattern.fullmatch(request.path):
                return route(request, match)
        return Answer(404, b"<title>404</title>")

    # ------------------------------------------------------------------ pages

    def _robots(self, _request: Request, _found: re.Match[str]) -> Answer:
        how = self.world.settings.robots
        if how == "missing":
            return Answer(404)
        if how == "broken":
            return Answer(500)
        rules = "Disallow: /" if how == "disallow" else "Disallow: /inapp\nAllow: /"
        return Answer(200, f"User-agent: *\n{rules}\n".encode(), "text/plain")

    def _login_page(self, _request: Request, _found: re.Match[str]) -> Answer:
        return Answer(200, b"<title>Log in</title><h2>Log in to TikTok</h2>")

    def _tag_page(self, request: Request, match: re.Match[str]) -> Answer:
        tag = match["tag"].casefold()
        fault = self._strike(Place.TAG, tag)
        target = f"tag:{tag}"
        if fault is Fault.TAG_LOGIN_REDIRECT:
            return Answer(302, headers=[("Location", "https://www.tiktok.com/login?redirect_url=x")], target=target)
        if broken := broken_page(fault, target, self._retry_after_s):
            return broken
        show = {
            Fault.TAG_BANNER: "banner",
            Fault.TAG_LOGIN_MODAL: "login_modal",
            Fault.TAG_LOGIN_MODAL_BACK: "login_modal_back",
            Fault.TAG_CAPTCHA: "captcha",
            Fault.TAG_PANEL: "panel",
            Fault.TAG_PANEL_BACK: "panel_back",
        }.get(fault or Fault.TAG_SLOW, "")
        # Every second hashtag is of the server variant: its details come in the page, and no detail XHR follows.
        setup: dict[str, Any] = {"kind": "tag", "tag": tag, "show": show}
        data: dict[str, Any] = {"webapp.app-context": {"user": None}}
        if tag in self.world.tags and self.world.tags.index(tag) % 2 and fault is not Fault.TAG_NOT_FOUND:
            setup["challengeID"] = shapes.challenge_id(tag)
            data["webapp.challenge-detail"] = {"challengeInfo": shapes.challenge(tag), "statusCode": 0}
        return self._page(request, setup, {"__DEFAULT_SCOPE__": data}, target, self._delay(fault))

    def _video_page(self, request: Request, match: re.Match[str]) -> Answer:
        video = self.world.videos.get(match["id"])
        if video is None:
            return Answer(404, b"<title>404</title>", target="video:unknown")
        target = f"video:{video.id}"
        fault = self._strike(Place.VIDEO, video.id)
        if fault is Fault.VIDEO_LOGIN_REDIRECT:
            return Answer(302, headers=[("Location", "https://www.tiktok.com/login?redirect_url=x")], target=target)
        if broken := broken_page(fault, target, self._retry_after_s):
            return broken
        token = request.cookies.get("tt_chain_token") or secrets.token_hex(8)
        detail = self._detail(video, fault, token)
        show = {Fault.VIDEO_LOGIN_MODAL: "login_modal", Fault.VIDEO_BANNER: "banner"}.get(fault or Fault.VIDEO_SLOW, "")
        off = self.world.fault(Place.COMMENTS, video.id) is Fault.COMMENTS_OFF
        setup = {"kind": "video", "id": video.id, "show": show, "commentsOff": off}
        return self._page(request, setup, shapes.hydration(detail, video.id), target, self._delay(fault), token)

    def _detail(self, video: Video, fault: Fault | None, token: str) -> shapes.Json:
        refused = _REFUSALS.get(fault) if fault else None
        if refused:
            return {"statusCode": refused[0], "statusMsg": refused[1]}
        item = self._item(video, token, in_list=False)
        if fault is Fault.VIDEO_CLASSIFIED:
            del item["video"]
            item["isContentClassified"] = True
        if fault is Fault.VIDEO_WRONG_ID:
            item["id"] = str(int(video.id) + 1)
        return {"itemInfo": {"itemStruct": item}, "statusCode": 0, "statusMsg": ""}

    def _item(self, video: Video, token: str, *, in_list: bool) -> shapes.Json:
        expire = int(time.time()) + _EXPIRES_S
        item = shapes.item(
            video, self.world.settings.media_s, expire, _signature(token, video.id, expire), in_list=in_list
        )
        fault = self.world.fault(Place.VIDEO, video.id)
        if self.world.fault(Place.COMMENTS, video.id) is Fault.COMMENTS_OFF:
            item["itemCommentStatus"] = 3
        if self.world.fault(Place.COMMENTS, video.id) is Fault.COMMENTS_TOTAL:
            item["stats"]["commentCount"] += 40
        if fault is Fault.VIDEO_SLIDESHOW:
            return shapes.slideshow(item)
        if fault is Fault.VIDEO_AD:
            item["isAd"] = True
        if fault is Fault.VIDEO_NO_DOWNLOAD:
            item["video"]["downloadAddr"] = ""
        if fault is Fault.VIDEO_NO_INDEX:
            item["indexEnabled"] = False
        return item

    def _page(
        self, request: Request, setup: shapes.Json, data: shapes.Json, target: str, delay: float, token: str = ""
    ) -> Answer:
        escaped = json.dumps(data, ensure_ascii=False).replace("</", "<\\u002f")
        script = f'<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__" type="application/json">{escaped}</script>'
        page = _TEMPLATE.replace("__SETUP__", json.dumps(setup)).replace("__HYDRATION__", script)
        token = token or request.cookies.get("tt_chain_token") or secrets.token_hex(8)
        cookies = [
            f"ttwid={secrets.token_hex(8)}; Domain=.tiktok.com; Path=/; HttpOnly; Secure; Max-Age=31536000",
            f"tt_csrf_token={secrets.token_hex(4)}; Domain=.tiktok.com; Path=/; HttpOnly; Secure; SameSite=Lax",
            f"tt_chain_token={token}; Domain=.tiktok.com; Path=/; HttpOnly; Secure; Max-Age=15552000",
        ]
        return Answer(
            body=page.encode(), headers=[("Set-Cookie", text) for text in cookies], delay_s=delay, target=target
        )

    # ------------------------------------------------------------------ lists

    def _challenge_detail(self, request: Request, _found: re.Match[str]) -> Answer:
        tag = request.query.get("challengeName", "").casefold()
        if refused := self._spent(request, f"tag:{tag}"):
            return refused
        if tag not in self.world.tags or self.world.fault(Place.TAG, tag) is Fault.TAG_NOT_FOUND:
            return json_answer({"challengeInfo": {}, "statusCode": 10205, "status_code": 10205}, f"tag:{tag}")
        return json_answer({"challengeInfo": shapes.challenge(tag), "statusCode": 0, "statusMsg": ""}, f"tag:{tag}")

    def _item_list(self, request: Request, _found: re.Match[str]) -> Answer:
        tag = next((t for t in self.world.tags if shapes.challenge_id(t) == request.query.get("challengeID")), "")
        target = f"tag:{tag}"
        if refused := self._spent(request, target):
            return refused
        if not tag or int(request.query.get("count", "0")) > 35:
            return json_answer({"statusCode": 10201, "status_code": 10201}, target)
        start = int(request.query.get("cursor", "0"))
        # A list's fault strikes its second page where there is one: what came before must not be lost.
        size, ids = self.world.settings.list_size, self.world.listing[tag]
        at_fault = size if len(ids) > size else 0
        fault = self._standing(Place.TAG, tag)
        if start >= at_fault and (broken := broken_list(fault, target, self._retry_after_s)):
            return broken
        shown = ids[start : start + size]
        items = [self._item(self.world.videos[i], "listed", in_list=True) for i in shown]
        # The head of the list is repeated on later pages, as on the real site.
        if start and items:
            items.insert(0, self._item(self.world.videos[ids[0]], "listed", in_list=True))
        if fault is Fault.TAG_EVIL_ID and start == 0 and items:
            items.insert(0, items[0] | {"id": "../../x"})
        more = start + size < len(ids)
        body: dict[str, Any] = {"itemList": items, "cursor": str(start + size), "hasMore": more, "statusCode": 0}
        if fault is Fault.TAG_ENDLESS:
            last = [self._item(self.world.videos[i], "listed", in_list=True) for i in ids[-3:]]
            body |= {"hasMore": True, "itemList": items or last}
        elif not items:
            del body["itemList"]
        return json_answer(body, target)

    def _comment_list(self, request: Request, _found: re.Match[str]) -> Answer:
        video = self.world.videos.get(request.query.get("aweme_id", ""))
        if video is None:
            return json_answer({"status_code": 10201, "comments": None}, "video:unknown")
        target = f"video:{video.id}"
        if refused := self._spent(request, target):
            return refused
        fault = self._strike(Place.COMMENTS, video.id)
        if broken := broken_list(fault, target, self._retry_after_s):
            return broken
        start, size = int(request.query.get("cursor", "0")), self.world.settings.comment_list_size
        roots = [] if fault is Fault.COMMENTS_NONE else video.roots
        shown = roots[start : start + size]
        if fault is Fault.COMMENTS_REPEAT:
            shown = [*shown, *shown[:2]]
        if fault is Fault.COMMENTS_ENDLESS and not shown:
            shown = roots[-2:]
        more = start + size < len(roots) or fault is Fault.COMMENTS_ENDLESS
        total = len(video.comments) + (40 if fault is Fault.COMMENTS_TOTAL else 0)
        body = {
            "comments": [shapes.comment(comment, video) for comment in shown] or None,
            "cursor": start + size,
            "has_more": int(more),
            "total": total,
            "status_code": 0,
        }
        return json_answer(body, target)

    def _reply_list(self, request: Request, _found: re.Match[str]) -> Answer:
        video = self.world.videos.get(request.query.get("item_id", ""))
        if video is None:
            return json_answer({"status_code": 10201, "comments": None}, "video:unknown")
        if refused := self._spent(request, f"video:{video.id}"):
            return refused
        start, size = int(request.query.get("cursor", "0")), self.world.settings.reply_list_size
        replies = video.replies_to(request.query.get("comment_id", ""))
        body = {
            "comments": [shapes.comment(reply, video) for reply in replies[start : start + size]] or None,
            "cursor": start + size,
            "has_more": int(start + size < len(replies)),
            "total": len(replies),
            "status_code": 0,
        }
        return json_answer(body, f"video:{video.id}")

    # ------------------------------------------------------------------ the rest

    def _media(self, request: Request) -> Answer:
        match = _MEDIA_PATH.fullmatch(request.path)
        video = self.world.videos.get(match["id"]) if match else None
        rendition = next((r for r in RENDITIONS if match and r.url_key == match["key"]), None)
        if video is None or rendition is None:
            return Answer(404)
        target, fault = f"video:{video.id}", self._strike(Place.MEDIA, video.id)
        expire = int(request.query.get("expire", "0"))
        signed = _signature(request.cookies.get("tt_chain_token", ""), video.id, expire)
        expired = expire < time.time() or fault is Fault.MEDIA_EXPIRED
        if signed != request.query.get("signature") or expired or fault is Fault.MEDIA_FORBIDDEN:
            return Answer(403, target=target)
        if fault is Fault.MEDIA_SERVER_ERROR:
            return Answer(503, target=target)
        if fault is Fault.MEDIA_HTML:
            return Answer(200, b"<!doctype html><title>not a video</title>" * 500, "video/mp4", target=target)
        data = video_bytes(video.id, rendition, self.world.settings.media_s)
        if fault is Fault.MEDIA_SHORT:
            data = data[: len(data) * 2 // 3]
        answer = ranged(data, request.headers.get("range", ""))
        answer.target = target
        answer.cut_after = {Fault.MEDIA_TRUNCATED: len(data) // 2, Fault.MEDIA_RESET: 0}.get(fault or Fault.MEDIA_SLOW)
        answer.delay_s = self._delay(fault)
        return answer

    def _short_link(self, request: Request, match: re.Match[str]) -> Answer:
        code = match["code"]
        fault = self._strike(Place.SHORT, code)
        video = self.world.videos.get(self.world.short_links.get(code, ""))
        if video is None:
            return Answer(404, target="short:unknown")
        where = {
            Fault.SHORT_LOOP: f"https://{request.host}{request.path}",
            Fault.SHORT_LOGIN: "https://www.tiktok.com/login",
            Fault.SHORT_ELSEWHERE: "http://127.0.0.1:1/secret",
        }.get(fault or Fault.TAG_SLOW, f"https://www.tiktok.com/@{video.creator.handle}/video/{video.id}?_r=1")
        return Answer(301, headers=[("Location", where)], target=f"short:{code}")

    def _oembed(self, request: Request, _found: re.Match[str]) -> Answer:
        asked = request.query.get("url", "")
        video = next((self.world.videos[i] for i in re.findall(r"\d{15,20}", asked) if i in self.world.videos), None)
        fault = self.world.fault(Place.VIDEO, video.id) if video else None
        if video is None or fault in (Fault.VIDEO_DELETED, Fault.VIDEO_NOT_FOUND):
            return Answer(400, b'{"message": "Something went wrong", "code": 400}', "application/json")
        body = {
            "version": "1.0",
            "type": "video",
            "title": video.text,
            "author_name": video.creator.nickname,
            "author_unique_id": video.creator.handle,
            "embed_product_id": video.id,
            "html": f"<blockquote data-video-id='{html.escape(video.id)}'></blockquote>",
        }
        return json_answer(body, f"video:{video.id}")

    # ------------------------------------------------------------------ faults

    def _strike(self, place: Place, key: str) -> Fault | None:
        """The fault that this visit of a target meets; the visit is counted."""
        fault = self.world.fault(place, key)
        if fault is None:
            return None
        with self._lock:
            self._visits[place, key] += 1
            if fault.value.endswith("_reset") and self.world.settings.heal_after:
                # Chromium tries a broken connection again by itself, several times in a moment.
                first = self._first_struck.setdefault((place, key), time.monotonic())
                return fault if time.monotonic() - first < _RESETS_LAST_S else None
            return fault if EFFECTS[fault].lasting or self._visits[place, key] <= self._spoiled(fault) else None

    def _standing(self, place: Place, key: str) -> Fault | None:
        """The fault that the current visit met, without counting a new one."""
        fault = self.world.fault(place, key)
        if fault is None or EFFECTS[fault].lasting:
            return fault
        return fault if self._visits[place, key] <= self._spoiled(fault) else None

    def _spoiled(self, fault: Fault) -> int:
        # Server errors outlast the one retry that politeness allows.
        return self.world.settings.heal_after * (2 if fault.value.endswith("server_error") else 1)

    def _delay(self, fault: Fault | None) -> float:
        return self.world.settings.slow_s if fault and fault.value.endswith("_slow") else 0.0

    def _spent(self, request: Request, target: str) -> Answer | None:
        """A signature is good for one request: whoever replays a captured one gets nothing."""
        signature = request.query.get("X-Bogus", "")
        with self._lock:
            if signature and signature not in self._signatures:
                self._signatures.add(signature)
                return None
        return Answer(kind="application/json", target=target)


_REFUSALS = {
    Fault.VIDEO_DELETED: (10204, "item_privacy_authorization&status_deleted"),
    Fault.VIDEO_SELF_SEE: (10204, "status_self_see"),
    Fault.VIDEO_PRIVATE: (10216, ""),
    Fault.VIDEO_PRIVATE_ACCOUNT: (10222, "author_secret"),
    Fault.VIDEO_REGION: (10231, "cross_border_violation"),
}


def _signature(token: str, video_id: str, expire: int) -> str:
    return hashlib.sha256(f"{token}:{video_id}:{expire}".encode()).hexdigest()[:24]
