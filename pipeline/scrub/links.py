"""Links: full addresses, bare domains, short links, profile links, and the ways people write a link to get it past
a filter. A missing space after a full stop ("so good.it was") is the trap here.
"""

import re
from collections.abc import Iterator

from csmv.pipeline.scrub.domains import (
    CLEAR_ENDINGS,
    COMMON_ENDINGS,
    ENDING,
    FRAMEWORKS,
    LABEL,
    PROFILE_HOSTS,
    SHORT_HOSTS,
    SPEECH_ENDINGS,
    is_ending,
)
from csmv.pipeline.scrub.expressions import Expression
from csmv.pipeline.scrub.ordinary import is_everyday, is_ordinary
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import SPACED

_UNSPACED = r"\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Letters of scripts that put no space between words: speech may follow a link without one."""
_STOPS = r"\s<>\"'(){}\[\]|\\^`«»‹›「」『』【】〔〕〈〉《》〖〗\ue000，。、"
_PATH = (
    rf"(?:[^{_STOPS}{_UNSPACED}]|(?<=[/=&?_%+])[{_UNSPACED}]+"
    r"|\[(?:\.|dot|[0-9a-f:.]{0,45})\]|(?<=[_/=-])\([\w.:%-]{1,60}\))*"
)
"""What follows a host: up to a bracket or quote that opened before the link, or to words that no sign ties to it."""
_WEB = r"h(?:tt|xx|\*\*|__)ps?|h\s?t\s?t\s?p(?:\s?s)?"
_SCHEME = Expression(
    rf"(?:(?<![{SPACED}])(?:(?:{_WEB}|ftps?|tg|discord|snssdk\d+|intent|market)\s?(?:\[:\]|:)\s?/\s?/?\s?"
    rf"|(?:{_WEB})(?:\[://\]|//))"
    rf"|(?<![{SPACED}.])www\s?\d?\s?\.\s?){_PATH}",
    re.I,
)
_ANY_SCHEME = Expression(rf"://(?=[\w~?+\[-]){_PATH}", re.I)
_SCHEME_BEFORE = Expression(r"[A-Za-z][A-Za-z0-9+.-]{0,23}$")
_GLUED_SCHEME = Expression(r"(?:h[tx]{1,3}ps?|ftps?|sftp|wss?|ssh|tg|ipfs|ipns)$", re.I)
"""The scheme of an address that lost the space before it."""
_GLUED_WWW = Expression(rf"(?<=[A-Za-z])www\.(?={LABEL}\.[a-z]{{2}}){_PATH}", re.I)
_OPAQUE = Expression(
    rf"(?<![{SPACED}])(?:(?:spotify:(?:user|track|album|playlist|artist|show|episode)|matrix:(?:u|r|roomid|e)[/:]"
    r"|did:(?:plc|web|key|pkh|ethr)|urn:btih|magnet:\?xt=|lightning:ln(?:bc|url)|(?:tg|intent|whatsapp|viber|line|skype):"
    rf"(?=[\w.]{{1,40}}\?))[\w:/?=&.%#@+~-]+)",
    re.I,
)
"""Addresses for an app, which have no host."""
_BARE = Expression(
    # A dot before it is a sentence's, or one of several, where no letter stands before that.
    rf"(?<![{SPACED}@/-])(?<![{SPACED}-]\.)(?P<host>(?:{LABEL}\.){{1,8}}(?P<end>{ENDING}))"
    rf"(?P<port>:\d{{2,5}})?(?P<path>[/?#]{_PATH})?(?![{SPACED}@])",
    re.I,
)
_SPACED_PATH = Expression(r"\s?[/\\]\s?(?P<name>@?[A-Za-z0-9_][\w.-]{1,38}[A-Za-z0-9_])")
_WWW_SPACED = Expression(
    rf"(?<![{SPACED}])www\s?(?:[.,]\s?|\s)[{SPACED}-]{{2,40}}(?:\s?[.,]\s?|\s)(?:com|net|org)(?![{SPACED}])", re.I
)
_NUMERIC_HOST = Expression(rf"(?<![\w.])(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?::\d{{2,5}}/?|/){_PATH}")
_COMMA_HOST = Expression(rf"(?<![{SPACED}@.-]){LABEL},(?:com|net|org|gg|me)/[\w.@%/?=&-]+", re.I)
_INVITE = Expression(
    rf"(?<![{SPACED}.])(?:(?P<named>disc(?:ord)?(?:app)?)(?:\s?[.,]\s?|\s)gg|(?P<dot>\.)\s?gg|gg)\s?[/\\]\s?"
    r"(?P<code>[A-Za-z0-9][A-Za-z0-9-]{1,31})(?![\w/])",
    re.I,
)
"""Invitations to a Discord server whose host is cut short or pulled apart."""
_CODE = Expression(
    rf"(?<![{SPACED}])(?:invite|invitation|server|discord|referral|join|room|lobby)\s(?:link|code)\s?(?:is\s|[:=]\s?|\s)"
    r"(?P<code>(?=[A-Za-z-]{0,24}\d)[A-Za-z0-9][A-Za-z0-9-]{4,24})(?![\w-])",
    re.I,
)
_NAME_SERVICE = Expression(
    rf"(?<![{SPACED}@.-])(?:{LABEL}\.){{1,4}}(?P<end>onion|i2p|eth|lens)(?::\d{{2,5}})?(?:/{_PATH})?(?![{SPACED}@])",
    re.I,
)
"""Names that are no domains, of hidden services and of wallets."""
_DOT = (
    r"(?:\s?[\[({<*]\s?(?:dot|\.|punto|ponto|point|punkt|d0t)\s?[\])}>*]\s?"
    r"|\s+(?:dot|d0t|punto|ponto|punkt)\s+|\s+\.\s?|\s?\.\s+)"
)
_VEILED_ENDING = "|".join(sorted(COMMON_ENDINGS, key=len, reverse=True))
_VEILED = Expression(
    rf"(?<![{SPACED}@.-])(?P<host>{LABEL}(?:(?:\.|{_DOT}){LABEL}){{0,4}}?(?P<dot>{_DOT})(?P<end>{_VEILED_ENDING})"
    rf"(?:{_DOT}(?:uk|br|jp|au|nz|kr|tr|in|za|mx|ar)(?![{SPACED}]))?)(?![{SPACED}@-])"
    rf"(?P<path>(?:\s?/\s?|\s+slash\s+)[\w.@%-]+(?:(?:\s?/\s?|\s+slash\s+)[\w.@%-]+){{0,5}})?",
    re.I,
)
_VEILED_END = Expression(
    rf"(?:[.\])}}>*]|dot|d0t|punto|ponto|point|punkt)\s*(?:{_VEILED_ENDING})(?![{SPACED}@-])", re.I
)
"""A dot however it is written, and the ending of a domain: what every veiled one ends with, and few texts have."""
_ANY_DOT = Expression(_DOT, re.I)
_WORD_DOT = Expression(r"dot|d0t|punto|ponto|punkt|[\[({<*]", re.I)
_COMMON = 5.2
_BRACKETED = Expression(r"[\[({<*]")
_TRAILING = ".,;:!?…*_~'\"-"
_INVITED = Expression(
    r"(?:visit|site|website|link|url|go to|check(?: out)?|at|on|web|page|invite|сайт|sitio|seite|lien|enlace|sito)"
    r"\W{0,3}$",
    re.I,
)
_SHORT_HOSTS = frozenset(SHORT_HOSTS.split())
_PROFILE_HOSTS = (*PROFILE_HOSTS.split(), *SHORT_HOSTS.split())
_FRAMEWORKS = frozenset(FRAMEWORKS.split())
_DOT_WORDS = frozenset(("www", "dot", "d0t", "punto", "ponto", "point", "punkt"))


class LinkRecognizer(TextRecognizer):
    """Finds addresses on the web."""

    kind = Kind.URL

    def may_hold(self, glance: Glance) -> bool:
        """A link has a dot or a slash, or the word for a dot; an address for an app, a colon."""
        text = glance.text
        return "." in text or "/" in text or ":" in text or not glance.words.isdisjoint(_DOT_WORDS | _CODE_WORDS)

    def find(self, text: str) -> Iterator[Finding]:
        """Addresses with a scheme, bare domains, and veiled ones."""
        # Most texts have nothing but the dot at the end of a sentence: each expression looks where it may find.
        dot, slash, colon = "." in text, "/" in text, ":" in text
        www = "www" in text.lower()
        if slash or www:
            for match in _SCHEME.finditer(text):
                end = _trimmed(text, match.start(), match.end())
                if any(char.isalnum() for char in text[match.start() + 6 : end]):
                    yield match.start(), end, 0.95, "scheme"
        if "://" in text:
            for match in _ANY_SCHEME.finditer(text):
                start = _scheme_start(text, match.start())
                if start < match.start():
                    yield start, _trimmed(text, match.start() + 3, match.end()), 0.95, "scheme"
        if www:
            for match in _GLUED_WWW.finditer(text):
                yield match.start(), _trimmed(text, match.start(), match.end()), 0.95, "scheme"
        if colon:
            for match in _OPAQUE.finditer(text):
                yield match.start(), _trimmed(text, match.start(), match.end()), 0.85, "address for an app"
        if dot:
            for match in _BARE.finditer(text):
                score = _bare_score(text, match)
                if score:
                    end = _with_spaced_path(text, match)
                    yield _host_start(match), _trimmed(text, match.start(), end), score, "domain"
        if www:
            for match in _WWW_SPACED.finditer(text):
                yield match.start(), match.end(), 0.8, "spaced domain"
        if dot and (slash or colon):
            for match in _NUMERIC_HOST.finditer(text):
                yield match.start(), _trimmed(text, match.start(), match.end()), 0.6, "numeric host"
        yield from _cut_short(text)
        if _VEILED_END.search(text):
            yield from _veiled(text)


_CODE_WORDS = frozenset(("invite", "invitation", "server", "discord", "referral", "join", "room", "lobby"))


def _scheme_start(text: str, colon: int) -> int:
    """Where the scheme begins whose "://" stands at `colon`; there, if there is none before it."""
    before = text[max(0, colon - 24) : colon]
    scheme = _SCHEME_BEFORE.search(before)
    if scheme is None:
        return colon
    glued = _GLUED_SCHEME.search(before)
    return colon - len(before) + (glued or scheme).start()


def _host_start(match: re.Match[str]) -> int:
    """Where the host of a link begins, without an ordinary word that lost its space before a host many know."""
    host = match["host"].lower()
    first = host.split(".", 1)[0]
    if first.endswith("www"):
        return match.start() + len(first) - 3
    if host in _PROFILE_HOSTS:
        return match.start()
    glued = next((known for known in _PROFILE_HOSTS if host.endswith(known) and is_ordinary(host[: -len(known)])), host)
    return match.start() + len(host) - len(glued)


def _with_spaced_path(text: str, match: re.Match[str]) -> int:
    """The end of a link, its first segment included where a space stands before that: "discord.gg / name"."""
    host = match["host"].lower()
    if match["path"] not in (None, "/") or host not in _PROFILE_HOSTS:
        return match.end()
    segment = _SPACED_PATH.match(text, match.end() - len(match["path"] or ""))
    if segment is None or is_ordinary(segment["name"]):
        return match.end()
    return segment.end() if host in _SHORT_HOSTS or not segment["name"].isalpha() else match.end()


def _cut_short(text: str) -> Iterator[Finding]:
    """Links without their host, and names of other services than the web's."""
    if "/" in text or "\\" in text:
        for match in _INVITE.finditer(text):
            code = match["code"]
            if match["named"] or (match["dot"] and not is_ordinary(code)) or _is_code(code):
                yield match.start(), match.end(), 0.8 if match["named"] or match["dot"] else 0.6, "invitation"
    for match in _CODE.finditer(text):
        yield *match.span("code"), 0.6, "invitation"
    if "/" in text and "," in text:
        for match in _COMMA_HOST.finditer(text):
            yield match.start(), _trimmed(text, match.start(), match.end()), 0.6, "comma for a dot"
    for match in _NAME_SERVICE.finditer(text) if "." in text else ():
        name = match[0].lower().split(match["end"].lower())[0].rstrip(".").rsplit(".", 1)[-1]
        if len(name) >= (16 if match["end"].lower() in ("onion", "i2p") else 3) and not is_ordinary(name):
            yield match.start(), _trimmed(text, match.start(), match.end()), 0.8, "name service"


def _is_code(word: str) -> bool:
    """Whether it is no word: letters with digits, of some length."""
    return len(word) > 4 and any(char.isdecimal() for char in word) and any(char.isalpha() for char in word)


def _veiled(text: str) -> Iterator[Finding]:
    for match in _VEILED.finditer(text):
        ending = match["end"].lower()
        worded = _WORD_DOT.search(match["dot"]) is not None
        plain = _ANY_DOT.sub(".", match["host"]).lower()
        is_short = plain in _SHORT_HOSTS
        profile = plain in _PROFILE_HOSTS and match["path"] is not None
        before_dot = text[match.start() : match.start("dot")]
        if match["end"].istitle() and not worded and not profile and not before_dot.istitle():
            continue  # "na escola . Com ela" is two sentences
        if is_short and len(plain) < 6 and not match["path"]:
            continue  # "a . co"
        if not (is_short or profile or _BRACKETED.search(match["dot"])):
            # "at this point dot com bubble"; but "visit amazon dot com".
            if worded and is_everyday(before_dot, _COMMON) and not _is_invited(text, match.start()):
                continue
            # The end of a sentence, and Portuguese for "with": "em casa. com ela".
            if match["dot"][0] == "." and is_ordinary(before_dot):
                continue
            if match["dot"] == " ." and (is_ordinary(before_dot) if ending == "gg" else is_everyday(before_dot)):
                continue  # "the .com boom", "join .gg/name"
        # "fine . me" is a sentence; "site . com" is not.
        if (
            is_short
            or profile
            or ending in ("com", "net", "org")
            or (worded and ending in CLEAR_ENDINGS)
            or match["path"]
        ):
            yield match.start(), _trimmed(text, match.start(), match.end()), 0.7 if worded else 0.6, "veiled domain"


def _bare_score(text: str, match: re.Match[str]) -> float:
    ending, path = match["end"].lower(), match["path"] or ""
    host = match["host"].lower()
    if not is_ending(ending):
        return 0.0
    if host in _SHORT_HOSTS or host.removeprefix("www.") in _SHORT_HOSTS:
        return 0.9
    labels = host.split(".")
    if (len(labels[-2]) < 2 and not path) or host in _FRAMEWORKS:
        return 0.0
    if len(path) > 1 and path[0] == "/" and path[1].isalnum():
        # "and/or" joined to a sentence's end: "cool.me/you" is no address people would give.
        return 0.8 if ending in COMMON_ENDINGS or ending in CLEAR_ENDINGS else 0.6
    invited = _is_invited(text, match.start())
    if ending in CLEAR_ENDINGS and not _is_sentence_join(match["host"]) and (invited or not _is_file_or_speech(labels)):
        return 0.85
    return 0.6 if invited and len(labels) > 2 else 0.3


def _is_file_or_speech(labels: list[str]) -> bool:
    """Whether "lib.rs", "bien.de" or "ez.gg": an ordinary word, and an ending that files or other words have too."""
    if len(labels) != 2:
        return False
    return (labels[1] in _SPEECH_ENDINGS and is_ordinary(labels[0])) or (len(labels[0]) < 3 and labels[1] == "gg")


def _is_invited(text: str, at: int) -> bool:
    return _INVITED.search(text[max(0, at - 24) : at]) is not None


def _is_sentence_join(host: str) -> bool:
    """ "...lol.Com" never occurs, "great.Live" does: a capital after the dot begins a sentence, unless all are."""
    before, _, ending = host.rpartition(".")
    capital = ending[0].isupper() and not ending.isupper() and ending.lower() not in _ABBREVIATED
    return capital and (before.islower() or (before.istitle() and len(ending) < 4))


_SPEECH_ENDINGS = frozenset(SPEECH_ENDINGS.split())
_ABBREVIATED = frozenset(("com", "net", "org", "io", "gg", "tv"))


def _trimmed(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1] in _TRAILING:
        end -= 1
    return end
