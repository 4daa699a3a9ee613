"""From a dataset root to what training sees: labelled comments in their parts, with every irregularity counted.

Drops what can't be learnt from and says so; refuses, in one sentence, what would make training wrong. Text leaves
this module only as token ids.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import EMOTIONS, NO_LABEL, OPINIONS, resolve
from csmv.pipeline.schemas import SPLIT_NAMES
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.video_features import FeatureSet, load_features

PARTS = SPLIT_NAMES


@dataclass(frozen=True)
class Corpus:
    """The comments of a split that have a label, in the order of their ids.

    opinion, emotion: class numbers or NO_LABEL; part: 0 train, 1 dev, 2 test. `counts` says, for each part, how many
    comments there are and what was irregular; `fingerprint` changes with anything a model could see.
    """

    comment_ids: list[str]
    video_ids: list[str]
    texts: list[str]
    opinion: NDArray[np.int64]
    emotion: NDArray[np.int64]
    part: NDArray[np.int64]
    features: tuple[FeatureSet, ...]
    counts: dict[str, dict[str, int]]
    fingerprint: str

    def rows(self, part: str) -> NDArray[np.int64]:
        """Places of a part's comments."""
        return np.flatnonzero(self.part == PARTS.index(part))

    def labels(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Class numbers of both tasks."""
        return {"opinion": self.opinion[rows], "emotion": self.emotion[rows]}


def load_corpus(store: Store, config: TrainConfig) -> Corpus:
    """What a run of `config` learns from and is judged on.

    Counted for each part: comments; of them without an opinion, without an emotion, with an empty text, without
    video features, with a video of more vectors than `visual_length`, whose end is cut. Dropped and counted: ids the
    split names and the root does not have, comments without any label.
    Raises CsmvError where training would be wrong: no such split, a part with nothing left, a split built for other
    comments, features that are missing for most, differ in width or are not finite.
    """
    split = store.read_split(config.split)
    comments = store.read_all("comments")
    counts: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    rows = _known_rows(split, comments, counts, config.split)
    labels = _labels(store.read_all("labels"))
    rows = _labelled(rows, labels, counts)
    _refuse_empty(rows, counts, config)

    features = tuple(load_features(store, name) for name in config.features) if config.needs_features else ()
    pairs = [labels[row.comment_id] for row in rows]
    for row, (opinion, emotion) in zip(rows, pairs, strict=True):
        count = counts[row.part]
        count["comments"] += 1
        count["without_opinion"] += opinion == NO_LABEL
        count["without_emotion"] += emotion == NO_LABEL
        count["with_empty_text"] += not row.text.strip()
        vectors = [feature_set.of(row.video_id) for feature_set in features]
        count["without_features"] += any(frames is None for frames in vectors)
        most = config.sizes.visual_length
        count["with_cut_video"] += any(frames is not None and len(frames) > most for frames in vectors)
    _refuse_missing_features(counts, config)
    return Corpus(
        comment_ids=[row.comment_id for row in rows],
        video_ids=[row.video_id for row in rows],
        texts=[row.text for row in rows],
        opinion=np.array([opinion for opinion, _ in pairs], dtype=np.int64),
        emotion=np.array([emotion for _, emotion in pairs], dtype=np.int64),
        part=np.array([PARTS.index(row.part) for row in rows], dtype=np.int64),
        features=features,
        counts={
            part: {key: count for key, count in sorted(classes.items()) if count} for part, classes in counts.items()
        },
        fingerprint=_fingerprint(rows, pairs, features),
    )


@dataclass(frozen=True)
class _Row:
    comment_id: str
    video_id: str
    text: str
    part: str


def _known_rows(split: pa.Table, comments: pa.Table, counts: dict[str, Counter[str]], name: str) -> list[_Row]:
    comments_by_id = {
        comment: (video, text or "")
        for comment, video, text in zip(
            *(comments.column(column).to_pylist() for column in ("comment_id", "video_id", "text")), strict=True
        )
    }
    rows, elsewhere = [], 0
    for entry in split.sort_by("comment_id").to_pylist():
        comment_row = comments_by_id.get(entry["comment_id"])
        if comment_row is None:
            counts[entry["split"]]["unknown_to_the_root"] += 1
            continue
        elsewhere += comment_row[0] != entry["video_id"]
        rows.append(_Row(entry["comment_id"], comment_row[0], comment_row[1], entry["split"]))
    if elsewhere:
        raise CsmvError(
            f"The split '{name}' has {elsewhere} comment(s) under another video than the root's comments have: it was "
            "built for other data; build it again with `csmv split`."
        )
    return rows


def _labels(table: pa.Table) -> dict[str, tuple[int, int]]:
    """comment_id -> (opinion, emotion) as class numbers, of the label that counts (`csmv.pipeline.labels.resolve`)."""
    settled = resolve(table)
    opinions, emotions = (
        [numbers.get(name, NO_LABEL) for name in settled[task].to_pylist()]
        for task, numbers in (("opinion", OPINIONS), ("emotion", EMOTIONS))
    )
    return dict(zip(settled["comment_id"].to_pylist(), zip(opinions, emotions, strict=True), strict=True))


def _labelled(rows: list[_Row], labels: dict[str, tuple[int, int]], counts: dict[str, Counter[str]]) -> list[_Row]:
    labelled = []
    for row in rows:
        if labels.get(row.comment_id, (NO_LABEL, NO_LABEL)) == (NO_LABEL, NO_LABEL):
            counts[row.part]["without_any_label"] += 1
        else:
            labelled.append(row)
    return labelled


def _refuse_empty(rows: Iterable[_Row], counts: dict[str, Counter[str]], config: TrainConfig) -> None:
    left = Counter(row.part for row in rows)
    for part in ("train", "dev", "test"):
        if not left[part]:
            why = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in counts[part].items()) or "none named"
            raise CsmvError(
                f"The split '{config.split}' leaves no labelled comment in {part} ({why}); training needs train, dev "
                "and test. Build a split of labelled comments with `csmv split`."
            )


def _refuse_missing_features(counts: dict[str, Counter[str]], config: TrainConfig) -> None:
    train = counts["train"]
    share = train["without_features"] / train["comments"]
    if share > config.most_missing_features:
        raise CsmvError(
            f"{train['without_features']} of {train['comments']} train comments have no vectors in "
            f"{', '.join(config.features)}, so a model of the video would learn little but their absence: run `csmv "
            "extract`, or raise most_missing_features."
        )


def _fingerprint(rows: list[_Row], pairs: list[tuple[int, int]], features: tuple[FeatureSet, ...]) -> str:
    digest = hashlib.sha256()
    for row, pair in zip(rows, pairs, strict=True):
        digest.update("\0".join((row.comment_id, row.video_id, row.text, row.part, *map(str, pair), "")).encode())
    for feature_set in features:
        digest.update(f"{feature_set.name} {feature_set.dim} {feature_set.fingerprint}".encode())
    return digest.hexdigest()
