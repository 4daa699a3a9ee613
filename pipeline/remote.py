"""How object stores are asked: with time limits, so that one that never answers ends in an error and not in silence."""

import re
from typing import Any

from csmv.pipeline.errors import CsmvError, shown

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 11
"""Without a byte. s3fs asks five times by itself, so an S3 that never answers is an error after less than a minute."""

_S3 = re.compile(r"(?:^|::)(?:s3|s3a)://(?P<rest>[^:]*(?::(?!:)[^:]*)*)")


def storage_options(root: str) -> dict[str, Any]:
    """What `fsspec.core.url_to_fs(root, **storage_options(root))` needs to know beside the address.

    Args:
        root: a folder or an fsspec URL.

    Returns:
        Time limits, the number of attempts and no cache of listings for S3; nothing for others.

    Raises:
        CsmvError: The address holds a user name or a key. An address is shown, logged and kept in Prefect's database.
    """
    match = _S3.search(root)
    if match is None:
        return {}
    if shown(root) != root:
        raise CsmvError(
            f"The address '{shown(root)}' was given with a key in it, and addresses are logged: leave the key out, "
            "and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead."
        )
    options = {
        "use_listings_cache": False,  # other processes write too, so that no listing may be remembered
        "config_kwargs": {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"mode": "standard", "total_max_attempts": 1},  # they would multiply s3fs's own
        },
    }
    _try_server_errors_again()
    # A chained address (simplecache::s3://...) names the protocol that each option is for.
    return {"s3": options} if "::" in root else options


def _try_server_errors_again() -> None:
    """Have s3fs repeat what the server failed at by itself, which it leaves to the retries that are off here."""
    try:
        from s3fs.core import set_custom_error_handler
    except ImportError:  # said when the root is opened
        return
    set_custom_error_handler(_is_of_the_server)


def _is_of_the_server(error: Exception) -> bool:
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return False
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return bool(status >= 500 or status == 429)
