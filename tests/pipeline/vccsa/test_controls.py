"""What a controlled run sees: nested shares of the train videos, zeros, another video's vectors of the same part."""

import numpy as np
import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.data import PARTS, Corpus, load_corpus
from csmv.pipeline.vccsa.train_config import TrainConfig

CONFIG = TrainConfig(features=("synthetic",), split="video")


@pytest.fixture
def store(new_root) -> Store:
    """Twenty videos, no one in two parts."""
    store = new_root(videos=20)
    build_split(store, SplitConfig(kind="video"))
    return store


def videos_of(corpus: Corpus, part: str) -> set[str]:
    return set(corpus.video_ids.take(corpus.rows(part)))


def test_a_fraction_is_of_train_videos_and_holds_the_smaller_ones(store: Store) -> None:
    whole = load_corpus(store, CONFIG)
    corpora = [load_corpus(store, CONFIG.replace({"train_fraction": share})) for share in (0.1, 0.25, 0.5)]

    train = videos_of(whole, "train")
    drawn = [videos_of(corpus, "train") for corpus in corpora]
    assert [len(videos) for videos in drawn] == [int(np.ceil(share * len(train))) for share in (0.1, 0.25, 0.5)]
    assert drawn[0] < drawn[1] < drawn[2] < train
    for corpus in corpora:
        assert videos_of(corpus, "dev") == videos_of(whole, "dev")
        assert videos_of(corpus, "test") == videos_of(whole, "test")
        assert corpus.counts["train"]["outside_the_fraction"] == len(whole.rows("train")) - len(corpus.rows("train"))
    other = videos_of(load_corpus(store, CONFIG.replace({"train_fraction": 0.5, "seed": 1})), "train")
    assert other != drawn[2]


def test_no_video_is_one_zero_vector_for_all(store: Store) -> None:
    [features] = load_corpus(store, CONFIG.replace({"video": "none"})).features
    assert len(features.videos) == 20
    assert all(vectors.shape == (1, 32) and not vectors.any() for vectors in features.videos.values())


def test_shuffled_videos_are_others_of_the_same_part(store: Store) -> None:
    corpus = load_corpus(store, CONFIG)
    [own] = corpus.features
    [shuffled] = load_corpus(store, CONFIG.replace({"video": "shuffled"})).features
    whose = {vectors.tobytes(): video for video, vectors in own.videos.items()}

    drawn = {video: whose[vectors.tobytes()] for video, vectors in shuffled.videos.items()}

    assert all(video != other for video, other in drawn.items())
    assert sorted(drawn.values()) == sorted(drawn)
    for part in PARTS:
        videos = videos_of(corpus, part)
        assert {drawn[video] for video in videos} == videos
    [again] = load_corpus(store, CONFIG.replace({"video": "shuffled"})).features
    assert all((again.videos[video] == vectors).all() for video, vectors in shuffled.videos.items())
    [other] = load_corpus(store, CONFIG.replace({"video": "shuffled", "seed": 1})).features
    assert any(other.videos[video] is not vectors for video, vectors in shuffled.videos.items())


def test_where_videos_are_in_all_parts_they_are_shuffled_all_together(root: Store) -> None:
    """The split by comment: every video has comments in train, dev and test."""
    config = TrainConfig(features=("synthetic",))
    [own] = load_corpus(root, config).features
    [shuffled] = load_corpus(root, config.replace({"video": "shuffled"})).features
    assert not any(np.array_equal(own.videos[video], shuffled.videos[video]) for video in own.videos)


def test_runs_of_earlier_configurations_keep_their_names() -> None:
    assert "train_fraction" not in CONFIG.identity
    assert '"video":"none"' in CONFIG.replace({"video": "none"}).identity


def test_a_model_of_words_has_no_video_to_take_away() -> None:
    with pytest.raises(CsmvError, match="looks at no video"):
        TrainConfig(model="vccsa").replace({"model": "text", "video": "none"})
