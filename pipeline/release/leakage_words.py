"""A leakage audit in words: whether a score on a split measures generalisation to unseen videos, and what is shared."""

from collections.abc import Mapping
from typing import Any

ROWS = {
    "video": "on a video of the other part",
    "creator": "on a video by a creator of the other part",
    "author": "by an author of the other part",
    "text": "word for word in the other part",
    "near_text": "nearly word for word, and not quite",
    "file": "on a video with the file of another one there",
    "near_video": "on a video with nearly the features of another one there",
}
"""What a part can share with another, in the order in which it is shown."""

_SHORT = {
    "creator": "the video's creator",
    "author": "the author",
    "text": "the text, word for word,",
    "near_text": "nearly the text",
    "file": "another video with the same file",
    "near_video": "another video that looks nearly the same",
}
_FEW = 0.01


def leakage_lines(audit: Mapping[str, Any]) -> list[str]:
    """What a reader should know of a split before a score on it, in a few sentences."""
    return [verdict(audit), *(line for shared in audit["shared"][:2] if (line := _line(audit, shared))), *_rest(audit)]


def verdict(audit: Mapping[str, Any]) -> str:
    """Whether a score on test measures generalisation to unseen videos, in a sentence."""
    by_part = {one["part"]: one for one in audit["shared"] if one["other"] == "train"}
    part = "test" if audit["parts"]["test"]["comments"] else "dev"
    if not audit["parts"][part]["comments"]:
        return "Nothing is held out: all comments are in train."
    shared = by_part[part]
    seen = shared["video"]
    copies = max((shared[key]["comments"] for key in ("file", "near_video") if shared[key]), default=0)
    if not seen["comments"] and not copies:
        return f"A score on {part} measures generalisation to unseen videos: train has none of the videos of {part}."
    what = (
        f"train has the video of {_of(seen)} {part} comments"
        if seen["comments"]
        else f"train has a copy of the video of {_of({'comments': copies, 'of': seen['of']})} {part} comments"
    )
    if max(seen["comments"], copies) <= _FEW * seen["of"]:
        return f"A score on {part} nearly measures generalisation to unseen videos: {what}."
    return f"A score on {part} does not measure generalisation to unseen videos: {what}."


def leakage_table(audit: Mapping[str, Any]) -> dict[str, Any]:
    """`columns`: the pairs of parts that both have comments; `rows`: what is shared, and of each pair how much of it.

    A cell has `comments`, `of` and `share`; it is None where it can't be said.
    """
    pairs = [
        one
        for one in audit["shared"]
        if audit["parts"][one["part"]]["comments"] and audit["parts"][one["other"]]["comments"]
    ]
    rows = [{"what": ROWS[key], "cells": [_cell(one[key]) for one in pairs]} for key in ROWS]
    return {"columns": [f"{one['part']}, held against {one['other']}" for one in pairs], "rows": rows if pairs else []}


def _cell(one: Mapping[str, int] | None) -> dict[str, float] | None:
    return {**one, "share": one["comments"] / one["of"]} if one and one["of"] else None


def unknown(shared: Mapping[str, Any]) -> list[str]:
    """What could not be held against each other, because the root has it of no comment: keys of ROWS."""
    return [key for key in ROWS if shared[key] is None or not shared[key]["of"]]


def _line(audit: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    part = shared["part"]
    if not audit["parts"][part]["comments"]:
        return ""
    nothing = set(unknown(shared))
    shown = [
        f"{words} of {shared[key]['comments']:,} ({_share(shared[key])}{_partly(shared, key)})"
        for key, words in _SHORT.items()
        if key not in nothing
    ]
    if part == "dev" and audit["parts"]["test"]["comments"]:
        shown.insert(0, f"the video of {shared['video']['comments']:,} ({_share(shared['video'])})")
    missing = [_SHORT[key].strip(",") for key in _SHORT if key in nothing]
    silent = f" Not known here: {', '.join(missing)}." if missing else ""
    return f"Of {part}'s {shared['video']['of']:,} comments train has {'; '.join(shown)}.{silent}"


def _partly(shared: Mapping[str, Any], key: str) -> str:
    known, whole = shared[key]["of"], shared["video"]["of"]
    return f" of {known:,} where that is known" if known < whole else ""


def _rest(audit: Mapping[str, Any]) -> list[str]:
    lines = [line for one in audit["shared"] if one["other"] == "train" and (line := _time(one))]
    if audit["repeated"]:
        lines.append(f"{audit['repeated']:,} comments of the split repeat another's text on the same video.")
    if audit["left_out"]:
        lines.append(f"{audit['left_out']:,} labelled comments are in no part.")
    return lines


def _time(shared: Mapping[str, Any]) -> str:
    """How far a part lies after train, of what dates are known."""
    said = []
    for what, words in (("videos", "the videos of {count}"), ("comments", "{count} themselves")):
        one = shared["not_later"][what]
        if one["of"]:
            said.append(words.format(count=f"{one['comments']:,} of {one['of']:,}"))
    part = shared["part"]
    return f"Not later than train's last, of {part} comments with a date: {' and '.join(said)}." if said else ""


def _of(one: Mapping[str, int]) -> str:
    return f"{one['comments']:,} of {one['of']:,} ({_share(one)})"


def _share(one: Mapping[str, int]) -> str:
    return f"{one['comments'] / one['of']:.2%}" if one["of"] else "–"
