"""Which findings a policy leaves in a text: allowed words, private addresses, and what the scrub itself put there."""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import accumulate

from csmv.pipeline.scrub.deny_list import DenyList
from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.forms import form_of
from csmv.pipeline.scrub.policy import Kind, ScrubPolicy
from csmv.pipeline.scrub.spans import Span
from csmv.pipeline.scrub.word_lists import WordLists, plain_word

_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//|^https?:", re.I)
_DOT = re.compile(r"\s*[(\[{]\s*(?:dot|\.)\s*[)\]}]\s*|\s+dot\s+|\s+\.\s*|\.\s+", re.I)
_DENIED = f"{DenyList.__name__}/"
_IN_ANY_LINK = (Kind.USERNAME, Kind.EMAIL, Kind.PERSON)
"""What is removed from a link whose domain is allowed, too."""


class Spared:
    """Takes out of the findings in a text what the policy leaves there. False if it leaves nothing.

    A finding is left if its text is an allowed word (with or without @), a text of the policy's own, or an address that
    is not public where only those go; then whatever is found within it stays too. A link stays if its domain is
    allowed, but for handles, e-mail addresses and names in it. A denied word goes, with the finding that it is part of.
    """

    def __init__(self, policy: ScrubPolicy, words: WordLists) -> None:
        self._allow = AllowList(words.allow)
        self._own_texts = frozenset(fold(text).text.casefold() for text in policy.own_texts())
        self._public_only = policy.public_ips_only

    def __bool__(self) -> bool:
        return bool(self._allow or self._own_texts or self._public_only)

    def left(self, found: Sequence[Span], text: str) -> list[Span]:
        """The findings in a text but those that are spared."""
        rest: list[Span] = []
        whole: list[Span] = []
        links: list[Span] = []
        denied: list[Span] = []
        for span in found:
            if span.recognizer.startswith(_DENIED):
                denied.append(span)
                continue
            written = fold(text[span.start : span.end]).text
            if self._is_spared(span.kind, written):
                whole.append(span)
            elif span.kind == Kind.URL and self._allow.has_domain_of(written):
                links.append(span)
            else:
                rest.append(span)
        if whole or links:
            spared, spared_links = _Stretches(whole), _Stretches(links)
            rest = [
                span
                for span in rest
                if not (spared.hold(span) or (span.kind not in _IN_ANY_LINK and spared_links.hold(span)))
            ]
        if denied:
            ends = _Stretches(denied)
            rest += [span for span in whole if ends.touch(span)]
        return rest + denied

    def _is_spared(self, kind: str, written: str) -> bool:
        if written.strip().casefold() in self._own_texts or self._allow.has(written):
            return True
        return self._public_only and kind == Kind.IP_ADDRESS and not is_public_address(written)


class AllowList:
    """Tells which findings are spared: those whose text is an allowed word, with or without @, or a link's domain."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(map(plain_word, words)) - {""}

    def __bool__(self) -> bool:
        return bool(self._words)

    def has(self, written: str) -> bool:
        """Whether the text of a finding is an allowed word."""
        return plain_word(written) in self._words

    def without(self, names: Collection[str]) -> Collection[str]:
        """The names but those that are allowed where they stand in a text."""
        if not self:
            return names
        return [name for name in names if (form := form_of(name)) is None or not self.has(form.text)]

    def has_domain_of(self, link: str) -> bool:
        """Whether the domain of a link is an allowed word."""
        return bool(self._words) and domain_of(link) in self._words


class _Stretches:
    """Stretches of a text, and whether something lies within or over one of them."""

    def __init__(self, spans: Sequence[Span]) -> None:
        ordered = sorted((span.start, span.end) for span in spans)
        self._starts = [start for start, _ in ordered]
        self._farthest = list(accumulate((end for _, end in ordered), max))

    def hold(self, span: Span) -> bool:
        """Whether a span lies within one."""
        place = bisect_right(self._starts, span.start)
        return place > 0 and self._farthest[place - 1] >= span.end

    def touch(self, span: Span) -> bool:
        """Whether a span has a character in common with one."""
        place = bisect_right(self._starts, span.end - 1)
        return place > 0 and self._farthest[place - 1] > span.start


def domain_of(link: str) -> str:
    """The domain of a link as it was written, without `www.`: of `https://www.nasa.gov/x` it is `nasa.gov`."""
    bare = _SCHEME.sub("", _DOT.sub(".", link.strip()))
    host = re.split(r"[/?#\s]", bare, maxsplit=1)[0].rsplit("@", 1)[-1].split(":")[0]
    return host.casefold().removeprefix("www.").rstrip(".")


def is_public_address(found: str) -> bool:
    """Whether an IP address, as it was found, is one of the public internet; so is what can't be read as one."""
    written = found.strip().strip("[]()")
    written = written.split("%")[0].split("/")[0]
    for candidate in (written, written.rsplit(":", 1)[0].strip("[]")):
        try:
            address = ip_address(candidate)
        except ValueError:
            continue
        return _is_public(address)
    return True


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_global)
