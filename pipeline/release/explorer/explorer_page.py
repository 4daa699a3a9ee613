"""The explorer's page as HTML: one style and one script for both, and behind them a server or data of its own.

No text of a dataset stands in the markup; the script writes all of it as text. Style and script are allowed by their
digests alone.
"""

import hashlib
from base64 import b64encode
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


def served_page(name: str) -> tuple[bytes, str]:
    """The page that asks the server it came from, and the content security policy to send with it."""
    page, policy = _page(name, "served", "", "connect-src 'self'; ")
    return page, f"{policy}; frame-ancestors 'none'"


def embedded_page(name: str, data: bytes) -> bytes:
    """The page that holds its own data.

    Args:
        name: of the dataset.
        data: compressed, as `csmv.pipeline.release.explorer.embedded_data` packs it.
    """
    return _page(name, "embedded", b64encode(data).decode(), "")[0]


def _page(name: str, source: str, data: str, more: str) -> tuple[bytes, str]:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _text("explorer.css"), _text(f"explorer_{source}.js") + _text("explorer.js")
    digests = [b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    policy = (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; {more}"
        "img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    page = environment.get_template("explorer.html").render(
        name=name, style=style, script=script, policy=policy, data=data, is_served=source == "served"
    )
    return page.encode(), policy


@cache
def _text(file: str) -> str:
    return (_FOLDER / file).read_text(encoding="utf-8")
