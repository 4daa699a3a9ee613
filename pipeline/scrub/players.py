"""Names and ids of players, in the ways people give them: "my name on pubg (X)", "riot id X#EUW", "friend code ...".

A word for a name alone says little ("the name of the game"); a game beside it, or a possessive, says much.
"""

import re
from collections.abc import Iterator

from csmv.pipeline.scrub.ordinary import is_clearly_shaped, is_ordinary, is_product, is_shaped
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import (
    CLEAR_PLATFORMS,
    GAME_WORDS,
    GAMES,
    PLAYER_HANDLES,
    PLAYER_NAMES,
    PLAYER_NUMBERS,
    PLAYER_REGIONS,
    POSSESSIVES,
    SPACED,
    either,
    heads,
)

_FREE = rf"(?<![{SPACED}@])"
_ENDS = rf"(?![{SPACED}])"
_WORD_ENDS = rf"(?:(?<=[^{SPACED}])|(?![{SPACED}]))"
"""A word in a script that parts words by spaces ends here; any other may stand right before a name."""
_GAME = rf"(?:{either(GAMES)}|{either(GAME_WORDS)}|{either(CLEAR_PLATFORMS)})"
_IN = (
    r"(?:on|in|for|at|en|no|na|nel|su|sur|im|auf|bei|di|de|do|da|du|del|op|w|i|pa|в|во|на|для|في|على|में|ka|ki)"
    r"(?:\s(?:the|my|el|la|lo|o|il|le|mi|meu|der|dem))?"
)
_LINK = (
    r"(?P<link>(?:\s*(?:[:=>~\u2190-\u21ff\u2794-\u27be👉-]+|[(\[{\"'「【«]"
    r"|(?:is|es|e|est|ist|to|это|er|ar|jest|called|c'est|adalah|hai|है|は|은|는|是|叫|就是|mine|mio|ku|aku|gw|gue)(?![^\W_])))*)\s*"
)
_HANDLE = rf"(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]{{1,30}}[A-Za-z0-9_])(?P<tag>#[A-Za-z0-9]{{2,7}})?{_ENDS}"
_NAME_IN_GAME = re.compile(
    rf"{_FREE}(?:{either(PLAYER_NAMES)})\s(?P<within>{_IN}\s)?{_GAME}{_ENDS}{_LINK}{_HANDLE}", re.I
)
_GAME_NAME = re.compile(
    rf"{_FREE}(?:{either(GAMES)})[의的の]?\s?(?:{either(PLAYER_NAMES)}){_WORD_ENDS}{_LINK}{_HANDLE}", re.I
)
_MY_HANDLE = re.compile(
    rf"{_FREE}(?P<my>(?:{either(POSSESSIVES)})\s)?(?:{_GAME}\s)?(?P<head>{either(PLAYER_HANDLES)})(?:'s)?{_WORD_ENDS}{_LINK}{_HANDLE}",
    re.I,
)
_NUMBER = re.compile(
    rf"{_FREE}(?:(?:{_GAME}\s?(?:player\s?)?(?:id|uid|айди|ид|آيدي|ايدي|आईडी|아이디|code|kod)"
    rf"|(?:id|uid|айди|ид|ايدي|آيدي)\s(?:{_IN}\s)?{_GAME})|{either(PLAYER_NUMBERS)})"
    r"(?:\s?(?:[:=#>-]+|is|es|e|est|ist|это|ku|aku|saya|mine|are|of\smine|है|は|은|는|是)(?![^\W_]))*\s?"
    r"(?P<name>(?:SW[- ]?)?\d(?:[ -]?\d){5,16}(?:\s?\(\d{3,6}\))?)(?![\w.,]\d)",
    re.I,
)
_RIOT = re.compile(r"(?<![\w#@&.])(?P<name>[^\W_][\w.]{2,15})#(?P<tag>[A-Za-z0-9]{2,5})(?!\w)")
_REGIONS = frozenset(PLAYER_REGIONS.split())
_RIOT_GAMES = frozenset(("riot", "valorant", "valo", "val", "league", "lol", "tft"))
_CLAN_TAG = re.compile(r"(?<![\w#&])#(?P<tag>[0289PYLQGRJCUV]{7,10})(?!\w)", re.I)
_CLAN_WORDS = frozenset(("clash", "royale", "brawl", "clan", "club", "tag", "supercell", "coc", "player", "id"))
_AMOUNT = re.compile(r"\d+(?:[.,]\d+)?[a-z]{0,3}", re.I)
_SIGNS = (":", "=", "(", "[", ">", "→", "👉")
_OWN = re.compile(r"ad[iı]m|ismim|nick[iı]m|ник|닉|اسمي|يوزري|حسابي|ايديي|\b(?:aku|ku|gue|gw|mine)\b", re.I)
"""Words that are a name and a possessive in one, or stand behind it."""
_DRAWN_OUT = re.compile(r"([a-z])\1\1", re.I)
"""A letter drawn out, as in "plsss"."""
_CLAUSE_ENDS = re.compile(r"\s*(?:$|[^\w\s])")
_HEADS = heads(PLAYER_NAMES, PLAYER_HANDLES, PLAYER_NUMBERS, GAMES, GAME_WORDS)
_UNSPACED = re.compile("|".join(head for head in _HEADS if not re.match(rf"[{SPACED}]", head)))


class PlayerRecognizer(TextRecognizer):
    """Finds names and ids of players."""

    kind = Kind.USERNAME

    def may_hold(self, glance: Glance) -> bool:
        """A word for a name or a game is near, or a tag."""
        text = glance.text
        return (
            not glance.words.isdisjoint(_HEADS)
            or "#" in text
            or (not text.isascii() and _UNSPACED.search(text) is not None)
        )

    def find(self, text: str) -> Iterator[Finding]:
        """Names and numbers by the words before them, and tags."""
        for match in _NAME_IN_GAME.finditer(text):
            score = _score(text, match, told=match["within"] is not None or _is_own(text, match))
            if score:
                yield match.start("name"), match.end(), score, "name in a game"
        for match in _GAME_NAME.finditer(text):
            score = _score(text, match, told=_is_own(text, match))
            if score:
                yield match.start("name"), match.end(), score, "name in a game"
        for match in _MY_HANDLE.finditer(text):
            if match["head"].lower() in ("nick", "nik") and not (match["my"] or match["link"].strip()[:1] in _SIGNS):
                continue  # "Nick Goodwell"
            score = _score(text, match, told=match["my"] is not None or _is_own(text, match))
            if score:
                yield match.start("name"), match.end(), score, "player's handle"
        for match in _NUMBER.finditer(text):
            yield *match.span("name"), 0.75, "player's number"
        if "#" in text:
            yield from _tags(text)


def _is_own(text: str, match: re.Match[str]) -> bool:
    """Whether the words before a name say whose it is."""
    return _OWN.search(text, match.start(), match.start("name")) is not None


def _score(text: str, match: re.Match[str], told: bool) -> float:
    """How sure it is that what stands behind the words is a player's name; `told` if they can hardly mean another."""
    name, link = match["name"], match["link"].strip()
    if name.isdecimal():
        return 0.7 if len(name) >= 6 else 0.0
    if is_product(name) or _AMOUNT.fullmatch(name):
        return 0.0
    if match["tag"] and not is_ordinary(name):
        return 0.8
    if is_shaped(name):
        return 0.75 if link or told or is_clearly_shaped(name) else 0.0
    if is_ordinary(name) or len(name) < 4 or name.lower().endswith("ing") or _DRAWN_OUT.search(name):
        return 0.0
    if link and (told or not link.isalpha()):
        return 0.7
    ends = _CLAUSE_ENDS.match(text, match.end()) is not None
    return 0.6 if ends and (told or name[0].isupper()) else 0.0


def _tags(text: str) -> Iterator[Finding]:
    words = frozenset(re.findall(r"[^\W_]+", text.lower()))
    for match in _RIOT.finditer(text):
        if match["tag"].isdecimal() or is_ordinary(match["name"]):
            continue
        if match["tag"].lower() in _REGIONS or not words.isdisjoint(_RIOT_GAMES):
            yield match.start(), match.end(), 0.8, "riot id"
    for match in _CLAN_TAG.finditer(text):
        tag = match["tag"]
        if tag.isalpha() or tag.isdecimal() or words.isdisjoint(_CLAN_WORDS):
            continue
        yield match.start(), match.end(), 0.75, "clan tag"
