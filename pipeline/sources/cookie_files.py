"""Cookie files in Netscape's format, as browsers' add-ons export them.

Whatever is wrong with one is a single sentence that quotes nothing of it.
"""

import os
from http.cookiejar import Cookie
from pathlib import Path

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.collect_settings import Connection
from csmv.pipeline.sources.hosts import is_site

VARIABLE = "CSMV_COOKIES"
_FIELDS = 7
_HTTP_ONLY = "#HttpOnly_"
_LATEST_S = 1 << 36
"""Year 4147: a larger number counts milliseconds."""
_LARGEST_BYTES = 4 << 20
_AS_IT_SHOULD_BE = "export it anew in Netscape's format, with the add-on's setting for `cookies.txt`"


def cookies_of(connection: Connection) -> list[Cookie]:
    """The site's cookies in the file that a connection or CSMV_COOKIES names; none where neither does.

    Raises:
        CsmvError: the file can't be read, is of another format, or has no cookie of the site.
    """
    given = os.environ.get(VARIABLE)
    path = connection.cookies or (Path(given) if given else None)
    return [] if path is None else read_cookie_file(path)


def read_cookie_file(path: Path) -> list[Cookie]:
    """The site's cookies in a file. Raises CsmvError as `cookies_of`."""
    name = f"The cookie file '{path}'"
    try:
        data = path.read_bytes()[: _LARGEST_BYTES + 1]
    except OSError as error:
        raise CsmvError(f"{name} can't be read ({error.strerror or 'unreadable'}).") from None
    if len(data) > _LARGEST_BYTES:
        raise CsmvError(f"{name} is larger than {_LARGEST_BYTES >> 20} MiB: it is no cookie file; {_AS_IT_SHOULD_BE}.")
    if b"\0" in data:
        raise CsmvError(f"{name} is UTF-16 or no text: save it as UTF-8; {_AS_IT_SHOULD_BE}.")
    text = data.decode("utf-8-sig", "replace")
    if text.lstrip()[:1] in ("[", "{"):
        raise CsmvError(f"{name} is JSON: {_AS_IT_SHOULD_BE}.")
    cookies = [_cookie(number, line, name) for number, line in enumerate(text.splitlines(), 1) if _is_cookie(line)]
    ours = [cookie for cookie in cookies if is_site(cookie.domain.lstrip("."))]
    if not ours:
        raise CsmvError(f"{name} has {len(cookies)} cookies and none of tiktok.com: export them while you are there.")
    return ours


def _is_cookie(line: str) -> bool:
    return bool(line.strip()) and (not line.lstrip().startswith("#") or line.startswith(_HTTP_ONLY))


def _cookie(number: int, line: str, name: str) -> Cookie:
    """The cookie of a line. Raises CsmvError."""
    fields = line.removeprefix(_HTTP_ONLY).rstrip("\r\n").split("\t")
    if len(fields) != _FIELDS:
        raise CsmvError(
            f"{name}, line {number}: expected {_FIELDS} fields by tabs, found {len(fields)}; {_AS_IT_SHOULD_BE}."
        )
    domain, _, path, secure, expires, cookie, value = fields
    try:
        seconds = int(float(expires or "0"))
    except (ValueError, OverflowError):
        raise CsmvError(
            f"{name}, line {number}: the fifth field is when the cookie ends, in seconds since 1970, and is no number; "
            f"{_AS_IT_SHOULD_BE}."
        ) from None
    if seconds > _LATEST_S:
        raise CsmvError(
            f"{name}, line {number}: the cookie's end is in milliseconds, and seconds since 1970 were expected; "
            f"{_AS_IT_SHOULD_BE}."
        )
    return Cookie(
        version=0,
        name=cookie,
        value=value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=domain.startswith("."),
        domain_initial_dot=domain.startswith("."),
        path=path or "/",
        path_specified=True,
        secure=secure.upper() == "TRUE",
        expires=seconds or None,
        discard=not seconds,
        comment=None,
        comment_url=None,
        rest={},
    )
