"""The end of a sentence that says that there is nothing of a name: the nearest name there is, or all of them."""

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 12


def did_you_mean(word: str, names: Iterable[str], what: str = "there are", *, cutoff: float = 0.6) -> str:
    """ "did you mean 'video'?" where a name is near, else "there are comment, published."

    Args:
        word: what was asked for.
        names: what there is, in the order to be shown.
        what: stands before the list where no name is near.
        cutoff: from 0 to 1, how like the word a name must be (`difflib.get_close_matches`).
    """
    several = list(names)
    if near := get_close_matches(word, several, 1, cutoff):
        return f"did you mean '{near[0]}'?"
    more = f" and {len(several) - _MOST} more" if len(several) > _MOST else ""
    return f"{what} {', '.join(several[:_MOST])}{more}." if several else f"{what} none."
