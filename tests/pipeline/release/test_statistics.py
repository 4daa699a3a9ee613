"""The numbers of a dataset's supplement and the figures that draw them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.import_published import import_published
from csmv.pipeline.release import dataset_figures
from csmv.pipeline.release.dataset_figures import FIGURES, FOLDER, NUMBERS, write_figures
from csmv.pipeline.release.statistics import NO_HASHTAG, dataset_statistics
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS, FailureReason, features_spec
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three videos, one of them without a hashtag and gone; six comments, of which one has no label."""
    root = Store.create(
        str(tmp_path / "root"), DatasetConfig(name="sea", n_shards=1, source=FolderSource(path=str(tmp_path)))
    )
    videos = [
        {"video_id": "v0", "hashtags": ["sea"], "duration_s": 4.0, "media_status": "ok", "language": "en"},
        {"video_id": "v1", "hashtags": ["$ea", "sea"], "duration_s": 61.0, "media_status": "ok", "language": "de"},
        {"video_id": "v2", "hashtags": [], "duration_s": None, "media_status": "failed"},
    ]
    for video, year in zip(videos, (2021, 2021, 2022), strict=True):
        video["created_at"] = datetime(year, 1, 1, tzinfo=UTC)
    comments = [
        {
            "comment_id": f"c{n}",
            "video_id": f"v{min(n // 3, 2)}" if n < 5 else "v2",
            "text": "x" * (4 + 10 * n),
            "pii": ["EMAIL", "USERNAME"] if n == 0 else ["USERNAME"] if n == 1 else [],
            "language": "en" if n < 4 else None,
        }
        for n in range(6)
    ]
    labels = [
        {"comment_id": f"c{n}", "opinion": "neutral", "emotion": "joy" if n else None, "source": "published"}
        for n in range(5)
    ]
    for table, rows, spec in (("videos", videos, VIDEOS), ("comments", comments, COMMENTS), ("labels", labels, LABELS)):
        root.write(table, 0, pa.Table.from_pylist(rows, schema=spec.schema))
    spec = features_spec(2, metadata={"weights": "none"})
    root.write(
        "features/tiny", 0, pa.Table.from_pylist([{"video_id": "v0", "features": [[0.0] * 2]}], spec.schema), spec
    )
    record_failures(root, "media", 0, [Failure("v2", FailureReason.EMPTY_FILE)])
    build_split(root, SplitConfig(kind="comment"))
    return root


def test_numbers_are_those_of_the_tables(store: Store) -> None:
    numbers = dataset_statistics(store)

    assert (numbers["videos"], numbers["comments"], numbers["labelled"]) == (3, 6, 5)
    assert {row["hashtag"]: (row["videos"], row["comments"], row["labelled"]) for row in numbers["hashtags"]} == {
        "sea": (2, 5, 5),
        "$ea": (1, 2, 2),
        NO_HASHTAG: (1, 1, 0),
    }
    assert {row["name"]: row["comments"] for row in numbers["opinion"]} == {"positive": 0, "neutral": 5, "negative": 0}
    assert {row["name"]: row["share"] for row in numbers["emotion"]}["joy"] == 1.0
    assert numbers["joint"][1][0] == 4
    assert numbers["comments_per_video"]["videos"] == {"1": 1, "2": 1, "3": 1}
    assert (numbers["comments_per_video"]["mean"], numbers["comments_per_video"]["largest"]) == (2.0, 3)
    assert numbers["duration_s"]["counts"] == [1, *[0] * 11, 1] and numbers["duration_s"]["median"] == 32.5
    assert numbers["comment_length"]["counts"] == [1] * 6
    assert [(row["kind"], row["comments"]) for row in numbers["pii"]] == [("USERNAME", 2), ("EMAIL", 1)]
    assert numbers["features"] == [{"set": "tiny", "videos": 1, "of": 3, "share": 0.333333}]
    assert numbers["failures"] == [{"stage": "media", "reason": "empty_file", "class": "media", "count": 1}]
    assert [row["count"] for row in numbers["languages"]["comments"]] == [4, 2]
    [split] = numbers["splits"].values()
    assert (split["comments"], sum(split["parts"].values())) == (5, 5)


def test_a_year_has_what_was_got_and_why_the_rest_was_not(store: Store) -> None:
    years = {year["year"]: year for year in dataset_statistics(store)["collection"]}
    assert (years[2021]["fetched"], years[2022]["fetched"]) == (2, 0)


def test_figures_are_the_same_bytes_and_go_when_there_is_nothing_to_show(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_figures, "FIGURES", {name: FIGURES[name] for name in ("hashtags", "languages")})
    written = write_figures(store)
    first = {path: store.read_file(path) for path in written}

    assert len(written) == 1 + 2 * 2
    assert (
        first[f"{FOLDER}/hashtags.pdf"].startswith(b"%PDF") and b"CreationDate" not in first[f"{FOLDER}/hashtags.pdf"]
    )
    assert first[f"{FOLDER}/hashtags.png"].startswith(b"\x89PNG")
    assert json.loads(first[NUMBERS]) == dataset_statistics(store)
    assert {path: store.read_file(path) for path in write_figures(store)} == first

    comments = store.read("comments", 0)
    assert comments is not None
    nowhere = pa.nulls(comments.num_rows, pa.string())
    store.write("comments", 0, comments.set_column(comments.column_names.index("language"), "language", nowhere))
    assert f"{FOLDER}/languages.pdf" not in write_figures(store)
    assert not store.exists(f"{FOLDER}/languages.png")


@pytest.mark.slow
def test_every_figure_is_drawn_of_what_it_shows_and_none_of_an_empty_root(store: Store, tmp_path: Path) -> None:
    store.write_file("reports/figures/mine.txt", b"a person's")
    written = write_figures(store)
    # Year and reason of the one video that is gone are in no id, so that nothing failed by year.
    assert {Path(path).stem for path in written} == {"statistics", *FIGURES}
    empty = Store.create(
        str(tmp_path / "empty"), DatasetConfig(name="none", n_shards=1, source=FolderSource(path=str(tmp_path)))
    )
    assert write_figures(empty) == [NUMBERS]
    assert store.read_file("reports/figures/mine.txt") == b"a person's"


@pytest.mark.slow
def test_the_published_set_has_the_numbers_that_were_counted_from_its_files(shared: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "csmv")
    import_published(root, shared / "csmv" / "Comments_Anno", shared / "csmv" / "CSMV_rawLinks.xlsx", None)
    numbers = dataset_statistics(Store.open(root))

    split = numbers["splits"]["published"]
    assert (split["comments"], split["videos"]) == (107_267, 8_210)
    assert split["parts"] == {"train": 75_086, "dev": 10_727, "test": 21_454}
    shares = {row["name"]: round(100 * row["share"], 1) for task in ("opinion", "emotion") for row in split[task]}
    assert shares == {
        "neutral": 42.3,
        "positive": 46.6,
        "negative": 11.1,
        "joy": 32.1,
        "trust": 26.7,
        "anticipation": 15.8,
        "disgust": 8.4,
        "surprise": 8.0,
        "sadness": 5.3,
        "fear": 2.1,
        "anger": 1.5,
    }
    per_video = split["comments_per_video"]
    assert (round(per_video["mean"], 2), per_video["smallest"], per_video["largest"]) == (13.07, 2, 20)
    assert (numbers["videos"], numbers["comments"], len(numbers["hashtags"])) == (8_841, 117_057, 35)
