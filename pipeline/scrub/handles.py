"""Handles: names of accounts, in the ways people point at one in a comment.

A mark such as @ is enough. After the name of a platform, what follows is a handle only if it is written like one or
is no ordinary word, and how little is needed depends on what stands between: "ig: name" says more than "ig name".
"""

import re
from collections.abc import Iterator

from pipeline.scrub.ordinary import is_ordinary
from pipeline.scrub.policy import Kind
from pipeline.scrub.recognizer import Finding, Glance, TextRecognizer

_MENTION = re.compile(r"@{1,3}(?P<gap> ?)(?P<name>[^\W_][\w]*(?:[.-]{1,2}[\w]+|[._]+(?=\w))*_*|_+[\w.]*\w|\.\w[\w.]*)")
_AFTER_AT_ONLY = re.compile(r"\d{1,5}(?:[ap]m|k|h|hrs?|x|m|min|st|nd|rd|th)?", re.I)
_NOT_PEOPLE = frozenset(
    ["me", "us", "u", "you", "home", "work", "school", "everyone", "here", "all", "channel", "the", "a", "this", "that", "least", "night", "last"]
)

_CLEAR_PLATFORMS = (
    r"instagram|insta(?:\s?gram)?|instagam|snap\s?chat|snap|tik\s?tok|twitter|you\s?tube|telegram|discord|facebook|"
    r"whats\s?app|watsapp|twitch|only\s?fans?|linked\s?in|we\s?chat|weixin|vsco|pinterest|reddit|cash\s?app|venmo|"
    r"pay\s?pal|psn|gamer\s?tag|xbox|steam|roblox|sound\s?cloud|spotify|tumblr|be\s?real|lemon8|blue\s?sky|github|"
    r"kakao(?:talk)?|zalo|viber|skype|patreon|ko-?fi|threads|messenger|clapper|triller|likee|kwai|vkontakte|"
    r"инстаграм|инстаграмм|инста|телеграмм?|телега|тикток|снап|ютуб|твиттер|дискорд|инсте|инсту|"
    r"インスタ|ツイッター|인스타|트위터|انستا|انستقرام|سناب|تيك توك|इंस्टा|इंस्टाग्राम|ไอจี|微信|抖音|小红书|微博|👻|📸|📷"
)
_SHORT_PLATFORMS = (
    r"ig|sc|tt|yt|tg|fb|dc|disc|tele|kik|wa|wpp|gt|vk|тг|вк|qq|line|x|of|li|bsky|imo|signal|snp|insta/snap"
)
_FILLER = (
    r"(?:(?:user\s?names?|handles?|accounts?|acc|acct|name|id|page|profile|tag|nick(?:name)?|nik|usuario|usu[aá]rio|konto|"
    r"cuenta|conta|compte|profil|perfil|akun|hesab[iı]m?|profilo|аккаунт|ник|main|alt|gaming|art|spam|private|priv|new|other|"
    r"business|personal|back\s?up|and|or|too|also|aku|gua|gue|saya|ku|pls|plz|please|called|named|just|me|@|ini|nya)\b[\s@]*)"
)
_LINK_SIGN = r"[:=|»>→➡👉⇒➜➔►▶👇⬇~]+|-+>|=>|\s[-]{1,2}\s?|-\s|/\s|\("
_LINK_WORD = r"(?:is|iz|it's|its|as|under|es|e|est|c'est|cest|ist|to|adalah|itu|jest|er|ar|heter|heißt|heisst|это|at|by|with|via)\b"
_HANDLE = r"[A-Za-z0-9_](?:[\w.-]{0,38}[\w])?|\.\w[\w.]{1,30}"
_AFTER = re.compile(
    rf"(?:['’]?s\b)?\s?[)\]]?\s*{_FILLER}{{0,4}}(?P<sign>\s*(?:{_LINK_SIGN})+\s*)?(?P<word>\s*{_LINK_WORD}\s*)?(?P<sign2>(?:{_LINK_SIGN})+)?"
    rf"\s*[\"'(\[*_~]{{0,2}}?(?P<at>@?)\s?(?P<name>{_HANDLE})",
    re.I,
)
_PLATFORM = re.compile(
    rf"(?<![\w@.#/-])(?:(?P<clear>{_CLEAR_PLATFORMS})|(?P<short>{_SHORT_PLATFORMS}))(?![\w#])(?!\.\w)", re.I
)
_CALL = re.compile(
    r"(?:\b(?:follow(?:ing|ed)?|foll?ow|add|adding|dm|text|message|msg|find|search(?:ing)?|look|hit|hmu|write|contact|check|"
    r"subscribe|sub|reach|tag|join|ping|inbox|friend|chat|talk|slide|my|our|mine|am|i'm|im|"
    r"sigueme|siganme|sigue|agregame|mi|buscame|meu|segue|sigam|me siga|minha|mon|suis|ajoute|mein|folg|folge|adde|schreib|"
    r"seguimi|il mio|seguitemi|volg|mijn|obserwuj|moj|benim|takip|ekle|min|folj|мой|моя|подпишись|пиши|добавь|ikuti|cek|"
    r"personal|new|also|other)\b[^.!?\n]{0,30}?)$",
    re.I,
)
_NAMED = re.compile(
    r"(?<![\w@])(?:user\s?name|usrname|username|handle|gamer\s?tag|gtag|screen\s?name|nickname|my @|my at|the @|user id|account name|acc name|"
    r"usuario|benutzername|nom d'utilisateur|pseudo|nome utente|nazwa|kullanici adi|ник|юзернейм|логин|my user|ign|friend code)\s*"
    r"(?P<sign>(?:[:=\->→]|is\b|es\b|est\b|ist\b|e\b|to\b)+)\s*[\"'(@]{0,2}(?P<name>" + _HANDLE + ")",
    re.I,
)
_CREDIT = re.compile(
    r"(?<![\w@#])(?:cr|credits?|ib|inspo|dance by|edit by|via|shout\s?out(?: to)?|s/o(?: to)?|so to|collab with|collab|"
    r"original by|og by|video by|art by|pic by|repost from|duet with|stitch with|follow|sub to|subscribe to|add|go follow|check out|dm)"
    r"(?P<sign>\s?[:=\->→]+)?\s*[\"'(@]{0,2}(?P<name>" + _HANDLE + ")",
    re.I,
)
_REVERSED = re.compile(
    rf"(?<![\w@.#/-])(?P<name>{_HANDLE})(?P<gap>\s+(?:(?:is\s+)?(?:on|in|at|over on|from|via|en|no|sur|auf|su|na|w|di)\s+(?:my\s+|his\s+|her\s+|the\s+|le\s+)?)|"
    rf"\s?[-(\[|/@:]\s?)(?P<platform>(?:{_CLEAR_PLATFORMS}|ig|tg|yt|sc|fb|tt|kik))(?![\w])",
    re.I,
)
_REVERSED_CALL = re.compile(
    r"\b(?:follow|add|dm|text|message|msg|find|search(?:\s+up)?|look up|write(?:\s+to)?|contact|check(?:\s+out)?|subscribe to|"
    r"sub to|hit up|hmu|thanks to|thank you|pm|i'm|i am|im|call me|as|its|it's|it is|named|called|go to|reach|am|by|at|"
    r"sigan a|sigue a|segue|suivez|folgt|folge|seguite|volg|ikuti|soy|sou|je suis|ich bin|sono)\s+[\"'(@]{0,2}$",
    re.I,
)
_TAGGED = re.compile(r"(?<![\w#@])(?P<name>[\w.]{2,32}) ?#(?P<digits>\d{4})(?!\w)")
_REDDIT = re.compile(r"(?<![\w/.])/?u/[\w-]{3,24}(?!\w)")
_DEFAULT_NAME = re.compile(r"(?<!\w)user_?\d{5,}(?:_\d+)?(?!\w)", re.I)
_SHAPED = re.compile(r"(?<!\w)(?=[\w.]*[a-z])(?=[\w.]*[_\d])[a-z][a-z0-9]*(?:[_.][a-z0-9]+)+(?!\w)", re.I)
_HAS_PLATFORM = re.compile(rf"{_CLEAR_PLATFORMS}", re.I)
_SHORT_SET = frozenset(_SHORT_PLATFORMS.split("|"))
_VAGUE_SHORT = frozenset(["x", "of", "line", "li", "signal", "imo", "wa", "disc", "tele", "gt", "sc", "dc", "tt"])
_NAMED_WORDS = frozenset(
    ["user", "username", "usrname", "handle", "gamertag", "gtag", "nickname", "my", "the", "account", "acc", "usuario", "benutzername", "utilisateur", "pseudo", "utente", "nazwa", "kullanici", "ник", "юзернейм", "логин", "ign", "screen", "friend", "gamer"]
)
_CREDIT_WORDS = frozenset(
    ["cr", "credit", "credits", "ib", "inspo", "by", "via", "shout", "shoutout", "so", "s", "collab", "from", "with", "follow", "sub", "subscribe", "add", "check", "dm"]
)


class HandleRecognizer(TextRecognizer):
    """Finds the names of accounts."""

    kind = Kind.USERNAME

    def may_hold(self, glance: Glance) -> bool:
        """A handle has a mark, or a word near it that says so."""
        text = glance.text
        return (
            "@" in text
            or "#" in text
            or "user" in text.lower()
            or "u/" in text
            or not glance.words.isdisjoint(_SHORT_SET)
            or not glance.words.isdisjoint(_NAMED_WORDS)
            or not glance.words.isdisjoint(_CREDIT_WORDS)
            or "_" in text
            or _HAS_PLATFORM.search(text) is not None
        )

    def find(self, text: str) -> Iterator[Finding]:
        """Mentions, names given after or before a platform, and tags."""
        yield from _mentions(text)
        yield from _after_platforms(text)
        yield from _before_platforms(text)
        yield from _named(text)
        for found in _TAGGED.finditer(text):
            year = found["digits"][:2] in ("19", "20")
            if not is_ordinary(found["name"]) or not (year or found["name"].isdecimal()):
                yield found.start(), found.end(), 0.85, "tag with digits"
        for found in _REDDIT.finditer(text):
            yield found.start(), found.end(), 0.85, "reddit name"
        for found in _DEFAULT_NAME.finditer(text):
            yield found.start(), found.end(), 0.9, "default name"
        for found in _SHAPED.finditer(text):
            if "_" in found[0]:
                yield found.start(), found.end(), 0.35, "looks like a handle"


def _mentions(text: str) -> Iterator[Finding]:
    for found in _MENTION.finditer(text):
        start, name = found.start(), found["name"]
        before = text[start - 1] if start else " "
        score = 0.95
        if _AFTER_AT_ONLY.fullmatch(name) or name.lower() in _NOT_PEOPLE:
            continue
        if before == "@" or (found["gap"] and not _written_like_handle(name)):
            continue
        if before.isascii() and (before.isalnum() or before in "_.+-"):
            # "thanks@name" is a mention that lost its space; "sh@dow" is not.
            left = re.search(r"[\w.]{1,30}$", text[max(0, start - 30) : start])
            if left is None or len(name) < 3 or not is_ordinary(left[0]) or not _written_like_handle(name):
                continue
            score = 0.6
        yield start, found.end(), score, "mention"


def _after_platforms(text: str) -> Iterator[Finding]:
    for platform in _PLATFORM.finditer(text):
        found = _AFTER.match(text, platform.end())
        if found is None or _is_domain(text, found):
            continue
        name = found["name"].rstrip("-.")
        start = found.start("name")
        if found["at"]:
            start = found.start("at")
        sign = bool(found["sign"] or found["sign2"] or found["at"])
        called = _CALL.search(text[max(0, platform.start() - 40) : platform.start()]) is not None
        vague = platform["short"] is not None and platform["short"].lower() in _VAGUE_SHORT
        score = _platform_score(name, sign, bool(found["word"]), called, vague, platform["short"] is not None)
        if score:
            yield start, found.start("name") + len(name), score, "after a platform's name"


def _platform_score(name: str, sign: bool, word: bool, called: bool, vague: bool, short: bool) -> float:
    if name.isdecimal() and (len(name) < 5 or not sign):
        return 0.0
    shaped = _is_shaped(name)
    if len(name) < 3 and not (shaped and sign):
        return 0.0
    if sign:
        return 0.85 if shaped or not is_ordinary(name) else 0.0
    if vague:
        return 0.6 if shaped and (called or word) else 0.3
    if word and (shaped or (called and not is_ordinary(name))):
        return 0.8
    if shaped:
        return 0.65
    if is_ordinary(name) or not name.isascii() or len(name) < 4:
        return 0.0
    return 0.6 if called and not short else 0.5 if called else 0.35


def _before_platforms(text: str) -> Iterator[Finding]:
    for found in _REVERSED.finditer(text):
        name = found["name"].rstrip("-.")
        if name.isdecimal() or len(name) < 3:
            continue
        called = _REVERSED_CALL.search(text[max(0, found.start() - 30) : found.start()]) is not None
        shaped = _is_shaped(name)
        if shaped and not _reads_as_number(name):
            yield found.start(), found.start() + len(name), 0.75 if called else 0.6, "before a platform's name"
        elif not is_ordinary(name) and name.isascii() and len(name) >= 4:
            score = 0.65 if called and found["gap"].strip() else 0.4
            yield found.start(), found.start() + len(name), score, "before a platform's name"


def _named(text: str) -> Iterator[Finding]:
    for found in _NAMED.finditer(text):
        name = found["name"].rstrip("-.")
        if len(name) >= 3 and (_is_shaped(name) or not is_ordinary(name)):
            yield found.start("name"), found.start("name") + len(name), 0.75, "called a handle"
    for found in _CREDIT.finditer(text):
        name = found["name"].rstrip("-.")
        if len(name) < 4 or _reads_as_number(name):
            continue
        if _is_shaped(name) and not name[0].isdecimal():
            yield found.start("name"), found.start("name") + len(name), 0.6, "credited"
        elif found["sign"] and not is_ordinary(name):
            yield found.start("name"), found.start("name") + len(name), 0.55, "credited"


def _is_shaped(name: str) -> bool:
    """Whether a word is written as handles are: letters with digits, an underscore, or a dot inside."""
    letters = any(char.isalpha() for char in name)
    return letters and ("_" in name or any(char.isdecimal() for char in name) or _dotted(name))


def _dotted(name: str) -> bool:
    """Whether there is a dot between parts that are no sentence's end and beginning."""
    parts = name.split(".")
    return len(parts) > 1 and all(parts) and not all(is_ordinary(part) for part in parts)


def _written_like_handle(name: str) -> bool:
    return len(name) >= 3 and (_is_shaped(name) or not is_ordinary(name))


def _reads_as_number(name: str) -> bool:
    """ "2nd", "10k", "3x", "4pm": digits with a unit."""
    return re.fullmatch(r"\d+[a-z]{0,3}|\d+[.,]\d+[a-z]{0,3}", name, re.I) is not None


def _is_domain(text: str, found: re.Match[str]) -> bool:
    return text.startswith("://", found.end())
