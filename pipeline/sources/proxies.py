"""Through which proxy the site is reached.

A password is never a setting: it comes from the environment or from a private file.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources.collect_settings import Connection

VARIABLE = "CSMV_PROXY"
FILE_VARIABLE = "CSMV_PROXY_FILE"
_USUAL = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True)
class Proxy:
    """A proxy: scheme://host:port, and who asks it, if it wants to know."""

    server: str
    user: str = ""
    password: SecretStr = field(default_factory=lambda: SecretStr(""))

    @property
    def url(self) -> SecretStr:
        """All of it in one address, for clients that take it so."""
        scheme, _, place = self.server.partition("://")
        secret = self.password.get_secret_value()
        who = f"{quote(self.user, safe='')}:{quote(secret, safe='')}@" if self.user else ""
        return SecretStr(f"{scheme}://{who}{place}")


def proxy_of(connection: Connection) -> Proxy | None:
    """The proxy of a connection, CSMV_PROXY, the file that CSMV_PROXY_FILE names, or HTTPS_PROXY, in this order.

    Raises:
        CsmvError: what is given is no address of a proxy, or a file with a password can be read by others.
    """
    if connection.proxy is not None:
        return _parsed(connection.proxy, "The setting `proxy`")
    if given := os.environ.get(VARIABLE):
        return _parsed(given, VARIABLE)
    if named := os.environ.get(FILE_VARIABLE):
        return _of_file(Path(named))
    usual = next((name for name in _USUAL if os.environ.get(name)), None)
    return None if usual is None else _parsed(os.environ[usual], usual)


def _of_file(path: Path) -> Proxy:
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise CsmvError(f"The file '{path}' that {FILE_VARIABLE} names can't be read.") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CsmvError(f"The file '{path}' holds a password and others may read it: `chmod 600 {path}`.")
    return _parsed(text.strip(), f"The file that {FILE_VARIABLE} names")


def _parsed(address: str, where: str) -> Proxy:
    text = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in _SCHEMES or not host:
        # What was given may hold a password, so it is not shown.
        raise CsmvError(f"{where} is no proxy's address: expected one like http://HOST:PORT or socks5://HOST:PORT.")
    place = f"[{host}]" if ":" in host else host
    server = f"{parts.scheme}://{place}" + (f":{port}" if port else "")
    return Proxy(server, unquote(parts.username or ""), SecretStr(unquote(parts.password or "")))
