"""Damage to a root is noticed: by whoever reads it next, and by `verify`; a smaller dataset is never the answer."""

import json
import multiprocessing
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, record_failures
from csmv.pipeline.manifest import HEADER_FILE
from csmv.pipeline.pseudonym import KEY_FILE, KEY_VARIABLE
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS, FailureReason, features_spec
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

FLIPS = 400
VIDEO_IDS = [f"68150018423601{n:05d}" for n in range(40)]


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def make_root(folder: Path, name: str = "whole") -> Store:
    """A root with rows in every kind of table, differing in every shard."""
    chance = random.Random(7)
    store = Store.create(str(folder), DatasetConfig(name=name, n_shards=3, source=FolderSource(path="x")))
    spec = features_spec(4, "float32", {"extractor": "toy"})
    for shard in store.shards():
        videos = [video for video in VIDEO_IDS if store.shard_of(video) == shard]
        rows = [
            {"video_id": video, "media_status": "pending", "description": f"about {chance.random()}"}
            for video in videos
        ]
        comments = [
            {"comment_id": f"c{video}-{n}", "video_id": video, "text": f"text {chance.random()}", "like_count": n}
            for video in videos
            for n in range(3)
        ]
        labels = [
            {"comment_id": row["comment_id"], "opinion": "positive", "emotion": "joy", "source": "published"}
            for row in comments
        ]
        vectors = [{"video_id": video, "features": [[chance.random() for _ in range(4)]]} for video in videos]
        store.write("videos", shard, pa.Table.from_pylist(rows, schema=VIDEOS.schema), made_from="v")
        store.write("comments", shard, pa.Table.from_pylist(comments, schema=COMMENTS.schema))
        store.write("labels", shard, pa.Table.from_pylist(labels, schema=LABELS.schema))
        store.write("features/toy", shard, pa.Table.from_pylist(vectors, schema=spec.schema), spec)
        record_failures(store, "media", shard, [Failure(videos[0], FailureReason.NETWORK, "later")])
    split = [
        {"comment_id": row["comment_id"], "video_id": row["video_id"], "split": chance.choice(["train", "test"])}
        for row in store.read_all("comments").to_pylist()
    ]
    store.write_split("video", pa.Table.from_pylist(split))
    return store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_root(tmp_path_factory.mktemp("whole") / "root")


@pytest.fixture
def root(whole: Store, tmp_path: Path) -> Store:
    shutil.copytree(whole.root, tmp_path / "root")
    return Store.open(str(tmp_path / "root"))


def tables(store: Store) -> list[str]:
    return [name for name in store.files() if name.endswith(".parquet")]


def read(store: Store, name: str) -> pa.Table | None:
    table, _, shard = name.removesuffix(".parquet").rpartition("/")
    return store.read_split(shard) if table == "splits" else store.read(table, int(shard))


def named(store: Store) -> set[str]:
    return {problem.file for problem in verify(store).problems}


def test_a_root_as_it_was_written_has_no_problem(root: Store) -> None:
    found = verify(root)
    assert (found.problems, found.tables) == ((), 16)


def test_a_flipped_bit_is_never_read_as_data_and_verify_names_the_file(root: Store) -> None:
    chance = random.Random(400)
    names = tables(root)
    before = {name: read(root, name) for name in names}
    wrong = unnamed = 0
    for number in range(FLIPS):
        name = names[number % len(names)]
        path = Path(root.path(name))
        data = path.read_bytes()
        bit = chance.randrange(len(data) * 8)
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        try:
            wrong += not read(root, name).equals(before[name])  # type: ignore[union-attr]
        except CsmvError as error:
            assert name in str(error)
        if number < 40:  # verify reads the whole root each time
            unnamed += name not in named(root)
        else:
            unnamed += not _verify_names(root, name)
        path.write_bytes(data)
    assert (wrong, unnamed) == (0, 0)


def _verify_names(store: Store, name: str) -> bool:
    from csmv.pipeline import verify as module

    found, _ = module._table(store, name)
    return bool(found)


@pytest.mark.parametrize("columns", [["video_id"], ["features"]])
def test_a_flipped_bit_is_noticed_where_only_some_columns_are_read(root: Store, columns: list[str]) -> None:
    chance = random.Random(5)
    path = Path(root.path("features/toy/0001.parquet"))
    data = path.read_bytes()
    right = root.read_columns("features/toy", 1, columns)
    wrong = 0
    for _ in range(FLIPS):
        bit = chance.randrange(len(data) * 8)
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        try:
            found = root.read_columns("features/toy", 1, columns)
            wrong += found is None or not found.equals(right)
        except CsmvError:
            pass
    assert wrong == 0


@pytest.mark.parametrize(
    "name", ["videos/0001.parquet", "comments/0001.parquet", "labels/0001.parquet", "features/toy/0001.parquet"]
)
def test_a_shard_that_was_lost_is_an_error_that_says_how_to_get_it_back(root: Store, name: str) -> None:
    root.remove(name)
    with pytest.raises(CsmvError, match=rf"{name}' should be in the root .* `csmv run (tables|features)`"):
        read(root, name)
    with pytest.raises(CsmvError, match=name):
        root.read_all(name.rsplit("/", 1)[0])
    assert named(root) >= {name}
    assert root.read(name.rsplit("/", 1)[0], 1, remake=True) is None


def test_a_shard_of_another_root_is_noticed(root: Store, tmp_path: Path) -> None:
    other = make_root(tmp_path / "other")
    shutil.copy(other.path("comments/0001.parquet"), root.path("comments/0001.parquet"))
    with pytest.raises(CsmvError, match=r"comments/0001\.parquet' .* was made for another root"):
        root.read("comments", 1)
    assert named(root) == {"comments/0001.parquet"}


def test_a_shard_under_another_number_is_noticed(root: Store) -> None:
    shutil.copy(root.path("comments/0002.parquet"), root.path("comments/0001.parquet"))
    with pytest.raises(CsmvError, match=r"comments/0001\.parquet' .* was made for shard '2'"):
        root.read("comments", 1)
    assert named(root) == {"comments/0001.parquet"}


@pytest.mark.parametrize("left", [0, 3, 200, -1])
def test_a_truncated_shard_is_noticed(root: Store, left: int) -> None:
    path = Path(root.path("videos/0000.parquet"))
    path.write_bytes(path.read_bytes()[:left])
    for reading in (lambda: root.read("videos", 0), lambda: root.read_columns("videos", 0, ["video_id"])):
        with pytest.raises(CsmvError, match=r"videos/0000\.parquet"):
            reading()
    assert named(root) == {"videos/0000.parquet"}


def test_a_folder_where_a_shard_should_be_is_a_sentence(root: Store) -> None:
    Path(root.path("videos/0000.parquet")).unlink()
    Path(root.path("videos/0000.parquet")).mkdir()
    for reading in (lambda: root.read("videos", 0), lambda: root.read_columns("videos", 0, ["video_id"])):
        with pytest.raises(CsmvError, match="is a folder: move it away"):
            reading()


@pytest.mark.parametrize("change", [{"n_shards": 2}, {"n_shards": 4}, {"name": "y"}, {"key": "0" * 32}])
def test_a_header_that_was_changed_by_hand_is_refused(root: Store, change: dict[str, object]) -> None:
    path = Path(root.path(HEADER_FILE))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CsmvError, match="changed by hand"):
        Store.open(root.root)


def test_a_table_that_is_only_begun_is_not_a_smaller_dataset(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=3, source=FolderSource(path="x")))
    store.write("comments", 0, COMMENTS.schema.empty_table())
    with pytest.raises(CsmvError, match="1 of its 3 shards"):
        store.read_all("comments")


def test_a_kill_between_the_manifest_and_the_shard_is_no_damage(root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = root.read("comments", 1)
    assert rows is not None
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_file", _killed)
        with pytest.raises(KeyboardInterrupt):
            root.write("comments", 1, rows.slice(1))
    assert root.read("comments", 1).equals(rows)  # type: ignore[union-attr]
    assert named(root) == set()
    root.write("comments", 1, rows.slice(1))
    assert root.read("comments", 1).num_rows == rows.num_rows - 1  # type: ignore[union-attr]


def _killed(*_arguments: object) -> None:
    raise KeyboardInterrupt


def test_private_is_for_its_owner_alone_from_the_first_byte(tmp_path: Path) -> None:
    script = (
        "import os, sys; os.umask(0o022)\n"
        "from csmv.pipeline.config import DatasetConfig, FolderSource\n"
        "from csmv.pipeline.store import Store\n"
        "store = Store.create(sys.argv[1], DatasetConfig(name='x', source=FolderSource(path='x')))\n"
        "with store.writing('private/media/0000/x.mp4') as file:\n"
        "    file.write(b'half'); file.flush()\n"
        "    print(*(oct(p.stat().st_mode & 0o777) for p in __import__('pathlib').Path(sys.argv[1], 'private')."
        "rglob('*') if p.is_file()))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "root")], capture_output=True, text=True, check=True
    )
    assert set(run.stdout.split()) == {"0o600"}
    private = tmp_path / "root" / "private"
    assert {stat.S_IMODE(path.stat().st_mode) for path in [private, *private.rglob("*")] if path.is_dir()} == {0o700}
    assert stat.S_IMODE((tmp_path / "root" / "dataset.yaml").stat().st_mode) == 0o644


# ---------------------------------------------------------------------- at once


def _create(arguments: tuple[str, int]) -> str:
    """Make a root and say under which key this process gives pseudonyms."""
    root, _ = arguments
    store = Store.create(root, DatasetConfig(name="x", n_shards=4, source=FolderSource(path="x")))
    return store.key().get_secret_value() + store.header.root


def _end(pool: "multiprocessing.pool.Pool") -> None:
    """Let a pool's processes end by themselves: one killed while it holds the queue would keep the others waiting."""
    pool.close()
    pool.join()


@pytest.fixture(scope="module")
def processes() -> "multiprocessing.pool.Pool":
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        yield pool  # type: ignore[misc]
        _end(pool)


def test_processes_that_start_on_a_fresh_root_have_one_key(
    processes: "multiprocessing.pool.Pool", tmp_path: Path
) -> None:
    for attempt in range(25):
        root = str(tmp_path / f"root{attempt}")
        assert len(set(processes.map(_create, [(root, n) for n in range(4)], chunksize=1))) == 1
        assert stat.S_IMODE(Path(root, KEY_FILE).stat().st_mode) == 0o600


def test_processes_that_start_on_a_fresh_bucket_have_one_key(
    processes: "multiprocessing.pool.Pool", s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:  # made now, so that it knows the endpoint
        for attempt in range(5):
            root = f"{s3_bucket}/race{attempt}"
            assert len(set(pool.map(_create, [(root, n) for n in range(4)], chunksize=1))) == 1
        _end(pool)


def _rewrite(arguments: tuple[str, int]) -> None:
    """Write one shard over and over, each time with other rows."""
    root, number = arguments
    store = Store.open(root)
    for turn in range(20):
        rows = [
            {"comment_id": f"c{k}", "video_id": "v", "text": f"{number} {turn} {k}"} for k in range(50 + number + turn)
        ]
        store.write("comments", 0, pa.Table.from_pylist(rows, schema=COMMENTS.schema))
        assert store.read("comments", 0) is not None


def test_two_writers_of_one_shard_never_look_like_damage(
    processes: "multiprocessing.pool.Pool", tmp_path: Path
) -> None:
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=1, source=FolderSource(path="x")))
    store.write("comments", 0, COMMENTS.schema.empty_table())
    running = processes.map_async(_rewrite, [(store.root, n) for n in range(4)], chunksize=1)
    while not running.ready():
        rows = store.read("comments", 0)
        assert rows is not None
        assert len(set(rows["comment_id"].to_pylist())) == rows.num_rows
    running.get()
    assert named(store) == set()


def test_every_change_of_a_published_table_leaves_a_line_in_the_history(root: Store) -> None:
    before = len(root.files("history"))
    rows = root.read("comments", 1)
    assert rows is not None
    root.write("comments", 1, rows)
    assert len(root.files("history")) == before, "nothing changed"
    root.write("comments", 1, rows.slice(2))
    [line] = [json.loads(root.read_file(name)) for name in root.files("history")[before:]]
    assert (line["event"], line["table"], line["shard"], line["rows"]) == ("write", "comments", 1, rows.num_rows - 2)
