"""Makes the data of the demo: a folder of short videos and comments on them, the same for the same seed.

Everything in it is drawn and written by this package; nothing is taken from a platform or a person. Labels depend on
the video as well as on the words. A few files and rows are broken on purpose.
"""

import json
import os
import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from csmv.pipeline.demo.sample.films import MOODS, Film, make_film, make_sound_only, plan_films
from csmv.pipeline.demo.sample.words import Comment, Planted, make_handle, write_comments
from csmv.pipeline.progress import track

__all__ = ["MOODS", "Planted", "Rows", "Sample", "make_sample", "write_rows"]

SEED = 3407
VIDEOS = 36
COMMENTS_EACH = 20
MANIFEST = "sample.json"
UNUSABLE = 5
"""Videos after the good ones: four files broken in four ways, and one that is described but not there."""

EDITION = 3
"""Counts up when the sample changes, so that a folder made by an earlier version is made anew."""

_HASHTAGS = {
    "party": ("dance", "weekend", "confetti"),
    "calm": ("slowliving", "sea", "breathe"),
    "gloom": ("rain", "mondaymood", "thoughts"),
    "menace": ("nightshift", "red", "warning"),
}


@dataclass(frozen=True)
class Sample:
    """A made sample: the folder, everything personal that was planted in it, and the mood of each good video."""

    folder: Path
    planted: tuple[Planted, ...]
    moods: dict[str, str]


def make_sample(folder: Path, seed: int = SEED, videos: int = VIDEOS, comments_each: int = COMMENTS_EACH) -> Sample:
    """Fill `folder` with `videos` good videos, a few bad ones, comments.jsonl and videos.jsonl.

    What is there already is kept if the same call made it; a killed call is simply made again.
    """
    made_by = {"edition": EDITION, "seed": seed, "videos": videos, "comments_each": comments_each}
    folder.mkdir(parents=True, exist_ok=True)
    films = plan_films(videos, seed)
    rows = write_rows(films, seed, comments_each)
    sample = Sample(folder, tuple(dict.fromkeys(rows.planted)), {film.video_id: film.mood for film in films})
    manifest = folder / MANIFEST
    manifest_before = json.loads(manifest.read_text()) if manifest.is_file() else {}
    if manifest_before == made_by | {"complete": True}:
        return sample
    if manifest_before != made_by | {"complete": False}:  # nothing here, or what another call made
        for path in folder.glob("sample-*.mp4"):
            path.unlink()
        _commit(manifest, json.dumps(made_by | {"complete": False}).encode())
    _film_all(films, folder)
    _break_some(films[0], folder, videos)
    _commit(folder / "videos.jsonl", _lines(rows.videos))
    _commit(folder / "comments.jsonl", _lines(rows.comments) + _bad_lines(rows.comments))
    _commit(manifest, json.dumps(made_by | {"complete": True}).encode())
    return sample


def _film_all(films: list[Film], folder: Path) -> None:
    def shoot(film: Film) -> None:
        final = folder / f"{film.video_id}.mp4"
        if not final.exists():
            part = folder / f".{final.name}.{os.getpid()}.part"
            make_film(film, part)
            part.replace(final)

    # FFmpeg works outside the interpreter's lock, so threads are enough.
    with track("sample videos", len(films)) as tick, ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
        for _ in pool.map(shoot, films):
            tick(1)


def _break_some(film: Film, folder: Path, count: int) -> None:
    """Files that can't be used, each in its own way, numbered after the good ones."""
    good = (folder / f"{film.video_id}.mp4").read_bytes()
    broken = {1: b"", 2: good[: len(good) * 2 // 5], 3: b"This is a note, not a video.\n" * 40}
    for number, data in broken.items():
        _commit(folder / f"{_name(count + number)}.mp4", data)
    part = folder / f".sound.{os.getpid()}.part"
    make_sound_only(3.0, film.seed, part)
    part.replace(folder / f"{_name(count + 4)}.mp4")


@dataclass(frozen=True)
class Rows:
    """The lines of videos.jsonl and comments.jsonl that are as they should be, and what was planted in them."""

    videos: list[dict[str, Any]]
    comments: list[dict[str, Any]]
    planted: list[Planted]


def write_rows(films: list[Film], seed: int, comments_each: int) -> Rows:
    """Everything that is said about `films` and about the videos that can't be used."""
    chance = random.Random(f"words:{seed}")
    creators = [make_handle(chance) for _ in range(max(len(films) // 2, 1))]
    rows = Rows([], [], [Planted("USERNAME", creator) for creator in creators])
    for number in range(len(films) + UNUSABLE):
        film = films[number] if number < len(films) else None
        mood = film.mood if film else chance.choice(MOODS)
        creator = creators[number % len(creators)]
        written, planted = write_comments(mood, comments_each if film else 2, creator, chance)
        video = _name(number + 1)
        rows.planted.extend(planted)
        rows.videos.append(_video_row(video, mood, creator, len(written), chance))
        rows.comments.extend(_comment_rows(video, written, len(rows.comments), film is not None, chance))
    return rows


def _video_row(video: str, mood: str, creator: str, count: int, chance: random.Random) -> dict[str, Any]:
    texts = (f"{mood} hours, follow @{creator}", f"a {mood} minute", f"filmed by {creator} for you", f"{mood} again ✨")
    day = date(2024, 3, 1) + timedelta(days=chance.randrange(60))
    return {
        "video": video,
        "creator": creator,
        "description": chance.choice(texts),
        "hashtags": ["fyp", *chance.sample(_HASHTAGS[mood], 2), *([creator] if chance.random() < 0.2 else [])],
        "created_at": f"{day.isoformat()}T{chance.randrange(24):02d}:30:00+00:00",
        "comment_count": count,
    }


def _comment_rows(
    video: str, written: list[Comment], before: int, labelled: bool, chance: random.Random
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, comment in enumerate(written):
        day = date(2024, 5, 1) + timedelta(days=chance.randrange(45))
        row = {
            "id": str(7_300_000_000_000_000_000 + (before + number) * 7_919 + 13),
            "video": video,
            "text": comment.text,
            "like_count": int(chance.paretovariate(0.9) - 1) % 5000,
            "reply_to": rows[-1]["id"] if rows and comment.text.startswith("@") else None,
            "created_on": day.isoformat(),
            "author": comment.author,
        }
        if labelled and comment.label:
            row["opinion"], row["emotion"] = comment.label
        rows.append(row)
    return rows


def _bad_lines(rows: list[dict[str, Any]]) -> bytes:
    """Lines that no reader should accept: not JSON, a field missing, an unknown label, an unknown video, a repeat."""
    one = rows[0]
    without_text = {key: value for key, value in one.items() if key != "text"} | {"id": "1"}
    wrong = [without_text, one | {"id": "2", "emotion": "meh"}, one | {"id": "3", "video": "sample-999"}, one]
    return b'{"id": "4", "text": \n' + _lines(wrong)


def _lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _name(number: int) -> str:
    return f"sample-{number:02d}"


def _commit(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)
