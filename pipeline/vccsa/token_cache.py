"""Token ids of a corpus's texts, kept under `private/cache` from run to run; forgetting anything removes them.

A file is found by the SHA-256 of the tokenizer and of the texts, so that it can't stand in for others.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.corpus_columns import Strings, TokenIds

if TYPE_CHECKING:
    from csmv.pipeline.vccsa.text import Tokenizer

FOLDER = "private/cache/tokens"
MOST_FILES = 16
_DIGEST = hashlib.sha256().digest_size


class TokenCache:
    """Token ids of earlier runs of a root. To be made before the texts are read, so that it knows of requests since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._forgotten = Forgotten.of(store).digest

    def encode(self, tokenizer: "Tokenizer", texts: Strings, max_tokens: int) -> TokenIds:
        """The ids of at most `max_tokens` tokens of each text, kept ones if there are."""
        if tokenizer.identity is None:
            return encoded(tokenizer, texts, max_tokens)
        path = f"{FOLDER}/{key_of(tokenizer.identity, texts, max_tokens)}.ids"
        ids = from_bytes(self._store.read_if_there(path), len(texts))
        if ids is None:
            ids = encoded(tokenizer, texts, max_tokens)
            self._keep(path, ids)
        return ids

    def _keep(self, path: str, ids: TokenIds) -> None:
        others = self._store.files(FOLDER)
        if len(others) >= MOST_FILES:
            for name in others:
                self._store.remove(name)
        self._store.write_file(path, as_bytes(ids))
        if Forgotten.of(self._store).digest != self._forgotten:  # the request's own pass may have been here before
            self._store.remove(path)


def encoded(tokenizer: "Tokenizer", texts: Strings, max_tokens: int) -> TokenIds:
    """The ids of at most `max_tokens` tokens of each text."""
    return TokenIds.of(tokenizer.encode(piece, max_tokens) for piece in texts.pieces())


def key_of(identity: str, texts: Strings, max_tokens: int) -> str:
    """The SHA-256 of all that decides the ids."""
    digest = hashlib.sha256(f"{identity}\n{max_tokens}\n".encode())
    for piece in texts.pieces():
        encoded = [text.encode() for text in piece]
        digest.update(np.array([len(text) for text in encoded], "<i8").tobytes())
        digest.update(b"".join(encoded))
    return digest.hexdigest()


def as_bytes(ids: TokenIds) -> bytes:
    """SHA-256 of the rest, lengths (N int64), all ids (int32)."""
    rest = ids.lengths.astype("<i8").tobytes() + ids.joined.astype("<i4").tobytes()
    return hashlib.sha256(rest).digest() + rest


def from_bytes(data: bytes | None, texts: int) -> TokenIds | None:
    """What `as_bytes` wrote; None if there is nothing, or it is damaged."""
    if data is None or hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        return None
    start = _DIGEST + 8 * texts
    lengths = np.frombuffer(data[_DIGEST:start], "<i8").astype(np.int64)
    return TokenIds(np.frombuffer(data[start:], "<i4").astype(np.int32), lengths)
