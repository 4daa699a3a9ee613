"""The data of the report's explorer: all comments of a root as columns, deflated, within five megabytes of page.

A root that is too large for that is shown in part: whole videos, chosen by a digest of their ids, as many as fit. Ids
of comments are left out; they are mostly digests, which nothing makes smaller.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import TASKS
from csmv.pipeline.privacy.review_settings import EXPLORER_PAGE
from csmv.pipeline.release.explorer.browsed_runs import (
    SCORED_PARTS,
    BrowsedRun,
    RunAnswers,
    answers_of,
    browsed_runs,
)
from csmv.pipeline.release.explorer.browsed_tables import BrowsedTables, facets, read_tables
from csmv.pipeline.release.explorer.comment_filter import PAGE_SIZE
from csmv.pipeline.release.explorer.explorer_page import embedded_page
from csmv.pipeline.release.explorer.grounding import video_windows
from csmv.pipeline.store import Store

MOST_BYTES = 5_000_000
"""Of the page."""
MOST_RUNS = 8
_FEWEST_RUNS = 2
WINDOW_RUNS = 2
WINDOW_VIDEOS = 12
WINDOW_COMMENTS = 20
"""How many runs' windows the page holds, of how many videos, by at most how many comments each."""
MOST_FAILURES = 20_000
_FIRST_GUESS = 300_000
"""Comments that may fit."""
_NO_LIKES = 0xFFFFFFFF
_TEXTS_OF_VIDEOS = ("video_id", "hashtags", "description")


def write_explorer_page(store: Store, path: str = EXPLORER_PAGE) -> str:
    """Write the page that one can look around in, which holds its own data; gives its path in the root.

    Raises:
        CsmvError: a table is damaged, lost or only begun.
    """
    whole = read_tables(store)
    runs = _shown_runs(browsed_runs(store))
    windows = _windows(store, whole, runs)
    share = min(1.0, _FIRST_GUESS / max(whole.comments.num_rows, 1))
    while True:
        tables = whole if share == 1 else _part(whole, share)
        page = embedded_page(whole.name, _packed(store, tables, whole, runs, windows))
        if len(page) <= MOST_BYTES or not tables.videos.num_rows:
            break
        if len(runs) > _FEWEST_RUNS:  # answers go before comments do
            runs = sorted(runs, key=lambda run: (-run.dev_score, run.name))[: len(runs) // 2]
            continue
        share *= min(0.9, 0.95 * MOST_BYTES / len(page))
    store.write_file(path, page)
    return path


def _shown_runs(runs: Sequence[BrowsedRun]) -> list[BrowsedRun]:
    """The best by dev of each model and split, then the next best, at most MOST_RUNS; by name."""
    ordered = sorted(runs, key=lambda run: (-run.dev_score, run.name))
    best: dict[tuple[str, str], BrowsedRun] = {}
    for run in ordered:
        best.setdefault((run.model, run.split), run)
    first = list(best.values())
    chosen = [*first, *(run for run in ordered if run not in first)][:MOST_RUNS]
    return sorted(chosen, key=lambda run: run.name)


def _part(whole: BrowsedTables, share: float) -> BrowsedTables:
    """Whole videos with about this share of the comments; which ones, their ids decide."""
    ids = whole.videos["video_id"].to_pylist()
    dealt = np.array([int(hashlib.sha256(video.encode()).hexdigest()[:12], 16) for video in ids], np.float64)
    is_chosen = dealt < share * 16.0**12
    rows = np.cumsum(is_chosen) - 1
    owner = whole.comments["video"].to_numpy()
    here = is_chosen[owner]
    comments = whole.comments.filter(pa.array(here))
    comments = comments.set_column(
        comments.column_names.index("video"), "video", pa.array(rows[owner[here]].astype(np.int32))
    )
    failed = pc.fill_null(whole.failures["video"], -1).to_numpy()
    named = failed >= 0
    stays = ~named | is_chosen[failed]
    failures = whole.failures.filter(pa.array(stays))
    moved = pa.array(np.where(named[stays], rows[failed[stays]], -1).astype(np.int32), mask=~named[stays])
    return replace(
        whole,
        videos=whole.videos.filter(pa.array(is_chosen)).combine_chunks(),
        comments=comments.combine_chunks(),
        parts={name: numbers[here] for name, numbers in whole.parts.items()},
        failures=failures.set_column(failures.column_names.index("video"), "video", moved),
    )


def _packed(
    store: Store,
    tables: BrowsedTables,
    whole: BrowsedTables,
    runs: Sequence[BrowsedRun],
    windows: dict[str, Any],
) -> bytes:
    """Head and columns in one piece, deflated: a length, the head as JSON, and each column where the head says."""
    columns = _columns_of_videos(tables) | _columns_of_comments(tables)
    shown: list[BrowsedRun] = []
    for run in runs:
        try:
            answers = answers_of(store, run.name, tables)
        except CsmvError:
            continue
        columns |= _columns_of_run(len(shown), answers)
        shown.append(run)
    sections, body = {}, bytearray()
    for name, values in columns.items():
        data = values if isinstance(values, bytes) else values.tobytes()
        kind = "text" if isinstance(values, bytes) else f"{values.dtype.kind}{values.dtype.itemsize}"
        texts = tables.videos.num_rows if name in _TEXTS_OF_VIDEOS else tables.comments.num_rows
        count = texts if isinstance(values, bytes) else len(values)
        sections[name] = {"kind": kind, "offset": len(body), "size": len(data), "count": count}
        body += data + bytes(-len(data) % 4)
    failures = tables.failures.slice(0, MOST_FAILURES).to_pylist()
    head: dict[str, Any] = {
        "about": facets(tables)
        | {
            "runs": [run.as_dict() for run in shown],
            "page_size": PAGE_SIZE,
            "remark": _remark(tables, whole, shown, windows),
        },
        "sections": sections,
        "media": _media_words(tables),
        "failures": failures,
        "windows": windows,
        "begin": 0,
    }
    # The columns begin at a multiple of four behind the head, which says where: written until its own length is right.
    text = b""
    while head["begin"] != (begin := 4 + len(text) + -len(text) % 4) or not text:
        head["begin"] = begin
        text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    padding = bytes(head["begin"] - 4 - len(text))
    return zlib.compress(struct.pack("<I", len(text)) + text + padding + bytes(body), 9)


def _remark(tables: BrowsedTables, whole: BrowsedTables, runs: Sequence[BrowsedRun], windows: dict[str, Any]) -> str:
    """What this page leaves out, and where it is."""
    total, left = whole.comments.num_rows, tables.comments.num_rows
    left_out = f"These are {left:,} of {total:,} comments, of videos chosen by chance. " if left < total else ""
    videos = max((len(of_video) for of_video in windows.values()), default=0)
    sample = f" and the windows of {videos} videos for {len(windows)} of them" if windows else ""
    answers = f"This page holds the answers of {len(runs)} runs{sample}; " if runs else ""
    return f"{left_out}{answers}all there is: csmv explore ROOT"


def _columns_of_videos(tables: BrowsedTables) -> dict[str, Any]:
    videos = tables.videos
    words = _media_words(tables)
    return {
        "video_id": _joined(videos["video_id"].to_pylist()),
        "hashtags": _joined(
            [" ".join(one.replace(" ", "_") for one in row or ()) for row in videos["hashtags"].to_pylist()]
        ),
        "description": _joined(videos["description"].to_pylist()),
        "seconds": np.array([np.nan if one is None else one for one in videos["duration_s"].to_pylist()], np.float32),
        "year": np.array([one or 0 for one in videos["year"].to_pylist()], np.uint16),
        "media": np.array([words.index(one) if one else 255 for one in videos["media_status"].to_pylist()], np.uint8),
        "count": np.bincount(tables.comments["video"].to_numpy(), minlength=videos.num_rows).astype(np.uint32),
    }


def _columns_of_comments(tables: BrowsedTables) -> dict[str, Any]:
    comments = tables.comments
    columns: dict[str, Any] = {"text": _joined(comments["text"].to_pylist())}
    columns |= {task: comments[task].to_numpy().astype(np.uint8) for task in TASKS}
    columns |= {f"part_{number}": parts for number, parts in enumerate(tables.parts.values())}
    if comments["like_count"].null_count < comments.num_rows:
        likes = pc.fill_null(comments["like_count"], _NO_LIKES).to_numpy()
        columns["likes"] = np.clip(likes, 0, _NO_LIKES).astype(np.uint32)
    return columns


def _columns_of_run(number: int, answers: RunAnswers) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "comment": np.diff(answers.comment, prepend=0).astype(np.uint32),
        "part": answers.part,
    }
    for task in TASKS:
        columns |= {task: answers.predicted[task], f"{task}_sure": np.rint(100 * answers.sure[task]).astype(np.uint8)}
    return {f"run_{number}_{name}": values for name, values in columns.items()}


def _media_words(tables: BrowsedTables) -> list[str]:
    return sorted(pc.unique(tables.videos["media_status"]).drop_null().to_pylist())


def _joined(texts: Sequence[str | None]) -> bytes:
    """Texts with a zero between them; one that holds a zero loses it."""
    return "\0".join((text or "").replace("\0", "") for text in texts).encode(errors="replace")


def _windows(store: Store, tables: BrowsedTables, runs: Sequence[BrowsedRun]) -> dict[str, Any]:
    """Run -> video -> its windows, of the best runs that look at videos, for a few videos that they answered.

    A run that can't be asked here, such as one without PyTorch, is left out.
    """
    windows: dict[str, Any] = {}
    looking = [run for run in runs if run.features and run.has_network]
    for run in sorted(looking, key=lambda run: (-run.dev_score, run.name)):
        if len(windows) == WINDOW_RUNS:
            break
        try:
            sample = _sample(tables, answers_of(store, run.name, tables))
            of_video = video_windows(store, run.name, sample) if sample else {}
        except CsmvError:
            continue
        if of_video:
            windows[run.name] = {video: one.as_dict() for video, one in of_video.items()}
    return windows


def _sample(tables: BrowsedTables, answers: RunAnswers) -> dict[str, list[str]]:
    """A few videos with comments that a run was tested on, by a digest of their ids, and their first comments."""
    tested = answers.comment[answers.part == SCORED_PARTS["test"]]
    owner = tables.comments["video"].to_numpy()
    ids = tables.videos["video_id"]
    videos = {ids[int(row)].as_py(): int(row) for row in np.unique(owner[tested])}
    chosen = sorted(videos, key=lambda video: hashlib.sha256(video.encode()).hexdigest())[:WINDOW_VIDEOS]
    texts = {}
    for video in sorted(chosen):
        first, last = np.searchsorted(owner, [videos[video], videos[video] + 1])
        texts[video] = tables.comments["text"].slice(first, min(last - first, WINDOW_COMMENTS)).to_pylist()
    return texts
