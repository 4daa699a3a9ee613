"""Pseudonyms: keyed, stable, and never the same for a user and a comment with one id."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from pipeline.config import DatasetConfig, FolderSource
from pipeline.errors import CsmvError
from pipeline.pseudonym import KEY_FILE, KEY_VARIABLE, Pseudonymiser, load_or_create_key
from pipeline.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    return Store.create(str(tmp_path / "root"), DatasetConfig(name="x", source=FolderSource(path=str(tmp_path))))


def test_ids_are_hashes_under_the_key() -> None:
    one, same, other = (Pseudonymiser(SecretStr(key * 32)) for key in "aab")
    assert one.comment_id("7679404102228377857") == same.comment_id("7679404102228377857")
    assert one.comment_id("7679404102228377857") != other.comment_id("7679404102228377857")
    assert one.comment_id("1") != one.comment_id("2")
    assert one.comment_id("1")[1:] != one.user_id("1")[1:]
    assert len(one.comment_id("1")) == 33
    assert one.user_id("\ud83d")  # a lone surrogate is an id like any other


def test_the_key_is_made_once_and_kept_private(store: Store) -> None:
    key = load_or_create_key(store)
    assert load_or_create_key(store).get_secret_value() == key.get_secret_value()
    assert key.get_secret_value() not in repr(key)
    assert Path(store.path(KEY_FILE)).stat().st_mode & 0o077 == 0


def test_a_root_made_with_a_key_of_the_environment_keeps_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "e" * 40)
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", source=FolderSource(path=str(tmp_path))))

    assert store.key().get_secret_value() == "e" * 40
    assert not store.exists(KEY_FILE)
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(CsmvError, match=r"not in private/pseudonym\.key nor in CSMV_PSEUDONYM_KEY"):
        store.key()


def test_another_key_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "e" * 40)
    with pytest.raises(CsmvError, match="CSMV_PSEUDONYM_KEY is not the one"):
        store.key()
    monkeypatch.delenv(KEY_VARIABLE)
    store.write_file(KEY_FILE, b"f" * 64)
    with pytest.raises(CsmvError, match=r"private/pseudonym\.key is not the one"):
        store.key()


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(CsmvError, match="at least 16"):
        Pseudonymiser(SecretStr("short"))
