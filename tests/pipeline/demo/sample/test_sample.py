"""The demo's data: real files of every shape, the same for the same seed, whose labels need words and pictures."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from csmv.pipeline.demo.sample import COMMENTS_EACH, MOODS, VIDEOS, Sample, make_sample, write_rows
from csmv.pipeline.demo.sample.films import RATES, Film, plan_films
from csmv.pipeline.schemas import EMOTIONS, OPINIONS


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("sample"), videos=5, comments_each=12)


def rows_of(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def test_videos_are_real_and_of_every_rate(sample: Sample) -> None:
    rates = set()
    for name in sample.moods:
        with av.open(str(sample.folder / f"{name}.mp4")) as file:
            assert file.streams.video[0].codec_context.name == "h264"
            assert file.streams.audio[0].codec_context.name in {"mp3", "mp3float"}
            times = [float(frame.pts * frame.time_base) for frame in file.decode(video=0) if frame.pts is not None]
        gaps = np.diff(times)
        rates.add("uneven" if gaps.max() > 1.3 * gaps.min() else round(1 / gaps.mean()))
        assert 0.7 < times[-1] < 1.7
    assert rates == {24, 25, 30, 60, "uneven"}
    assert set(RATES) == {24, 25, 30, 60, None}


def test_the_whole_sample_stays_small() -> None:
    films = plan_films(VIDEOS, 3407)
    assert sum(int(film.seconds * 24) // 16 for film in films) <= 60
    assert Counter(film.mood for film in films) == dict.fromkeys(MOODS, VIDEOS // len(MOODS))
    assert sum(film.height > film.width for film in films) > VIDEOS / 2


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(sample: Sample, tmp_path: Path) -> None:
    again = make_sample(tmp_path / "again", videos=5, comments_each=12)
    other = make_sample(tmp_path / "other", videos=5, comments_each=12, seed=1)

    names = sorted(path.name for path in sample.folder.iterdir())
    assert names == sorted(path.name for path in again.folder.iterdir())
    assert all((sample.folder / name).read_bytes() == (again.folder / name).read_bytes() for name in names)
    assert sample.planted == again.planted != other.planted
    assert (sample.folder / "comments.jsonl").read_bytes() != (other.folder / "comments.jsonl").read_bytes()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="finds PyAV's FFmpeg where Linux lists it")
def test_a_processor_without_vector_instructions_makes_the_same_films(tmp_path: Path) -> None:
    def films(processor: str) -> dict[str, bytes]:
        script = Path(__file__).with_name("plain_processor.py")
        subprocess.run([sys.executable, str(script), processor, str(tmp_path / processor)], check=True)
        return {path.name: path.read_bytes() for path in (tmp_path / processor).glob("*.mp4")}

    here, plain = films("here"), films("plain")

    assert len(here) == len(plain) == 11
    assert [name for name in here if here[name] != plain[name]] == []


def test_what_a_killed_run_left_is_completed(sample: Sample, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    make_sample(folder, videos=5, comments_each=12)
    manifest = folder / "sample.json"
    manifest.write_text(manifest.read_text().replace("true", "false"))
    for name in ("sample-03.mp4", "sample-06.mp4", "comments.jsonl"):
        (folder / name).unlink()

    make_sample(folder, videos=5, comments_each=12)

    for path in sample.folder.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_a_folder_of_another_seed_is_made_anew(sample: Sample, tmp_path: Path) -> None:
    make_sample(tmp_path, videos=5, comments_each=12, seed=1)
    make_sample(tmp_path, videos=5, comments_each=12)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        p.name: p.read_bytes() for p in sample.folder.iterdir()
    }


def test_everything_planted_is_in_the_files(sample: Sample) -> None:
    text = "".join((sample.folder / name).read_text() for name in ("comments.jsonl", "videos.jsonl"))
    assert all(thing.value in text for thing in sample.planted)
    handles = {row["author"] for row in rows_of(sample.folder / "comments.jsonl")}
    handles |= {row["creator"] for row in rows_of(sample.folder / "videos.jsonl")}
    assert handles <= {thing.value for thing in sample.planted}
    assert {thing.kind for thing in make_planted()} == {"USERNAME", "EMAIL", "PHONE", "URL"}


def make_planted() -> list[Any]:
    return write_rows(plan_films(VIDEOS, 3407), 3407, COMMENTS_EACH).planted


@pytest.fixture(scope="module")
def comments() -> list[dict[str, Any]]:
    rows = write_rows(plan_films(VIDEOS, 3407), 3407, COMMENTS_EACH).comments
    return [row for row in rows if "opinion" in row]


def test_comments_are_many_and_of_every_class(comments: list[dict[str, Any]]) -> None:
    assert 600 <= len(comments) <= 900
    assert len({row["text"] for row in comments}) > 0.98 * len(comments)
    assert {row["opinion"] for row in comments} == set(OPINIONS)
    assert min(Counter(row["emotion"] for row in comments).values()) > 30
    assert {row["emotion"] for row in comments} == set(EMOTIONS)


@pytest.mark.parametrize(("task", "text_at_most"), [("opinion", 0.8), ("emotion", 0.75)])
def test_words_alone_fall_short_of_words_with_the_video(
    comments: list[dict[str, Any]], task: str, text_at_most: float
) -> None:
    label = np.array([row[task] for row in comments])
    videos = np.array([row["video"] for row in comments])
    words = TfidfVectorizer(ngram_range=(1, 2)).fit_transform([row["text"] for row in comments])
    mood_of = {film.video_id: MOODS.index(film.mood) for film in plan_films(VIDEOS, 3407)}
    moods = np.eye(len(MOODS))[[mood_of[video] for video in videos]]

    def accuracy(features: Any) -> float:
        model = LogisticRegression(C=30, max_iter=500)
        guess = cross_val_predict(model, features, label, groups=videos, cv=GroupKFold(5))
        return float((guess == label).mean())

    majority = max(Counter(label).values()) / len(label)
    text, both = accuracy(words), accuracy(hstack([words, csr_matrix(moods)]).tocsr())
    assert majority + 0.2 < text < text_at_most
    assert both > text + 0.12


def test_moods_can_be_told_apart_by_their_pixels() -> None:
    from csmv.pipeline.demo.sample.films import PAINTERS

    def look(mood: str, seed: int) -> NDArray[np.float32]:
        paint = PAINTERS[mood](Film("x", mood, 120, 160, 24, 1.0, seed))
        first, later = paint(0.0), paint(0.5)
        return np.array([*first.mean((0, 1)), *first.std((0, 1)), 3 * np.abs(later - first).mean()])

    looks = {mood: [look(mood, seed) for seed in range(6)] for mood in MOODS}
    centres = {mood: np.mean(found, axis=0) for mood, found in looks.items()}
    for mood, found in looks.items():
        for one in found:
            assert min(centres, key=lambda name: float(np.linalg.norm(one - centres[name]))) == mood
