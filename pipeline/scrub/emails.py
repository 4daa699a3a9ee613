"""E-mail addresses: as they are, with spaces or odd characters in them, and written out in words."""

import re
from collections.abc import Iterator

from csmv.pipeline.scrub.domains import COMMON_ENDINGS, ENDING, LABEL, MAIL_PROVIDERS, is_ending
from csmv.pipeline.scrub.expressions import Expression
from csmv.pipeline.scrub.ordinary import is_ordinary
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import SPACED

_FREE = rf"(?<![{SPACED}+%-])(?<![{SPACED}]\.)"
"""Before an address: no part of a longer one; a dot may end a sentence, or be one of several."""
_LOCAL = rf"[{SPACED}!#$%&*+=?^{{|}}~-](?:[{SPACED}.!#$%&'*+=?^{{|}}~-]{{0,63}})"
_PLAIN = Expression(
    rf"{_FREE}(?P<local>{_LOCAL})(?P<at>\s?@{{1,2}}\s?)(?P<domain>(?:{LABEL}\s?\.\s?){{1,6}}"
    rf"(?P<end>{ENDING}))(?![{SPACED}@])",
    re.I,
)
_COMMA = Expression(rf"{_FREE}{_LOCAL}\s?@\s?{LABEL},\s?(?:com|net|org)(?![{SPACED}@])", re.I)
_REPOSITORY = Expression(r":[\w.-]+/[\w.-]*\w")
"""What stands behind the address of a Git server."""
_QUOTED = Expression(rf"\"[^\"\s@]{{1,64}}\"@(?:{LABEL}\.){{1,6}}[A-Za-z]{{2,24}}(?![{SPACED}@])", re.I)
_PROVIDERS = "|".join(sorted((p for p in MAIL_PROVIDERS if len(p) > 3), key=len, reverse=True))
_NO_ENDING = Expression(
    rf"{_FREE}(?P<local>{_LOCAL})\s?@\s?(?P<provider>{_PROVIDERS})(?:\s?(?:com|co|net|fr|de|uk))?(?![{SPACED}@])",
    re.I,
)
_OPEN, _CLOSE = r"[\[({<*|_~-]+\s?", r"\s?[\])}>*|_~-]+"
_AT = (
    rf"(?:\s?{_OPEN}(?:at|at sign|a|@|arroba|ett|aet|et|chiocciola|malpa)(?:\s?{_CLOSE})\s?"
    r"|\s+(?:at|arroba|aet|klammeraffe|chiocciola|malpa|kukac|zavinac|snabel-?a|et|at the rate(?: of)?|at sign"
    r"|собака|собачка|арроба)\s+|\s?@\s?)"
)
_DOT = (
    rf"(?:\s?{_OPEN}(?:dot|d|\.|punto|ponto|point|punkt|d0t|kropka|tecka|nokta|titik)(?:{_CLOSE})\s?"
    r"|\s+(?:dot|d0t|punto|ponto|point|punkt|kropka|tecka|nokta|titik|точка)\s+|\s?\.\s?)"
)
_VEILED_DOMAIN = Expression(
    rf"(?P<at>{_AT})(?P<first>[^\W_][\w-]{{0,40}}?)(?P<rest>(?:{_DOT}[^\W_][\w-]{{0,24}}?){{0,2}}?)(?P<dot>{_DOT})"
    rf"(?P<end>[A-Za-z]{{2,12}})(?:{_DOT}(?:uk|au|nz|za|in|jp|kr|br|ar|mx|tr|id|th))?(?![{SPACED}@])",
    re.I,
)
_VEILED_LOCAL = Expression(
    rf"(?<![{SPACED}.])(?:[{SPACED}+-]{{1,40}}(?:\.|{_DOT}|\s+(?:underscore|dash|guion bajo|tiret|plus)\s+"
    rf"|\s?[\[(](?:underscore|dash)[\])]\s?)){{0,3}}[{SPACED}+-]{{1,64}}$",
    re.I,
)
_NO_DOT = Expression(
    rf"(?<![{SPACED}.])(?P<local>[{SPACED}.+-]{{3,64}})\s+(?:at|arroba)\s+(?:gmail|googlemail|hotmail|yahoo|outlook|icloud|protonmail)"
    rf"\s+(?:com|net|fr|de|es|it|co\s+uk)(?![{SPACED}])",
    re.I,
)
_GLUED = Expression(
    r"(?<!\w)[a-z0-9._]{1,64}?(?:_at_|AT|-at-)[a-z0-9-]{1,63}?(?:_dot_|DOT|-dot-|_\._)(?P<end>[a-z]{2,6}|COM|NET)(?!\w)"
)
_SPACED = Expression(r"(?<!\w)(?:[\w.] ){2,40}@(?: [\w-]){2,30}(?: ?\.(?: ?[a-z]){2,6}){1,2}(?!\w)", re.I)
_BRACKET = Expression(r"[\[({<*|_~@]")
_SURE_DOT = Expression(r"[\[({<*|_~-]|dot|d0t|punto|ponto|kropka|tecka|nokta|titik|точка", re.I)
_SURE = 0.85
_AT_WORDS = """
at a arroba ett aet et chiocciola malpa klammeraffe kukac zavinac snabel собака собачка арроба sign rate
"""
_AT_HEADS = frozenset(_AT_WORDS.split())


class MailAddressRecognizer(TextRecognizer):
    """Finds e-mail addresses."""

    kind = Kind.EMAIL

    def may_hold(self, glance: Glance) -> bool:
        """An address has the sign or a word for it, which may be joined to others."""
        text = glance.text
        return (
            "@" in text or not glance.words.isdisjoint(_AT_HEADS) or "_at_" in text or ("AT" in text and "DOT" in text)
        )

    def find(self, text: str) -> Iterator[Finding]:
        """Plain addresses, addresses without an ending, and veiled ones."""
        if "@" in text:
            yield from _plain(text)
        yield from _veiled(text)
        for match in _NO_DOT.finditer(text):
            if not is_ordinary(match["local"]):
                yield match.start(), match.end(), 0.7, "in words, without a dot"
        for match in _GLUED.finditer(text):
            if match["end"].lower() in COMMON_ENDINGS:
                yield match.start(), match.end(), 0.8, "words joined"


def _plain(text: str) -> Iterator[Finding]:
    for match in _PLAIN.finditer(text):
        spaced = " " in match["at"] or " " in match["domain"]
        has_ending = match["end"].lower() in COMMON_ENDINGS if spaced else is_ending(match["end"])
        first = match["domain"].split(".")[0].strip().lower()
        provider = first in MAIL_PROVIDERS and (len(first) > 3 or not spaced)  # "don't @ me. It's true"
        if spaced and not provider and _is_sentence(match):
            continue
        if not has_ending and len(match["local"]) > 1 and is_ordinary(match["local"].strip("_.+-")):
            continue  # "by@first.last" is a mention that lost its space
        start = _start(match)
        repository = _REPOSITORY.match(text, match.end())
        if repository is not None and has_ending and not spaced:
            yield start, repository.end(), 0.95, "address"
            continue
        if has_ending or not spaced:
            yield start, match.end(), 0.95 if has_ending and not spaced else 0.7, "address"
        elif provider:
            yield start, match.end(), 0.7, "address"
    for rule, pattern in (("quoted local part", _QUOTED), ("comma for a dot", _COMMA)):
        for match in pattern.finditer(text):
            yield match.start(), match.end(), 0.8, rule
    for match in _NO_ENDING.finditer(text):
        if " " not in match[0] or not is_ordinary(match["provider"]):  # "dinner @ orange county"
            yield _start(match), match.end(), 0.7, "provider without ending"
    for match in _SPACED.finditer(text):
        yield match.start(), match.end(), 0.8, "letter by letter"


def _is_sentence(match: re.Match[str]) -> bool:
    """Whether it is a mention and the sentence behind it: "love this @kayla. My favourite", "from @kayla . It"."""
    ending, domain = match["end"], match["domain"]
    if " " not in domain:
        return is_ordinary(match["local"].strip("_.+-")) and ending.lower() not in ("com", "net", "org")
    if ending.lower() in ("com", "net", "org"):
        return ending.istitle()
    # Written apart throughout it is an address: "name @ host . de"; a space on one side alone ends a sentence.
    apart = match["at"] == " @ " and " . " in domain and ending.islower()
    return not apart or is_ordinary(match["local"].strip("_.+-"))


def _start(match: re.Match[str]) -> int:
    """Where an address begins: several dots in a row end what stands before it."""
    return match.start() + (match["local"].rfind("..") + 2 if ".." in match["local"] else 0)


def _veiled(text: str) -> Iterator[Finding]:
    for match in _VEILED_DOMAIN.finditer(text):
        score = _veiled_score(match)
        if not score:
            continue
        before = text[max(0, match.start() - 140) : match.start()]
        local = _VEILED_LOCAL.search(before)
        if local is None or before[: local.start()].endswith("'"):
            continue
        # "it's at name dot com" and "look at name dot com" point to a page.
        if score < _SURE and (is_ordinary(local[0]) or len(local[0]) < 3):
            continue
        yield match.start() - len(before) + local.start(), match.end(), score, "in words"


def _veiled_score(match: re.Match[str]) -> float:
    at, dot, ending = match["at"], match["dot"], match["end"].lower()
    if ending not in COMMON_ENDINGS:
        return 0.0
    provider = match["first"].lower() in MAIL_PROVIDERS
    bracketed = _BRACKET.search(at) is not None
    if dot.strip() == ".":
        # "look at this.is" is no address; "name at gmail.com" and "name(at)mail.com" are.
        sure = provider or (bracketed and (dot == "." or ending in ("com", "net", "org")))
        return _SURE if sure else 0.0
    if bracketed or provider:
        return _SURE
    # "at some point in" and "at this point be" are English; the French and German words need more than themselves.
    return 0.7 if _SURE_DOT.search(dot) else 0.0
