"""Names and ids of players, in the ways people give them: "my name on pubg (X)", "riot id X#EUW", "friend code ...".

A word for a name alone says little ("the name of the game"); a game beside it, or a possessive, says much.
"""

import re
from collections.abc import Iterator
from functools import cache

from csmv.pipeline.scrub.expressions import Expression
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
    Tokens,
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
_NAME_IN_GAME = Expression(
    rf"{_FREE}(?:{either(PLAYER_NAMES)})\s(?P<within>{_IN}\s)?{_GAME}{_ENDS}{_LINK}{_HANDLE}", re.I
)
_GAME_NAME = Expression(
    rf"{_FREE}(?:{either(GAMES)})[의的の]?\s?(?:{either(PLAYER_NAMES)}){_WORD_ENDS}{_LINK}{_HANDLE}", re.I
)
_MY_HANDLE = Expression(
    rf"{_FREE}(?P<my>(?:{either(POSSESSIVES)})\s)?(?:{_GAME}\s)?(?P<head>{either(PLAYER_HANDLES)})(?:'s)?{_WORD_ENDS}{_LINK}{_HANDLE}",
    re.I,
)
_NUMBER = Expression(
    rf"{_FREE}(?:(?:{_GAME}\s?(?:player\s?)?(?:id|uid|айди|ид|آيدي|ايدي|आईडी|아이디|code|kod)"
    rf"|(?:id|uid|айди|ид|ايدي|آيدي)\s(?:{_IN}\s)?{_GAME})|{either(PLAYER_NUMBERS)})"
    r"(?:\s?(?:[:=#>-]+|is|es|e|est|ist|это|ku|aku|saya|mine|are|of\smine|है|は|은|는|是)(?![^\W_]))*\s?"
    r"(?P<name>(?:SW[- ]?)?\d(?:[ -]?\d){5,16}(?:\s?\(\d{3,6}\))?)(?![\w.,]\d)",
    re.I,
)
_RIOT = Expression(r"(?<![\w#@&.])(?P<name>[^\W_][\w.]{2,15})#(?P<tag>[A-Za-z0-9]{2,5})(?!\w)")
_REGIONS = frozenset(PLAYER_REGIONS.split())
_RIOT_GAMES = frozenset(("riot", "valorant", "valo", "val", "league", "lol", "tft"))
_CLAN_TAG = Expression(r"(?<![\w#&])#(?P<tag>[0289PYLQGRJCUV]{7,10})(?!\w)", re.I)
_CLAN_WORDS = frozenset(("clash", "royale", "brawl", "clan", "club", "tag", "supercell", "coc", "player", "id"))
_AMOUNT = Expression(r"\d+(?:[.,]\d+)?[a-z]{0,3}", re.I)
_SIGNS = (":", "=", "(", "[", ">", "→", "👉")
_OWN = Expression(r"ad[iı]m|ismim|nick[iı]m|ник|닉|اسمي|يوزري|حسابي|ايديي|\b(?:aku|ku|gue|gw|mine)\b", re.I)
"""Words that are a name and a possessive in one, or stand behind it."""
_DRAWN_OUT = Expression(r"([a-z])\1\1", re.I)
"""A letter drawn out, as in "plsss"."""
_CLAUSE_ENDS = Expression(r"\s*(?:$|[^\w\s])")
_NAME_TOKENS = Tokens(PLAYER_NAMES)
_HANDLE_TOKENS = Tokens(PLAYER_HANDLES)
_GAME_TOKENS = Tokens(GAMES, GAME_WORDS, CLEAR_PLATFORMS)
_GAMES_ALONE = Tokens(GAMES)
_NUMBER_HEADS = heads(PLAYER_NAMES, PLAYER_HANDLES, PLAYER_NUMBERS, GAMES, GAME_WORDS)
_UNSPACED = Expression("|".join(head for head in sorted(_NUMBER_HEADS) if not re.match(rf"[{SPACED}]", head)))
_FEWEST_DIGITS = 6


@cache
def _games_named() -> frozenset[str]:
    """The words that a game and a word for a name make together: "robloxname"."""
    return frozenset(game + name for game in _GAMES_ALONE.one for name in _NAME_TOKENS.one)


class _Look:
    """Which kinds of findings a text may hold, by its words."""

    __slots__ = ("game_name", "handle", "name_in_game", "number", "tag")

    def __init__(self, glance: Glance) -> None:
        text, words = glance.text, glance.words
        self.tag = "#" in text
        self.handle = _HANDLE_TOKENS.are_in(text, words)
        named = _NAME_TOKENS.are_in(text, words)
        self.name_in_game = named and _GAME_TOKENS.are_in(text, words)
        self.game_name = (named and _GAMES_ALONE.are_in(text, words)) or not words.isdisjoint(_games_named())
        self.number = glance.digits >= _FEWEST_DIGITS and (
            not words.isdisjoint(_NUMBER_HEADS) or (not text.isascii() and _UNSPACED.search(text) is not None)
        )


class PlayerRecognizer(TextRecognizer):
    """Finds names and ids of players."""

    kind = Kind.USERNAME

    def may_hold(self, glance: Glance) -> bool:
        """A word for a name is near, and a game or a possessive with it, or a number, or a tag."""
        may = _Look(glance)
        return may.tag or may.handle or may.name_in_game or may.game_name or may.number

    def find(self, text: str) -> Iterator[Finding]:
        """Names and numbers by the words before them, and tags."""
        return self.look(Glance(text))

    def look(self, glance: Glance) -> Iterator[Finding]:
        """As `find`."""
        text, may = glance.text, _Look(glance)
        if may.name_in_game:
            for match in _NAME_IN_GAME.finditer(text):
                score = _score(text, match, told=match["within"] is not None or _is_own(text, match))
                if score:
                    yield match.start("name"), match.end(), score, "name in a game"
        if may.game_name:
            for match in _GAME_NAME.finditer(text):
                score = _score(text, match, told=_is_own(text, match))
                if score:
                    yield match.start("name"), match.end(), score, "name in a game"
        if may.handle:
            for match in _MY_HANDLE.finditer(text):
                if match["head"].lower() in ("nick", "nik") and not (
                    match["my"] or match["link"].strip()[:1] in _SIGNS
                ):
                    continue  # "Nick Goodwell"
                score = _score(text, match, told=match["my"] is not None or _is_own(text, match))
                if score:
                    yield match.start("name"), match.end(), score, "player's handle"
        if may.number:
            for match in _NUMBER.finditer(text):
                yield *match.span("name"), 0.75, "player's number"
        if may.tag:
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
