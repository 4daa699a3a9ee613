"""By which policy, names and key `csmv scrub` scrubs a stream: those of a root, of files, or the default ones."""

import os
import sys

from pydantic import SecretStr

from csmv.pipeline.config import read_config, with_recorded_words
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.landed_names import known_names
from csmv.pipeline.policy_words import words_of
from csmv.pipeline.pseudonym import KEY_VARIABLE, load_key
from csmv.pipeline.scrub import ScrubPolicy
from csmv.pipeline.scrub.policy import StreamSettings
from csmv.pipeline.scrub.word_lists import WordLists, denied, words_in
from csmv.pipeline.scrub_pool import ScrubPool
from csmv.pipeline.store import Store
from csmv.pipeline.validated import parse, read_text, yaml_mapping


def stream_pool(settings: StreamSettings) -> ScrubPool:
    """The scrubber of a stream: by a policy and names of files, and by a root's policy, names and key.

    Raises:
        CsmvError: a file is not there or is no policy, or there is no root.
    """
    policy, names, key = _policy(settings), list[str](), None
    place = None
    if settings.root is not None:
        place = Store.open(settings.root)
        names += known_names(place).names
        key = load_key(place)
    elif settings.policy is not None:
        place = Store(str(settings.policy.parent))
    words = words_of(place, policy) if place is not None else WordLists()
    words = words.denying(_denied(settings))
    policy = policy.in_language(policy.language_of(settings.language))
    return ScrubPool(policy, key or _key_of_environment(), names, settings.jobs, words)


def _key_of_environment() -> SecretStr | None:
    given = os.environ.get(KEY_VARIABLE)
    return SecretStr(given) if given else None


def _policy(settings: StreamSettings) -> ScrubPolicy:
    if settings.policy is None:
        if settings.root is None:
            return ScrubPolicy()
        return read_config(Store.open(settings.root)).scrub
    data = yaml_mapping(read_text(settings.policy), str(settings.policy))
    policy = parse(ScrubPolicy, data.get("scrub", data) or {}, str(settings.policy))
    # A root's dataset.yaml may not say which lists a command put into it.
    return with_recorded_words(Store(str(settings.policy.parent)), policy)


def _denied(settings: StreamSettings) -> list[str]:
    """The words of `--names`; says on standard error how many of them stay, and if asked, which."""
    if settings.names is None:
        return []
    if not settings.names.is_file():
        raise CsmvError(f"The file of names '{settings.names}' is not there.")
    text = settings.names.read_text(encoding="utf-8-sig", errors="replace")
    words = list(words_in(text.encode(), str(settings.names)))
    spared = [word for word, form in denied(words) if form is None]
    if spared:
        which = f": {', '.join(spared)}" if settings.show_spared else "; --show-spared says which"
        sys.stderr.write(
            f"{len(spared):,} of {len(words):,} words to remove are ordinary words and stay{which}. "
            "A ! at the beginning of its line removes one all the same.\n"
        )
    return words
