"""Pseudonyms: keyed, stable, and never the same for a user and a comment with one id."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.pseudonym import (
    KEY_FILE,
    KEY_VARIABLE,
    MissingKeyError,
    Pseudonymiser,
    key_fingerprint,
    load_key,
    new_key,
)
from csmv.pipeline.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    return Store.create(str(tmp_path / "root"), DatasetConfig(name="x", source=FolderSource(path=str(tmp_path))))


@pytest.mark.parametrize(
    ("domain", "raw", "pseudonym"),
    [
        # printf 'comment:7679404102228377857' | openssl dgst -sha256 -hmac 'an example key, 32 characters ok'
        ("comment", "7679404102228377857", "c8c04821a1e85fc32390e383e306596cd"),
        ("user", "kayla_rose", "u5c3f6046bf92b8f4951ac987bf248b18"),
        ("user", "\ud83d", "ua520c2ad29b658a74c8289b8abe91558"),  # a lone surrogate, as bytes ED A0 BD
    ],
)
def test_pseudonyms_are_those_of_another_tool(domain: str, raw: str, pseudonym: str) -> None:
    people = Pseudonymiser(SecretStr("an example key, 32 characters ok"))
    assert {"comment": people.comment_id, "user": people.user_id}[domain](raw) == pseudonym


def test_a_key_may_hold_any_character() -> None:
    # printf 'user:im\xc3\xb1a' | openssl dgst -sha256 -hmac 'clé-de-seize-car', sixteen characters
    assert Pseudonymiser(SecretStr("clé-de-seize-car")).user_id("imña") == "u9a7f10e015fc6e38ed3aa6bebd104644"
    assert len(Pseudonymiser(SecretStr("\udce9" + "k" * 31)).user_id("imña")) == 33


def test_ids_are_hashes_under_the_key() -> None:
    one, same, other = (Pseudonymiser(SecretStr(key * 32)) for key in "aab")
    assert one.comment_id("7679404102228377857") == same.comment_id("7679404102228377857")
    assert one.comment_id("7679404102228377857") != other.comment_id("7679404102228377857")
    assert one.comment_id("1") != one.comment_id("2")
    assert one.comment_id("1")[1:] != one.user_id("1")[1:]
    assert len(one.comment_id("1")) == 33
    assert one.user_id("\ud83d")  # a lone surrogate is an id like any other


def test_the_key_is_made_once_and_kept_private(store: Store) -> None:
    key = store.key()
    assert store.key().get_secret_value() == key.get_secret_value()
    assert key.get_secret_value() not in repr(key)
    assert Path(store.path(KEY_FILE)).stat().st_mode & 0o077 == 0


def test_the_key_file_is_where_the_documentation_says_and_holds_256_bits(store: Store) -> None:
    key = store.key().get_secret_value()
    assert (Path(store.root) / "private" / "pseudonym.key").read_text() == key + "\n"
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert re.fullmatch(b"[0-9a-f]{64}\n", new_key())
    assert new_key() != new_key()


def test_two_roots_never_share_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    config = DatasetConfig(name="x", source=FolderSource(path=str(tmp_path)))
    keys = [Store.create(str(tmp_path / name), config).key().get_secret_value() for name in "abcdefgh"]
    assert len(set(keys)) == 8


def test_a_key_that_is_gone_is_none_to_who_can_do_without_and_an_error_to_others(store: Store) -> None:
    assert load_key(store) == store.key()
    store.remove(KEY_FILE)
    assert load_key(store) is None
    with pytest.raises(MissingKeyError):
        store.key()
    store.write_file(KEY_FILE, b"f" * 64)
    for load in (lambda: load_key(store), store.key):
        with pytest.raises(CsmvError, match="not the one"):
            load()


def test_fingerprints_tell_keys_apart_and_are_those_of_another_tool() -> None:
    # printf 'csmv: the fingerprint of a key' | openssl dgst -sha256 -hmac 'an example key, 32 characters ok'
    assert key_fingerprint(SecretStr("an example key, 32 characters ok")) == "ff10c071c918dcd1a87f0726260e1809"
    assert key_fingerprint(SecretStr("an example key, 32 characters OK")) != "ff10c071c918dcd1a87f0726260e1809"
    assert len(key_fingerprint(SecretStr("\udce9" + "k" * 31))) == 32


def test_a_root_made_with_a_key_of_the_environment_keeps_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "e" * 40)
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
    with pytest.raises(CsmvError, match="has 15 characters"):
        Pseudonymiser(SecretStr("k" * 15))
    assert Pseudonymiser(SecretStr("k" * 16)).user_id("1")
