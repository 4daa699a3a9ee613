"""The words that a root's scrub policy allows and denies: private files, of which dataset.yaml has only the digests."""

from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.scrub.policy import ScrubPolicy
from csmv.pipeline.scrub.word_lists import WordLists, plain_word
from csmv.pipeline.store import Store

ALLOW_FILE = "private/policy/allow.txt"
DENY_FILE = "private/policy/deny.txt"

_NONE = WordLists()
_READ: dict[str, tuple[tuple[str | None, ...], WordLists]] = {}
"""Of each root, the lists that were read last: a digest is always of the same words."""


def words_of(store: Store, policy: ScrubPolicy) -> WordLists:
    """The words of a root that a policy asks for, without allowed names of who was forgotten since.

    Raises:
        CsmvError: a list is not there or is another than the policy asks for, or it is not UTF-8.
    """
    if policy.allow is None and policy.deny is None:
        return _NONE
    gone = Forgotten.of(store)
    state = (policy.allow, policy.deny, gone.digest)
    earlier = _READ.get(store.root)
    if earlier is not None and earlier[0] == state:
        return earlier[1]
    words = WordLists.of_files(
        store.read_if_there(ALLOW_FILE) if policy.allow is not None else None,
        store.read_if_there(DENY_FILE) if policy.deny is not None else None,
    )
    words.require(policy)
    words = words.allowing(word for word in words.allow if not is_forgotten_word(word, gone))
    _READ[store.root] = (state, words)
    return words


def is_forgotten_word(word: str, gone: Forgotten) -> bool:
    """Whether a word is, or holds, the name or handle of a forgotten person."""
    plain = plain_word(word)
    texts = (word, plain, f"@{plain}")
    return any(gone.is_forgotten_name(text) or gone.traces.count(text) > 0 for text in texts)
