"""The report: one page that says what is in a root, calls random weights random, and quotes nobody."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from csmv.pipeline import report
from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.privacy.audit import audit
from csmv.pipeline.release.leakage import write_leakage
from csmv.pipeline.report import SCRUB_MEASURED, facts, write_report
from csmv.pipeline.report_state import page_state
from csmv.pipeline.schemas import COMMENTS, EMOTIONS, LABELS, OPINIONS, VIDEOS, FailureReason, features_spec
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import TrainConfig, train

SAYING = "nobody but me said this sentence"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Checks that every element is closed, and keeps the addresses and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "srcset", "data", "action")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def store(tmp_path: Path) -> Store:
    source = FolderSource(path=str(tmp_path))
    return Store.create(str(tmp_path / "root"), DatasetConfig(name="sea-side", n_shards=1, source=source))


def fill(store: Store) -> None:
    """Four videos (one without media), forty comments, a split by comment that leaks, features and two runs."""
    videos = [
        {
            "video_id": f"v{number}",
            "hashtags": ["sea"],
            "description": SAYING,
            "duration_s": [3.0, 4.0, 61.0, None][number],
            "width": [160, 320, 240, None][number],
            "height": [284, 180, 240, None][number],
            "fps": [29.97, 24.0, 30.0, None][number],
            "has_audio": [True, False, True, None][number],
            "media_status": "ok" if number < 3 else "failed",
        }
        for number in range(4)
    ]
    comments = [
        {
            "comment_id": f"c{number:02d}",
            "video_id": f"v{number % 4}",
            "text": SAYING,
            "pii": [["EMAIL", "USERNAME"], ["USERNAME"], [], []][number % 4],
        }
        for number in range(40)
    ]
    labels = [
        {
            "comment_id": f"c{number:02d}",
            "opinion": list(OPINIONS)[number % 3],
            "emotion": None if number == 7 else list(EMOTIONS)[number % 8],
            "source": "published",
        }
        for number in range(36)
    ]
    for table, rows, spec in (("videos", videos, VIDEOS), ("comments", comments, COMMENTS), ("labels", labels, LABELS)):
        store.write(table, 0, pa.Table.from_pylist(rows, schema=spec.schema))
    spec = features_spec(4, metadata={"weights": "random", "weights_sha256": "ab" * 32, "clip_rule": "24 fps"})
    vectors = [{"video_id": f"v{number}", "features": [[0.0] * 4] * (number + 1)} for number in range(3)]
    store.write("features/made_up", 0, pa.Table.from_pylist(vectors, schema=spec.schema), spec)
    record_failures(store, "media", 0, [Failure("v3", FailureReason.EMPTY_FILE, "the file has no bytes")])
    build_split(store, SplitConfig(kind="comment"))
    build_split(store, SplitConfig(kind="video"))
    write_run(store, "floor", "majority", 0.25)
    write_run(store, "full", "vccsa", 0.875)
    train(store, TrainConfig(model="majority", split="comment"), "real-floor")


def write_run(store: Store, name: str, model: str, right: float, right_on_dev: float | None = None) -> None:
    """A finished run whose test scores come from `right` of each class being right; on dev as many, or others."""

    def scores(classes: list[str], right: float = right) -> dict[str, Any]:
        wrong = (1 - right) / (len(classes) - 1)
        confusion = np.full((len(classes), len(classes)), round(80 * wrong)) + np.eye(len(classes)) * 80 * (
            right - wrong
        )
        return {
            "n": 80 * len(classes),
            "micro_f1": right,
            "macro_f1": right - 0.1,
            "per_class": {kind: {"f1": right, "support": 80} for kind in classes},
            "confusion": confusion.astype(int).tolist(),
        }

    run = {
        "config": {"model": model, "split": "video", "seed": 1, "features": ["made_up"]},
        "result": {
            "metrics": {
                part: {"opinion": scores(list(OPINIONS), share), "emotion": scores(list(EMOTIONS), share)}
                for part, share in (("test", right), ("dev", right if right_on_dev is None else right_on_dev))
            },
            "parameters": 1234,
            "seconds": 5.0,
        },
    }
    store.write_file(f"models/{name}/run.json", json.dumps(run).encode())


def read(store: Store) -> Page:
    address = write_report(store)
    assert address == f"{store.root}/reports/index.html"
    return Page(store.read_file("reports/index.html").decode())


def test_the_page_stands_alone_and_is_well_formed(store: Store) -> None:
    fill(store)
    page = read(store)
    assert page.open == []
    assert page.links
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"https?:|url\(|@import|<script", store.read_file("reports/index.html").decode())


def test_no_comment_and_no_description_is_quoted(store: Store) -> None:
    fill(store)
    read(store)
    assert SAYING not in store.read_file("reports/index.html").decode()


def test_the_numbers_are_those_of_the_root(store: Store) -> None:
    fill(store)
    found = facts(store)

    assert [tile[0] for tile in found["tiles"]] == ["4", "40", "36", "20"]
    assert {row["name"]: row["count"] for row in found["pii"]} == {"USERNAME": 20, "EMAIL": 10}
    assert {row["name"]: row["count"] for row in found["labels"]["opinion"]} == dict.fromkeys(OPINIONS, 12)
    assert {row["name"]: row["count"] for row in found["labels"]["emotion"]}["none settled"] == 1
    assert sum(map(sum, found["joint"]["cells"])) == 35
    assert {row["name"]: row["count"] for row in found["media"]["shape"]} == {
        "portrait": 1,
        "landscape": 1,
        "square": 1,
    }
    assert {row["name"]: row["rows"] for row in found["tables"]} == {
        "comments": 40,
        "failures/media": 1,
        "features/made_up": 3,
        "labels": 36,
        "videos": 4,
    }
    assert (found["features"][0]["vectors"], found["features"][0]["dim"]) == (6, 4)
    assert found["failures"][0]["reason"] == "empty_file"
    for what in ("durations", "lengths"):
        assert sum(row["count"] for row in found[what]["bins"]) == {"durations": 3, "lengths": 40}[what]


def test_it_says_how_well_personal_data_is_found_and_how_much_was(store: Store) -> None:
    fill(store)
    comments = store.read("comments", 0)
    assert comments is not None
    texts = ["call <PHONE> or <USERNAME:0123456789ab>", "<3 <NOBODY> <USERNAME", *comments["text"].to_pylist()[2:]]
    store.write("comments", 0, comments.set_column(comments.column_names.index("text"), "text", pa.array(texts)))

    found, page = facts(store), read(store)

    measured = json.loads(SCRUB_MEASURED.read_text())
    assert "2 places hold a placeholder" in page.text
    assert f"Measured on {measured['date']} with {measured['command']}" in page.text
    assert {kind["what"]: kind["recall"] for kind in found["scrub"]["kinds"]}["e-mail addresses"] >= 0.99
    for kind in measured["kinds"]:
        assert f"{100 * kind['recall']:.2f}%" in page.text.split(kind["what"])[1][:60]


def test_it_says_what_the_scrub_was_measured_on_and_that_this_dataset_was_not_judged(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(store)
    measured = json.loads(SCRUB_MEASURED.read_text())
    public = measured["public_text"]
    told = " ".join(read(store).text.split())
    assert "None of the figures below is about this dataset. Its own texts were not judged by anyone" in told
    assert "csmv scrub --root ROOT --review shows what was removed" in told
    assert f"{public['lines']:,} lines of {public['sets']} public sets in {public['languages']} languages" in told
    assert f"{public['false']:,} of these were wrong" in told
    assert f"Measured on {public['date']} with {public['command']}" in told

    # The figures come from the file, and from nowhere else.
    other = tmp_path / "measured.json"
    suites = {"a suite of tests": {"places": 1234, "gone": 1017}}
    numbers = {"lines": 765_432, "judged": 4_321, "false": 987, "rules": 31, "rules_over": 7, "suites": suites}
    other.write_text(json.dumps(measured | {"generated": 23_456, "public_text": public | numbers}))
    monkeypatch.setattr(report, "SCRUB_MEASURED", other)
    told = " ".join(read(store).text.split())
    for text in (
        "765,432 lines",
        "of which 4,321 were read",
        "987 of these were wrong",
        "7 of 31 rules had more than 2",
    ):
        assert text in told
    assert "1,017 of 1,234 places of a suite of tests are gone" in told
    assert "of 23,456 comments generated" in told


def test_the_audit_finds_nobody_in_the_page(store: Store) -> None:
    write_report(store)
    assert audit(store).hits == ()


def test_leakage_is_said_for_the_split_that_leaks_and_only_there(store: Store) -> None:
    fill(store)
    splits = {split["name"]: split["parts"]["test"] for split in facts(store)["splits"]}
    assert splits["comment"]["seen"] == splits["comment"]["comments"] > 0
    assert splits["video"]["seen"] == 0
    assert f"{splits['comment']['seen']} seen, 100.00%" in read(store).text


def test_the_audit_of_a_split_says_what_a_score_on_it_measures(store: Store) -> None:
    fill(store)
    assert "was not audited: csmv run splits does" in read(store).text
    before = page_state(store)
    write_leakage(store, "video")
    write_leakage(store, "comment")

    page = read(store)
    assert page_state(store) != before
    assert page.open == []
    text = " ".join(page.text.split())
    assert "A score on test measures generalisation to unseen videos: train has none of the videos of test." in text
    part = facts(store)["splits"][0]["parts"]["test"]
    whole = f"{part['comments']} of {part['comments']} (100.00%) test comments"
    assert f"A score on test does not measure generalisation to unseen videos: train has the video of {whole}" in text
    assert "word for word in the other part" in text and "Not known here: the video's creator, the author" in text
    assert "the audit is stale" not in text
    store.write_split("video", store.read_split("video").slice(1))
    assert "the audit is stale: the split, its comments, videos or features have changed" in read(store).text


def test_models_are_ranked_and_random_weights_are_called_so(store: Store) -> None:
    fill(store)
    page = read(store)
    assert page.text.index("Majority class") < page.text.index("VC-CSA") < page.text.index("Where they err")
    assert "87.5" in page.text
    assert "random weights" in page.text
    runs = {run["name"]: run for run in facts(store)["runs"]}
    assert (runs["full"]["random"], runs["floor"]["random"]) == (True, False)


def test_beside_the_models_stands_how_far_the_text_alone_goes(store: Store) -> None:
    """All comments of this root have one text, under four videos."""
    fill(store)
    by_text = facts(store)["by_text"]
    assert (by_text["opinion"]["texts"], by_text["opinion"]["comments"], by_text["emotion"]["comments"]) == (1, 36, 35)
    assert by_text["opinion"]["most_by_text"] == 12 / 36
    assert "at most 33.3% (opinion) and 14.3% (emotion) of these 36 comments can be right" in read(store).text


def test_a_trained_run_has_intervals_around_its_scores(store: Store) -> None:
    fill(store)
    runs = {run["name"]: run for run in facts(store)["runs"]}
    score = runs["real-floor"]["metrics"]["test"]["opinion"]["micro_f1"]
    low, high = runs["real-floor"]["intervals"]["opinion"]["micro_f1"]
    assert low <= score <= high
    assert low < high
    assert f"{100 * low:.1f}–{100 * high:.1f}" in read(store).text
    assert runs["full"]["intervals"] == {}  # its predictions are not there


def test_the_run_that_dev_chooses_is_marked_and_not_the_best_of_test(store: Store) -> None:
    write_run(store, "lucky", "text", right=0.9, right_on_dev=0.5)
    write_run(store, "chosen", "video", right=0.7, right_on_dev=0.6)

    [board] = facts(store)["leaderboards"]
    page = store.read_file(write_report(store).removeprefix(f"{store.root}/")).decode()

    assert board["chosen"] == "chosen"
    assert [run["name"] for run in board["runs"]] == ["lucky", "chosen"]
    rows = {name: re.search(rf"<small>{name}</small>.*?</tr>", page, re.DOTALL)[0] for name in ("lucky", "chosen")}
    assert rows["chosen"].count("<b>70.0</b>") == 2 and "dev 60.0" in rows["chosen"]
    assert "<b>" not in rows["lucky"] and "90.0" in rows["lucky"]


def test_an_empty_root_has_a_page_too(store: Store) -> None:
    page = read(store)
    assert "no media yet" in page.text
    assert "None was found." in page.text


def test_what_comes_from_files_can_not_break_out(store: Store) -> None:
    store.write_file("import_report.json", b'{"entries": 117057, "<b>x</b>": {"train": 1500}}')
    record_failures(store, "media", 0, [Failure("<i>k</i>", FailureReason.NETWORK, "<script>alert(1)</script>")])
    page = read(store)
    assert "117,057" in page.text
    assert "train 1,500" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert page.open == []


def test_the_same_root_gives_the_same_page(store: Store) -> None:
    fill(store)
    write_report(store)
    first = store.read_file("reports/index.html")
    write_report(store)
    assert store.read_file("reports/index.html") == first
