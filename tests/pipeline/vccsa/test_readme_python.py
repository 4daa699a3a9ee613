"""The README's Python runs as it stands, in a folder with a root of the name that it opens."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.schemas import features_spec
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.store import Store

REPOSITORY = Path(__file__).resolve().parents[3]
GUIDES = ("README.md", "pipeline/README.md")


@pytest.mark.parametrize("guide", GUIDES)
def test_python_that_opens_a_root_runs(
    guide: str, new_root: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [code] = [
        one for one in re.findall(r"```python\n(.*?)```", (REPOSITORY / guide).read_text(), re.S) if "open(" in one
    ]
    store = new_root(videos=10, comments=4)
    for shard in store.shards():
        rows = store.read("features/synthetic", shard)
        if rows is not None:
            store.write("features/i3d", shard, rows, features_spec(32))
    build_split(store, SplitConfig(kind="video"))
    shutil.move(tmp_path / "data", tmp_path / "csmv-root")
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere" / "comments.jsonl").touch()
    monkeypatch.chdir(tmp_path)

    names: dict[str, Any] = {}
    exec(code, names)

    dataset = names["dataset"]
    assert dataset.comments().num_rows == 40
    assert len(dataset.features("i3d")) == 10
    assert (tmp_path / "csmv-root" / "reports" / "index.html").is_file()
