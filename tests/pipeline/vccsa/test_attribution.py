"""The video's part in a run's scores, and the page of what it turned."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import train
from csmv.pipeline.vccsa.attribution import OWN, _other_vectors, attribution
from csmv.pipeline.vccsa.data import load_corpus
from csmv.pipeline.vccsa.error_page import errors, write_errors
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import read_run
from csmv.pipeline.vccsa.video_features import FeatureSet

QUICK = TrainConfig(features=("synthetic",), epochs=8, batch_size=32, seed=1).replace(
    {
        "optimizer.learning_rate": 5e-3,
        "sizes.visual_dim": 16,
        "sizes.ground_dim": 8,
        "sizes.consensus_dim": 8,
        "sizes.scales": 1,
        "text.tiny_dim": 16,
    }
)


@pytest.fixture(scope="module", autouse=True)
def trained(root: Store) -> Store:
    """The runs `looks`, of early fusion, and `reads`, of text alone; labels depend on the video."""
    train(root, QUICK.replace({"model": "early-fusion"}), "looks")
    train(root, QUICK.replace({"model": "text"}), "reads")
    return root


def test_other_vectors_cost_what_the_video_gave(root: Store) -> None:
    found = attribution(root, "looks", resamples=200)

    own = read_run(root, "looks")[1].metrics["test"]
    for task in ("opinion", "emotion"):
        assert found["scores"][OWN][task]["micro_f1"] == pytest.approx(own[task]["micro_f1"])
        for name in ("zeroed", "shuffled", "wrong video"):
            moved = found["differences"][name][task]["micro_f1"]
            scores = found["scores"]
            assert moved["difference"] == pytest.approx(scores[name][task]["micro_f1"] - scores[OWN][task]["micro_f1"])
            assert moved["interval_95"][0] <= moved["difference"] <= moved["interval_95"][1]
            assert moved["interval_95"][1] < 0, (task, name)
    assert attribution(root, "looks", resamples=200) == found


def test_vectors_are_dealt_as_they_are_said_to_be(root: Store) -> None:
    corpus = load_corpus(root, QUICK)
    [own] = corpus.features
    gone = corpus.video_ids[int(corpus.rows("test")[0])]
    own = FeatureSet(own.name, own.dim, {name: one for name, one in own.videos.items() if name != gone}, "")
    corpus = replace(corpus, features=(own,))
    videos = sorted({corpus.video_ids[int(row)] for row in corpus.rows("test")} - {gone})

    choices = {name: one for name, [one] in _other_vectors(corpus, corpus.rows("test"), 1).items()}

    def vectors(features: FeatureSet) -> Counter:
        return Counter(vector.tobytes() for video in videos for vector in features.of(video))

    for name in ("zeroed", "shuffled"):
        assert [choices[name].of(video).shape for video in videos] == [own.of(video).shape for video in videos]
    assert not any(choices["zeroed"].of(video).any() for video in videos)
    assert vectors(choices["shuffled"]) == vectors(choices["wrong video"]) == vectors(own)
    assert any((choices["shuffled"].of(video) != own.of(video)).any() for video in videos)
    for video in videos:
        theirs = choices["wrong video"].of(video)
        [owner] = [name for name in videos if np.array_equal(own.of(name), theirs)]
        assert owner != video
    assert all(one.of(gone) is None for one in choices.values())
    [again], [other] = (_other_vectors(corpus, corpus.rows("test"), seed)["shuffled"] for seed in (1, 2))
    assert np.array_equal(again.of(videos[0]), choices["shuffled"].of(videos[0]))
    assert not np.array_equal(other.of(videos[0]), choices["shuffled"].of(videos[0]))


def test_what_has_no_answer_is_refused(new_root, root: Store) -> None:
    with pytest.raises(CsmvError, match="looks at no video"):
        attribution(root, "reads")
    store = new_root(videos=9)
    train(store, QUICK.replace({"model": "video", "epochs": 1}), "mine")
    shard = next(shard for shard in store.shards() if store.read("labels", shard).num_rows)
    store.write("labels", shard, store.read("labels", shard).slice(1))
    with pytest.raises(CsmvError, match="have changed since it was trained"):
        attribution(store, "mine")


def test_the_page_shows_what_turned_and_leads_nowhere(root: Store, tmp_path: Path) -> None:
    store = Store.open(str(shutil.copytree(root.root, tmp_path / "root")))
    before = errors(store, "looks", "reads", most=1000)
    hostile, forgotten = before[0].gained[0], before[0].gained[1]
    texts = Counter(one.text for one in before[0].gained)
    assert texts[hostile.text] and before[0].turned_right == len(before[0].gained) > 2

    # What the tables say now stands in the page: one text is hostile, and one comment is gone.
    marked = []
    for shard in store.shards():
        rows = store.read("comments", shard)
        changed = []
        for row in rows.to_pylist():
            if row["video_id"] == forgotten.video_id and row["text"] == forgotten.text:
                marked.append(row["comment_id"])
                continue
            if row["text"] == hostile.text:
                row["text"] = '<img src="http://evil.example/x">'
            changed.append(row)
        store.write("comments", shard, pa.Table.from_pylist(changed, schema=rows.schema))
    tasks = errors(store, "looks", "reads", most=1000)
    page = Path(store.path(write_errors(store, "looks", "reads", "test", tasks, 1000))).read_text()

    assert len(marked) >= 1
    assert tasks[0].turned_right == before[0].turned_right > len(tasks[0].gained)
    for one in tasks:
        assert one.both_right + one.both_wrong + one.turned_right + one.turned_wrong == one.comments
        assert sum(right for right, _ in one.by_class.values()) == one.turned_right
        assert all(turned.after == turned.label != turned.before for turned in one.gained)
        assert all(turned.before == turned.label != turned.after for turned in one.lost)
    scores = [read_run(store, run)[1].metrics["test"]["opinion"]["micro_f1"] for run in ("reads", "looks")]
    net = (tasks[0].turned_right - tasks[0].turned_wrong) / tasks[0].comments
    assert scores[1] - scores[0] == pytest.approx(net)
    assert "&lt;img src=&#34;http://evil.example/x&#34;&gt;" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert not any(sign in page for sign in ("<img", "<script", "<link", 'src="', "href", "url(", "@import"))


def test_as_many_are_shown_as_asked_and_all_are_counted(root: Store) -> None:
    whole, few = (errors(root, "looks", "reads", most=most) for most in (1000, 2))
    assert few[0].gained == whole[0].gained[:2]
    assert few[0].turned_right == whole[0].turned_right > 2
