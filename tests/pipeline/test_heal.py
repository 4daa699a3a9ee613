"""A root whose comments were written under two keys: verify names the shards, healing gives them their ids."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import SecretStr

from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.heal import heal
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.pseudonym import KEY_VARIABLE, Pseudonymiser
from csmv.pipeline.schemas import LABELS
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.tables import write_shard
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

LOST = SecretStr("the key that was lost, of another process")


@pytest.fixture
def harmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, FolderSource]:
    """One of two shards was written under another key, as two processes on a fresh root once could."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    folder = tmp_path / "videos"
    folder.mkdir()
    rows = [
        {"id": f"76794041022283700{n:02d}", "video": f"v{n % 5}", "text": f"comment number {n}", "opinion": "positive"}
        for n in range(20)
    ]
    rows += [{"id": f"76794041022283711{n:02d}", "video": "v0", "text": "the same words"} for n in range(2)]
    for n in range(5):
        (folder / f"v{n}.mp4").write_bytes(b"never decoded here")
    (folder / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    section = FolderSource(path=str(folder))
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=2, source=section))
    source, policy = source_of(section), DatasetConfig(name="x", source=section).scrub
    ingest(store, source, policy, store.key())
    write_shard(store, source, policy, LOST, store.shard_of("v0"))
    return store, section


def right_ids(store: Store) -> set[str]:
    pseudonyms = Pseudonymiser(store.key())
    numbers = [f"76794041022283700{n:02d}" for n in range(20)] + [f"76794041022283711{n:02d}" for n in range(2)]
    return {pseudonyms.comment_id(number) for number in numbers}


def test_the_harm_is_found_and_healed_and_labels_and_splits_follow(harmed: tuple[Store, FolderSource]) -> None:
    store, section = harmed
    source, policy = source_of(section), DatasetConfig(name="x", source=section).scrub
    shard = store.shard_of("v0")
    old = Pseudonymiser(LOST)
    one, twin = old.comment_id("7679404102228370000"), old.comment_id("7679404102228371100")
    labels = store.read("labels", shard)
    assert labels is not None
    mine = pa.Table.from_pylist(
        [{"comment_id": one, "opinion": "negative", "emotion": "joy", "source": "annotator-1"}], schema=LABELS.schema
    )
    store.rewrite("labels", shard, pa.concat_tables([labels.replace_schema_metadata(mine.schema.metadata), mine]))
    store.write_split("mine", pa.table({"comment_id": [one, twin], "video_id": ["v0", "v0"], "split": ["train"] * 2}))
    found = {problem.file: problem.what for problem in verify(store, source=source).problems}
    assert list(found) == [f"comments/{shard:04d}.parquet"]
    assert "csmv migrate" in found[f"comments/{shard:04d}.parquet"]

    done = heal(store, source, policy, store.key())

    assert (done.comments, done.lost) == (store.read("comments", shard).num_rows, 2)
    assert set(store.read_all("comments")["comment_id"].to_pylist()) == right_ids(store)
    assert verify(store, source=source).problems == ()
    new = Pseudonymiser(store.key()).comment_id("7679404102228370000")
    kept = [row for row in store.read_all("labels").to_pylist() if row["source"] == "annotator-1"]
    assert [(row["comment_id"], row["opinion"]) for row in kept] == [(new, "negative")]
    assert store.read_split("mine")["comment_id"].to_pylist() == sorted([new, twin])
    assert heal(store, source, policy, store.key()).comments == 0


def test_a_comment_of_a_healed_root_can_be_forgotten_again(harmed: tuple[Store, FolderSource]) -> None:
    store, section = harmed
    heal(store, source_of(section), DatasetConfig(name="x", source=section).scrub, store.key())
    assert forget(store, comment_ids=["7679404102228370000"]).comments == 1
