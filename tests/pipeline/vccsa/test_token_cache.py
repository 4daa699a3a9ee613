"""Token ids are kept from run to run, stand in for nothing but the same texts, and are forgotten with them."""

import pytest

from csmv.pipeline.privacy.forget import forget
from csmv.pipeline.privacy.forgotten import Request, remember
from csmv.pipeline.vccsa.corpus_columns import Strings, TokenIds
from csmv.pipeline.vccsa.text import HashTokenizer, HubTokenizer
from csmv.pipeline.vccsa.token_cache import FOLDER, MOST_FILES, TokenCache

TEXTS = Strings.of(["so good", "", "bad so bad", "good"])


class Counted(HubTokenizer):
    """Counts the texts that it reads."""

    texts = 0

    def encode(self, texts: list[str], max_tokens: int) -> list[list[int]]:
        self.texts += len(texts)
        return super().encode(texts, max_tokens)


def words_of(*words: str) -> Counted:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(("[PAD]", "[UNK]", *words))}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return Counted(PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"))


def ids_of(tokens: TokenIds) -> list[list[int]]:
    return [ids.tolist() for ids in tokens]


def test_the_same_texts_are_read_once(new_root) -> None:
    store = new_root()
    first, again = words_of("so", "good"), words_of("so", "good")
    expected = ids_of(TokenCache(store).encode(first, TEXTS, 2))
    assert expected == [[2, 3], [1], [1, 2], [3]]

    assert ids_of(TokenCache(store).encode(again, TEXTS, 2)) == expected
    assert (first.texts, again.texts) == (4, 0)
    assert ids_of(TokenCache(store).encode(first, TEXTS, 2)) == expected
    assert first.texts == 4  # a tokenizer that has read is still the same


@pytest.mark.parametrize("other", ["tokenizer", "texts", "most tokens", "damage"])
def test_what_is_not_the_same_is_read(new_root, other: str) -> None:
    store = new_root()
    TokenCache(store).encode(words_of("so", "good"), TEXTS, 2)
    tokenizer = words_of("good", "so") if other == "tokenizer" else words_of("so", "good")
    texts = Strings.of(["so good", "", "bad so ba", "dgood"]) if other == "texts" else TEXTS
    most = 3 if other == "most tokens" else 2
    if other == "damage":
        [name] = store.files(FOLDER)
        store.write_file(name, store.read_file(name)[:-1] + b"!")

    tokens = ids_of(TokenCache(store).encode(tokenizer, texts, most))

    assert tokenizer.texts == 4
    assert tokens == tokenizer.encode(list(texts), most)


@pytest.mark.slow
def test_forgetting_removes_kept_tokens(new_root) -> None:
    store = new_root()
    TokenCache(store).encode(words_of("so", "good"), TEXTS, 2)
    [comment, *_] = store.read_all("comments")["comment_id"].to_pylist()
    forget(store, comment_ids=[comment])
    assert not store.files(FOLDER)


def test_tokens_read_before_a_request_to_forget_are_not_kept_after_it(new_root) -> None:
    store = new_root()
    before = TokenCache(store)
    remember(store, Request(comments=frozenset({"c1"})))

    before.encode(words_of("so", "good"), TEXTS, 2)
    assert not store.files(FOLDER)
    TokenCache(store).encode(words_of("so", "good"), TEXTS, 2)
    assert len(store.files(FOLDER)) == 1


def test_kept_tokens_do_not_pile_up_and_built_in_words_are_not_kept(new_root) -> None:
    store = new_root()
    for most in range(1, MOST_FILES + 2):
        TokenCache(store).encode(words_of("so", "good"), TEXTS, most)
    assert len(store.files(FOLDER)) == 1
    TokenCache(store).encode(HashTokenizer(64), TEXTS, 2)
    assert len(store.files(FOLDER)) == 1
