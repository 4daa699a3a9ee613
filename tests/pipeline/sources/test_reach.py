"""How the site is reached: robots.txt as search engines read it, cookie files, proxies, no host but the platform's."""

from pathlib import Path
from urllib.request import Request

import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.collect_settings import Connection
from csmv.pipeline.sources.cookie_files import cookies_of, read_cookie_file
from csmv.pipeline.sources.hosts import is_media, is_site, may_follow
from csmv.pipeline.sources.polite import Refused, _OnlyPlatform
from csmv.pipeline.sources.proxies import proxy_of
from csmv.pipeline.sources.robots import refuse_forbidden

TAG, VIDEO = "https://www.tiktok.com/tag/x", "https://www.tiktok.com/@/video/1"


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("", False),
        ("User-agent: *\nDisallow: /tag/", True),
        ("\ufeffUser-agent: *\nDisallow: /", True),
        ("User-agent: *\nDisallow: /*/video/", True),
        ("User-agent: *\nDisallow: /tag/x$", True),
        ("User-agent: *\nDisallow: /tag$", False),
        ("User-agent: *\nDisallow: /\nAllow: /tag/\nAllow: /@", False),
        ("User-agent: csmv\nDisallow: /tag/\n\nUser-agent: *\nDisallow:", True),
        ("User-agent: other\nDisallow: /", False),
        ("User-agent: *\nCrawl-delay: 2", False),
        ("User-agent: *\nCrawl-delay: 10", True),
        ("User-agent: *\nRequest-rate: 1/60", True),
    ],
)
def test_robots_txt(text: str, forbidden: bool) -> None:
    if not forbidden:
        refuse_forbidden(text, [TAG, VIDEO], 3.0)
        return
    with pytest.raises(CsmvError, match=r"robots\.txt (disallows|asks for \d+ seconds)"):
        refuse_forbidden(text, [TAG, VIDEO], 3.0)


LINE = ".tiktok.com\tTRUE\t/\tTRUE\t2000000000\tsessionid\tplanted-session-value"


def test_a_cookie_file_gives_the_sites_cookies_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cookies.txt"
    other = LINE.replace("tiktok.com", "example.com")
    ending = LINE.replace("2000000000", "0")
    lines = [
        "# Netscape HTTP Cookie File",
        "",
        f"{LINE}\r",
        f"#HttpOnly_{LINE}",
        other,
        ending,
    ]
    path.write_text("\n".join(lines))
    cookies = read_cookie_file(path)
    assert [cookie.domain for cookie in cookies] == [".tiktok.com"] * 3
    assert [cookie.expires for cookie in cookies] == [2_000_000_000, 2_000_000_000, None]
    monkeypatch.setenv("CSMV_COOKIES", str(path))
    assert len(cookies_of(Connection())) == 3


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            LINE.rsplit("\t", 1)[0].encode() + b" planted-session-value\n",
            "line 1: expected 7 fields by tabs, found 6",
        ),
        (b'[{"domain": ".tiktok.com", "value": "planted-session-value"}]', "is JSON"),
        (LINE.encode("utf-16"), "is UTF-16"),
        (LINE.replace("2000000000", "2000000000000").encode(), "is in milliseconds"),
        (LINE.replace("2000000000", "tomorrow").encode(), "is no number"),
        (LINE.replace("tiktok.com", "example.com").encode(), "has 1 cookies and none of tiktok.com"),
        (b"", "has 0 cookies"),
    ],
)
def test_a_malformed_cookie_file_is_a_sentence_that_quotes_nothing(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "cookies.txt"
    path.write_bytes(data)
    with pytest.raises(CsmvError) as refused:
        read_cookie_file(path)
    assert problem in str(refused.value)
    assert "planted-session-value" not in str(refused.value) and "\n" not in str(refused.value)


def test_proxies_come_from_the_setting_the_environment_or_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CSMV_PROXY", "CSMV_PROXY_FILE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_of(Connection()) is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    usual = proxy_of(Connection())
    assert usual is not None and usual.url.get_secret_value() == "http://proxy.example:3128"
    private = tmp_path / "proxy"
    private.write_text("socks5://me:p%40ss@[2001:db8::1]:1080\n")
    private.chmod(0o644)
    monkeypatch.setenv("CSMV_PROXY_FILE", str(private))
    with pytest.raises(CsmvError, match="others may read it: `chmod 600"):
        proxy_of(Connection())
    private.chmod(0o600)
    found = proxy_of(Connection())
    assert found is not None
    assert (found.server, found.user, found.password.get_secret_value()) == (
        "socks5://[2001:db8::1]:1080",
        "me",
        "p@ss",
    )
    assert found.url.get_secret_value() == "socks5://me:p%40ss@[2001:db8::1]:1080"
    assert "p@ss" not in repr(found) and "p%40ss" not in repr(found)
    monkeypatch.setenv("CSMV_PROXY", "ftp://me:planted@proxy")
    with pytest.raises(CsmvError, match="CSMV_PROXY is no proxy's address") as refused:
        proxy_of(Connection())
    assert "planted" not in str(refused.value)
    assert proxy_of(Connection(proxy="socks5://127.0.0.1:9050")) is not None


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://v16-webapp-prime.tiktok.com/video/x", True),
        ("https://v19.tiktokcdn-us.com/x", True),
        ("http://v16-webapp-prime.tiktok.com/video/x", False),
        ("https://tiktok.com.evil.example/x", False),
        ("https://evil-tiktok.com/x", False),
        ("https://user:x@www.tiktok.com/x", False),
        ("https://www.tiktok.com:8443/x", False),
        ("https://127.0.0.1/x", False),
        ("file:///etc/passwd", False),
        ("https://[::1/x", False),
    ],
)
def test_files_come_from_the_platform_over_https(url: str, fine: bool) -> None:
    assert is_media(url) is fine


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://www.tiktok.com/@/video/7", True),
        ("https://m.tiktokv.com/share/video/7", True),
        ("https://v19.tiktokcdn.com/x", False),
        ("http://www.tiktok.com/", False),
        ("https://www.tiktok.com.evil.example/", False),
        ("https://me:x@www.tiktok.com/", False),
    ],
)
def test_redirects_of_pages_stay_on_the_site(url: str, fine: bool) -> None:
    assert may_follow(url) is fine


def test_a_redirect_to_anybody_else_is_not_followed() -> None:
    with pytest.raises(Refused):
        _OnlyPlatform().https_request(Request("https://169.254.169.254/latest"))
    assert _OnlyPlatform().https_request(Request("https://v19.tiktokcdn.com/x")) is not None


def test_pages_are_the_sites() -> None:
    assert is_site("www.TikTok.com.") and not is_site("tiktokcdn.com") and not is_site("xtiktok.com")
