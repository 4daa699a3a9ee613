"""A root belongs to one source; a person's dataset.yaml stays word for word; what commands did is kept beside it."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.config import RECORDED_FILE, DatasetConfig, create_root, is_ours, read_config, record_section
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.root import CONFIG_FILE, shards_for
from csmv.pipeline.sources.web import Web, WebSource
from csmv.pipeline.store import Store

TEXT = """\
# Our pilot: keep the seed.
name: pilot
n_shards: 2
source: {kind: web, hashtags: [nba]}
"""


def config(**changes: Any) -> DatasetConfig:
    made = {"name": "pilot", "n_shards": 2, "source": {"kind": "web", "hashtags": ["nba"]}}
    return DatasetConfig.model_validate(made | changes)


def said(root: Path) -> str:
    return (root / CONFIG_FILE).read_text()


def test_a_persons_file_stays_word_for_word(tmp_path: Path) -> None:
    store = create_root(str(tmp_path), config(), TEXT)
    record_section(store, "features", FeatureConfig(extractor="i3d"))
    record_section(store, "features", FeatureConfig(extractor="i3d", dtype="float16"))

    assert said(tmp_path) == TEXT
    assert [(one.name, one.dtype) for one in read_config(store).features] == [("i3d", "float16")]


def test_a_file_that_csmv_wrote_is_rewritten_until_a_person_edits_it(tmp_path: Path) -> None:
    store = create_root(str(tmp_path), config())
    record_section(store, "features", FeatureConfig(extractor="i3d"))
    assert is_ours(said(tmp_path)) and "i3d" in said(tmp_path)
    assert not (tmp_path / RECORDED_FILE).exists()

    edited = said(tmp_path) + "# a remark\n"
    (tmp_path / CONFIG_FILE).write_text(edited)
    record_section(store, "features", FeatureConfig(extractor="r2plus1d_18"))
    assert said(tmp_path) == edited
    assert [one.name for one in read_config(store).features] == ["i3d", "r2plus1d_18"]

    with pytest.raises(CsmvError, match="written by a person"):
        create_root(str(tmp_path), config(source={"kind": "web", "hashtags": ["nba", "nfl"]}))
    assert said(tmp_path) == edited


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "other"}, "name 'pilot'"),
        ({"n_shards": 3}, "n_shards '2'"),
        ({"source": {"kind": "folder", "path": "/films"}}, "kind of source 'web'"),
        (
            {"source": {"kind": "research", "hashtags": ["nba"], "start": "2026-01-01", "end": "2026-02-01"}},
            "never mixed",
        ),
        ({"source": {"kind": "web", "hashtags": ["nfl"]}}, "would lose 'nba'.*--replace-source"),
    ],
)
def test_a_root_belongs_to_one_dataset_and_source(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    create_root(str(tmp_path), config())
    before = said(tmp_path)

    with pytest.raises(CsmvError, match=says):
        create_root(str(tmp_path), config(**changes))
    assert said(tmp_path) == before


def test_hashtags_may_grow_and_another_folder_is_taken_when_asked_for(tmp_path: Path) -> None:
    grown = config(source={"kind": "web", "hashtags": ["nba", "nfl"]})
    assert read_config(create_root(str(tmp_path / "web"), config())) != grown
    assert read_config(create_root(str(tmp_path / "web"), grown)) == grown

    one, other = (config(source={"kind": "folder", "path": path}) for path in ("/films", "/other"))
    create_root(str(tmp_path / "folder"), one)
    with pytest.raises(CsmvError, match="'/films' would become '/other'"):
        create_root(str(tmp_path / "folder"), other)
    create_root(str(tmp_path / "folder"), other, replace_source=True)
    assert read_config(Store.open(str(tmp_path / "folder"))) == other


def test_a_file_that_stands_in_a_new_root_makes_it(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text(TEXT)
    create_root(str(tmp_path), config(), TEXT)
    assert said(tmp_path) == TEXT
    assert Store.open(str(tmp_path)).header.name == "pilot"


RECORDS = """
import sys, time
from csmv.pipeline.config import record_section
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.store import Store

root, first, begin = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
store = Store.open(root)
time.sleep(max(0.0, begin - time.time()))
for seed in range(first, first + 15):
    record_section(store, "splits", SplitConfig(kind="video", name=f"seed-{seed}", seed=seed))
"""


@pytest.mark.parametrize("text", [None, TEXT])
def test_commands_that_record_at_once_lose_nothing(tmp_path: Path, text: str | None) -> None:
    create_root(str(tmp_path), config(), text)
    begin = str(time.time() + 4)
    processes = [
        subprocess.Popen([sys.executable, "-c", RECORDS, str(tmp_path), str(first), begin]) for first in (0, 100, 200)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]

    recorded = {split.seed for split in read_config(Store.open(str(tmp_path))).splits}
    assert recorded == {first + k for first in (0, 100, 200) for k in range(15)}


@pytest.mark.parametrize(
    ("videos", "shards"), [(0, 16), (8_210, 16), (15_999, 16), (16_000, 32), (80_000, 128), (10**9, 8192)]
)
def test_the_number_of_shards_suits_the_number_of_videos(videos: int, shards: int) -> None:
    assert shards_for(videos) == shards


def test_a_root_that_leaves_its_shards_out_takes_what_its_source_expects_and_keeps_it(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "comments.jsonl").write_text("")
    text = f"name: x\n# as many as suit it\nsource: {{kind: folder, path: {films}}}\n"
    settings = DatasetConfig.from_yaml(text, "x")
    root = str(tmp_path / "root")

    store = create_root(root, settings, text, expected_videos=20_000)

    assert (store.n_shards, read_config(store).n_shards) == (32, 32)
    assert store.read_file("dataset.yaml").decode() == text
    assert create_root(root, settings, text, expected_videos=90_000).n_shards == 32, "the header has said it"
    with pytest.raises(CsmvError, match="n_shards"):
        create_root(root, DatasetConfig.from_yaml(text + "n_shards: 64\n", "x"), text + "n_shards: 64\n")
    assert create_root(str(tmp_path / "other"), settings, text).n_shards == 16


def test_sources_say_how_many_videos_they_expect(tmp_path: Path) -> None:
    links = tmp_path / "links.txt"
    links.write_text("".join(f"https://www.tiktok.com/@/video/76794025903998894{n:02d}\n" for n in range(7)))
    source = WebSource.model_validate({"hashtags": ["nba", "cats"], "limits": {"videos": 9000}})
    assert Web(source).expected_videos(links) == 18_007
