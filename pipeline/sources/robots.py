"""robots.txt, as search engines read it: wildcards, `$`, a byte-order mark, a delay between requests."""

from collections.abc import Iterable

from protego import Protego

from csmv.pipeline.errors import CsmvError

AGENT = "csmv"
"""The token by which robots.txt may address this program."""

OVERRIDE = "After reading the site's terms, `manners: {obey_robots: false}` overrides this."


def refuse_forbidden(text: str, urls: Iterable[str], interval_s: float, what: str = "a collection would read") -> None:
    """Make sure that a robots.txt allows addresses at a pace.

    Args:
        text: the file's.
        urls: the addresses, or one of each kind.
        interval_s: seconds between two requests.
        what: what the addresses are, for the sentence.

    Raises:
        CsmvError: it forbids one of them, or asks for a slower pace.
    """
    rules = Protego.parse(text.removeprefix("\ufeff"))
    if not all(rules.can_fetch(url, AGENT) for url in urls):
        raise CsmvError(f"robots.txt disallows what {what}, so nothing is asked for. {OVERRIDE}")
    delay_s = rules.crawl_delay(AGENT) or 0.0
    rate = rules.request_rate(AGENT)
    if rate is not None and rate.requests:
        delay_s = max(delay_s, rate.seconds / rate.requests)
    if delay_s > interval_s:
        raise CsmvError(
            f"robots.txt asks for {delay_s:g} seconds between requests, and the pace is one every {interval_s:g}, so "
            f"nothing is asked for. Set `manners: {{interval_s: {delay_s:g}}}`, or --interval. {OVERRIDE}"
        )
