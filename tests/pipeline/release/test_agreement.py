"""Agreement and adjudication: published examples, other libraries, and annotators whose error rates are planted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from annotators import answers_of, decided_of, fleiss_of, joint_of, kappa_of, planted_confusions

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.labels import ADJUDICATED, TASKS, resolve
from csmv.pipeline.pseudonym import Pseudonymiser
from csmv.pipeline.release.annotation.adjudicate import SURE, Method, adjudicate, decide, write_ties
from csmv.pipeline.release.annotation.agreement import MISSING, cohen_kappa, fleiss_kappa, krippendorff_alpha
from csmv.pipeline.release.annotation.agreement_report import agreement_report, doubts
from csmv.pipeline.release.annotation.annotation_batch import draw_batch
from csmv.pipeline.release.annotation.annotation_config import BatchConfig
from csmv.pipeline.release.annotation.expert_labels import read_expert_labels
from csmv.pipeline.release.annotation.import_annotations import import_files
from csmv.pipeline.release.annotation.labelling_tasks import write_tasks
from csmv.pipeline.release.datasheet_facts import agreement_sentences
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS
from csmv.pipeline.sources.collect_settings import WebSource
from csmv.pipeline.store import Store

CLOSE = 0.02
COMMENTS_IN_ALL, A_VIDEO, GOLD, ANNOTATORS = 9_000, 20, 3_000, 3


def test_published_examples() -> None:
    # Cohen's kappa as Wikipedia shows it: both yes 20, both no 15, apart 5 and 10; kappa 0.4.
    one = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    other = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert cohen_kappa(one, other, 2) == pytest.approx(0.4)
    alone = np.full(50, MISSING)
    assert cohen_kappa(np.append(one, alone), np.append(other, alone + 1), 2) == pytest.approx(0.4)
    assert cohen_kappa(one, alone, 2) is None
    # Fleiss' own example as Wikipedia prints it: 10 items, 14 raters, 5 classes, kappa 0.210.
    counts = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    ratings = np.array([np.repeat(np.arange(5), row) for row in counts])
    assert fleiss_kappa(ratings, 5) == pytest.approx(0.210, abs=0.0005)
    # Krippendorff's example (2011, "Computing Krippendorff's alpha-reliability", C): nominal data, alpha 0.743.
    data = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
    assert krippendorff_alpha(np.array(data).T - 1, 5) == pytest.approx(0.743, abs=0.0005)


def root_of_comments(path: Path) -> Store:
    """Comments without labels, written as the tables stage would."""
    store = Store.create(str(path), DatasetConfig(name="x", n_shards=1, source=WebSource(hashtags=("x",))))
    videos = [{"video_id": f"7{k:04d}", "media_status": "ok"} for k in range(COMMENTS_IN_ALL // A_VIDEO)]
    comments = [
        {"comment_id": f"c{k:05d}", "video_id": f"7{k // A_VIDEO:04d}", "text": "so good"}
        for k in range(COMMENTS_IN_ALL)
    ]
    store.write("comments", 0, pa.Table.from_pylist(comments, schema=COMMENTS.schema))
    store.write("labels", 0, LABELS.schema.empty_table())
    store.write("videos", 0, pa.Table.from_pylist(videos, schema=VIDEOS.schema))
    return store


def test_planted_kappas_are_recovered(tmp_path: Path) -> None:
    """Export, annotators with planted confusions, import: agreement and adjudication say what follows from those."""
    store = root_of_comments(tmp_path / "root")
    names = [f"c{k:05d}" for k in range(COMMENTS_IN_ALL)]
    planted = {
        "opinion": planted_confusions(11, ANNOTATORS, 3, 0.9),
        "emotion": planted_confusions(12, ANNOTATORS, 8, 0.9),
    }
    truth = {
        task: np.random.default_rng(seed).choice(len(prior), COMMENTS_IN_ALL, p=prior)
        for seed, (task, (prior, _)) in enumerate(planted.items())
    }
    expert = {name: {task: TASKS[task][truth[task][k]] for task in TASKS} for k, name in enumerate(names) if k % 3 == 0}
    batch = draw_batch(store, BatchConfig(each=ANNOTATORS), expert)
    write_tasks(store, batch, tmp_path / "out")
    files = []
    for who in range(ANNOTATORS):
        said = {task: answers_of(truth[task], planted[task][1][who], 100 + who) for task in TASKS}
        tasks = json.loads((tmp_path / "out" / f"tasks-{who + 1}.json").read_text())
        assert len(tasks) == COMMENTS_IN_ALL, "everybody labels everything, gold items too"
        for task in tasks:
            place = int(task["data"]["comment_id"][1:])
            result = [
                {"from_name": name, "type": "choices", "value": {"choices": [TASKS[name][said[name][place]]]}}
                for name in TASKS
            ]
            task["annotations"] = [{"completed_by": who, "result": result, "lead_time": 10.0 + who}]
        files.append(tmp_path / f"{who}.json")
        files[-1].write_text(json.dumps(tasks))

    assert import_files(store, files).rows == ANNOTATORS * COMMENTS_IN_ALL
    report = agreement_report(store, "batch-1", wage_per_hour=18)
    [of_batch] = agreement_sentences(store)
    said = f"{ANNOTATORS * COMMENTS_IN_ALL:,} labels of {ANNOTATORS} annotators on {COMMENTS_IN_ALL:,} comments"
    assert said in of_batch and "opinion krippendorff" in of_batch, "what the datasheet says"

    assert report == json.loads(store.read_file("reports/annotation-batch-1.json"))
    pseudonyms = Pseudonymiser(store.key())
    who_is = [pseudonyms.user_id(f"annotator:{who}") for who in range(ANNOTATORS)]
    for task, (prior, confusions) in planted.items():
        of_task = report["agreement"][task]
        assert len(of_task["pairs"]) == 3
        for pair in of_task["pairs"]:
            one, other = (confusions[who_is.index(name)] for name in pair["annotators"])
            assert pair["cohen_kappa"] == pytest.approx(kappa_of(joint_of(prior, one, other)), abs=CLOSE)
        for measure in ("fleiss_kappa", "krippendorff_alpha"):
            assert of_task[measure] == pytest.approx(fleiss_of(prior, confusions), abs=CLOSE)
        for who, name in enumerate(who_is):
            gold = report["annotators"][name]["gold"][task]
            assert gold["items"] == GOLD
            assert gold["cohen_kappa"] == pytest.approx(kappa_of(prior[:, None] * confusions[who]), abs=CLOSE)
    assert report["suspicious"] == {}
    assert report["effort"]["seconds_a_label"] == pytest.approx(11) and report["effort"][
        "cost_a_label"
    ] == pytest.approx(11 / 3600 * 18)

    for method, sure in ((Method.MAJORITY, None), (Method.DAWID_SKENE, SURE)):
        adjudicated = adjudicate(store, "batch-1", method)
        assert adjudicated.by_expert == GOLD
        rows = store.read_all("labels").to_pylist()
        decided = {row["comment_id"]: row for row in rows if row["source"] == ADJUDICATED}
        for task, (prior, confusions) in planted.items():
            asked = [k for k in range(COMMENTS_IN_ALL) if k % 3]
            labels = [decided.get(names[k], {}).get(task) for k in asked]
            chosen = np.array([MISSING if label is None else TASKS[task].index(label) for label in labels])
            kappa, tied = decided_of(prior, confusions, sure)
            assert cohen_kappa(truth[task][asked], chosen, len(TASKS[task])) == pytest.approx(kappa, abs=CLOSE)
            assert (chosen == MISSING).mean() == pytest.approx(tied, abs=CLOSE)


def votes(*rows: list[int]) -> Any:
    return np.array(rows, np.int64)


def test_dawid_and_skene_outvote_a_majority_that_is_often_wrong() -> None:
    draws = np.random.default_rng(5)
    truth = draws.integers(0, 3, 2000)
    good = [np.where(draws.random(2000) < 0.95, truth, (truth + 1) % 3) for _ in range(2)]
    poor = [np.where(draws.random(2000) < 0.4, truth, draws.integers(0, 3, 2000)) for _ in range(3)]
    ratings = np.stack([*good, *poor], axis=1)

    right = {method: (decide(ratings, 3, method) == truth).mean() for method in Method}

    assert right[Method.DAWID_SKENE] > 0.94 > right[Method.MAJORITY]
    assert decide(votes([0, 0, 1], [2, MISSING, MISSING], [0, 1, 2]), 3, Method.MAJORITY).tolist() == [0, 2, MISSING]


@pytest.fixture
def tied(tmp_path: Path) -> Store:
    """Two annotators who are of one mind about c00000 only, and a comment that one of them labelled alone."""
    store = root_of_comments(tmp_path / "root")
    lines = ["comment_id,annotator,opinion,emotion"]
    lines += ["c00000,ann,positive,joy", "c00000,bo,positive,joy"]
    lines += ["c00001,ann,positive,joy", "c00001,bo,negative,joy", "c00002,ann,neutral,trust"]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    import_files(store, [tmp_path / "labels.csv"], "mine")
    return store


def test_ties_are_listed_and_an_experts_word_stands(tied: Store, tmp_path: Path) -> None:
    first = adjudicate(tied, "mine")
    write_ties(tied, "mine", first.ties, tmp_path / "ties.csv")

    assert (first.comments, first.ties, first.single, first.settled) == (3, ["c00001"], 1, {"opinion": 1, "emotion": 2})
    page = (tmp_path / "ties.csv").read_text()
    assert "c00001,,,positive:1 negative:1,joy:2,so good," in page
    assert not read_expert_labels(tmp_path / "ties.csv"), "nothing is filled in yet"
    (tmp_path / "ties.csv").write_text(page.replace("c00001,,", "c00001,neutral,"))
    second = adjudicate(tied, "mine", decisions=read_expert_labels(tmp_path / "ties.csv"))
    third = adjudicate(tied, "mine", Method.DAWID_SKENE)

    assert (second.ties, second.by_expert, third.ties, third.by_expert) == ([], 1, [], 1)
    settled = {
        row["comment_id"]: (row["opinion"], row["emotion"]) for row in resolve(tied.read_all("labels")).to_pylist()
    }
    assert settled == {"c00000": ("positive", "joy"), "c00001": ("neutral", "joy"), "c00002": ("neutral", "trust")}


def test_careless_annotators_are_named_and_careful_ones_are_not() -> None:
    joy = {"emotion": "joy", "comment_id": ""}
    careful = [joy | {"opinion": ["positive", "negative"][k % 2], "at": f"{k:02d}"} for k in range(60)]
    straight = [joy | {"opinion": "positive", "at": f"{k:02d}"} for k in range(60)]
    rows = {"a": careful, "b": careful, "c": straight}
    seconds = {"a": [9.0] * 60, "b": [12.0] * 60, "c": [1.5] * 60}
    gold = {
        who: {"items": 20, "right": right, "accuracy": right / 20} for who, right in (("a", 18), ("b", 17), ("c", 6))
    }

    why = {who: doubts(who, rows, seconds, {"opinion": gold}) for who in rows}

    assert (why["a"], why["b"]) == ([], [])
    assert [sentence.split(" of the gold")[0].split(" 60 times")[0] for sentence in why["c"]] == [
        *("30%", "the same answer", "1.5 s for half of the labels, where the others take 10.5 s")
    ]
