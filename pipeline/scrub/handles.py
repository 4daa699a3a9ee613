"""Handles: names of accounts, in the ways people point at one in a comment.

A mark such as @ is enough. After the name of a platform, what follows is a handle only if it is written like one or
is no ordinary word, and how little is needed depends on what stands between: "ig: name" says more than "ig name".
"""

import re
from collections.abc import Iterator

from csmv.pipeline.scrub.domains import ENDING, LABEL, is_ending
from csmv.pipeline.scrub.expressions import Expression
from csmv.pipeline.scrub.ordinary import (
    is_clearly_shaped,
    is_ordinary,
    is_product,
    is_shaped,
    is_written_like_handle,
)
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import (
    CLEAR_PLATFORMS,
    CREDITS,
    FOLLOW_VERBS,
    GAMES,
    LINK_WORDS,
    NAME_FILLERS,
    NAMED,
    NO_PASSWORDS,
    NOT_PEOPLE,
    PASSWORDS,
    PLATFORM_SIGNS,
    POSSESSIVES,
    REVERSED_CALLS,
    SHORT_PLATFORMS,
    SPACED,
    UNSPACED_FILLERS,
    VAGUE_PLATFORMS,
    WORD,
    Tokens,
    either,
    heads,
)

_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,38}[A-Za-z0-9_])?|\.\w[A-Za-z0-9_.]{1,30}"
_MENTION = Expression(
    r"@{1,3}(?P<gap> ?)(?P<name>"
    r"[A-Za-z0-9](?:[A-Za-z0-9_]|[.-]{1,2}(?=[A-Za-z0-9_])){0,63}|[_.](?:[A-Za-z0-9_]|\.(?=[A-Za-z0-9_])){1,63}|[^\W_]\w{0,63})"
)
_SERVER = Expression(rf":(?P<host>(?:{LABEL}\.){{1,4}})(?P<end>{ENDING})(?::\d{{2,5}})?(?![{SPACED}@])", re.I)
"""Where a Matrix user or room is at home."""
_ROOM = Expression(
    rf"(?<![{SPACED}#!])[#!](?P<name>[A-Za-z0-9_.-]{{2,64}}):(?P<host>(?:{LABEL}\.){{1,4}})(?P<end>{ENDING})(?![{SPACED}@])"
)
_KEY_BEGINNINGS = ("npub1", "nprofile1", "nsec1", "note1")
_PUBLIC_KEY = Expression(rf"(?<![A-Za-z0-9])(?:{'|'.join(_KEY_BEGINNINGS)})[02-9ac-hj-np-z]{{50,90}}(?![A-Za-z0-9])")
_NOT_PEOPLE = frozenset(NOT_PEOPLE.split())
_NO_PASSWORDS = frozenset(NO_PASSWORDS.split())
_PASSED_ON = frozenset(
    ("rt", "via", "cc", "ft", "by", "ig", "tt", "tg", "yt", "w", "x", "cr", "ib", "dc", "from", "with", "to")
)
_OTHERS = frozenset(("them", "they", "her", "him", "she", "your", "yours", "yall", "we're", "all", "both", "you"))
"""With whom a slash joins a short "you"."""
_ARROW = r"\u2190-\u21ff\u2794-\u27be\u27f0-\u27ff👉►▶▸▹▷▻‣👇⬇☞➕"
_SIGN = rf"[:;=|»>{_ARROW}~]+|-+>|=>|//?\s|[\[({{「『【《«‹]|<(?=[\w.]{{3,40}}>)|[*\"`](?=[A-Za-z0-9_.]{{3,40}}[*\"`])"
_EMOJI = r"\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_DASH = r"\s-{1,2}\s?|-{1,2}\s?"
_ANY_PLATFORM = rf"(?:{either(CLEAR_PLATFORMS)}|{either(SHORT_PLATFORMS)})"
_PLATFORM = Expression(
    rf"(?<![{SPACED}@.#/-])(?:(?P<clear>{either(CLEAR_PLATFORMS)}|[{PLATFORM_SIGNS}])"
    rf"|(?P<short>{either(SHORT_PLATFORMS)})|(?P<vague>{either(VAGUE_PLATFORMS)})(?=\s?[:=@(\[{_ARROW}{_EMOJI}]))"
    rf"(?:(?:\s?[/&+,|]\s?|\s(?:and|und|y|e|et|i|и|or|n)\s(?:(?:{either(POSSESSIVES)})\s)?){_ANY_PLATFORM}(?![{SPACED}]))*"
    rf"(?:(?<=[^{SPACED}])|(?![{SPACED}]))(?!#)",
    re.I,
)
_AFTER = Expression(
    rf"(?:'?s\b)?(?:(?:{either(UNSPACED_FILLERS)}){{0,3}})(?P<close>[)\]】」])?(?:\s?[{_EMOJI}]{{1,3}}?(?=\s?[:;=|>@{_ARROW}-]))?"
    rf"(?P<weak>(?:\s?(?![{_ARROW}])[{_EMOJI}.,!]){{1,5}})?"
    rf"\s*(?P<filler>(?:(?:{either(NAME_FILLERS)})(?![{SPACED}])[\s@]*){{1,4}})?(?P<free>[a-z]{{2,12}}(?=\s?[:=]))?"
    rf"(?P<sign>\s*(?:{_SIGN})+\s*)?"
    rf"(?P<dash>{_DASH})?(?P<word>\s*(?:{either(LINK_WORDS)})(?![{SPACED}])\s*)?(?P<sign2>(?:{_SIGN})+)?[\s{_EMOJI}]{{0,6}}"
    rf"[\"'(\[*_~]{{0,2}}?(?P<at>[@$]?)\s?(?P<name>{_NAME})",
    re.I,
)
_CALLED_BY_VERB = Expression(rf"\b(?:{either(FOLLOW_VERBS)})\b[^.!?\n]{{0,30}}$", re.I)
_CALLED_NEAR = Expression(
    rf"\b(?:{either(FOLLOW_VERBS)})(?:\s(?!a\b|an\b)[^\W\d]{{1,12}}){{0,2}}"
    r"(?:\s(?:on|in|at|via|over|through|en|no|na|por|sur|auf|su|di|op|w|i|в|во|на|to)(?:\s(?:my|the|mi|meu|mein))?)?\s?$",
    re.I,
)
_CALLED_MINE = Expression(rf"\b(?:{either(POSSESSIVES)})\s+(?:\w+\s+)?$", re.I)
_NAMED = Expression(
    rf"(?:(?<![{SPACED}@])(?:{either(NAMED)})|(?<!\\S)@(?=\s?(?:is\b|:)))\s*(?P<sign>(?:[:=>→]|-+>|(?<=\s)-|-(?=\s)|(?:is|es|est|ist|e|to)\b)+)\s*[\"'(@]{{0,2}}"
    rf"(?P<name>{_NAME})",
    re.I,
)
_CREDIT = Expression(
    rf"(?<![{SPACED}@#])(?:{either(CREDITS)})(?:(?P<sign>\s?(?:[:=>→]|-+>|(?<=\s)-|-(?=\s))+)\s*|\s+)[\"'(@]{{0,2}}(?P<name>{_NAME})",
    re.I,
)
_REVERSED = Expression(
    rf"(?<![{SPACED}@.#/-])(?P<name>{_NAME})"
    r"(?P<gap>\s+(?:is\s+)?(?:on|in|at|over on|from|via|en|no|sur|auf|su|na|w|di)\s+"
    r"(?:(?:my|his|her|the|le)\s+)?|\s?[-(\[|/@:]\s?)"
    rf"(?P<platform>{either(CLEAR_PLATFORMS)}|ig|tg|yt|sc|fb|tt|kik)(?![{SPACED}])",
    re.I,
)
_REVERSED_CALL = Expression(rf"\b(?:{either(REVERSED_CALLS)})\s+[\"'(@]{{0,2}}$", re.I)
_TAGGED = Expression(r"(?<![\w#@])(?P<name>[\w.]{1,31}\w) ?#(?P<digits>\d{4,7})(?!\w)")
_COUNTED = frozenset(
    [
        "day",
        "episode",
        "ep",
        "part",
        "pt",
        "song",
        "number",
        "no",
        "team",
        "chapter",
        "ch",
        "take",
        "try",
        "attempt",
        "level",
        "lvl",
        "room",
        "track",
        "page",
        "video",
        "season",
        "week",
        "lesson",
        "issue",
        "bus",
        "lot",
        "model",
        "order",
        "comment",
        "reason",
        "question",
        "rule",
        "tip",
        "fact",
        "player",
        "agent",
        "round",
        "game",
        "book",
        "card",
    ]
)
_PASSWORD = Expression(
    rf"(?<![{SPACED}])(?:{either(PASSWORDS)})\s{{0,2}}(?:(?P<sign>[:=])|(?:is|es|ist|est|e)(?=\s))\s{{0,2}}(?P<name>[^\s<>\ue000]{{4,64}})",
    re.I,
)
_REDDIT = Expression(r"(?<![\w/.])/?u/(?P<name>[\w-]{3,24}(?:\.[\w-]{1,24})?)(?![\w/])")
_DEFAULT_NAME = Expression(rf"(?<![{SPACED}])(?:user_?\d{{5,}}(?:_\d+)?|wxid_[0-9a-z]{{6,24}})(?![{SPACED}])", re.I)
_SHAPED = Expression(r"(?<!\w)[a-z][a-z0-9]{0,40}(?:[_.][a-z0-9]{1,40}){1,6}(?!\w)", re.I)
_COLON_BEFORE = Expression(
    rf"(?<![{SPACED}])(?P<told>name|nick|id|account|acc|me|here|tag|gamertag|ign|main|alt|mine|profile|channel|user|ours"
    r"|nombre|usuario|nome|имя|ник|канал|follow|add|sub|page|pagina|isim|imie|nama|akun)?"
    rf"[{SPACED}\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]*\s?[:=]\s?$",
    re.I,
)
_FILE = Expression(
    r"\.(?:docx?|pdf|png|jpe?g|gif|mp[34]|txt|zip|rar|py|js|ts|html?|css|xlsx?|pptx?|csv|json|ya?ml|mov|wav|apk|exe)$",
    re.I,
)
_LEFT_WORD = Expression(rf"[{SPACED}][{SPACED}.+-]{{0,29}}$")
_AMOUNT = Expression(r"\d+(?:[.,]\d+)?[a-z]{0,3}|\d{1,2}\.[a-z]+", re.I)
_ENDS_OR_ASKS = Expression(
    r"\s*(?:$|[^\w\s']|(?:add|follow|if|for|dm|hmu|pls|plz|please|and follow|go follow)\b)", re.I
)
_VAGUE_LINKED = Expression(rf"(?:{either(VAGUE_PLATFORMS)})\s?[:=@(\[{_ARROW}{_EMOJI}]", re.I)
_CLAUSE_ENDS = Expression(r"\s*(?:$|[^\w\s])")

_DOING = Expression(r"(?<!th)(?<!spr)(?<!str)(?<![bkrswz])ing$|(?:eak|ook|ork|ill|rk)ing$", re.I)
_PLAIN_LINK = Expression(r"[:=]$")
_PLATFORM_NAMES = frozenset(CLEAR_PLATFORMS.replace("_", "").split()) | frozenset(GAMES.replace("_", "").split())
_GAMES = frozenset(GAMES.replace("_", " ").split()) | frozenset(GAMES.replace("_", "").split())
_PLATFORM_TOKENS = Tokens(CLEAR_PLATFORMS, SHORT_PLATFORMS)
_VAGUE_TOKENS = Tokens(VAGUE_PLATFORMS)
_NAMED_HEADS = heads(" ".join(entry for entry in NAMED.split() if "@" not in entry))
_CREDIT_TOKENS = Tokens(CREDITS)
_PASSWORD_HEADS = heads(PASSWORDS)
_LINKED = Expression(rf"[:=@(\[{_ARROW}{_EMOJI}]")
_CLAUSE_ENDS = Expression(r"\s*(?:$|[^\w\s])")

_DOING = Expression(r"(?<!th)(?<!spr)(?<!str)(?<![bkrswz])ing$|(?:eak|ook|ork|ill|rk)ing$", re.I)
_PLAIN_LINK = Expression(r"[:=]$")
_PLATFORM_NAMES = frozenset(CLEAR_PLATFORMS.replace("_", "").split()) | frozenset(GAMES.replace("_", "").split())
_GAMES = frozenset(GAMES.replace("_", " ").split()) | frozenset(GAMES.replace("_", "").split())
_PLATFORM_HEADS = heads(CLEAR_PLATFORMS, SHORT_PLATFORMS)
_UNSPACED_PLATFORMS = Expression("|".join(name for name in _PLATFORM_HEADS if not re.match(rf"[{SPACED}]", name)), re.I)
"""Names of platforms in scripts that put no space before or after them."""
_VAGUE_HEADS = heads(VAGUE_PLATFORMS)
_NAMED_HEADS = heads(NAMED) - {"my", "the"}
_CREDIT_HEADS = heads(CREDITS)
_PASSWORD_HEADS = heads(PASSWORDS)
_LINKED = Expression(r"[_.:=>→\d-]")
"""A credited name is linked by a sign or written like a handle; either way one of these is there."""


class HandleRecognizer(TextRecognizer):
    """Finds the names of accounts."""

    kind = Kind.USERNAME

    def may_hold(self, glance: Glance) -> bool:
        """A handle has a mark, or a word near it that says so."""
        text, words = glance.text, glance.words
        return (
            "@" in text
            or "#" in text
            or "_" in text
            or "u/" in text
            or (not text.isascii() and any(sign in text for sign in PLATFORM_SIGNS))
            or any(beginning in text for beginning in _KEY_BEGINNINGS)
            or ("!" in text and ":" in text)
            or _PLATFORM_TOKENS.are_in(text, words)
            or not words.isdisjoint(_NAMED_HEADS)
            or not words.isdisjoint(_PASSWORD_HEADS)
            or _names_a_vague_platform(text, words)
            or _gives_credit(text, words)
            or "user" in (small := text.lower())
            or "wxid_" in small
        )

    def find(self, text: str) -> Iterator[Finding]:
        """Mentions, names given after or before a platform, and tags."""
        return self.look(Glance(text))

    def look(self, glance: Glance) -> Iterator[Finding]:
        """As `find`."""
        text, words = glance.text, glance.words
        if "@" in text:
            yield from _mentions(text)
        clear = _PLATFORM_TOKENS.are_in(text, words)
        if clear or _names_a_vague_platform(text, words) or any(sign in text for sign in PLATFORM_SIGNS):
            yield from _after_platforms(text)
        if clear:
            yield from _before_platforms(text)
        if "@" in text or not words.isdisjoint(_NAMED_HEADS):
            yield from _named(text)
        if _gives_credit(text, words):
            yield from _credited(text)
        if "#" in text:
            yield from _tagged(text)
        if not words.isdisjoint(_PASSWORD_HEADS):
            for match in _PASSWORD.finditer(text):
                if _is_password(text, match):
                    yield *match.span("name"), 0.7, "password"
        if "u/" in text:
            for match in _REDDIT.finditer(text):
                if match[0].startswith("/") or match["name"].lower() not in _OTHERS:
                    yield match.start(), match.end(), 0.85, "reddit name"
        if any(beginning in text for beginning in _KEY_BEGINNINGS):
            for match in _PUBLIC_KEY.finditer(text):
                yield match.start(), match.end(), 0.9, "public key"
        if ":" in text:
            for match in _ROOM.finditer(text):
                if is_ending(match["end"]) and not _is_speech(match["host"], match["end"]):
                    yield match.start(), match.end(), 0.8, "room"
        small = text.lower()
        if "user" in small or "wxid_" in small:
            for match in _DEFAULT_NAME.finditer(text):
                yield match.start(), match.end(), 0.9, "default name"
        if "_" in text:
            yield from _shaped(text)


def _names_a_vague_platform(text: str, words: frozenset[str]) -> bool:
    """Whether a word that may be a platform's name, such as "x", stands before a sign."""
    return _VAGUE_TOKENS.are_in(text, words) and _VAGUE_LINKED.search(text) is not None


def _gives_credit(text: str, words: frozenset[str]) -> bool:
    """Whether a word of giving credit is there and what a name behind it would need."""
    return _CREDIT_TOKENS.are_in(text, words) and _LINKED.search(text) is not None


def _tagged(text: str) -> Iterator[Finding]:
    for match in _TAGGED.finditer(text):
        year = match["digits"][:2] in ("19", "20")
        if " #" in match[0] and not is_shaped(match["name"]):
            continue  # "Charizard #0006"
        if match["name"].lower() in _COUNTED or (len(match["digits"]) > 4 and is_ordinary(match["name"])):
            continue  # "day#1013"
        if not is_ordinary(match["name"]) or not (year or match["name"].isdecimal()):
            yield match.start(), match.end(), 0.85, "tag with digits"


def _is_password(text: str, match: re.Match[str]) -> bool:
    """Whether what stands behind "password:" is one: an ordinary word only at the end of what is said."""
    name = match["name"].rstrip(".,;:!?)\"'*")
    if any(char.isdecimal() for char in name):
        return True
    if not match["sign"] or name.lower() in _NO_PASSWORDS:
        return False
    return not is_ordinary(name) or _CLAUSE_ENDS.match(text, match.start("name") + len(name)) is not None


def _shaped(text: str) -> Iterator[Finding]:
    for match in _SHAPED.finditer(text):
        if "_" in match[0]:
            before = _COLON_BEFORE.search(text[max(0, match.start() - 30) : match.start()])
            is_announced = before is not None and (before["told"] or _has_unusual_part(match[0]))
            is_announced = is_announced and text[match.end() : match.end() + 1] != ":" and not _FILE.search(match[0])
            yield match.start(), match.end(), 0.6 if is_announced else 0.35, "looks like a handle"


def _mentions(text: str) -> Iterator[Finding]:
    end = -1
    for match in _MENTION.finditer(text):
        start, name = match.start(), match["name"]
        before = text[start - 1] if start else " "
        if (name[0].isdecimal() and len(name) < 8 and _AMOUNT.fullmatch(name)) or name.lower() in _NOT_PEOPLE:
            continue
        if before == "@" and start != end:
            continue
        # "@ Wembley Park", "@ Самара": a place; people hardly ever put a space before a handle.
        if match["gap"] and not (
            is_shaped(name) or (name.isascii() and name.islower() and is_written_like_handle(name))
        ):
            continue
        if len(name) == 1 and text[match.end() : match.end() + 1] == "@":
            continue  # a face: "@w@"
        left = None if start == end else _LEFT_WORD.search(text[max(0, start - 30) : start])
        score = 0.95
        if left is not None and left[0].isascii():
            thanks = text[max(0, start - len(left[0]) - 1) : start].startswith("/")  # "h/t@name"
            if not thanks and not _lost_its_space(left[0], name):
                continue
            score = 0.6
        elif left is not None and not name.isascii() and len(name) < 4:
            continue  # a curse made harmless, in any script
        server = _SERVER.match(text, match.end())
        end = match.end()
        if server is not None and is_ending(server["end"]) and not _is_speech(server["host"], server["end"]):
            end = server.end()
        yield start, end, score, "mention"


def _lost_its_space(left: str, name: str) -> bool:
    """Whether "thanks@name" or "great.@name" is a mention whose space was left out; "sh@dow" is not."""
    if is_ending(name.rsplit(".", 1)[-1]):
        return False  # an e-mail address, and not this recognizer's business
    bare = left.strip("_.+-")
    if left.endswith("."):
        return True
    if is_ordinary(f"{bare}a{name}"):
        return False
    if left.lower() in _PASSED_ON and (len(left) > 1 or is_shaped(name)):
        return True
    if not is_written_like_handle(name):
        return False
    bare = bare.rstrip("0123456789") or bare
    return (is_ordinary(bare) and not (len(bare) == 1 and bare.isalpha())) or is_shaped(name)


def _is_speech(host: str, ending: str) -> bool:
    return ending.lower() not in ("org", "com", "net", "im", "chat") and is_ordinary(host.split(".")[0])


def _after_platforms(text: str) -> Iterator[Finding]:
    for platform in _PLATFORM.finditer(text):
        match = _AFTER.match(text, platform.end())
        if match is None or text.startswith("://", match.end()):
            continue
        name = match["name"].rstrip("-.")
        start = match.start("at") if match["at"] else match.start("name")
        end = match.start("name") + len(name)
        score = _platform_score(text, platform, match, name, end)
        if score:
            yield start, end, score, "after a platform's name"


def _platform_score(text: str, platform: re.Match[str], match: re.Match[str], name: str, end: int) -> float:
    """How sure it is that `name` is a handle, by what links it to the platform's name before it."""
    if match["at"] == "$" and not (platform["clear"] and name[0].isalpha()):
        return 0.0
    signs = (match["sign"] or "") + (match["sign2"] or "")
    signed = bool(signs or match["at"])
    if len(name) < 3 or (_AMOUNT.fullmatch(name) and not (signed and name.isdecimal() and len(name) >= 5)):
        return 0.0
    if not match["at"] and (is_product(name) or name.lower() in _PLATFORM_NAMES):
        return 0.0  # "wattpad and ao3", "xbox > ps5"
    shaped, unusual = is_shaped(name), not is_ordinary(name)
    weak = match["weak"] or ""
    if platform["vague"] and platform[0][:1] not in "iI" and not match["at"]:
        sure = is_clearly_shaped(name) if weak or not _PLAIN_LINK.match(signs.strip()) else shaped
        return 0.7 if sure and (signed or weak.strip(" .,!")) else 0.0
    if weak[:1] in (".", ",", "!") and not signed:
        # A sentence may have ended there, and "yess.im" be the next one.
        return 0.6 if "_" in name and unusual else 0.0
    before = text[max(0, platform.start() - 40) : platform.start()]
    by_verb = _CALLED_BY_VERB.search(before) is not None
    called = by_verb or _CALLED_MINE.search(before) is not None
    ends = _ENDS_OR_ASKS.match(text, end) is not None
    if match["close"] and platform.start() and text[platform.start() - 1] in "([【「" and unusual and ends:
        return 0.7
    if signed:
        if shaped:
            return 0.85
        if signs.strip() == ">" and (platform[0].lower() in _GAMES or name.isupper()):
            return 0.0  # "Genshin > BOTW"
        if not unusual or (match["free"] and not (platform["clear"] or called)):
            return 0.0
        if match["at"] or called or ends:
            return 0.85
        return 0.0 if _is_speech_after(text, platform, name, end) else 0.85
    if match["word"] and _is_doing(name):
        return 0.0
    is_announced = bool(match["word"] or match["filler"])
    if called and (shaped or (unusual and is_announced)):
        return 0.8
    if match["dash"]:
        if shaped and (" " in match["dash"] or is_clearly_shaped(name)):
            return 0.65
        apart = " " in match["dash"] or called or _is_alone(text, platform.start(), end)
        if unusual and apart and _CLAUSE_ENDS.match(text, end):
            return 0.65
    numbered = shaped and name[0].isalpha() and sum(char.isdecimal() for char in name) > 1
    if (
        is_clearly_shaped(name)
        or (match["word"] and numbered)
        or (platform["clear"] and match["word"] and unusual and len(name) > 4 and ends)
    ):
        return 0.6
    plain = unusual and name.isascii() and len(name) > 4 and bool(platform["clear"])
    if plain and weak and " " not in weak and _CLAUSE_ENDS.match(text, end):
        return 0.55  # "insta🌸kaylarose"
    if weak == " ." and unusual and name.isascii() and len(name) > 4 and _CLAUSE_ENDS.match(text, end):
        return 0.55  # "ig • kaylarose"
    if plain and platform[0] in PLATFORM_SIGNS and _is_alone(text, platform.start(), end):
        return 0.55
    # "add me on insta kaylarose", but not "ig thats true", where ig means I guess.
    if weak and not _CLAUSE_ENDS.match(text, end):
        return 0.3
    if not (by_verb and unusual and name.isascii() and len(name) >= 4 and platform["clear"]):
        return 0.3
    return 0.55 if ends or _CALLED_NEAR.search(before) else 0.3


def _is_speech_after(text: str, platform: re.Match[str], name: str, end: int) -> bool:
    """Whether a game or platform "says" something behind a colon: "fortnite: whasap dady", "TikTok: lalala lalala"."""
    following = WORD.match(text, end + 1)
    if following is None:
        return False
    return following[0].lower() == name.lower() or platform[0].lower() in _GAMES


def _is_doing(name: str) -> bool:
    """Whether what stands behind "is" is what the platform does, as in "is glitching", and no name like "kayking"."""
    return name.isalpha() and _DOING.search(name) is not None


def _is_alone(text: str, start: int, end: int) -> bool:
    """Whether there is no other word in the line."""
    line = text[max(text.rfind("\n", 0, start) + 1, start - 40) : start] + text[end : end + 40].split("\n", 1)[0]
    return not any(char.isalnum() for char in line)


def _before_platforms(text: str) -> Iterator[Finding]:
    for match in _REVERSED.finditer(text):
        name = match["name"].rstrip("-.")
        if len(name) < 3 or _AMOUNT.fullmatch(name):
            continue
        called = _REVERSED_CALL.search(text[max(0, match.start() - 30) : match.start()]) is not None
        span = match.start(), match.start() + len(name)
        if name.lower() in _PLATFORM_NAMES or is_product(name):
            continue
        if (
            is_clearly_shaped(name)
            or (called and is_shaped(name))
            or (text[span[0] - 1 : span[0]] == "$" and name[0].isalpha())
        ):
            yield *span, 0.75 if called else 0.6, "before a platform's name"
        elif not is_ordinary(name) and name.isascii() and len(name) >= 4:
            yield *span, 0.65 if called and match["gap"].strip() else 0.4, "before a platform's name"


def _named(text: str) -> Iterator[Finding]:
    for match in _NAMED.finditer(text):
        name = match["name"].rstrip("-.")
        if not is_written_like_handle(name) or _AMOUNT.fullmatch(name):
            continue
        if match[0].lower().startswith("user") and not match[0].lower().startswith(("username", "user_n", "user n")):
            # "RT USER: Gerade gelesen" is a mention that somebody made anonymous, and what was said.
            speaks = match[0].startswith("USER") or not _CLAUSE_ENDS.match(text, match.start("name") + len(name))
            if (
                speaks
                and not is_clearly_shaped(name)
                and not _CALLED_MINE.search(text[max(0, match.start() - 20) : match.start()])
            ):
                continue
        yield match.start("name"), match.start("name") + len(name), 0.75, "called a handle"


def _credited(text: str) -> Iterator[Finding]:
    for match in _CREDIT.finditer(text):
        name = match["name"].rstrip("-.")
        if len(name) < 4 or _AMOUNT.fullmatch(name):
            continue
        if is_clearly_shaped(name):
            yield match.start("name"), match.start("name") + len(name), 0.6, "credited"
        elif match["sign"] and not is_ordinary(name):
            yield match.start("name"), match.start("name") + len(name), 0.55, "credited"


def _has_unusual_part(name: str) -> bool:
    return not all(is_ordinary(part) for part in re.split(r"[_.]", name) if part)
