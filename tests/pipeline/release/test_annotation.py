"""Comments out to annotators and their labels back: shapes, pseudonyms, and what a second import does."""

import json
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from csmv.pipeline.annotation_labels import ANNOTATION, read_annotations
from csmv.pipeline.config import DatasetConfig, read_config
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import failures_of
from csmv.pipeline.labels import EMOTIONS, OPINIONS
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.release.annotation.annotation_batch import draw_batch, read_batch
from csmv.pipeline.release.annotation.annotation_config import BatchConfig, MediaLink
from csmv.pipeline.release.annotation.import_annotations import import_files
from csmv.pipeline.release.annotation.labelling_page import labelling_configuration
from csmv.pipeline.release.annotation.labelling_tasks import write_tasks
from csmv.pipeline.sources.tables import write_anew
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store

VIDEOS = 6


@pytest.fixture(scope="module")
def fresh_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh crawl: no label anywhere. Video 7k has k + 1 comments, every second one in Portuguese."""
    place = tmp_path_factory.mktemp("to-annotate")
    folder = place / "folder"
    folder.mkdir()
    rows = [
        {"id": f"c{video}-{k}", "video": f"7{video}", "text": f"so good {k} @mona_vex", "language": ["en", "pt"][k % 2]}
        for video in range(VIDEOS)
        for k in range(video + 1)
    ]
    videos = [{"video": f"7{k}", "creator": "lunarpost77", "description": f"#tag{k % 2}"} for k in range(VIDEOS)]
    (folder / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "videos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in videos))
    config = DatasetConfig.model_validate(
        {"name": "fresh", "n_shards": 2, "source": {"kind": "folder", "path": str(folder)}}
    )
    dataset = Dataset.create(str(place / "root"), config)
    for stage in ("collect", "tables"):
        dataset.run(stage)
    return place / "root"


@pytest.fixture
def dataset(fresh_root: Path, tmp_path: Path) -> Dataset:
    return Dataset.open(str(shutil.copytree(fresh_root, tmp_path / "root")))


def annotation(opinion: str | None, emotion: str | None, who: Any, **more: Any) -> dict[str, Any]:
    """An annotation as Label Studio 1.23.2 exports it, shortened to what its documentation names."""
    chosen = {"opinion": opinion, "emotion": emotion}
    result = [
        {"from_name": name, "to_name": "comment", "type": "choices", "value": {"choices": [value]}}
        for name, value in chosen.items()
        if value
    ]
    return {
        "completed_by": who,
        "result": result,
        "was_cancelled": False,
        "created_at": "2026-11-20T10:00:00.1Z",
        "updated_at": "2026-11-20T10:00:00.1Z",
        "lead_time": 12.5,
        "project": 1,
    } | more


def exported(tasks: list[dict[str, Any]], path: Path, *annotations: dict[str, Any]) -> Path:
    """A file as Label Studio exports it: every task with these annotations."""
    path.write_text(json.dumps([task | {"id": k, "annotations": list(annotations)} for k, task in enumerate(tasks)]))
    return path


def tasks_of(store: Store, config: BatchConfig, folder: Path) -> list[list[dict[str, Any]]]:
    done = write_tasks(store, draw_batch(store, config), folder)
    return [json.loads((folder / f"tasks-{k}.json").read_text()) for k in range(1, len(done.tasks) + 1)]


def test_only_scrubbed_texts_leave_in_label_studios_shape(dataset: Dataset, tmp_path: Path) -> None:
    [tasks] = tasks_of(dataset.store, BatchConfig(each=1, most=3), tmp_path / "out")

    assert all(list(task) == ["data"] for task in tasks)
    assert all(list(task["data"]) == ["comment_id", "video_id", "batch", "text", "video"] for task in tasks)
    by_video = Counter(task["data"]["video_id"] for task in tasks)
    assert by_video == {"71": 2, "72": 3, "73": 3, "74": 3, "75": 3}, "video 70 has one comment, and two are the fewest"
    whole = "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert "mona_vex" not in whole and "lunarpost77" not in whole and "<USERNAME>" in whole
    videos = [task["data"]["video_id"] for task in tasks]
    assert sum(one != other for one, other in pairwise(videos)) == len(by_video) - 1, "a video's tasks stand together"


def test_the_labelling_configuration_has_the_published_classes() -> None:
    for media in MediaLink:
        view = ElementTree.fromstring(labelling_configuration(media))
        choices = {one.attrib["name"]: [choice.attrib["value"] for choice in one] for one in view.iter("Choices")}
        assert set(choices["opinion"]) == set(OPINIONS) and set(choices["emotion"]) == set(EMOTIONS)
        wheel = choices["emotion"]
        assert {wheel[k]: wheel[(k + 4) % 8] for k in range(4)} == {
            "joy": "sadness",
            "trust": "disgust",
            "fear": "anger",
            "surprise": "anticipation",
        }, "opposites stand across"
        keys = [choice.attrib["hotkey"] for choice in view.iter("Choice")]
        assert len(set(keys)) == len(OPINIONS) + len(EMOTIONS)
        assert ("video" in [one.attrib.get("name") for one in view]) == (media is not MediaLink.NONE)


def test_comments_are_dealt_out_evenly_and_the_same_again(dataset: Dataset, tmp_path: Path) -> None:
    config = BatchConfig(each=2, annotators=3, overlap=0.5, languages=("en",), hashtags=(), seed=7)
    first = tasks_of(dataset.store, config, tmp_path / "one")
    again = tasks_of(dataset.store, config, tmp_path / "two")

    assert [path.read_bytes() for path in sorted((tmp_path / "one").iterdir())] == [
        path.read_bytes() for path in sorted((tmp_path / "two").iterdir())
    ]
    assert first == again
    shown = Counter(task["data"]["comment_id"] for tasks in first for task in tasks)
    assert Counter(shown.values()) == {2: 5, 1: 5}, "of ten comments in English half have two annotators"
    assert sorted(map(len, first)) == [5, 5, 5]
    with pytest.raises(CsmvError, match="other settings"):
        draw_batch(dataset.store, config.model_copy(update={"seed": 8}))
    other = draw_batch(dataset.store, BatchConfig(name="b2", each=1))
    assert not {item.comment_id for item in other.items} & shown.keys(), "no batch asks about another's comments"


def test_labels_come_back_under_pseudonyms_and_split(dataset: Dataset, tmp_path: Path) -> None:
    store = dataset.store
    one, two = tasks_of(store, BatchConfig(each=2), tmp_path / "out")
    files = [
        exported(one, tmp_path / "1.json", annotation("positive", "joy", 17)),
        exported(two, tmp_path / "2.json", annotation("positive", "trust", {"id": 18, "email": "ann@example.org"})),
    ]

    report = import_files(store, files)

    labels = store.read_all("labels").to_pylist()
    assert (report.rows, report.problems, report.replaced) == (2 * len(one), {}, 0)
    assert Counter(row["emotion"] for row in labels) == {"joy": len(one), "trust": len(two)}
    assert all(len(row["source"]) == 33 and row["source"].startswith("u") for row in labels)
    published = [name for name in store.files() if not name.startswith("private/")]
    assert not any(b"ann@example.org" in store.read_file(name) for name in published)
    assert build_split(store, SplitConfig(kind="video")).num_rows == len(one), "what a fresh crawl had no labels for"


def test_what_is_wrong_with_a_row_costs_only_that_row(dataset: Dataset, tmp_path: Path) -> None:
    store = dataset.store
    [tasks] = tasks_of(store, BatchConfig(each=1), tmp_path / "out")
    good, bad, both, empty, skipped, stranger = tasks[:6]
    stranger = {"data": stranger["data"] | {"comment_id": "c-nobody"}}
    twice = [*annotation("positive", None, 5)["result"], *annotation("negative", None, 5)["result"]]
    lines = [
        good | {"annotations": [annotation("positive", "joy", 5), annotation("neutral", "joy", 5)]},
        bad | {"annotations": [annotation("positive", "secretly happy", 5)]},
        both | {"annotations": [annotation(None, None, 5, result=twice)]},
        empty | {"annotations": [annotation(None, None, 5)]},
        skipped | {"annotations": [annotation(None, None, 5, was_cancelled=True)]},
        stranger | {"annotations": [annotation("positive", "joy", 5)]},
        {"data": good["data"], "annotations": [annotation("positive", "joy", None)]},
        "no task",
    ]
    (tmp_path / "x.json").write_text(json.dumps(lines))

    report = import_files(store, [tmp_path / "x.json"])

    assert (report.rows, report.skipped, report.repeated) == (1, 1, 1)
    assert sum(report.problems.values()) == 6 and len(report.problems) == 6
    failures = failures_of(store)["annotate"].to_pylist()
    assert Counter(row["reason"] for row in failures) == {"bad_row": 5, "unknown_comment": 1}
    assert "secretly" not in json.dumps(failures, default=str), "never what a row held"
    assert len(store.read_all("labels")) == 1
    exported([good], tmp_path / "x.json", annotation("positive", "joy", 5, updated_at="2026-11-21T00:00:00Z"))
    import_files(store, [tmp_path / "x.json"])
    left = failures_of(store)["annotate"].to_pylist()
    assert len(left) == 2, "the annotator's own are settled by the newer export; two rows name nobody"


def test_a_newer_export_replaces_the_annotators_labels_and_an_older_one_does_not(
    dataset: Dataset, tmp_path: Path
) -> None:
    store = dataset.store
    [tasks] = tasks_of(store, BatchConfig(each=1), tmp_path / "out")
    old = exported(tasks, tmp_path / "old.json", annotation("positive", "joy", 5), annotation("neutral", "fear", 6))
    new = exported(
        tasks[:3], tmp_path / "new.json", annotation("negative", "anger", 5, updated_at="2026-11-22T00:00:00Z")
    )
    elsewhere = exported(tasks[3:4], tmp_path / "other.json", annotation("neutral", "trust", 5, project=2))

    import_files(store, [old])
    report = import_files(store, [new])
    import_files(store, [elsewhere])
    before = store.read_all("labels")
    refused = import_files(store, [old])

    assert report.replaced == len(tasks)
    assert Counter((row["opinion"], row["emotion"]) for row in before.to_pylist()) == {
        ("negative", "anger"): 3,
        ("neutral", "fear"): len(tasks),
        ("neutral", "trust"): 1,
    }, "another annotator's labels stay, and what the same one says elsewhere"
    assert len(refused.older) == 1 and store.read_all("labels").equals(before)
    raw = [name for name in store.files(f"{ANNOTATION}/raw") if name.endswith(".parquet")]
    assert len(raw) == 3, "every export is kept, once"


def test_a_plain_csv_gives_the_same_labels_as_the_json(dataset: Dataset, tmp_path: Path) -> None:
    store = dataset.store
    [tasks] = tasks_of(store, BatchConfig(each=1), tmp_path / "out")
    import_files(store, [exported(tasks, tmp_path / "x.json", annotation("positive", "joy", 5))])
    from_json = store.read_all("labels")
    lines = ["comment_id,annotator,opinion,emotion,lead_time,updated_at"]
    lines += [f"{task['data']['comment_id']},5,positive,joy,12.5,2026-11-23T00:00:00Z" for task in tasks]
    (tmp_path / "x.csv").write_text("﻿" + "\r\n".join([*lines, "too,few", ""]))

    report = import_files(store, [tmp_path / "x.csv"])

    assert (report.rows, sum(report.problems.values())) == (len(tasks), 1)
    assert store.read_all("labels").equals(from_json)
    (tmp_path / "y.csv").write_text("id,text\n1,2\n")
    with pytest.raises(CsmvError, match="no column comment_id"):
        import_files(store, [tmp_path / "y.csv"])


def test_annotators_labels_survive_the_tables_being_made_anew_and_go_with_what_is_forgotten(
    dataset: Dataset, tmp_path: Path
) -> None:
    store = dataset.store
    [tasks] = tasks_of(store, BatchConfig(each=1), tmp_path / "out")
    import_files(store, [exported(tasks, tmp_path / "x.json", annotation("positive", "joy", 5))])
    before = store.read_all("labels")

    for shard in store.shards():
        write_anew(store, dataset.source, read_config(store).scrub, store.key(), shard)
    assert store.read_all("labels").equals(before) and before.num_rows == len(tasks)

    forget(store, video_ids=["75"])
    ids = {row["comment_id"] for row in store.read_all("comments").to_pylist()}
    assert {row["comment_id"] for row in store.read_all("labels").to_pylist()} <= ids
    assert all(set(rows["comment_id"].to_pylist()) <= ids for rows in read_annotations(store).values())
    assert {item.comment_id for item in read_batch(store, "batch-1").items} <= ids
    for name in store.files(f"{ANNOTATION}/raw"):
        assert b'"75"' not in store.read_file(name)


def test_gold_items_are_among_everybodys_tasks_and_say_nothing_of_themselves(dataset: Dataset, tmp_path: Path) -> None:
    store = dataset.store
    comments = store.read_all("comments").sort_by("comment_id")["comment_id"].to_pylist()
    expert = {comment: {"opinion": "neutral", "emotion": "fear"} for comment in comments[:4]}

    batch = draw_batch(store, BatchConfig(each=1, annotators=2, gold=3), expert)
    exported_batch = write_tasks(store, batch, tmp_path / "out")

    assert exported_batch.gold == len(batch.gold) == 3 and set(batch.gold) <= expert.keys()
    lists = [json.loads((tmp_path / "out" / f"tasks-{k}.json").read_text()) for k in (1, 2)]
    for tasks in lists:
        ids = [task["data"]["comment_id"] for task in tasks]
        assert set(batch.gold) <= set(ids)
        assert {tuple(task["data"]) for task in tasks} == {("comment_id", "video_id", "batch", "text", "video")}
    with pytest.raises(CsmvError, match="5 gold items were asked for"):
        draw_batch(store, BatchConfig(name="b2", gold=5))
