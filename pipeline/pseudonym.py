"""Keyed pseudonyms for the ids of comments and users, and of videos that are named after somebody.

HMAC-SHA256 under a key that never leaves `private/`: the same raw id gives the same pseudonym within one root, so a
comment can still be deleted by its original id; without the key nobody can go from one to the other, nor test a guess.
Published CSMV data ids do not pass through here.
"""

import hashlib
import hmac
import secrets
from typing import Protocol

from pydantic import SecretStr

from csmv.pipeline.errors import CsmvError

KEY_FILE = "private/pseudonym.key"
KEY_VARIABLE = "CSMV_PSEUDONYM_KEY"
SHORTEST_KEY = 16
"""Characters. A key that can be guessed makes every pseudonym reversible."""

DIGEST_CHARS = 32
"""Hexadecimal characters kept: 128 bits, so that two of 10^9 comments share one with a chance below 10^-20."""


class MissingKeyError(CsmvError):
    """The key of a root's pseudonyms is not there."""


class Pseudonymiser:
    """Gives raw ids their pseudonyms under one key."""

    def __init__(self, key: SecretStr) -> None:
        secret = key.get_secret_value()
        if len(secret) < SHORTEST_KEY:
            raise CsmvError(
                f"The pseudonym key has {len(secret)} characters and needs at least {SHORTEST_KEY}: "
                f"unset {KEY_VARIABLE} to have one made, or set a longer one."
            )
        self._key = secret.encode("utf-8", "surrogatepass")

    def comment_id(self, raw: str) -> str:
        """The pseudonym of a comment's id: `c` and 32 hexadecimal characters."""
        return "c" + self._digest("comment", raw)

    def user_id(self, raw: str) -> str:
        """The pseudonym of a user's id or handle: `u` and 32 hexadecimal characters."""
        return "u" + self._digest("user", raw)

    def video_id(self, raw: str) -> str:
        """The pseudonym of a video's id that holds somebody's name: `v` and 32 hexadecimal characters."""
        return "v" + self._digest("video", raw)

    def _digest(self, domain: str, raw: str) -> str:
        # The domain keeps a user id and a comment id with the same digits from sharing a pseudonym.
        message = f"{domain}:{raw}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:DIGEST_CHARS]


def key_fingerprint(key: SecretStr) -> str:
    """What may be told of a key: equal for equal keys, and no help in finding one."""
    secret = key.get_secret_value().encode("utf-8", "surrogatepass")
    return hmac.new(secret, b"csmv: the fingerprint of a key", hashlib.sha256).hexdigest()[:DIGEST_CHARS]


def new_key() -> bytes:
    """The content of a new key file, from the system's randomness.

    Losing the file means that comments can no longer be deleted by their original ids; publishing it means that every
    pseudonym can be tested against guesses.
    """
    return secrets.token_hex(32).encode("ascii") + b"\n"


class _Root(Protocol):
    def key(self) -> SecretStr: ...


def load_key(store: _Root) -> SecretStr | None:
    """The key of a root, or None if it is gone. Raises CsmvError if another one is there."""
    try:
        return store.key()
    except MissingKeyError:
        return None
