"""Text encoders: any Hugging Face directory or hub id, or `tiny`, a small one that is built in and needs no download.

An encoder turns comments into token ids once, and token ids into one vector a token. Nothing here looks at labels.
"""

import json
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.vccsa.batch import Batch
from csmv.pipeline.vccsa.train_config import TextConfig

_WORD = re.compile(r"\w+|[^\w\s]")

_EMOJI_BLOCKS = (
    (0x203C, 0x203D),  # double exclamation mark
    (0x2049, 0x204A),  # exclamation and question mark
    (0x20E3, 0x20E4),  # the frame that makes a digit a keycap
    (0x2190, 0x2200),  # arrows
    (0x2300, 0x2400),  # watches, buttons
    (0x2600, 0x27C0),  # miscellaneous symbols, dingbats
    (0x2B00, 0x2C00),  # stars, squares
    (0x3030, 0x303E),  # wavy dash, part alternation mark
    (0x3297, 0x329A),  # circled ideographs
    (0x1F004, 0x1F005),  # mahjong tile
    (0x1F0CF, 0x1F0D0),  # playing card
    (0x1F170, 0x1F200),  # enclosed letters, and those that flags are made of
    (0x1F300, 0x1F650),  # pictographs, skin tones, faces
    (0x1F680, 0x1F700),  # transport
    (0x1F7E0, 0x1F7F0),  # coloured circles and squares
    (0x1F900, 0x1FA00),  # supplemental pictographs
    (0x1FA70, 0x1FB00),  # extended pictographs
)
EMOJI: tuple[str, ...] = tuple(chr(point) for start, end in _EMOJI_BLOCKS for point in range(start, end))
"""Code points of the Unicode blocks that emoji live in, among them those that later versions may fill."""


_SET_BY_CALLS = ("truncation", "padding")
"""Parts of a tokenizer's description that a call to encode changes."""


class Tokenizer(Protocol):
    """Comments to token ids."""

    pad_id: int

    @property
    def identity(self) -> str | None:
        """What decides the ids of a text besides the text; None if that can't be told, or telling is no gain."""

    def encode(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """At most `max_tokens` ids a text, at least one."""
        ...


class HashTokenizer:
    """Words, numbers and single signs, lower-cased, each hashed into a bucket; it has nothing to learn or to store.

    Id 0 is padding and id 1 opens every text, so that no text is empty.
    """

    pad_id = 0
    identity = None

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def encode(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Ids of the first `max_tokens` - 1 words after the opening one."""
        return [[1, *(self._bucket(word) for word in self._words(text)[: max_tokens - 1])] for text in texts]

    def _words(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())

    def _bucket(self, word: str) -> int:
        return 2 + zlib.crc32(word.encode()) % (self.vocabulary - 2)


class HubTokenizer:
    """The tokenizer that belongs to a Hugging Face model."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self._unknown = int(tokenizer.unk_token_id or self.pad_id)

    def encode(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Ids with the model's own special tokens, cut to `max_tokens`."""
        if not texts:
            return []
        encoded = self._tokenizer(list(texts), truncation=True, max_length=max_tokens, return_attention_mask=False)
        # A tokenizer without special tokens finds nothing in an empty text, and attention to nothing is no number.
        return [list(ids) or [self._unknown] for ids in encoded["input_ids"]]

    @property
    def identity(self) -> str | None:
        """The tokenizer's description, but for what a call sets, and the versions that read it; None for slow ones."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        described = {key: value for key, value in json.loads(backend.to_str()).items() if key not in _SET_BY_CALLS}
        versions = [metadata.version(package) for package in ("tokenizers", "transformers")]
        sides = [self._tokenizer.truncation_side, self._unknown]
        return json.dumps([versions, sides, described], sort_keys=True)

    def save(self, folder: Path) -> None:
        """The tokenizer's files, in Hugging Face's layout."""
        self._tokenizer.save_pretrained(folder)


class Encoded(NamedTuple):
    """What an encoder returns; named as in transformers."""

    last_hidden_state: Tensor  # B, L, T


class TinyEncoder(nn.Module):
    """Hashed word vectors and one small Transformer layer; no pretraining, deterministic from the seed.

    Has no positions beyond the neighbouring words that its convolution sees, so length never limits it.
    """

    def __init__(self, vocabulary: int, dim: int, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.neighbours = nn.Conv1d(dim, dim, kernel_size=3, padding=1, groups=dim)
        self.layer = nn.TransformerEncoderLayer(
            dim, heads, 2 * dim, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Encoded:
        """input_ids and attention_mask (B, L) -> one vector a token; what a padded token gets moves no other."""
        real = attention_mask.bool()
        words = self.embedding(input_ids) * real.unsqueeze(-1)
        words = words + self.neighbours(words.transpose(1, 2)).transpose(1, 2)
        padded = torch.zeros(real.shape, dtype=words.dtype, device=words.device).masked_fill(~real, -1e9)
        return Encoded(self.norm(self.layer(self.dropout(words), src_key_padding_mask=padded)))


class TextTower(nn.Module):
    """An encoder under the key `text_encoder`, where the authors' checkpoints have it.

    is_frozen: it stays in evaluation mode, without dropout, so that a text's vectors are the same in every epoch.
    still: parts of it of which the same is true, where not all of it is.
    """

    def __init__(self, encoder: nn.Module, is_frozen: bool = False, still: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.text_encoder = encoder
        self.is_frozen = is_frozen
        self._still = tuple(still)
        self._crops_keys = _use_real_keys(encoder)

    def train(self, mode: bool = True) -> "TextTower":
        """Training or evaluation mode, the latter always where it is frozen or stays still."""
        super().train(mode and not self.is_frozen)
        for part in self._still:
            part.eval()
        return self

    def words(self, batch: Batch) -> Tensor:
        """E (B, L, T) of a batch, as it is there already or computed; rows of padding may hold anything."""
        if batch.words is not None:
            return batch.words
        vectors: Tensor = self(batch.ids, batch.text_seen, batch.longest)
        return vectors

    def forward(self, ids: Tensor, mask: Tensor, longest: int | None = None) -> Tensor:
        """ids, mask (B, L) -> E (B, L, T), all L rows, padded ones as well. Real tokens come first in every row.

        longest: most real tokens of a row; whoever knows it spares a GPU the wait for it.
        """
        if not self._crops_keys:
            # Whole numbers: some encoders calculate with the mask, which booleans don't allow.
            return self.text_encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state  # type: ignore[no-any-return]
        longest = int(mask.sum(1).max()) if longest is None else longest
        seen = mask[:, None, None, :longest].bool()
        return self.text_encoder(input_ids=ids, attention_mask=seen).last_hidden_state  # type: ignore[no-any-return]


def dim_of(encoder: nn.Module) -> int:
    """T, the width of an encoder's vectors."""
    if isinstance(encoder, TinyEncoder):
        return int(encoder.embedding.embedding_dim)
    return int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]


_MASKED_BY_KEYS = {"roberta", "xlm-roberta", "bert", "camembert", "xlm-roberta-xl"}
"""Encoders whose attention `_real_keys_attention` can stand in for."""

_NUMBERED_FROM_PADDING = {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"}
"""Encoders that count positions over real tokens, from the padding id on; a padded token has the padding id's own."""


def padded_rows_are_equal(encoder: nn.Module) -> bool:
    """Whether, without dropout, all padded rows of a text are one vector, so that one stands for any number of them.

    Elsewhere a padded token's vector depends on where it stands.
    """
    return getattr(getattr(encoder, "config", None), "model_type", "") in _NUMBERED_FROM_PADDING


def load_encoder(
    config: TextConfig, most_tokens: int | None = None, folder: Path | None = None
) -> tuple[nn.Module, Tokenizer]:
    """The encoder and its tokenizer, for texts of `most_tokens` (by default the configuration's `max_tokens`).

    `folder` is one of `keep_encoder`: the encoder is then built from it, its weights still to be loaded. Of a model
    with an encoder and a decoder, such as T5 or BART, it is the encoder.

    Raises:
        CsmvError: it can't be had, its weights don't fill it, its tokenizer is missing or another's, it has too few
            positions, or it is no encoder of texts. The sentence says what to do.
    """
    if config.encoder == "tiny":
        return TinyEncoder(config.tiny_vocabulary, config.tiny_dim), HashTokenizer(config.tiny_vocabulary)
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if folder is not None:
        settings = AutoConfig.from_pretrained(folder, local_files_only=True)
        built = AutoModel.from_config(settings, dtype=torch.float32)  # type: ignore[no-untyped-call]
        return _encoder_of(built), HubTokenizer(AutoTokenizer.from_pretrained(folder, local_files_only=True))
    local = Path(config.encoder).is_dir()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # what it warns of is refused below, in a sentence
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.encoder, local_files_only=local)
        model, loading = AutoModel.from_pretrained(
            config.encoder, local_files_only=local, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        if "ignore_mismatched_sizes" in reason:
            reason = "its weights have other shapes than its config.json says"
        raise CsmvError(
            f"The text encoder '{config.encoder}' can't be loaded ({reason}). Name a directory in Hugging Face's "
            "layout (config.json, tokenizer files, model.safetensors), a hub id that can be reached, or `tiny`."
        ) from None
    finally:
        logging.set_verbosity(verbosity)
    encoder = _encoder_of(model)
    _refuse_unusable(config.encoder, encoder)
    _refuse_another_vocabulary(config.encoder, encoder, tokenizer)
    _refuse_unfilled(config.encoder, model, encoder, loading["missing_keys"])
    _refuse_longer_texts(encoder, most_tokens or config.max_tokens)
    if config.emoji:
        _add_emoji(model, tokenizer)
        encoder.config.vocab_size = model.config.vocab_size  # a decoder's encoder has a configuration of its own
    return encoder, HubTokenizer(tokenizer)


def keep_encoder(encoder: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Write down what builds the encoder and reads texts for it, without weights; nothing for `tiny`."""
    if isinstance(tokenizer, HubTokenizer):
        encoder.config.save_pretrained(folder)
        tokenizer.save(folder)


def _encoder_of(model: Any) -> Any:
    """The model itself, or the encoder of one that also has a decoder."""
    return model.get_encoder() if model.config.is_encoder_decoder else model


_SPARE_SHARE = 0.01
"""Of a vocabulary, the share of rows that may belong to no token: some are padded to a round number."""


def _refuse_another_vocabulary(name: str, encoder: Any, tokenizer: Any) -> None:
    """A folder without tokenizer files still loads: as a tokenizer of nothing but special tokens."""
    rows = encoder.get_input_embeddings().num_embeddings
    ids = tokenizer.get_vocab().values()
    advice = (
        "It is missing from the folder, or another encoder's: put the encoder's own tokenizer files there "
        "(tokenizer.json and tokenizer_config.json, or its vocabulary)."
    )
    if len(ids) < rows - rows * _SPARE_SHARE:
        raise CsmvError(
            f"The tokenizer of the text encoder '{name}' has {len(ids)} tokens and the encoder {rows}, so that most "
            f"words would be unknown. {advice}"
        )
    if max(ids) >= rows:
        raise CsmvError(
            f"The tokenizer of the text encoder '{name}' has tokens up to number {max(ids)} and the encoder vectors "
            f"for {rows}. {advice}"
        )


def _outputs(encoder: Any, tokens: int) -> Tensor:
    """What the encoder makes of a text of so many tokens (1, L, T); a token that counts is any but padding."""
    last = encoder.get_input_embeddings().num_embeddings - 1
    ids = torch.full((1, tokens), last - (encoder.config.pad_token_id == last))
    return encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state  # type: ignore[no-any-return]


def _refuse_unusable(name: str, encoder: Any) -> None:
    tokens = 4
    try:
        with torch.no_grad():
            vectors = _outputs(encoder, tokens)
        is_usable = vectors.shape == (1, tokens, encoder.config.hidden_size)
    except Exception:  # whatever a model that reads no texts makes of one
        is_usable = False
    if not is_usable:
        raise CsmvError(
            f"The text encoder '{name}' is a '{encoder.config.model_type}', which gives no vector for each token of a "
            "text: take another, such as a BERT, RoBERTa, DeBERTa, ModernBERT, Electra, XLNet, T5 or BART."
        )
    if not vectors.isfinite().all():
        raise CsmvError(f"The text encoder '{name}' answers a text with numbers that are not finite: get it again.")


def _refuse_unfilled(name: str, model: Any, encoder: Any, missing: Iterable[str]) -> None:
    """Weights that the file lacks are drawn from chance. A pooler's may, since no vector of a token depends on it."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    absent = {key: parameters[key] for key in missing if key in parameters}
    if not absent:
        return
    vectors = _outputs(encoder, 4)
    gradients = torch.autograd.grad(vectors.square().sum(), [*absent.values()], allow_unused=True)
    lacking = sorted(key for key, gradient in zip(absent, gradients, strict=True) if gradient is not None)
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise CsmvError(
            f"The weights of the text encoder '{name}' lack {lacking[0]}{more} of what its config.json describes, so "
            "that it would start from chance: get the weights that belong to that config.json."
        )


def _refuse_longer_texts(encoder: Any, most_tokens: int) -> None:
    """By what the encoder does, since architectures count positions in different ways, and by what it says of itself.

    Those with relative positions read longer texts than they were trained for without an error.
    """
    stated = getattr(encoder.config, "max_position_embeddings", None)
    fits = most_tokens
    if not _reads(encoder, most_tokens):
        fits, too_many = 1, most_tokens
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            fits, too_many = (middle, too_many) if _reads(encoder, middle) else (fits, middle)
    elif isinstance(stated, int) and 0 < stated < most_tokens:
        fits = stated
    if most_tokens > fits:
        raise CsmvError(
            f"The text encoder reads at most {fits} tokens, and texts may have {most_tokens}: lower "
            "text.max_tokens (for vccsa-paper sizes.paper_text_length) or take another encoder."
        )


def _reads(encoder: Any, tokens: int) -> bool:
    """Whether a text of so many tokens has positions."""
    try:
        with torch.no_grad():
            _outputs(encoder, tokens)
    except (IndexError, RuntimeError):
        return False
    return True


def _add_emoji(encoder: Any, tokenizer: Any) -> None:
    """Give every emoji that the vocabulary lacks a token, whose vector starts as the mean of its name's pieces.

    A word-piece vocabulary of English books knows no emoji and reads a word that touches one as unknown too; names
    such as 'face with tears of joy' hand the new vectors what pretraining knows. Byte-level vocabularies lack none.
    The list is a fixed range of code points, so that a checkpoint's shapes depend on the encoder alone.
    """
    if tokenizer.unk_token_id is None:
        return
    pieces = tokenizer([*EMOJI], add_special_tokens=False, return_attention_mask=False)["input_ids"]
    unknown = [sign for sign, ids in zip(EMOJI, pieces, strict=True) if tokenizer.unk_token_id in ids]
    if not unknown:
        return
    names = [unicodedata.name(sign, "").lower().replace("-", " ") for sign in unknown]
    spelled = tokenizer(names, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    embeddings = encoder.get_input_embeddings().weight.detach().clone()
    tokenizer.add_tokens(unknown)
    encoder.resize_token_embeddings(max(len(tokenizer), len(embeddings)), mean_resizing=False)
    weight = encoder.get_input_embeddings().weight
    with torch.no_grad():
        for sign, ids in zip(unknown, spelled, strict=True):
            known_pieces = [piece for piece in ids if piece != tokenizer.unk_token_id]
            weight[tokenizer.convert_tokens_to_ids(sign)] = (
                embeddings[known_pieces].mean(0) if known_pieces else embeddings.mean(0)
            )


def _use_real_keys(encoder: nn.Module) -> bool:
    """Let a RoBERTa- or BERT-like encoder compute keys' share of attention for real tokens only.

    Padded tokens are never keys, so a mask that ends at the batch's longest text says everything; with 512 rows and
    some 30 real ones this drops nine tenths of the attention and changes no result.
    """
    kind = getattr(getattr(encoder, "config", None), "model_type", "")
    if kind not in _MASKED_BY_KEYS:
        return False
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register("csmv_real_keys", _real_keys_attention)
    AttentionMaskInterface.register("csmv_real_keys", sdpa_mask)
    encoder.set_attn_implementation("csmv_real_keys")  # type: ignore[operator]
    return True


def _real_keys_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """As transformers' own fused attention, with as many keys as the mask has columns."""
    keys = key.shape[2] if attention_mask is None else attention_mask.shape[-1]
    mixed = F.scaled_dot_product_attention(
        query,
        key[:, :, :keys],
        value[:, :, :keys],
        attn_mask=attention_mask,
        dropout_p=dropout,
        scale=scaling,
    )
    return mixed.transpose(1, 2).contiguous(), None
