"""The words that a policy allows and denies: files of one word or phrase a line, and the rules by which they apply.

A line that begins with # is a comment, and so is what follows # after a space. A denied word that is an ordinary word
stays in texts, unless its line begins with !.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.forms import SPACE, Form, denied_form
from csmv.pipeline.scrub.policy import ScrubPolicy

FORCED = "!"
_COMMENT = re.compile(r"\s#\s.*|\s#$")
_AT = re.compile(r"^[@#\s]+")


@dataclass(frozen=True)
class WordLists:
    """The allowed and the denied words of a policy, as they stand in the files. Prints nothing of itself.

    The digests are those of the files that the words were read from, None where there is no file.
    """

    allow: tuple[str, ...] = field(default=(), repr=False)
    deny: tuple[str, ...] = field(default=(), repr=False)
    allow_digest: str | None = None
    deny_digest: str | None = None

    @classmethod
    def of_files(cls, allow: bytes | None = None, deny: bytes | None = None) -> "WordLists":
        """The lists in two files. Raises CsmvError if one is not UTF-8."""
        return cls(
            tuple(words_in(allow, "allow.txt")) if allow is not None else (),
            tuple(words_in(deny, "deny.txt")) if deny is not None else (),
            None if allow is None else digest_of_list(allow),
            None if deny is None else digest_of_list(deny),
        )

    def denying(self, words: Iterable[str]) -> "WordLists":
        """The lists with more denied words."""
        return replace(self, deny=(*self.deny, *words))

    def allowing(self, words: Iterable[str]) -> "WordLists":
        """The lists with only these allowed words."""
        return replace(self, allow=tuple(words))

    def require(self, policy: ScrubPolicy) -> None:
        """Raises CsmvError unless these are the lists whose digests the policy has."""
        for name in ("allow", "deny"):
            asked, given = getattr(policy, name), getattr(self, f"{name}_digest")
            if asked is not None and asked != given:
                raise CsmvError(_mismatch(name, asked, given))


def digest_of_list(data: bytes) -> str:
    """The digest of a list's file, as a policy has it."""
    return hashlib.sha256(data).hexdigest()


def _mismatch(name: str, asked: str, given: str | None) -> str:
    state = "is not there" if given is None else f"is another one (its SHA-256 begins with {given[:12]})"
    return (
        f"The scrub policy expects the words of private/policy/{name}.txt with the SHA-256 {asked[:12]}..., and that "
        f"file {state}: put it back, or take the words as they are now with `csmv words --root ROOT`."
    )


def words_in(data: bytes, where: str) -> Iterator[str]:
    """The words and phrases in a file of them. Raises CsmvError if it is not UTF-8."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CsmvError(f"{where}: expected words in UTF-8, one a line, found something else.") from None
    for line in text.split("\n"):
        word = "" if line.lstrip().startswith("#") else _COMMENT.sub("", line).strip()
        if word and word != FORCED:
            yield word


def denied(words: Iterable[str]) -> Iterator[tuple[str, Form | None]]:
    """Each denied word with the form in which it is removed; None if it stays, as an ordinary word does."""
    for word in words:
        forced = word.startswith(FORCED)
        yield word, denied_form(word[1:] if forced else word, forced=forced)


def plain_word(word: str) -> str:
    """A word by which findings and allowed words are compared: folded, in small letters, without @ before it."""
    folded = fold(unicodedata.normalize("NFC", word)).text
    return SPACE.sub(" ", _AT.sub("", folded)).strip().casefold()
