"""The few requests that need no browser: robots.txt, and where a short link leads. No redirect is followed blindly."""

import ssl
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.collect_settings import Connection, Manners
from csmv.pipeline.sources.hosts import may_follow
from csmv.pipeline.sources.pacing import Pacer, interval_for
from csmv.pipeline.sources.proxies import proxy_of
from csmv.pipeline.sources.robots import AGENT, refuse_forbidden
from csmv.pipeline.sources.video_links import short_link_of, video_id_of
from csmv.pipeline.sources.walls import Outcome, Verdict, verdict_of_status

if TYPE_CHECKING:
    import httpx

PAGE = "/@/video/1"
"""A path like those of videos' pages."""

_MOST_REDIRECTS = 5
_LARGEST_ROBOTS = 512 << 10


def http_client(connection: Connection) -> "httpx.Client":
    """A client that goes the way the connection says, and stays where it is sent."""
    import httpx

    proxy = proxy_of(connection)
    trust = ssl.create_default_context()
    if connection.ca_file is not None:
        trust.load_verify_locations(cafile=str(connection.ca_file))
    return httpx.Client(
        proxy=None if proxy is None else proxy.url.get_secret_value(),
        verify=trust,
        trust_env=False,
        follow_redirects=False,
        timeout=30,
        headers={"User-Agent": AGENT},
    )


def check_robots(
    connection: Connection, pacer: Pacer, manners: Manners, paths: Iterable[str] = ("/tag/x", PAGE)
) -> None:
    """Fetch robots.txt and make sure that it allows what is about to be asked, at the pace of these manners.

    Raises CsmvError if it forbids it, or can't be read: a 404 means that there are no rules, anything else that
    nobody knows them.
    """
    import httpx

    pacer.wait()
    try:
        with http_client(connection) as client, client.stream("GET", "https://www.tiktok.com/robots.txt") as answer:
            status = answer.status_code
            text = b"".join(_at_most(answer.iter_bytes(), _LARGEST_ROBOTS)).decode("utf-8", "replace")
    except httpx.HTTPError as error:
        raise CsmvError(
            f"robots.txt could not be fetched ({type(error).__name__}), so nothing is collected: try again later."
        ) from None
    if status in (404, 410):
        return
    if status != 200:
        raise CsmvError(f"robots.txt could not be read (HTTP {status}), so nothing is collected: try again later.")
    interval_s = interval_for(manners, connection)
    refuse_forbidden(text, [f"https://www.tiktok.com{path}" for path in paths], interval_s)


def resolve_short_links(
    links: Iterable[str], connection: Connection, pacer: Pacer
) -> Iterator[tuple[str, str | Verdict]]:
    """Each short link and the video id that it leads to, or why it leads to none. At most five hops within TikTok."""
    with http_client(connection) as client:
        for link in links:
            yield link, _resolve(client, link, pacer)


def _resolve(client: "httpx.Client", link: str, pacer: Pacer) -> str | Verdict:
    import httpx

    seen: set[str] = set()
    url = link
    for _ in range(_MOST_REDIRECTS):
        if url in seen:
            return Verdict(Outcome.REDIRECT_LOOP)
        seen.add(url)
        pacer.wait()
        try:
            answer = client.head(url)
        except httpx.HTTPError:
            return Verdict(Outcome.NETWORK)
        if not answer.is_redirect:
            return verdict_of_status(answer.status_code, answer.headers.get("Retry-After", "")) or Verdict(
                Outcome.UNREADABLE, note="a short link that leads nowhere"
            )
        url = urljoin(url, answer.headers["Location"])
        video_id = video_id_of(url)
        if video_id is not None:
            return video_id
        if not may_follow(url):
            return Verdict(Outcome.REFUSED_ADDRESS)
        if url.split("?", 1)[0].rstrip("/").endswith("/login"):
            return Verdict(Outcome.LOGIN_REQUIRED)
        url = short_link_of(url) or url
    return Verdict(Outcome.REDIRECT_LOOP)


def _at_most(chunks: Iterable[bytes], limit: int) -> Iterable[bytes]:
    for chunk in chunks:
        limit -= len(chunk)
        yield chunk
        if limit < 0:
            return
