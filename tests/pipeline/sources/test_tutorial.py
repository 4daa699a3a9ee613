"""The tutorial's source is a source: its code is taken out of the page and run."""

import json
import re
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import csmv.pipeline.sources
from csmv.pipeline.collect import ingest
from csmv.pipeline.scrub import ScrubPolicy
from csmv.pipeline.store import Store

PAGE = Path(csmv.pipeline.sources.__file__).with_name("README.md")
MOST_LINES = 60


@dataclass(frozen=True)
class Configuration:
    """As much of a dataset.yaml as a root needs to be made: the tutorial's source is in no registry."""

    source: Any
    name: str = "tutorial"
    n_shards: int = 2

    def to_yaml(self) -> str:
        return f"name: {self.name}\nn_shards: {self.n_shards}\nsource: {{kind: {self.source.kind}}}\n"


def test_the_tutorials_source_makes_tables(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(code) == 1 and len(code[0].splitlines()) < MOST_LINES
    module = types.ModuleType("tutorial")
    exec(code[0], vars(module))
    info = {"id": "vid1", "title": "the sea", "uploader": "mona_vex", "view_count": 7, "cookies": "secret=1"}
    comments = [
        {"id": "Ugx1", "parent": "root", "text": "mona_vex again", "author": "kai.river9"},
        {"id": "Ugx1.1", "parent": "Ugx1", "text": "as kai.river9 said", "author": "mona_vex"},
    ]
    (tmp_path / "a.info.json").write_text(json.dumps(info | {"comments": comments}))
    source = module.InfoFiles(module.InfoFilesSource(path=str(tmp_path)))
    store = Store.create(str(tmp_path / "root"), Configuration(source.section))

    ingest(store, source, ScrubPolicy(), store.key())

    rows = {row["text"]: row for row in store.read_all("comments").to_pylist()}
    assert set(rows) == {"<USERNAME> again", "as <USERNAME> said"}
    assert rows["as <USERNAME> said"]["reply_to"] == rows["<USERNAME> again"]["comment_id"]
    (video,) = store.read_all("videos").to_pylist()
    assert (video["description"], video["play_count"]) == ("the sea", 7)
    assert video["creator"] == rows["as <USERNAME> said"]["author"]
    assert ingest(store, source, ScrubPolicy(), store.key()).reused == 2
