"""What the same text is labelled under different videos: counted, and on the published labels."""

import json
import random
import zipfile
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pytest

from csmv.pipeline.labels import TASKS
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.same_text import same_text, same_text_of, sentence

Row = tuple[str, str, str | None, str | None]


def of(*rows: Row) -> dict:
    texts, videos, opinions, emotions = zip(*rows, strict=True)
    labels = {"opinion": pa.array(opinions, pa.string()), "emotion": pa.array(emotions, pa.string())}
    return same_text(Strings.of(texts), Strings.of(videos), labels)


def test_pairs_under_different_videos_are_counted() -> None:
    found = of(
        ("So  good", "a", "positive", "joy"),
        ("so good ", "a", "negative", "joy"),  # the same video as the first: no pair with it
        ("SO GOOD", "b", "positive", "anger"),
        ("so good", "c", None, "joy"),
        ("only here", "a", "positive", "joy"),
        ("twice here", "b", "positive", "joy"),
        ("twice here", "b", "negative", "joy"),
        (" ", "a", "positive", "joy"),  # no text
        ("", "b", "negative", "joy"),
    )
    assert found["opinion"] == {"texts": 1, "comments": 3, "pairs": 2, "agreement": 0.5, "most_by_text": 2 / 3}
    assert found["emotion"] == {"texts": 1, "comments": 4, "pairs": 5, "agreement": 2 / 5, "most_by_text": 3 / 4}


def test_the_count_is_that_of_going_through_all_pairs() -> None:
    chance = random.Random(7)
    rows = [
        (chance.choice("pqrst"), chance.choice("abc"), chance.choice([*TASKS["opinion"], None]), "joy")
        for _ in range(120)
    ]
    pairs = [(a, b) for a, b in combinations(rows, 2) if a[0] == b[0] and a[1] != b[1] and a[2] and b[2]]
    found = of(*rows)["opinion"]
    assert found["pairs"] == len(pairs) > 100
    assert found["agreement"] == sum(a[2] == b[2] for a, b in pairs) / len(pairs)


def test_no_text_twice_is_no_number(root: Store) -> None:
    found = of(("one", "a", "positive", "joy"), ("two", "b", "positive", "joy"))
    assert found["opinion"] == {"texts": 0, "comments": 0, "pairs": 0, "agreement": None, "most_by_text": None}
    assert sentence(found) == ""
    assert (
        sentence(same_text(Strings.of([]), Strings.of([]), {task: pa.array([], pa.string()) for task in TASKS})) == ""
    )
    assert "Pairs that agree: opinion" in sentence(same_text_of(root))


@pytest.mark.slow
def test_the_published_labels(shared: Path) -> None:
    """All entries of the published dictionary: 67.8 % of pairs agree on opinion and 74.6 % on emotion."""
    annotations = shared / "csmv" / "Comments_Anno" / "lable_data_dict.json.zip"
    if not annotations.is_file():
        pytest.skip("the published labels are not in the shared folder")
    with zipfile.ZipFile(annotations) as archive:
        entries = json.loads(archive.read("lable_data_dict.json")).values()
    found = of(*((e["comment"], e["video_file_id"], e["opinion_label"], e["emotion_label"]) for e in entries))

    assert {task: (one["texts"], one["comments"]) for task, one in found.items()} == {
        "opinion": (1075, 4076),
        "emotion": (1075, 4076),
    }
    assert round(100 * found["opinion"]["agreement"], 1) == 67.8
    assert round(100 * found["emotion"]["agreement"], 1) == 74.6
    assert round(100 * found["opinion"]["most_by_text"], 1) == 83.8
    assert round(100 * found["emotion"]["most_by_text"], 1) == 80.9
