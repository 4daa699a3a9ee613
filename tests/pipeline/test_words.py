"""A root's allow and deny lists: private files, their digests in the configuration, and what they make stale."""

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import CsmvError, UnfinishedError
from csmv.pipeline.policy_words import ALLOW_FILE, DENY_FILE, words_of
from csmv.pipeline.privacy.audit import audit
from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.pseudonym import KEY_VARIABLE
from csmv.pipeline.reshard import reshard
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify
from csmv.pipeline.word_choices import Choices, put_words, read_choices

COMMENTS = ["@starclub77 rocks", "brimworth is nice", "love @lunarpost77", "ruf lunarpost77 an"]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderSource:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    folder = tmp_path / "source"
    folder.mkdir()
    for video in ("v1", "v2"):
        (folder / f"{video}.mp4").write_bytes(b"never decoded here")
    rows = [
        {"id": f"76794041022283700{number}", "video": f"v{number % 2 + 1}", "text": text, "author": "lunarpost77"}
        for number, text in enumerate(COMMENTS, 10)
    ]
    rows[3]["language"] = "de"
    (folder / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return FolderSource(path=str(folder))


@pytest.fixture
def root(source: FolderSource, tmp_path: Path) -> Dataset:
    return made(str(tmp_path / "root"), source)


def made(root: str, source: FolderSource, text: str | None = None, **scrub: Any) -> Dataset:
    config = DatasetConfig.model_validate({"name": "words", "n_shards": 2, "source": source, "scrub": scrub})
    dataset = Dataset.create(root, config, text)
    for stage in ("collect", "tables"):
        dataset.run(stage)
    return dataset


def texts(dataset: Dataset) -> set[str]:
    return set(Dataset.open(dataset.store.root).comments()["text"].to_pylist())


def stale(dataset: Dataset) -> int:
    (tables,) = (one for one in Dataset.open(dataset.store.root).status() if one.name == "tables")
    return tables.missing + len(tables.stale)


def test_words_make_the_tables_stale_and_then_hold_in_them(root: Dataset) -> None:
    assert texts(root) == {"<USERNAME> rocks", "brimworth is nice", "love <USERNAME>", "ruf <USERNAME> an"}
    assert stale(root) == 0
    listed = put_words(root.store, Choices(allow=("starclub77",), deny=("Brimworth", "love")))
    assert (listed["allow"].words, listed["allow"].new) == (1, 1)
    assert (listed["deny"].words, listed["deny"].ordinary) == (2, ("love",))
    assert stale(root) == 2

    Dataset.open(root.store.root).run("tables")
    assert texts(root) == {"@starclub77 rocks", "<USERNAME> is nice", "love <USERNAME>", "ruf <USERNAME> an"}
    assert stale(root) == 0
    assert audit(root.store).hits == ()


def test_an_allowed_name_of_the_crawl_is_no_hit_of_the_audit(root: Dataset) -> None:
    put_words(root.store, Choices(allow=("lunarpost77",)))
    Dataset.open(root.store.root).run("tables")
    assert "ruf lunarpost77 an" in texts(root)
    assert audit(root.store).hits == ()


def test_words_stand_in_private_files_alone(root: Dataset) -> None:
    put_words(root.store, Choices(allow=("starclub77",), deny=("brimworth", "alpha quell", "Brimworth")))
    place = Path(root.store.root)
    for file in (ALLOW_FILE, DENY_FILE):
        assert stat.S_IMODE((place / file).stat().st_mode) == 0o600
    written = (place / DENY_FILE).read_text().splitlines()
    assert written[0].startswith("# csmv ") and written[1:] == ["alpha quell", "Brimworth"]
    Dataset.open(root.store.root).run("tables")
    for path in place.rglob("*"):
        if path.is_file() and "private" not in path.relative_to(place).parts:
            assert b"brimworth" not in path.read_bytes().lower(), path


def test_the_digest_of_one_word_can_not_be_guessed(root: Dataset, source: FolderSource, tmp_path: Path) -> None:
    """dataset.yaml is published: a plain hash of a short list would let anybody test who is on it."""
    other = made(str(tmp_path / "other"), source)
    digests = []
    for dataset in (root, other):
        put_words(dataset.store, Choices(deny=("brimworth",)))
        digests.append(read_config(dataset.store).scrub.deny)
    assert digests[0] != digests[1]


def test_the_same_words_again_change_nothing(root: Dataset) -> None:
    put_words(root.store, Choices(allow=("starclub77",), deny=("brimworth",)))
    before = {path: path.read_bytes() for path in Path(root.store.root).rglob("*") if path.is_file()}
    put_words(root.store, Choices(deny=("brimworth",)))
    put_words(root.store, Choices())
    assert {path: path.read_bytes() for path in Path(root.store.root).rglob("*") if path.is_file()} == before


def test_a_later_decision_moves_a_word_to_the_other_list(root: Dataset) -> None:
    put_words(root.store, Choices(deny=("starclub77", "brimworth")))
    listed = put_words(root.store, Choices(allow=("@StarClub77",)))
    assert (listed["deny"].words, listed["deny"].moved) == (1, 1)
    words = words_of(root.store, read_config(root.store).scrub)
    assert (words.allow, words.deny) == (("@StarClub77",), ("brimworth",))
    with pytest.raises(CsmvError, match="1 of these words are to be allowed and denied") as error:
        put_words(root.store, Choices(allow=("starclub77",), deny=("StarClub77",)))
    assert "tarclub" not in str(error.value).lower()


def test_lists_that_were_changed_by_hand_are_refused_until_they_are_taken(root: Dataset) -> None:
    put_words(root.store, Choices(deny=("brimworth",)))
    path = Path(root.store.path(DENY_FILE))
    path.write_text("alphaquell\n")
    with pytest.raises(CsmvError, match="is another one"):
        Dataset.open(root.store.root).run("tables")
    path.unlink()
    with pytest.raises(CsmvError, match="is not there"):
        Dataset.open(root.store.root).run("tables")
    path.write_text("alphaquell\n# why\nis\n")
    put_words(root.store, Choices())
    assert path.read_text() == "alphaquell\n# why\nis\n", "as a person wrote it"
    Dataset.open(root.store.root).run("tables")


def test_a_file_of_a_persons_own_stays_and_the_lists_apply(source: FolderSource, tmp_path: Path) -> None:
    text = f"# mine\nname: words\nn_shards: 2\nsource: {{kind: folder, path: {source.path}}}\n"
    root = Dataset.create(str(tmp_path / "own"), DatasetConfig.from_yaml(text, "own"), text)
    put_words(root.store, Choices(deny=("brimworth",)))
    assert root.store.read_file("dataset.yaml").decode() == text
    dataset = Dataset.open(root.store.root)
    assert dataset.scrub.deny is not None
    for stage in ("collect", "tables"):
        dataset.run(stage)
    assert "<USERNAME> is nice" in texts(dataset)

    named = f"{text}scrub: {{deny: {dataset.scrub.deny}}}\n"
    root.store.write_file("dataset.yaml", named.encode())
    with pytest.raises(UnfinishedError, match=r"put `deny: [0-9a-f]{64}` into its `scrub` section"):
        put_words(root.store, Choices(deny=("alphaquell",)))


def test_another_configuration_of_the_root_keeps_the_lists(root: Dataset, source: FolderSource) -> None:
    put_words(root.store, Choices(deny=("brimworth",)))
    text = f"name: words\nn_shards: 2\nsource: {{kind: folder, path: {source.path}}}\n"
    again = Dataset.create(root.store.root, DatasetConfig.from_yaml(text, "x"), text)
    assert again.scrub.deny == read_config(root.store).scrub.deny is not None


def test_a_forgotten_person_is_never_allowed(root: Dataset) -> None:
    put_words(root.store, Choices(allow=("@lunarpost77", "starclub77")))
    Dataset.open(root.store.root).run("tables")
    assert "love @lunarpost77" in texts(root)
    forget(root.store, handles=["lunarpost77"], source=root.source)
    words = words_of(root.store, read_config(root.store).scrub)
    assert words.allow == ("starclub77",)
    Dataset.open(root.store.root).run("tables")
    assert not any("lunarpost" in text for text in texts(root))


@pytest.mark.parametrize(("name", "file"), [("allow", ALLOW_FILE), ("deny", DENY_FILE)])
def test_verify_compares_a_list_with_its_digest(root: Dataset, name: str, file: str) -> None:
    put_words(root.store, Choices(**{name: ("starclub77",)}))
    assert verify(root.store).problems == ()
    data = root.store.read_file(file)
    root.store.write_file(file, data + b"brimworth\n")
    (changed,) = verify(root.store).problems
    assert (changed.file, "is another one" in changed.what, "csmv words --root" in changed.what) == (file, True, True)
    root.store.write_file(file, b"\xff\xfe\n")
    assert [problem.file for problem in verify(root.store).problems] == [file]
    Path(root.store.path(file)).unlink()
    (lost,) = verify(root.store).problems
    assert (lost.file, "is not there" in lost.what, "starclub77" in changed.what + lost.what) == (file, True, False)
    root.store.write_file(file, data)
    assert verify(root.store).problems == ()


@pytest.mark.parametrize(("name", "file"), [("allow", ALLOW_FILE), ("deny", DENY_FILE)])
def test_forgetting_names_a_list_that_still_holds_the_person(root: Dataset, name: str, file: str) -> None:
    put_words(root.store, Choices(**{name: ("lunarpost77", "starclub77")}))
    left = forget(root.store, handles=["lunarpost77"]).left
    (sentence,) = [one for one in left if one.startswith(file)]
    assert "csmv words --root" in sentence and "lunarpost" not in sentence
    lines = root.store.read_file(file).decode().splitlines()
    root.store.write_file(file, "".join(f"{line}\n" for line in lines if line != "lunarpost77").encode())
    put_words(root.store, Choices())
    assert not any(one.startswith(file) for one in forget(root.store, handles=["lunarpost77"], even_unknown=True).left)
    assert verify(root.store).problems == ()


def test_lists_go_with_a_root_that_gets_other_shards(root: Dataset, tmp_path: Path) -> None:
    put_words(root.store, Choices(deny=("brimworth",)))
    Dataset.open(root.store.root).run("tables")
    reshard(root.store.root, str(tmp_path / "new"), 3)
    new = Dataset.open(str(tmp_path / "new"))
    assert words_of(new.store, new.scrub).deny == ("brimworth",)
    assert texts(new) == texts(root)


def test_lists_on_s3(s3_bucket: str, source: FolderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a key that is long enough")
    remote = made(f"{s3_bucket}/words", source)
    put_words(remote.store, Choices(allow=("starclub77",), deny=("brimworth",)))
    Dataset.open(remote.store.root).run("tables")
    assert {"@starclub77 rocks", "<USERNAME> is nice"} < texts(remote)
    assert Store.open(remote.store.root).exists(DENY_FILE)


def test_rules_of_a_language_hold_for_comments_of_that_language(source: FolderSource, tmp_path: Path) -> None:
    root = made(str(tmp_path / "de"), source, languages={"de": {"username": {"operator": "mask"}}})
    assert {"love <USERNAME>", "ruf *********** an"} < texts(root)
    assert audit(root.store).hits == ()


@pytest.mark.parametrize("decisions", ["", "[]", '{"allow": "x"}', '{"allow": [1]}', '{"allowed": []}'])
def test_decisions_that_are_none_are_refused(decisions: str, tmp_path: Path) -> None:
    (tmp_path / "decisions.json").write_text(decisions)
    with pytest.raises(CsmvError, match=r"decisions\.json: expected JSON such as"):
        read_choices(tmp_path / "decisions.json")


def test_decisions_of_a_review(tmp_path: Path) -> None:
    (tmp_path / "decisions.json").write_text(
        json.dumps({"allow": [" Zorvan\n Quell ", "#club", ""], "deny": ["!love"]})
    )
    assert read_choices(tmp_path / "decisions.json") == Choices(("Zorvan Quell", "club"), ("!love",))


def test_a_copy_of_a_root_without_private_says_what_is_missing(root: Dataset, tmp_path: Path) -> None:
    put_words(root.store, Choices(deny=("brimworth",)))
    shutil.copytree(root.store.root, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "private" / "policy")
    with pytest.raises(CsmvError, match=r"private/policy/deny\.txt"):
        words_of(Store.open(str(tmp_path / "copy")), read_config(root.store).scrub)
