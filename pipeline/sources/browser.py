"""Chromium as it comes, driven by Playwright: found or named, honest about itself, quiet in the background.

No stealth patches, no altered user agent, no other fingerprint than its own.
"""

import base64
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.collect_settings import Connection
from csmv.pipeline.sources.cookie_files import cookies_of
from csmv.pipeline.sources.proxies import proxy_of

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Playwright

"""Names a cookie file, where the setting does not."""

_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--disable-default-apps",
    "--disable-features=MediaRouter,OptimizationHints",
)
_INSTALL = "install it with `apt-get install chromium` or `playwright install chromium`, or name one with --browser"


def find_chromium(named: Path | None = None) -> Path | None:
    """Chromium's executable: the one named, else the system's, else None (Playwright's own, if it has one)."""
    if named is not None:
        if not named.is_file():
            raise CsmvError(f"There is no browser at '{named}': {_INSTALL}.")
        return named
    program = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    return Path(program) if program else None


@asynccontextmanager
async def browser_context(connection: Connection) -> AsyncIterator["BrowserContext"]:
    """A persistent browser context for the block's time.

    Raises CsmvError if Playwright or Chromium is not there, or the cookie file can't be read.
    """
    try:
        from playwright.async_api import Error, async_playwright
    except ImportError:
        raise CsmvError("Collecting needs Playwright: pip install 'csmv[collect]'.") from None
    with TemporaryDirectory(prefix="csmv-profile-") as passing:
        profile = connection.profile or Path(passing)
        async with async_playwright() as playwright:
            try:
                context = await _launch(playwright, connection, profile)
            except Error as error:
                first = str(error).strip().splitlines()[0][:160]
                raise CsmvError(f"Chromium did not start ({first}): {_INSTALL}.") from None
            try:
                cookies = read_cookies(connection)
                if cookies:
                    await context.add_cookies(cookies)  # type: ignore[arg-type]
                yield context
            finally:
                await context.close()


async def _launch(playwright: "Playwright", connection: Connection, profile: Path) -> "BrowserContext":
    arguments = list(_QUIET)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to sandbox itself for root
    if connection.ca_file is not None:
        arguments.append(f"--ignore-certificate-errors-spki-list={_spki_of(connection.ca_file)}")
    executable = find_chromium(connection.browser)
    return await playwright.chromium.launch_persistent_context(
        profile,
        executable_path=executable,
        headless=not connection.headed,
        args=arguments,
        proxy=_proxy(connection),
        locale=connection.locale,
        viewport={"width": 1280, "height": 900},
        service_workers="block",  # a warm service worker hides the page's data
        accept_downloads=False,
        handle_sigint=False,  # a Ctrl-C is ours to handle first
    )


def _proxy(connection: Connection) -> Any:
    """As Playwright takes it."""
    proxy = proxy_of(connection)
    if proxy is None:
        return None
    if proxy.user and proxy.server.startswith("socks"):
        raise CsmvError("Chromium takes no user and password for a SOCKS proxy: use an HTTP proxy, or one without.")
    secret = proxy.password.get_secret_value()
    return {"server": proxy.server} | ({"username": proxy.user, "password": secret} if proxy.user else {})


def read_cookies(connection: Connection) -> list[dict[str, Any]]:
    """The site's cookies of a cookie file, as Playwright takes them."""
    return [
        {
            "name": cookie.name,
            "value": cookie.value or "",
            "domain": cookie.domain,
            "path": cookie.path,
            "expires": float(cookie.expires or -1),
            "secure": bool(cookie.secure),
        }
        for cookie in cookies_of(connection)
    ]


def _spki_of(ca_file: Path) -> str:
    """The base64 SHA-256 of a certificate's public key, by which Chromium can be told to trust exactly it."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_pem_x509_certificate(ca_file.read_bytes()).public_key()
    data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
