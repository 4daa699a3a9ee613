"""Many comments at once: in their order, whatever the batch size; a bad one costs only itself."""

import hashlib
import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import OPINIONS, named_classes
from csmv.pipeline.schemas import TableSpec
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa import train
from csmv.pipeline.vccsa.predict_table import Comments, CommentsOfFile, UnlabelledComments, predict_table
from csmv.pipeline.vccsa.train_config import TrainConfig

TINY = TrainConfig(features=("synthetic",), epochs=1, batch_size=32).replace(
    {"sizes.visual_dim": 8, "sizes.ground_dim": 4, "sizes.consensus_dim": 4, "sizes.scales": 1, "text.tiny_dim": 8}
)


@pytest.fixture(scope="module", autouse=True)
def trained(root: Store) -> Store:
    """The runs `asked-text` and `asked-vccsa`."""
    for model in ("text", "vccsa"):
        train(root, TINY.replace({"model": model}), f"asked-{model}")
    return root


def write_lines(file: Path, *lines: Any) -> Path:
    file.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return file


def comments_of(store: Store) -> list[dict[str, Any]]:
    rows = store.read_all("comments", ["comment_id", "video_id", "text"]).to_pylist()
    return [rows[place] for place in np.random.default_rng(3).permutation(len(rows))]


@pytest.mark.parametrize("model", ["text", "vccsa"])
def test_a_file_is_answered_in_its_order_as_the_run_answered(root: Store, tmp_path: Path, model: str) -> None:
    asked = comments_of(root)[:150]
    file = write_lines(tmp_path / "asked.jsonl", *asked)
    tables = []
    for size in (1, 7, 4096):
        done = predict_table(root, f"asked-{model}", CommentsOfFile(file), tmp_path / f"{size}.parquet", size)
        assert (done.rows, done.answered, done.reasons) == (len(asked), len(asked), {})
        tables.append(pq.read_table(done.path))

    assert tables[0]["comment_id"].to_pylist() == [row["comment_id"] for row in asked]
    assert tables[0]["row"].to_pylist() == list(range(1, len(asked) + 1))
    kept = {
        row["comment_id"]: row
        for row in pq.read_table(root.path(f"models/asked-{model}/predictions.parquet")).to_pylist()
    }
    answers = [row for row in tables[0].to_pylist() if row["comment_id"] in kept]
    assert len(answers) > 20
    for task in ("opinion", "emotion"):
        first = np.array(tables[0][f"{task}_probabilities"].to_pylist())
        for other in tables[1:]:
            np.testing.assert_allclose(np.array(other[f"{task}_probabilities"].to_pylist()), first, rtol=0, atol=1e-6)
            assert other[f"predicted_{task}"].to_pylist() == tables[0][f"predicted_{task}"].to_pylist()
        for row in answers:
            wanted = kept[row["comment_id"]]
            assert row[f"predicted_{task}"] == wanted[f"predicted_{task}"]
            np.testing.assert_allclose(row[f"{task}_probabilities"], wanted[f"{task}_probabilities"], rtol=0, atol=1e-6)


def test_the_same_question_is_the_same_bytes_and_the_footer_says_where_they_come_from(
    root: Store, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "asked.jsonl", *comments_of(root)[:50])
    first, second = (tmp_path / name for name in ("first.parquet", "second.parquet"))
    for out in (first, second):
        predict_table(root, "asked-vccsa", CommentsOfFile(file), out)

    assert first.read_bytes() == second.read_bytes()
    said = {key.decode(): value.decode() for key, value in pq.read_schema(first).metadata.items()}
    assert (said["run"], said["model"], said["device"]) == ("asked-vccsa", "vccsa", "cpu")
    assert said["weights_sha256"] == hashlib.sha256(root.read_file("models/asked-vccsa/best-1.safetensors")).hexdigest()
    assert said["asked_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "torch" in json.loads(said["versions"])
    assert [*json.loads(said["features"])] == ["synthetic"]
    assert named_classes(pq.read_schema(first))["opinion"] == tuple(OPINIONS)


def test_a_bad_row_costs_only_itself_and_is_recorded(root: Store, tmp_path: Path) -> None:
    fine = comments_of(root)[:6]
    bad = [
        b"{no json",
        b'"a text alone"',
        {"video_id": fine[0]["video_id"]},
        {"text": 5},
        b'{"text": "half \\ud83d"}',
        {"text": "an id that is none", "comment_id": [1]},
        b"[" * 100_000,
        b'{"text": "\xff"}',
        b"",
        {"text": "of no video"},
        {"text": "of another video", "video_id": "nowhere"},
    ]
    mixed = write_lines(tmp_path / "mixed.jsonl", *fine[:3], *bad, *fine[3:])
    alone = write_lines(tmp_path / "alone.jsonl", *fine)

    done = predict_table(root, "asked-vccsa", CommentsOfFile(mixed), tmp_path / "mixed.parquet")
    predict_table(root, "asked-vccsa", CommentsOfFile(alone), tmp_path / "alone.parquet")

    assert (done.rows, done.answered, done.reasons) == (17, 6, {"bad_row": 9, "no_vectors": 2})
    rows = pq.read_table(tmp_path / "mixed.parquet").to_pylist()
    assert [row["reason"] for row in rows] == [None] * 3 + ["bad_row"] * 9 + ["no_vectors"] * 2 + [None] * 3
    for row in rows[3:14]:
        assert row["predicted_opinion"] is row["emotion_probabilities"] is None
    for row, wanted in zip(rows[:3] + rows[14:], pq.read_table(tmp_path / "alone.parquet").to_pylist(), strict=True):
        assert row["predicted_emotion"] == wanted["predicted_emotion"]
        np.testing.assert_allclose(row["opinion_probabilities"], wanted["opinion_probabilities"], rtol=0, atol=1e-6)

    by_text = predict_table(root, "asked-text", CommentsOfFile(mixed), tmp_path / "text.parquet")
    assert by_text.reasons == {"bad_row": 9}


def test_a_roots_unlabelled_comments_are_asked_about(new_root: Callable[..., Store]) -> None:
    store = new_root(videos=9)
    train(store, TINY, "mine")
    with pytest.raises(CsmvError, match="no comment without a label"):
        UnlabelledComments(store)
    removed, opened = [], []
    for shard in store.shards():
        rows = store.read("labels", shard)
        assert rows is not None
        left = rows.to_pylist()
        if not left:
            continue
        removed.append(left.pop(0)["comment_id"])
        left[0] |= {"opinion": None, "emotion": None}
        opened.append(left[0]["comment_id"])
        store.write("labels", shard, pa.Table.from_pylist(left, schema=rows.schema))

    done = predict_table(store, "mine", UnlabelledComments(store))

    table = pq.read_table(store.path("models/mine/unlabelled.parquet"))
    assert done.answered == table.num_rows == len(removed) + len(opened)
    assert {*table["comment_id"].to_pylist()} == {*removed, *opened}
    assert table["row"].to_pylist() == list(range(1, table.num_rows + 1))


def test_a_run_that_learnt_without_its_videos_says_so(root: Store, tmp_path: Path) -> None:
    file = CommentsOfFile(write_lines(tmp_path / "asked.jsonl", *comments_of(root)[:5]))
    assert predict_table(root, "asked-vccsa", file, tmp_path / "own.parquet").caution is None
    for video, how in (("none", "zeros"), ("shuffled", "the vectors of other videos")):
        train(root, TINY.replace({"video": video}), f"asked-{video}")
        said = predict_table(root, f"asked-{video}", file, tmp_path / f"{video}.parquet").caution
        assert said is not None and f"with {how}" in said and f"(video={video})" in said


def test_features_of_other_weights_than_a_run_learnt_from_are_refused(
    new_root: Callable[..., Store], tmp_path: Path
) -> None:
    store = new_root(videos=9)
    file = CommentsOfFile(write_lines(tmp_path / "asked.jsonl", *comments_of(store)[:5]))

    def extracted_with(weights: str, device: str) -> None:
        for shard in store.shards():
            if (rows := store.read("features/synthetic", shard)) is not None:
                said = {b"weights_sha256": weights.encode(), b"device": device.encode()}
                rows = rows.replace_schema_metadata({**(rows.schema.metadata or {}), **said})
                store.write("features/synthetic", shard, rows, TableSpec(rows.schema, key=("video_id",)))

    extracted_with("a" * 64, "cpu")
    train(store, TINY, "mine")
    extracted_with("a" * 64, "cuda")
    assert predict_table(store, "mine", file, tmp_path / "same.parquet").answered == 5
    extracted_with("b" * 64, "cpu")
    with pytest.raises(CsmvError, match=r"extracted anew since the run 'mine' .* weights_sha256 \(aaaa.* then, bbbb"):
        predict_table(store, "mine", file, tmp_path / "other.parquet")


class Breaking(CommentsOfFile):
    """A file that can't be read to its end."""

    def pieces(self) -> Iterator[Comments]:
        yield from super().pieces()
        raise OSError("the disk went away")


def test_a_table_appears_whole_or_not_at_all(root: Store, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "asked.jsonl", *comments_of(root)[:5])
    out = tmp_path / "out" / "answers.parquet"
    with pytest.raises(OSError, match="went away"):
        predict_table(root, "asked-text", Breaking(file), out)
    assert [*out.parent.iterdir()] == []

    predict_table(root, "asked-text", CommentsOfFile(file), out)
    before = out.read_bytes()
    with pytest.raises(OSError, match="went away"):
        predict_table(root, "asked-text", Breaking(file), out)
    assert out.read_bytes() == before
    assert [*out.parent.iterdir()] == [out]


def test_what_was_not_done_is_not_said_to_be(root: Store, tmp_path: Path) -> None:
    out = tmp_path / "answers.parquet"
    bad = write_lines(tmp_path / "bad.jsonl", b"{", {"text": "of no video"})
    with pytest.raises(CsmvError, match=r"None of 2 comments could be answered \(1 bad_row, 1 no_vectors\)"):
        predict_table(root, "asked-vccsa", CommentsOfFile(bad), out)
    assert not out.exists()

    fine = CommentsOfFile(write_lines(tmp_path / "fine.jsonl", *comments_of(root)[:2]))
    out.write_bytes(b"a person's")
    with pytest.raises(CsmvError, match="is no table of predictions"):
        predict_table(root, "asked-text", fine, out)
    assert out.read_bytes() == b"a person's"
    for absent, says in ((tmp_path / "absent.jsonl", "no file"), (write_lines(tmp_path / "empty.jsonl"), "no line")):
        with pytest.raises(CsmvError, match=says):
            CommentsOfFile(absent)


MANY = """
    import sys
    from pathlib import Path
    from csmv.pipeline.store import Store
    from csmv.pipeline.vccsa.predict_table import CommentsOfFile, predict_table

    store, file = Store.open(sys.argv[1]), Path(sys.argv[2])
    print(predict_table(store, "asked-vccsa", CommentsOfFile(file), file.with_suffix(".parquet")).answered)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_comments(
    root: Store, tmp_path: Path, peak_memory: Callable[..., tuple[int, str]]
) -> None:
    lines = [json.dumps(row).encode() + b"\n" for row in comments_of(root)]
    peaks = []
    for count in (20_000, 160_000):
        file = tmp_path / f"{count}.jsonl"
        file.write_bytes(b"".join(lines[number % len(lines)] for number in range(count)))
        peak, said = peak_memory("-c", textwrap.dedent(MANY), root.root, str(file))
        assert said.split() == [str(count)]
        peaks.append(peak)
    assert peaks[1] < peaks[0] + (32 << 20), peaks
