"""What passes between the sandbox's sockets and its site: a request, an answer, and the answers of a broken site."""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from csmv.pipeline.demo.sandbox import shapes
from csmv.pipeline.demo.sandbox.faults import Fault


@dataclass(frozen=True)
class Request:
    """One request as the site sees it."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    cookies: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Answer:
    """One answer. `cut_after` closes the connection after so many bytes of the body; 0 resets it before any."""

    status: int = 200
    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    headers: list[tuple[str, str]] = field(default_factory=list)
    delay_s: float = 0.0
    cut_after: int | None = None
    target: str = ""
    """What the request was about, `tag:NAME` or `video:ID`, for the request log."""


def json_answer(body: object, target: str) -> Answer:
    """JSON as the site sends it, with a new msToken."""
    cookie = ("Set-Cookie", f"msToken={secrets.token_hex(12)}; Path=/; Secure; SameSite=None")
    return Answer(body=json.dumps(body).encode(), kind="application/json", headers=[cookie], target=target)


def ranged(data: bytes, asked: str) -> Answer:
    """A file, or the part of it that a Range header asks for."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
    if not match:
        return Answer(body=data, kind="video/mp4", headers=[("Accept-Ranges", "bytes")])
    start, end = int(match[1]), min(int(match[2] or len(data) - 1), len(data) - 1)
    if start > end:
        return Answer(416, headers=[("Content-Range", f"bytes */{len(data)}")])
    return Answer(
        206, data[start : end + 1], "video/mp4", headers=[("Content-Range", f"bytes {start}-{end}/{len(data)}")]
    )


def broken_page(fault: Fault | None, target: str, retry_after_s: float) -> Answer | None:
    """The answer to a page request by a fault that needs nothing of the page itself; None for the others."""
    if fault in (Fault.VIDEO_RATE_LIMITED,):
        return _too_fast(target, retry_after_s)
    if fault in (Fault.TAG_RESET, Fault.VIDEO_RESET):
        return Answer(cut_after=0, target=target)
    if fault in (Fault.TAG_SERVER_ERROR, Fault.VIDEO_SERVER_ERROR):
        return Answer(503, b"<title>503</title>", target=target)
    bodies = {
        Fault.VIDEO_CAPTCHA: b"<title>x</title><div id='captcha_container'>Verify to continue:</div>",
        Fault.VIDEO_CHALLENGE: b"<p>Please wait...</p><p id='wci' class='_waf'></p><p id='cs' class='e30='></p>",
        Fault.VIDEO_EMPTY: b"",
        Fault.VIDEO_NO_TAG: b"<!doctype html><title>TikTok</title><div id='app'>loading</div>",
        Fault.VIDEO_BROKEN_JSON: b'<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__">{"__DEFAULT_</script>',
    }
    if fault in bodies:
        return Answer(body=bodies[fault], target=target)
    if fault is Fault.VIDEO_HUGE:
        return Answer(body=b"<!-- " + b"x" * (50 << 20) + b" -->", target=target)
    if fault in (Fault.VIDEO_FORBIDDEN, Fault.VIDEO_NOT_FOUND):
        return Answer(403 if fault is Fault.VIDEO_FORBIDDEN else 404, b"<title>no</title>", target=target)
    return None


def broken_list(fault: Fault | None, target: str, retry_after_s: float) -> Answer | None:
    """The answer to a list request by a fault that needs nothing of the list itself; None for the others."""
    what = fault.value.partition("_")[2] if fault else ""
    if what == "empty":
        return Answer(kind="application/json", target=target)
    if what == "verify":
        return json_answer(shapes.VERIFY, target)
    if what == "rate_limited":
        return _too_fast(target, retry_after_s)
    if what == "bad_count":
        return json_answer({"statusCode": 10201, "status_code": 10201}, target)
    if what == "broken_json":
        return Answer(body=b'{"itemList": [{"id": "76', kind="application/json", target=target)
    if what == "stall":
        return Answer(delay_s=3600, cut_after=0, target=target)
    if what == "huge":
        return Answer(body=b'{"x": "' + b"x" * (50 << 20) + b'"}', kind="application/json", target=target)
    if what == "server_error" and target.startswith("video:"):
        return Answer(502, target=target)
    return None


def _too_fast(target: str, retry_after_s: float) -> Answer:
    return Answer(429, headers=[("Retry-After", f"{retry_after_s:g}")], target=target)
