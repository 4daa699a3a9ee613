"""Asking a trained run about as many comments as there are: those of a file, or a root's that nobody has labelled.

Comments go through in pieces of some thousand, so that memory does not grow with their number. Within a piece those of
like length share a batch; the table has them in the order in which they came. It appears whole or not at all.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_sets import set_footer
from csmv.pipeline.files import Files
from csmv.pipeline.labels import CLASSES, TASKS, labelled, resolve
from csmv.pipeline.progress import track
from csmv.pipeline.schemas import PARQUET
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.corpus_columns import PIECE, Strings
from csmv.pipeline.vccsa.trained import TrainedRun
from csmv.pipeline.vccsa.training import versions

BATCH_SIZE = 256
_RUN_KEY = b"run"


class NoAnswer(StrEnum):
    """Why a row of the table has no classes and no probabilities."""

    BAD_ROW = "bad_row"  # no JSON object with a text, or an id that is neither text nor a number
    NO_VECTORS = "no_vectors"  # the run looks at the video, and the root has no vectors of that one
    NOT_FINITE = "not_finite"  # the network answered with numbers that are none


def _schema(metadata: Mapping[str, str]) -> pa.Schema:
    fields = [
        pa.field("row", pa.int64(), nullable=False, metadata={"meaning": "line of the file, or place, from 1"}),
        pa.field("comment_id", pa.string()),
        pa.field("video_id", pa.string()),
    ]
    for task, names in TASKS.items():
        fields.append(pa.field(f"predicted_{task}", pa.string(), metadata={"meaning": "the most probable class"}))
        meaning = {"meaning": f"of {', '.join(names)}, in this order"}
        fields.append(pa.field(f"{task}_probabilities", pa.list_(pa.float32(), len(names)), metadata=meaning))
    reasons = {"meaning": f"why there is no answer ({', '.join(NoAnswer)}); null if there is one"}
    return pa.schema([*fields, pa.field("reason", pa.string(), metadata=reasons)], metadata={**CLASSES, **metadata})


@dataclass
class Comments:
    """Some comments in their order; one with a reason has no text that could be read."""

    rows: list[int] = field(default_factory=list)
    comment_ids: list[str | None] = field(default_factory=list)
    video_ids: list[str | None] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: int, comment: str | None, video: str | None, text: str, reason: str | None = None) -> None:
        """One more."""
        self.rows.append(row)
        self.comment_ids.append(comment)
        self.video_ids.append(video)
        self.texts.append(text)
        self.reasons.append(reason)


class CommentsOfFile:
    """The comments of a file of JSON lines, each with `text` and, where there are, `comment_id` and `video_id`.

    Raises CsmvError if the file is not there or has no line.
    """

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise CsmvError(f"There is no file '{file}': give --comments a file of JSON lines with text and video_id.")
        self._file = file
        digest, self.count = hashlib.sha256(), 0
        with file.open("rb") as lines:
            for line in lines:
                digest.update(line)
                self.count += 1
        if not self.count:
            raise CsmvError(f"'{file}' has no line: give --comments a file of JSON lines with text and video_id.")
        self.state = digest.hexdigest()

    def pieces(self) -> Iterator[Comments]:
        """All comments, some thousand at a time."""
        comments = Comments()
        with self._file.open("rb") as lines:
            for row, line in enumerate(lines, 1):
                comments.add(row, *_parsed(line.removeprefix(b"\xef\xbb\xbf") if row == 1 else line))
                if len(comments) == PIECE:
                    yield comments
                    comments = Comments()
        if len(comments):
            yield comments


class UnlabelledComments:
    """The comments of a root that have no label. Raises CsmvError if there are none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.count = sum(len(self._places(shard)) for shard in store.shards())
        if not self.count:
            raise CsmvError(
                f"The root '{store.root}' has no comment without a label: collect some, or give a file with --comments."
            )
        states = [sorted(store.states(table).items()) for table in ("comments", "labels")]
        self.state = hashlib.sha256(str(states).encode()).hexdigest()

    def pieces(self) -> Iterator[Comments]:
        """All of them in the order of shards and ids, some thousand at a time."""
        row = 0
        for shard in self._store.shards():
            table, places = self._columns(shard, "comment_id", "video_id", "text"), self._places(shard)
            for start in range(0, len(places), PIECE):
                columns = table.take(pa.array(places[start : start + PIECE])).to_pydict()
                comments = Comments()
                for comment, video, text in zip(*columns.values(), strict=True):
                    row += 1
                    comments.add(row, comment, video, text or "")
                yield comments

    def _places(self, shard: int) -> NDArray[np.int64]:
        """Where the comments without a label stand in their shard."""
        comments = self._columns(shard, "comment_id")
        labels = self._store.read("labels", shard)
        if labels is None:
            return np.arange(comments.num_rows)
        settled = labelled(resolve(labels))["comment_id"]
        has_label = pc.is_in(comments["comment_id"], value_set=settled.combine_chunks())
        return np.flatnonzero(~has_label.to_numpy().astype(bool))

    def _columns(self, shard: int, *names: str) -> pa.Table:
        comments = self._store.read_columns("comments", shard, names)
        if comments is None:
            raise CsmvError(
                f"The comments of the root '{self._store.root}' lack shard {shard}: run `csmv run tables` first."
            )
        return comments


def _parsed(line: bytes) -> tuple[str | None, str | None, str, str | None]:
    """comment_id, video_id, text and why it can't be asked about, of a line of JSON."""
    with suppress(ValueError, RecursionError):
        value = json.loads(line)
        if isinstance(value, dict):
            ids = [_id(value.get(name)) for name in ("comment_id", "video_id")]
            text = value.get("text")
            if isinstance(text, str):
                text.encode()  # no UTF-8 holds half a surrogate pair
                return ids[0], ids[1], text, None
    return None, None, "", NoAnswer.BAD_ROW


def _id(value: object) -> str | None:
    """An id as text. Raises ValueError if it is something else, or text that no UTF-8 can hold."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("an id is text or a number")
    text = str(value)
    text.encode()
    return text


@dataclass(frozen=True)
class Predicted:
    """What came of asking: the table's place, its rows, those with an answer, and of the others why not.

    caution: what to bear in mind of all answers, a sentence; None where there is nothing.
    """

    path: str
    rows: int
    answered: int
    reasons: dict[str, int]
    caution: str | None = None


def predict_table(
    store: Store,
    run: str,
    comments: CommentsOfFile | UnlabelledComments,
    out: Path | None = None,
    batch_size: int = BATCH_SIZE,
) -> Predicted:
    """Ask `run` about comments on videos of the root; a Parquet table has a row for each, in their order.

    Columns: row, comment_id, video_id; of each task the class by name and the probabilities of all classes, whose names
    the schema's metadata give in their order; reason, where there is no answer. The footer names the run, the SHA-256
    of its weights, what made the features, versions and the digest of what was asked. Texts are read as they are given:
    a model of scrubbed comments wants scrubbed ones. Another batch size moves probabilities by less than 1e-6.

    Args:
        store: the root, which has the run and the videos' vectors.
        run: a finished run of a network.
        comments: what to ask about.
        out: the table's place; by default models/<run>/unlabelled.parquet in the root.
        batch_size: comments that go through the network together; of a model of text alone, such of 16 tokens.

    Raises:
        CsmvError: no such run, no vectors, another file where the table should be, or no comment could be answered.
    """
    trained = TrainedRun(store, run)
    files, name = (store, f"models/{run}/unlabelled.parquet") if out is None else (_folder_of(out), out.name)
    schema = _schema(_provenance(store, trained, comments.state))
    rows, reasons = 0, Counter[str]()
    with files.writing(name) as file, pq.ParquetWriter(file, schema, **PARQUET) as writer:
        with track(f"predict {run}", comments.count) as tick:
            for piece in comments.pieces():
                table = _answered(trained, piece, batch_size, schema)
                writer.write_table(table, row_group_size=PIECE)
                reasons.update(reason for reason in table["reason"].to_pylist() if reason is not None)
                rows += len(piece)
                tick(len(piece))
        if reasons.total() == rows:
            raise CsmvError(
                f"None of {rows} comments could be answered ({_listed(reasons)}), so no table was written: a line is a "
                "JSON object with text and, for a run that looks at videos, the video_id of one with vectors."
            )
    counted = dict(sorted(reasons.items()))
    return Predicted(str(out or store.path(name)), rows, rows - reasons.total(), counted, trained.caution)


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))


def _folder_of(out: Path) -> Files:
    """The table's folder. Raises CsmvError if what lies in its place is none that a run answered."""
    if out.exists():
        metadata: Mapping[bytes, bytes] = {}
        with suppress(pa.ArrowException, OSError):
            metadata = pq.read_schema(out).metadata or {}
        if _RUN_KEY not in metadata:
            raise CsmvError(f"'{out}' is there already and is no table of predictions: name another file with --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    return Files(str(out.parent.absolute()))


def _provenance(store: Store, trained: TrainedRun, asked: str) -> dict[str, str]:
    """What the footer says of where the answers come from."""
    sets = {one.name: set_footer(store, one.name) for one in trained.features}
    return {
        _RUN_KEY.decode(): trained.run,
        "model": trained.config.model,
        "weights_sha256": trained.weights_sha256,
        "features": json.dumps(sets, sort_keys=True),
        "versions": json.dumps(versions(), sort_keys=True),
        "device": trained.device.type,
        "asked_sha256": asked,
    }


def _answered(trained: TrainedRun, comments: Comments, batch_size: int, schema: pa.Schema) -> pa.Table:
    """The table's rows of some comments."""
    reasons = list(comments.reasons)
    for place, video in enumerate(comments.video_ids):
        if reasons[place] is None and any(video is None or one.of(video) is None for one in trained.features):
            reasons[place] = NoAnswer.NO_VECTORS
    asked = np.flatnonzero(np.array([reason is None for reason in reasons], bool))
    texts = Strings.of([comments.texts[place] for place in asked])
    batches = trained.batches(texts, Strings.of([comments.video_ids[place] or "" for place in asked]))
    answers = trained.answer(batches, batches.for_scoring(np.arange(len(asked)), batch_size))
    fine = np.logical_and.reduce([np.isfinite(values).all(1) for values in answers.values()])
    for place in asked[~fine]:
        reasons[place] = NoAnswer.NOT_FINITE
    columns: dict[str, Any] = {
        "row": comments.rows,
        "comment_id": comments.comment_ids,
        "video_id": comments.video_ids,
        "reason": reasons,
    }
    for task, names in TASKS.items():
        values = np.zeros((len(comments), len(names)), np.float32)
        values[asked] = answers[task]
        is_null = np.array([reason is not None for reason in reasons], bool)
        columns[f"predicted_{task}"] = pa.array(names).take(pa.array(values.argmax(1), mask=is_null))
        columns[f"{task}_probabilities"] = pa.FixedSizeListArray.from_arrays(
            pa.array(np.nan_to_num(values).ravel()), len(names), mask=pa.array(is_null)
        )
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)
