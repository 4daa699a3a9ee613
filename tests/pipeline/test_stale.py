"""What a change makes stale, stage by stage, and that nothing else ever looks stale."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.demo.sample import make_sample
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.scrub import EntityRule
from csmv.pipeline.stages import STAGES
from csmv.pipeline.vccsa import inputs
from csmv.pipeline.vccsa.run_files import document_bytes

ORDER = [stage.name for stage in STAGES if stage.name != "zeroshot"]  # there is no model to ask


def configuration(folder: Path, **changes: object) -> DatasetConfig:
    said = {
        "name": "stale",
        "n_shards": 2,
        "source": {"kind": "folder", "path": str(folder)},
        # Sound needs no network, so that this tests what is stale and not how fast a network is.
        "features": [{"extractor": "mfcc", "workers": 1}],
        "splits": [{"kind": "video"}],
        "train": [{"model": "majority", "split": "video"}, {"model": "tfidf", "split": "video"}],
        "release": {"license": "CC-BY-4.0"},
    }
    return DatasetConfig.model_validate(said | changes)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `videos` and the root that was built of it, side by side."""
    place = tmp_path_factory.mktemp("built")
    make_sample(place / "videos", videos=5, comments_each=8)
    dataset = Dataset.create(str(place / "root"), configuration(place / "videos"))
    for stage in ORDER:
        dataset.run(stage)
    return place


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Path:
    """A copy to change, its folder still where the root says it is."""
    shutil.copytree(built, tmp_path / "copy")
    config = tmp_path / "copy" / "root" / "dataset.yaml"
    config.write_text(config.read_text().replace(str(built / "videos"), str(tmp_path / "copy" / "videos")))
    return tmp_path / "copy"


def stale(place: Path) -> dict[str, int]:
    """Stage -> how many units are stale or missing, of those where any is."""
    found = Dataset.open(str(place / "root")).status()
    return {status.name: left for status in found if (left := status.missing + len(status.stale))}


def edit(place: Path, old: str, new: str) -> None:
    config = place / "root" / "dataset.yaml"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))


def comments(place: Path) -> Iterator[dict[str, object]]:
    """The rows of the folder's list; the sample has lines in it that are none."""
    for line in (place / "videos" / "comments.jsonl").read_text().splitlines():
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                yield row


def edit_comments(place: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    rows = list(comments(place))
    path = place / "videos" / "comments.jsonl"
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows))


def run_on(place: Path, *stages: str) -> None:
    dataset = Dataset.open(str(place / "root"))
    for stage in stages:
        dataset.run(stage)


def test_an_untouched_root_is_never_stale_here_or_elsewhere(built: Path, tmp_path: Path) -> None:
    assert stale(built) == {}
    shutil.copytree(built / "root", tmp_path / "moved" / "root")  # without the folder, as on another machine
    config = tmp_path / "moved" / "root" / "dataset.yaml"
    config.write_text(config.read_text().replace(str(built / "videos"), "/nowhere/here"))
    assert stale(tmp_path / "moved") == {}


def test_a_second_run_of_everything_changes_no_file(place: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in (place / "root").rglob("*") if path.is_file()}

    before = contents()
    run_on(place, *ORDER)
    assert contents() == before


def test_another_scrub_policy_makes_tables_stale_and_then_what_reads_texts(place: Path) -> None:
    dataset = Dataset.open(str(place / "root"))
    policy = dataset.config.scrub.model_copy(update={"username": EntityRule(enabled=False)})
    (place / "root" / "dataset.yaml").write_text(dataset.config.model_copy(update={"scrub": policy}).to_yaml())

    assert stale(place) == {"tables": 2}
    run_on(place, "tables")
    assert stale(place) == {"splits": 1, "train": 2, "report": 1, "release": 1}  # the texts in the audit are others
    run_on(place, "splits", "train", "report")
    with pytest.raises(CsmvError, match="personal data"):  # under the old policy this would have been taken out
        run_on(place, "release")
    assert stale(place) == {"release": 1}


def test_another_clip_rule_is_refused_by_features_and_touches_nothing_else(place: Path) -> None:
    edit(place, "max_clips: 180", "max_clips: 1")
    assert stale(place) == {"features": 2}
    with pytest.raises(CsmvError, match="max_clips '180', and '1' is asked for"):
        run_on(place, "features")


def test_another_media_file_makes_media_then_features_stale(place: Path) -> None:
    one, other = (place / "videos" / f"sample-0{n}.mp4" for n in (1, 2))
    shutil.copyfile(other, one)
    assert stale(place) == {"media": 1}
    run_on(place, "media")
    assert stale(place) == {"features": 1, "splits": 1, "report": 1, "release": 1}
    run_on(place, "features", "splits", "report", "release")
    assert stale(place) == {}


def test_another_label_makes_tables_then_splits_and_runs_stale(place: Path) -> None:
    flip = {"positive": "negative", "negative": "positive", "neutral": "neutral", None: None}
    edit_comments(place, lambda row: row | {"opinion": flip[row.get("opinion")]})  # type: ignore[index]
    assert stale(place) == {"collect": 1}
    run_on(place, "collect")
    assert stale(place) == {"tables": 2}
    run_on(place, "tables")
    assert stale(place) == {"splits": 1, "train": 2, "report": 1, "release": 1}
    run_on(place, "splits", "train", "report", "release")
    assert stale(place) == {}


def test_another_seed_makes_its_split_then_its_runs_stale(place: Path) -> None:
    edit(place, "seed: 3407\n  ratios", "seed: 11\n  ratios")
    assert stale(place) == {"splits": 1}
    run_on(place, "splits")
    assert stale(place) == {"train": 2, "report": 1, "release": 1}


def test_a_request_to_forget_leaves_runs_stale_that_saw_the_comment(place: Path) -> None:
    row = next(row for row in comments(place) if row.get("opinion"))
    dataset = Dataset.open(str(place / "root"))
    forget(dataset.store, comment_ids=[str(row["id"])], source=dataset.source)
    found = stale(place)
    assert found["train"] == 2 and found["report"] == found["release"] == 1
    run_on(place, *ORDER)
    assert stale(place) == {}


def test_runs_of_earlier_training_code_are_stale_whether_or_not_they_say_of_which(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Dataset.open(str(place / "root")).store
    document = next(path for path in store.files("models") if path.endswith("/run.json"))
    said = json.loads(store.read_file(document))
    del said["code"]
    store.write_file(document, document_bytes(said))
    assert stale(place) == {"report": 1}  # which shows what stands in run.json

    monkeypatch.setattr(inputs, "CODE", inputs.CODE + 1)

    assert stale(place)["train"] == 2
    [reason] = {*Dataset.open(str(place / "root")).status()[5].stale.values()}
    assert "earlier version of csmv" in reason
    run_on(place, "train")
    assert "train" not in stale(place)
