"""Finds known names inside ids, file names and keys, where they are joined to something else.

A text has a handle between its words; an id has it before an underscore, a dot, a dash or a number, and with other
joints than the person wrote: `kai.river9` becomes `clip-kai_river9_02`. So an id is parted at its joints, where letters
meet digits, and where capitals follow small letters; any run of its pieces may be a name, and so may one without the
digits of a number that is glued to it.
"""

import re
from collections.abc import Iterable, Iterator

from csmv.pipeline.privacy.traces import Trace, Traces
from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.forms import Writing, form_of
from csmv.pipeline.scrub.ordinary import is_ordinary

SHORTEST = 4
"""Letters and digits of a name that is looked for between joints; shorter ones are in too many words of others."""
SHORTEST_UNJOINED = 6
"""Of a name that only a change from letters to digits parts from its neighbours."""
SHORTEST_GLUED = 8
"""Of a name in whose own digits a number goes on."""
_MOST_PIECES = 10
_TOKEN = re.compile(r"[\w.+~-]{4,}")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_JOINT = re.compile(r"[\W_]+")
_DIGEST = re.compile(r"[cuv]?[0-9a-f]{32,128}", re.I)
_JOINTS = ("", ".", "_")
"""With which a handle may be written, where an id has another."""


class NamesInIds:
    """Looks for names inside ids. Time to search does not grow with their number.

    Args:
        names: handles and display names.
        gone: names that are known by their digests.
    """

    def __init__(self, names: Iterable[str], gone: Traces | None = None) -> None:
        self._names = frozenset(bare for name in names if (bare := _bare(name)))
        self._gone = gone or Traces()

    def __bool__(self) -> bool:
        return bool(self._names) or bool(self._gone)

    def holds(self, text: str) -> bool:
        """Whether a name stands in an id: as a part of it, or as all of it."""
        if not self._names and not self._gone:
            return False
        folded = fold(text).text
        return (
            _JOINT.sub("", folded.lower()) in self._names
            or any(True for _ in self._find(folded, SHORTEST))
            or (bool(self._gone) and self._gone.count(text) > 0)
        )

    def count(self, text: str, shortest: int = SHORTEST) -> int:
        """How many names of at least so many letters and digits stand in the ids that a text holds."""
        if not self._names and not self._gone:
            return 0
        return sum(1 for _ in self._find(fold(text).text, shortest))

    def _find(self, text: str, shortest: int) -> Iterator[str]:
        for token in _TOKEN.findall(text):
            # A word of small letters alone is found by whoever looks for words.
            if not (token.isalpha() and token.islower()) and not _DIGEST.fullmatch(token):
                yield from self._in_token(token, shortest)

    def _in_token(self, token: str, shortest: int) -> Iterator[str]:
        places = [match.span() for match in _PIECE.finditer(token)]
        first = 0
        while first < len(places):
            for last in range(min(len(places), first + _MOST_PIECES) - 1, first - 1, -1):
                if self._is_name(token, places[first], places[last], shortest):
                    yield token[places[first][0] : places[last][1]]
                    first = last
                    break
            first += 1

    def _is_name(self, token: str, first: tuple[int, int], last: tuple[int, int], shortest: int) -> bool:
        start, end = first[0], last[1]
        is_joined = _is_joint(token, start - 1) and _is_joint(token, end)
        if self._has(token[start:end], max(shortest, SHORTEST if is_joined else SHORTEST_UNJOINED)):
            return True
        if first == last:
            return False
        glued = max(shortest, SHORTEST_GLUED)
        return (
            token[last[0]].isdecimal() and any(self._has(token[start:at], glued) for at in range(last[0] + 1, end))
        ) or (token[start].isdecimal() and any(self._has(token[at:end], glued) for at in range(start + 1, first[1])))

    def _has(self, written: str, shortest: int) -> bool:
        written = written.lower()
        bare = _JOINT.sub("", written)
        if len(bare) < shortest or bare.isdecimal():
            return False
        return bare in self._names or (bool(self._gone) and self._is_gone(written))

    def _is_gone(self, written: str) -> bool:
        forms = {written, *(_JOINT.sub(joint, written) for joint in _JOINTS)}
        return any(self._gone.has(Trace.LOOSE, form) for form in forms)


def _is_joint(token: str, at: int) -> bool:
    return not 0 <= at < len(token) or not token[at].isalnum()


def _bare(name: str) -> str:
    """The letters and digits of a name that is no ordinary speech; "" for one that is not looked for in ids."""
    form = form_of(name)
    if form is None or form.writing is not Writing.LOOSE:
        return ""
    bare = _JOINT.sub("", form.text)
    return bare if len(bare) >= SHORTEST and not is_ordinary(bare) else ""
