"""The published CSMV files come in as they are, every irregularity counted; a wrong file is one sentence."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import failures_of
from csmv.pipeline.import_published import import_published
from csmv.pipeline.landed_names import known_names
from csmv.pipeline.release.csmv_layout import write_csmv
from csmv.pipeline.release.release_tables import write_splits, write_tables
from csmv.pipeline.scrub import EntityRule, Operator, ScrubPolicy
from csmv.pipeline.sources.published import read_published
from csmv.pipeline.splits import overlap
from csmv.pipeline.store import Store

# Counted from the published files; see the README beside them.
PUBLISHED = {
    "entries": 117057,
    "entry_videos": 8841,
    "comments": {"train": 75086, "dev": 10727, "test": 21454},
    "split_videos": 8210,
    "link_rows": 8210,
    "linked_videos": 8008,
    "repeated_links": 202,
    "split_videos_without_link": 202,
    "null_labels_in_splits": 5,
    "entries_outside_splits": 9790,
    "repeated_pairs_in_splits": 199,
    "test_comments_with_video_in_train": 21426,
    "dev_comments_with_video_in_train": 10712,
}
MAX_BYTES = 1.5e9


@pytest.fixture(scope="module")
def imported(
    shared: Path, tmp_path_factory: pytest.TempPathFactory, peak_memory: Callable[..., tuple[int, str]]
) -> tuple[Store, int]:
    """All of CSMV imported by the command line, with the bytes of memory that took."""
    root = tmp_path_factory.mktemp("csmv") / "root"
    command = ["-m", "csmv.flows.cli", "import", str(shared / "csmv" / "Comments_Anno" / "lable_data_dict.json.zip")]
    command += ["--links", str(shared / "csmv" / "CSMV_rawLinks.xlsx"), "--root", str(root)]
    peak, printed = peak_memory(*command)
    assert "21,426 of 21,454 (99.87%)" in printed
    return Store.open(str(root)), peak


def test_every_count_is_the_published_one(imported: tuple[Store, int]) -> None:
    assert json.loads(imported[0].read_file("import_report.json")) == PUBLISHED


def test_all_of_csmv_fits_into_one_and_a_half_gigabytes(imported: tuple[Store, int]) -> None:
    # Its time is not asserted, because a test machine may be busy: `time csmv import ...` tells it.
    assert imported[1] < MAX_BYTES


def test_tables_hold_every_entry_and_no_handle(imported: tuple[Store, int], shared: Path) -> None:
    store = imported[0]
    videos, comments, labels = (store.read_all(name) for name in ("videos", "comments", "labels"))
    assert (videos.num_rows, comments.num_rows, labels.num_rows) == (8841, 117057, 117057)
    assert pc.all(pc.starts_with(videos["url"], "https://www.tiktok.com/@/video/")).as_py()
    assert labels["opinion"].null_count == 5
    assert labels["emotion"].null_count == 1
    in_splits = pc.is_in(videos["video_id"], value_set=store.read_split("published")["video_id"])
    hashtags = videos.filter(in_splits)["hashtags"]
    assert set(pc.list_value_length(hashtags).to_pylist()) == {1}
    assert len(set(pc.list_flatten(hashtags).to_pylist())) == 35
    entry = comments.filter(pc.equal(comments["comment_id"], "gasprices_2_6815001842360143109.mp4")).to_pylist()[0]
    assert entry["text"] == "How much is gas where you live? ⛽️"
    assert entry["video_id"] == "6815001842360143109"


def test_the_published_split_is_kept_with_its_leak(imported: tuple[Store, int]) -> None:
    split = imported[0].read_split("published")
    assert split.num_rows == 107267
    assert overlap(split, "test") == 21426


# ---------------------------------------------------------------------- a small set, and what can be wrong with it


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """A folder of four entries laid out as the published files are."""
    folder = tmp_path / "anno"
    folder.mkdir()
    entries = {
        f"nba_{number}_{video}.mp4": {
            "video_file_id": f"{video}.mp4",
            "comment": text,
            "opinion_label": "positive",
            "emotion_label": "joy",
            "hashtag": "nba",
        }
        for number, video, text in [
            (1, "6968866098477403398", "what a shot"),
            (2, "6968866098477403398", "write me at someone@example.org"),
            (3, "6968866098477403399", "again, some.one?"),
            (4, "6968866098477403399", "never"),
        ]
    }
    keys = list(entries)
    (folder / "lable_data_dict.json").write_text(json.dumps(entries))
    for part, members in {"train": keys[:2], "dev": keys[2:3], "test": keys[3:]}.items():
        (folder / f"{part}_set.json").write_text(json.dumps(members))
    (folder / "opinion_label_map.json").write_text('{"positive": 0, "neutral": 1, "negative": 2}')
    emotions = ["joy", "disgust", "surprise", "sadness", "trust", "fear", "anger", "anticipation"]
    (folder / "emotion_label_map.json").write_text(json.dumps({name: n for n, name in enumerate(emotions)}))
    (folder / "links.csv").write_text(
        "No.,ID,URL\n1,6968866098477403398, https://www.tiktok.com/@some.one/video/6968866098477403398?is_from_webapp=v1\n"
    )
    return folder


def change(path: Path, **entries: object) -> None:
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | entries))


def test_comments_are_scrubbed_before_they_are_written(annotations: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    import_published(root, annotations, annotations / "links.csv", 2, ScrubPolicy())
    rows = {row["comment_id"]: row for row in Store.open(root).read_all("comments").to_pylist()}
    assert rows["nba_2_6968866098477403398.mp4"]["text"] == "write me at <EMAIL>"
    assert rows["nba_2_6968866098477403398.mp4"]["pii"] == ["EMAIL"]
    assert rows["nba_3_6968866098477403399.mp4"]["text"] == "again, <USERNAME>?", "a creator's handle in the links"
    store = Store.open(root)
    public = [name for name in store.files() if not name.startswith("private/")]
    assert b"some.one" not in b"".join(store.read_file(name) for name in public)
    assert known_names(store).handles == {"some.one"}


def test_an_account_that_is_called_like_a_hashtag_is_nobodys_name(annotations: Path, tmp_path: Path) -> None:
    links = annotations / "links.csv"
    links.write_text(links.read_text().replace("@some.one", "@vinyl.records"))
    dictionary = annotations / "lable_data_dict.json"
    dictionary.write_text(dictionary.read_text().replace('"hashtag": "nba"', '"hashtag": "vinylrecords"'))
    root = str(tmp_path / "root")
    import_published(root, annotations, links, 2, ScrubPolicy())
    assert known_names(Store.open(root)).handles == set()


def test_hashes_have_the_roots_own_key(annotations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CSMV_PSEUDONYM_KEY", raising=False)
    policy = ScrubPolicy(email=EntityRule(operator=Operator.HASH))
    import_published(str(tmp_path / "root"), annotations, annotations / "links.csv", 1, policy)
    texts = Store.open(str(tmp_path / "root")).read_all("comments")["text"].to_pylist()
    assert any(text.startswith("write me at <EMAIL:") for text in texts)


def test_importing_again_changes_no_byte_and_keeps_the_media_columns(annotations: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    import_published(root, annotations, annotations / "links.csv", 1, ScrubPolicy())
    store = Store.open(root)
    before = {name: store.read_file(name) for name in store.files()}
    import_published(root, annotations, annotations / "links.csv", 1, ScrubPolicy())
    assert {name: store.read_file(name) for name in store.files()} == before
    videos = store.read("videos", 0)
    status = videos.set_column(videos.schema.get_field_index("media_status"), "media_status", [["ok", "failed"]])
    store.write("videos", 0, status)
    import_published(root, annotations, annotations / "links.csv", 1, ScrubPolicy())
    assert store.read("videos", 0)["media_status"].to_pylist() == ["ok", "failed"]


def test_a_bad_entry_costs_only_itself(annotations: Path, tmp_path: Path) -> None:
    change(
        annotations / "lable_data_dict.json",
        nothing=None,
        no_text={"video_file_id": "1.mp4", "hashtag": "x"},
        evil={"video_file_id": "../../x.mp4", "comment": "c", "hashtag": "x"},
        odd={"video_file_id": "1.mp4", "comment": "c", "hashtag": "x", "opinion_label": "meh"},
    )
    (annotations / "test_set.json").write_text('["nba_4_6968866098477403399.mp4", "gone_1_2.mp4"]')
    root = str(tmp_path / "root")
    published = import_published(root, annotations, annotations / "links.csv", 2, ScrubPolicy())
    assert published.report()["entries"] == 4
    reasons = {row["key"]: row["reason"] for row in failures_of(Store.open(root))["tables"].to_pylist()}
    assert reasons == {
        "nothing": "bad_row",
        "no_text": "bad_row",
        "evil": "unsafe_id",
        "odd": "bad_row",
        "gone_1_2.mp4": "bad_row",
    }


def test_the_zip_the_json_and_the_folder_are_the_same(annotations: Path) -> None:
    links = annotations / "links.csv"
    plain = read_published(annotations / "lable_data_dict.json", links)
    with zipfile.ZipFile(annotations / "lable_data_dict.json.zip", "w") as archive:
        archive.write(annotations / "lable_data_dict.json", "lable_data_dict.json")
    zipped = read_published(annotations / "lable_data_dict.json.zip", links)
    assert plain.entries == zipped.entries == read_published(annotations, links).entries


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "dev_set.json").unlink(), r"dev_set\.json.* is not there"),
        (lambda f: (f / "dev_set.json").write_text("{}"), r"dev_set\.json: expected a JSON list"),
        (lambda f: (f / "dev_set.json").write_text("[1"), r"dev_set\.json: expected JSON"),
        (lambda f: shutil.copy(f / "test_set.json", f / "dev_set.json"), "listed twice"),
        (lambda f: (f / "lable_data_dict.json").write_text("[]"), "expected a JSON object"),
        (lambda f: (f / "lable_data_dict.json").write_text('{"a": 1}'), "none of its 1 entries"),
        (lambda f: (f / "opinion_label_map.json").write_text('{"good": 0}'), "opinion classes"),
        (lambda f: (f / "links.csv").unlink(), r"links\.csv"),
    ],
)
def test_a_wrong_file_is_one_sentence(annotations: Path, spoil, says: str) -> None:
    spoil(annotations)
    with pytest.raises(CsmvError, match=says) as caught:
        read_published(annotations, annotations / "links.csv")
    assert "\n" not in str(caught.value)


def test_a_wrong_workbook_or_zip_is_one_sentence(annotations: Path) -> None:
    book = annotations / "book.xlsx"
    book.write_bytes(b"no workbook")
    with pytest.raises(CsmvError, match=r"book\.xlsx"):
        read_published(annotations, book)
    (annotations / "lable_data_dict.json.zip").write_bytes(b"no zip")
    with pytest.raises(CsmvError, match="expected a zip"):
        read_published(annotations / "lable_data_dict.json.zip", annotations / "links.csv")


def test_the_command_ends_with_one_sentence_and_no_traceback(annotations: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "csmv.flows.cli",
        "import",
        str(annotations),
        "--links",
        str(annotations / "no.xlsx"),
    ]
    done = subprocess.run([*command, "--root", str(tmp_path / "root")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no.xlsx" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "root").exists()


@pytest.mark.slow
def test_all_of_csmv_goes_out_as_it_came_in(imported: tuple[Store, int], shared: Path, tmp_path: Path) -> None:
    """But for the texts from which the scrub took personal data, and the order of the lists."""
    store = imported[0]
    write_tables(store, tmp_path)
    write_splits(store, ["published"], tmp_path)
    annotations = write_csmv(tmp_path, ["published"], []) / "Comments_Anno"
    theirs = shared / "csmv" / "Comments_Anno"

    scrubbed = {row["comment_id"] for row in store.read_all("comments").to_pylist() if row["pii"]}
    published = json.loads(zipfile.ZipFile(theirs / "lable_data_dict.json.zip").read("lable_data_dict.json"))
    ours = json.loads((annotations / "lable_data_dict.json").read_text())
    assert ours.keys() == published.keys() and len(scrubbed) < 0.001 * len(ours)
    for key, entry in published.items():
        said = ours[key] | ({"comment": entry["comment"]} if key in scrubbed else {})
        wanted = entry | {"video_file_id": f"{entry['video_file_id'].removesuffix('.mp4')}.mp4"}  # one lacks its suffix
        assert said == wanted
    for part in ("train", "dev", "test"):
        lists = (json.loads((folder / f"{part}_set.json").read_text()) for folder in (annotations, theirs))
        assert next(lists) == sorted(next(lists))
    for task in ("opinion", "emotion"):
        maps = [json.loads((folder / f"{task}_label_map.json").read_text()) for folder in (annotations, theirs)]
        assert maps[0] == maps[1]
