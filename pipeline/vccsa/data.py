"""From a dataset root to what training sees: labelled comments in their parts, with every irregularity counted.

Drops what can't be learnt from and says so; refuses, in one sentence, what would make training wrong. Text leaves
this module only as token ids.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import EMOTIONS, NO_LABEL, OPINIONS, resolve
from csmv.pipeline.schemas import SPLIT_NAMES
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.controls import with_shuffled_videos, within_fraction, without_video
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.video_features import FeatureSet, load_features

PARTS = SPLIT_NAMES


class HeldOutLabels:
    """The class numbers of the test comments, apart from all that training is given: only `read` gives them.

    Args:
        opinion: class numbers or NO_LABEL (N), of all comments.
        emotion: the same.
    """

    def __init__(self, opinion: NDArray[np.int64], emotion: NDArray[np.int64]) -> None:
        self._labels = {"opinion": opinion, "emotion": emotion}

    def read(self) -> dict[str, NDArray[np.int64]]:
        """Class numbers of both tasks, of all comments (N). For scoring a run that is trained."""
        return self._labels


@dataclass(frozen=True)
class Corpus:
    """The comments of a split that have a label, in the order of their ids.

    opinion, emotion: class numbers, NO_LABEL where nobody gave one and of every test comment; part: 0 train, 1 dev,
    2 test. `counts` says, for each part, how many comments there are and what was irregular; `fingerprint` changes with
    anything a model could see or be scored by.
    """

    comment_ids: Strings
    video_ids: Strings
    texts: Strings
    opinion: NDArray[np.int64]
    emotion: NDArray[np.int64]
    part: NDArray[np.int8]
    features: tuple[FeatureSet, ...]
    counts: dict[str, dict[str, int]]
    fingerprint: str
    held_out: HeldOutLabels | None = None

    def rows(self, part: str) -> NDArray[np.int64]:
        """Places of a part's comments."""
        return np.flatnonzero(self.part == PARTS.index(part))

    def labels(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Class numbers of both tasks, for training: none of test comments."""
        return {"opinion": self.opinion[rows], "emotion": self.emotion[rows]}

    def scored_labels(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Class numbers of both tasks, those of test comments too, by which a trained run is scored."""
        if self.held_out is None:
            return self.labels(rows)
        return {task: numbers[rows] for task, numbers in self.held_out.read().items()}


def load_corpus(store: Store, config: TrainConfig) -> Corpus:
    """What a run of `config` learns from and is judged on.

    Counted for each part: comments; of them without an opinion, without an emotion, with an empty text, without
    video features, with a video of more vectors than `visual_length`, whose end is cut. Dropped and counted: ids the
    split names and the root does not have, comments without any label.
    Raises CsmvError where training would be wrong: no such split, a part with nothing left, a split built for other
    comments, features that are missing for most, differ in width or are not finite.
    """
    counts = {part: Counter[str]() for part in PARTS}
    rows = _rows(store, config.split, counts)
    rows = _labelled(rows, store.read_all("labels"), counts)
    stays = within_fraction(rows.video_ids, rows.part == PARTS.index("train"), config.train_fraction, config.seed)
    _count(counts, "outside_the_fraction", rows.part, ~stays)
    rows = rows.where(stays)
    _refuse_empty(rows.part, counts, config)
    _refuse_unlabelled_task(rows, config)

    features = tuple(load_features(store, name) for name in config.features) if config.needs_features else ()
    for part, count in zip(PARTS, np.bincount(rows.part, minlength=len(PARTS)), strict=True):
        counts[part]["comments"] = int(count)
    _count(counts, "without_opinion", rows.part, rows.opinion == NO_LABEL)
    _count(counts, "without_emotion", rows.part, rows.emotion == NO_LABEL)
    _count_videos(counts, rows, features, config.sizes.visual_length)
    fingerprint = _fingerprint(rows, features, counts)
    _refuse_missing_features(counts, config)
    is_test = rows.part == PARTS.index("test")
    return Corpus(
        comment_ids=rows.comment_ids,
        video_ids=rows.video_ids,
        texts=rows.texts,
        opinion=np.where(is_test, NO_LABEL, rows.opinion),
        emotion=np.where(is_test, NO_LABEL, rows.emotion),
        part=rows.part,
        features=tuple(_controlled(one, rows, config) for one in features),
        counts={
            part: {key: count for key, count in sorted(classes.items()) if count} for part, classes in counts.items()
        },
        fingerprint=fingerprint,
        held_out=HeldOutLabels(rows.opinion, rows.emotion),
    )


@dataclass(frozen=True)
class _Rows:
    """Columns of the comments that are in a split and in the root, by comment id."""

    comment_ids: Strings
    video_ids: Strings
    texts: Strings
    part: NDArray[np.int8]
    opinion: NDArray[np.int64]
    emotion: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> "_Rows":
        """The chosen rows only."""
        if chosen.all():
            return self
        at = np.flatnonzero(chosen)
        return _Rows(
            comment_ids=self.comment_ids.take(at),
            video_ids=self.video_ids.take(at),
            texts=self.texts.take(at),
            part=self.part[at],
            opinion=self.opinion[at],
            emotion=self.emotion[at],
        )


def _controlled(features: FeatureSet, rows: _Rows, config: TrainConfig) -> FeatureSet:
    """The vectors that comments are read with, as `video` says."""
    if config.video == "none":
        return without_video(features)
    if config.video == "shuffled":
        return with_shuffled_videos(features, rows.video_ids, rows.part, config.seed)
    return features


def _count(counts: dict[str, Counter[str]], key: str, part: NDArray[np.int8], chosen: NDArray[np.bool_]) -> None:
    """Add to `counts` how many rows of each part are chosen."""
    for name, count in zip(PARTS, np.bincount(part[chosen], minlength=len(PARTS)), strict=True):
        if count:
            counts[name][key] += int(count)


def _rows(store: Store, name: str, counts: dict[str, Counter[str]]) -> _Rows:
    split = store.read_split(name).sort_by("comment_id")
    part = _numbers(split["split"], PARTS).astype(np.int8)
    if (part < 0).any():
        raise CsmvError(
            f"The split '{name}' has parts other than {', '.join(PARTS)}: build it again with `csmv split`."
        )
    comments = store.read_all("comments", ["comment_id", "video_id", "text"])
    at = pc.index_in(split["comment_id"], value_set=comments["comment_id"])
    is_there = pc.is_valid(at)
    here = is_there.to_numpy()
    _count(counts, "unknown_to_the_root", part, ~here)
    split, at = split.filter(is_there), at.filter(is_there).combine_chunks()
    videos = pc.unique(comments["video_id"]).sort()
    video = pa.array(_numbers(comments["video_id"], videos).astype(np.int32)).take(at)
    elsewhere = int((_numbers(split["video_id"], videos) != video.to_numpy()).sum())
    if elsewhere:
        raise CsmvError(
            f"The split '{name}' has {elsewhere} comment(s) under another video than the root's comments have: it was "
            "built for other data; build it again with `csmv split`."
        )
    return _Rows(
        comment_ids=Strings.large(split["comment_id"]),
        video_ids=Strings(pa.DictionaryArray.from_arrays(video, videos)),
        texts=Strings.large(comments["text"]).take(at),
        part=part[here],
        opinion=np.empty(0, np.int64),
        emotion=np.empty(0, np.int64),
    )


def _labelled(rows: _Rows, labels: pa.Table, counts: dict[str, Counter[str]]) -> _Rows:
    """The rows that have a label, with class numbers of the one that counts (`csmv.pipeline.labels.resolve`)."""
    settled = resolve(labels)
    at = pc.index_in(rows.comment_ids.values, value_set=settled["comment_id"].cast(pa.large_string()))
    opinion, emotion = (
        pc.fill_null(pa.array(_numbers(settled[task], list(classes), NO_LABEL)).take(at), NO_LABEL).to_numpy()
        for task, classes in (("opinion", OPINIONS), ("emotion", EMOTIONS))
    )
    has_label = (opinion != NO_LABEL) | (emotion != NO_LABEL)
    _count(counts, "without_any_label", rows.part, ~has_label)
    return replace(rows, opinion=opinion, emotion=emotion).where(has_label)


def _numbers(column: pa.ChunkedArray, values: Sequence[str] | pa.Array, missing: int = -1) -> NDArray[np.int64]:
    """Of each row the place of its value among `values`, or `missing`."""
    places = pc.index_in(column, value_set=values if isinstance(values, pa.Array) else pa.array(values))
    numbers: NDArray[np.int64] = pc.fill_null(places, missing).to_numpy().astype(np.int64)
    return numbers


def _count_videos(
    counts: dict[str, Counter[str]], rows: _Rows, features: tuple[FeatureSet, ...], visual_length: int
) -> None:
    videos, video = rows.video_ids.distinct()
    vectors = [[feature_set.of(one) for feature_set in features] for one in videos]
    lacks = np.array([any(frames is None for frames in sets) for sets in vectors])
    is_cut = np.array([any(frames is not None and len(frames) > visual_length for frames in sets) for sets in vectors])
    _count(counts, "without_features", rows.part, lacks[video])
    _count(counts, "with_cut_video", rows.part, is_cut[video])


def _refuse_empty(part: NDArray[np.int8], counts: dict[str, Counter[str]], config: TrainConfig) -> None:
    for name, left in zip(PARTS, np.bincount(part, minlength=len(PARTS)), strict=True):
        if not left:
            why = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in counts[name].items()) or "none named"
            raise CsmvError(
                f"The split '{config.split}' leaves no labelled comment in {name} ({why}); training needs train, dev "
                "and test. Build a split of labelled comments with `csmv split`."
            )


def _refuse_missing_features(counts: dict[str, Counter[str]], config: TrainConfig) -> None:
    limits = {"train": "most_missing_features", "dev": "most_missing_scored", "test": "most_missing_scored"}
    for part, setting in limits.items():
        missing, comments, most = counts[part]["without_features"], counts[part]["comments"], getattr(config, setting)
        if missing / comments > most:
            raise CsmvError(
                f"{missing} of {comments} {part} comments have no vectors in {', '.join(config.features)} "
                f"({missing / comments:.1%}, and {setting} allows {most:.1%}), so a model of the video would "
                f"{'learn' if part == 'train' else 'be judged by'} little but their absence: run `csmv extract`, or "
                f"raise {setting}."
            )


def _refuse_unlabelled_task(rows: _Rows, config: TrainConfig) -> None:
    """A task that train never shows would be scored by chance."""
    for task, label in (("opinion", rows.opinion), ("emotion", rows.emotion)):
        has_label = label != NO_LABEL
        if has_label.any() and not (has_label & (rows.part == PARTS.index("train"))).any():
            raise CsmvError(
                f"No train comment of the split '{config.split}' has an {task} label, and some of dev or test have "
                "one, which would be guessed: label train comments too, or build another split with `csmv split`."
            )


def _fingerprint(rows: _Rows, features: tuple[FeatureSet, ...], counts: dict[str, Counter[str]]) -> str:
    """The digest of all that a model could see. Counts the empty texts on the way."""
    digest = hashlib.sha256()
    pieces = zip(rows.comment_ids.pieces(), rows.video_ids.pieces(), rows.texts.pieces(), strict=True)
    start = 0
    for ids, videos, texts in pieces:
        here = slice(start, start + len(ids))
        start += len(ids)
        parts = [PARTS[part] for part in rows.part[here]]
        classes = (rows.opinion[here].astype(str).tolist(), rows.emotion[here].astype(str).tolist())
        lines = ["\0".join((*row, "")) for row in zip(ids, videos, texts, parts, *classes, strict=True)]
        digest.update("".join(lines).encode())
        _count(counts, "with_empty_text", rows.part[here], np.array([not text.strip() for text in texts]))
    for feature_set in features:
        digest.update(f"{feature_set.name} {feature_set.dim} {feature_set.fingerprint}".encode())
    return digest.hexdigest()
