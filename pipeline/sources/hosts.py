"""Whose hosts are whose: the site's pages, and where its media lie. Nothing else is ever asked."""

from urllib.parse import urlsplit

_SITE = ("tiktok.com", "tiktokv.com")
_MEDIA = (
    *_SITE,
    "tiktokcdn.com",
    "tiktokcdn-us.com",
    "tiktokcdn-eu.com",
    "tiktokv.us",
    "tiktokv.eu",
    "byteoversea.com",
    "ibytedtos.com",
    "muscdn.com",
)
"""Of the site, and of the networks that its pages name for files. Source: the addresses in its pages' data."""


def is_site(host: str) -> bool:
    """Whether pages of the site are there."""
    return _is_of(host, _SITE)


def may_follow(url: str) -> bool:
    """Whether a redirect may be followed to an address: https, and the site itself."""
    return _is_https_of(url, _SITE)


def is_media(url: str) -> bool:
    """Whether a file of the platform may be fetched from an address: https, and one of its hosts."""
    return _is_https_of(url, _MEDIA)


def _is_https_of(url: str, domains: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return parts.scheme == "https" and parts.username is None and port in (None, 443) and _is_of(host, domains)


def _is_of(host: str, domains: tuple[str, ...]) -> bool:
    host = host.rstrip(".").casefold()
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)
