"""Links: full addresses, bare domains, short links, profile links, and the ways people write a link to get it past
a filter. A missing space after a full stop ("so good.it was") is the trap here.
"""

import re
from collections.abc import Iterator

from csmv.pipeline.scrub.domains import CLEAR_ENDINGS, COMMON_ENDINGS, ENDING, LABEL, SHORT_HOSTS, is_ending
from csmv.pipeline.scrub.ordinary import is_everyday, is_ordinary
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import SPACED

_PATH = r"[^\s<>\"'(){}|\\^`\ue000，。、]*"
_SCHEME = re.compile(
    rf"(?:(?<![{SPACED}])(?:h(?:tt|xx|\*\*|__)ps?|h\s?t\s?t\s?p(?:\s?s)?|ftps?|tg|discord|snssdk\d+|intent|market)\s?:\s?/\s?/?\s?"
    rf"|(?<![{SPACED}.])www\s?\d?\s?\.\s?){_PATH}",
    re.I,
)
_GLUED_SCHEME = re.compile(rf"(?<=[{SPACED}.])https?://{_PATH}", re.I)
"""A full address that lost the space before it."""
_BARE = re.compile(
    # A dot before it is a sentence's, or one of several, where no letter stands before that.
    rf"(?<![{SPACED}@/-])(?<![{SPACED}-]\.)(?P<host>(?:{LABEL}\.){{1,8}}(?P<end>{ENDING}))"
    rf"(?P<port>:\d{{2,5}})?(?P<path>[/?#]{_PATH})?(?![{SPACED}@])",
    re.I,
)
_WWW_SPACED = re.compile(
    rf"(?<![{SPACED}])www\s?(?:[.,]\s?|\s)[{SPACED}-]{{2,40}}(?:\s?[.,]\s?|\s)(?:com|net|org)(?![{SPACED}])", re.I
)
_NUMERIC_HOST = re.compile(rf"(?<![\w.])(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?::\d{{2,5}}/?|/){_PATH}")
_DOT = (
    r"(?:\s?[\[({<*]\s?(?:dot|\.|punto|ponto|point|punkt|d0t)\s?[\])}>*]\s?"
    r"|\s+(?:dot|d0t|punto|ponto|punkt)\s+|\s+\.\s?|\s?\.\s+)"
)
_VEILED = re.compile(
    rf"(?<![{SPACED}@.-])(?P<host>{LABEL}(?:(?:\.|{_DOT}){LABEL}){{0,4}}?(?P<dot>{_DOT})(?P<end>[a-z]{{2,12}}))(?![{SPACED}@-])"
    rf"(?P<path>(?:\s?/\s?|\s+slash\s+)[\w.@%-]+(?:(?:\s?/\s?|\s+slash\s+)[\w.@%-]+){{0,5}})?",
    re.I,
)
_WORD_DOT = re.compile(r"dot|d0t|punto|ponto|punkt|[\[({<*]", re.I)
_COMMON = 5.2
_BRACKETED = re.compile(r"[\[({<*]")
_TRAILING = ".,;:!?…*_~'\"-"
_INVITED = re.compile(r"(?:visit|site|website|link|url|go to|check(?: out)?|at|on|web|page|invite)\W{0,3}$", re.I)
_SHORT_HOSTS = frozenset(SHORT_HOSTS.split())
_DOT_WORDS = frozenset(("www", "dot", "d0t", "punto", "ponto", "point", "punkt"))


class LinkRecognizer(TextRecognizer):
    """Finds addresses on the web."""

    kind = Kind.URL

    def may_hold(self, glance: Glance) -> bool:
        """A link has a dot or a slash, or the word for a dot."""
        text = glance.text
        return "." in text or "/" in text or not glance.words.isdisjoint(_DOT_WORDS)

    def find(self, text: str) -> Iterator[Finding]:
        """Addresses with a scheme, bare domains, and veiled ones."""
        for match in _SCHEME.finditer(text):
            end = _trimmed(text, match.start(), match.end())
            if any(char.isalnum() for char in text[match.start() + 6 : end]):
                yield match.start(), end, 0.95, "scheme"
        for match in _GLUED_SCHEME.finditer(text):
            yield match.start(), _trimmed(text, match.start(), match.end()), 0.95, "scheme"
        for match in _BARE.finditer(text):
            score = _bare_score(text, match)
            if score:
                yield match.start(), _trimmed(text, match.start(), match.end()), score, "domain"
        for match in _WWW_SPACED.finditer(text):
            yield match.start(), match.end(), 0.8, "spaced domain"
        for match in _NUMERIC_HOST.finditer(text):
            yield match.start(), _trimmed(text, match.start(), match.end()), 0.6, "numeric host"
        if len(text) - len(text.replace(".", "")) or _WORD_DOT.search(text):
            yield from _veiled(text)


def _veiled(text: str) -> Iterator[Finding]:
    for match in _VEILED.finditer(text):
        ending = match["end"].lower()
        if ending not in COMMON_ENDINGS:
            continue
        worded = _WORD_DOT.search(match["dot"]) is not None
        is_short = match["host"].lower().replace(" ", "") in _SHORT_HOSTS
        before_dot = text[match.start() : match.start("dot")]
        if not is_short and not _BRACKETED.search(match["dot"]):
            # "at this point dot com bubble"; but "visit amazon dot com".
            if worded and is_everyday(before_dot, _COMMON) and not _is_invited(text, match.start()):
                continue
            # The end of a sentence, and Portuguese for "with": "em casa. com ela".
            if match["dot"][0] == "." and is_ordinary(before_dot):
                continue
        # "fine . me" is a sentence; "site . com" is not.
        if is_short or ending in ("com", "net", "org") or (worded and ending in CLEAR_ENDINGS) or match["path"]:
            yield match.start(), _trimmed(text, match.start(), match.end()), 0.7 if worded else 0.6, "veiled domain"


def _bare_score(text: str, match: re.Match[str]) -> float:
    ending, path = match["end"].lower(), match["path"] or ""
    host = match["host"].lower()
    if not is_ending(ending):
        return 0.0
    if host in _SHORT_HOSTS or host.removeprefix("www.") in _SHORT_HOSTS:
        return 0.9
    labels = host.split(".")
    if len(labels[-2]) < 2 and not path:
        return 0.0
    if len(path) > 1 and path[0] == "/" and path[1].isalnum():
        # "and/or" joined to a sentence's end: "cool.me/you" is no address people would give.
        return 0.8 if ending in COMMON_ENDINGS or ending in CLEAR_ENDINGS else 0.6
    if ending in CLEAR_ENDINGS and not _is_sentence_join(match["host"]):
        return 0.85
    return 0.6 if _is_invited(text, match.start()) and len(labels) > 2 else 0.3


def _is_invited(text: str, at: int) -> bool:
    return _INVITED.search(text[max(0, at - 24) : at]) is not None


def _is_sentence_join(host: str) -> bool:
    """ "...lol.Com" never occurs, "great.Live" does: a capital after the dot begins a sentence, unless all are."""
    before, _, ending = host.rpartition(".")
    return ending[0].isupper() and not ending.isupper() and before.islower() and ending.lower() not in _ABBREVIATED


_ABBREVIATED = frozenset(("com", "net", "org", "io", "gg", "tv"))


def _trimmed(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1] in _TRAILING:
        end -= 1
    return end
