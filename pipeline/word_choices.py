"""Puts words on a root's allow and deny lists: what a person decided, from files or from the review of a scrub."""

import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from csmv.pipeline.config import record_words
from csmv.pipeline.errors import CsmvError, UnfinishedError
from csmv.pipeline.policy_words import ALLOW_FILE, DENY_FILE
from csmv.pipeline.scrub.word_lists import FORCED, denied, digest_of_list, plain_word, words_in
from csmv.pipeline.store import Store

_FILES = {"allow": ALLOW_FILE, "deny": DENY_FILE}
_SALT = "# csmv "


@dataclass(frozen=True)
class Choices:
    """Words that a person wants allowed and denied. Prints nothing of itself."""

    allow: tuple[str, ...] = field(default=(), repr=False)
    deny: tuple[str, ...] = field(default=(), repr=False)

    def __add__(self, other: "Choices") -> "Choices":
        return Choices(self.allow + other.allow, self.deny + other.deny)


@dataclass(frozen=True)
class ListedWords:
    """How many words a list has, and how many of them are new. Of denied words, those that stay in texts."""

    words: int
    new: int
    moved: int = 0
    """Words that went over to the other list."""
    ordinary: tuple[str, ...] = field(default=(), repr=False)


def read_choices(path: Path) -> Choices:
    """The decisions of a review: JSON with lists of words `allow` and `deny`.

    Raises:
        CsmvError: the file is not there, or is something else.
    """
    expected = f'{path}: expected JSON such as {{"allow": ["..."], "deny": ["..."]}}, found'
    try:
        data = json.loads(_bytes_of(path))
    except ValueError:
        raise CsmvError(f"{expected} something else.") from None
    if not isinstance(data, dict):
        raise CsmvError(f"{expected} {type(data).__name__}.")
    strange = data.keys() - _FILES.keys()
    if strange:
        raise CsmvError(f"{expected} the key '{min(map(str, strange))[:40]}'.")
    lists: dict[str, tuple[str, ...]] = {}
    for name in _FILES:
        words = data.get(name) or []
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise CsmvError(f"{expected} something else than a list of words at '{name}'.")
        # A word that begins with # would be read as a comment.
        lists[name] = tuple(word for one in words if (word := " ".join(one.split()).lstrip("# ")))
    return Choices(**lists)


def read_words(path: Path) -> tuple[str, ...]:
    """The words in a file of one word or phrase a line. Raises CsmvError if it is not there, or not UTF-8."""
    return tuple(words_in(_bytes_of(path), str(path)))


def put_words(store: Store, choices: Choices) -> dict[str, ListedWords]:
    """Add words to a root's lists, and the lists' digests to its configuration; a word that stood on the other list
    leaves that. Without choices, the lists are taken as they are now.

    Args:
        store: the root.
        choices: the words.

    Returns:
        List -> how many words it has now; only lists that are there.

    Raises:
        CsmvError: a word is to be allowed and denied, or a list is not UTF-8.
        UnfinishedError: the lists are written, and a person's own dataset.yaml has to name their digests.
    """
    both = _keys(choices.allow) & _keys(choices.deny)
    if both:
        raise CsmvError(f"{len(both)} of these words are to be allowed and denied at once: decide for one of the two.")
    listed: dict[str, ListedWords] = {}
    digests: dict[str, str | None] = {}
    with store.one_at_a_time():
        for name, other in (("allow", choices.deny), ("deny", choices.allow)):
            data = store.read_if_there(_FILES[name])
            written, listed_words = _merged(data, name, getattr(choices, name), _keys(other), store)
            if written is not None:
                if written != data:
                    store.write_file(_FILES[name], written)
                digests[name] = digest_of_list(written)
                listed[name] = listed_words
        left = record_words(store, digests)
    if left:
        raise UnfinishedError(
            f"The words are in place, and {store.root}/dataset.yaml, which a person wrote, names other lists: put "
            + " and ".join(f"`{name}: {digest}`" for name, digest in left.items())
            + " into its `scrub` section."
        )
    return listed


def _merged(
    data: bytes | None, name: str, chosen: Sequence[str], leaving: set[str], store: Store
) -> tuple[bytes | None, ListedWords]:
    """A list's file with more words, sorted, and what became of it; None if there is no list and no word for one.

    Comments stay, above the words. A list that nothing is added to stays as a person wrote it.
    """
    where = f"{store.root}/{_FILES[name]}"
    before = {_key(word): word for word in (words_in(data, where) if data is not None else ())}
    words = {key: word for key, word in before.items() if key not in leaving} | {_key(word): word for word in chosen}
    moved = len(before.keys() & leaving)
    listed = ListedWords(len(words), len(words.keys() - before.keys()), moved, _ordinary(name, words))
    if words == before or (data is None and not words):
        return data, listed
    lines = [line for line in (data or b"").decode("utf-8-sig").split("\n") if line.lstrip().startswith("#")]
    if not any(line.startswith(_SALT) for line in lines):
        # The digest is public: of a short list, it would let anybody test a guess at the words.
        lines.insert(0, _SALT + _salt(name, store))
    lines += sorted(words.values(), key=lambda word: (_key(word), word))
    return ("\n".join(lines) + "\n").encode(), listed


def _ordinary(name: str, words: Mapping[str, str]) -> tuple[str, ...]:
    if name != "deny":
        return ()
    return tuple(word for word, form in denied(sorted(words.values())) if form is None)


def _salt(name: str, store: Store) -> str:
    secret = store.key().get_secret_value().encode("utf-8", "surrogatepass")
    return hmac.new(secret, f"words:{name}".encode(), "sha256").hexdigest()[:32]


def _key(word: str) -> str:
    return plain_word(word.removeprefix(FORCED))


def _keys(words: Iterable[str]) -> set[str]:
    return set(map(_key, words))


def _bytes_of(path: Path) -> bytes:
    if not path.is_file():
        raise CsmvError(f"The file '{path}' is not there.")
    return path.read_bytes()
