"""Which text encoders a run takes: architectures that work, and folders that would train on something else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.vccsa.text import TextTower, keep_encoder, load_encoder
from csmv.pipeline.vccsa.train_config import TextConfig

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "love", "bad", "this", "is", "so", "good", "face", "joy"]
SMALL = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 16, "max_position_embeddings": 32, "pad_token_id": 0}
NUMBERED_FROM_PADDING = SMALL | {"max_position_embeddings": 33}
WIDE = {"vocab_size": len(WORDS), "d_model": 16, "pad_token_id": 0}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "roberta": NUMBERED_FROM_PADDING,
    "mpnet": SMALL | {"max_position_embeddings": 34, "pad_token_id": 1},
    "electra": SMALL | {"embedding_size": 8},
    "deberta": SMALL | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": SMALL | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False},
    "modernbert": SMALL
    | {"num_hidden_layers": 2, "bos_token_id": 2, "eos_token_id": 3}
    | {"cls_token_id": 2, "sep_token_id": 3},
    "distilbert": {"vocab_size": len(WORDS), "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    | {"max_position_embeddings": 32, "pad_token_id": 0},
    "bart": WIDE
    | {"encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 32}
    | {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16},
    "t5": WIDE | {"d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2},
    "xlnet": WIDE | {"n_layer": 1, "n_head": 2, "d_inner": 16},
}
UNLIMITED = ("t5", "xlnet")
"""Relative positions, and no length that they were made for."""


def save_tokenizer(folder: Path, words: list[str]) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


@pytest.fixture(scope="module")
def encoder_of_kind(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with an encoder of toy size and its tokenizer, by the name of its architecture."""
    from transformers import AutoConfig, AutoModel

    def folder_of(kind: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"encoder-{kind}"
        if not folder.is_dir():
            torch.manual_seed(0)
            AutoModel.from_config(AutoConfig.for_model(kind, **ARCHITECTURES[kind])).save_pretrained(folder)
            save_tokenizer(folder, WORDS)
        return folder

    return folder_of


@pytest.fixture
def bert(encoder_of_kind: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of the BERT, to change."""
    return shutil.copytree(encoder_of_kind("bert"), tmp_path / "bert")


def asked(folder: Path, **more: Any) -> TextConfig:
    return TextConfig(encoder=str(folder), **{"max_tokens": 20, **more})


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_an_architecture_gives_each_token_a_vector_that_padding_does_not_move(
    encoder_of_kind: Callable[[str], Path], kind: str, tmp_path: Path
) -> None:
    encoder, tokenizer = load_encoder(asked(encoder_of_kind(kind)))
    [ids] = tokenizer.encode(["so good \U0001f602"], 20)
    padded = torch.tensor([[*ids, tokenizer.pad_id, tokenizer.pad_id]])
    seen = torch.arange(padded.shape[1]) < len(ids)

    tower = TextTower(encoder).eval()
    alone = tower(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool))
    beside = tower(padded, seen[None])
    assert alone.shape == (1, len(ids), 16)
    torch.testing.assert_close(beside[:, : len(ids)], alone, atol=1e-5, rtol=1e-4)

    keep_encoder(encoder, tokenizer, tmp_path)
    again, same_tokenizer = load_encoder(asked(Path("gone")), folder=tmp_path)
    again.load_state_dict(encoder.state_dict())
    assert same_tokenizer.encode(["so good \U0001f602"], 20) == [ids]
    torch.testing.assert_close(TextTower(again).eval()(padded, seen[None]), beside)


@pytest.mark.parametrize("kind", [kind for kind in ARCHITECTURES if kind not in UNLIMITED])
def test_texts_longer_than_an_architecture_reads_are_refused(encoder_of_kind: Callable[[str], Path], kind: str) -> None:
    load_encoder(asked(encoder_of_kind(kind), max_tokens=32))
    with pytest.raises(CsmvError, match="at most 32 tokens, and texts may have 40"):
        load_encoder(asked(encoder_of_kind(kind), max_tokens=40))


def test_a_model_that_reads_no_texts_is_refused(bert: Path) -> None:
    from transformers import ViTConfig, ViTModel

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTModel(ViTConfig(**small, image_size=8, patch_size=4)).save_pretrained(bert)
    with pytest.raises(CsmvError, match=r"'vit', which gives no vector for each token of a text: take another"):
        load_encoder(asked(bert))


def test_a_folder_without_its_tokenizer_is_refused(bert: Path) -> None:
    for file in bert.glob("*token*"):
        file.unlink()
    with pytest.raises(CsmvError, match=r"tokenizer of the text encoder .* has 5 tokens and the encoder 12"):
        load_encoder(asked(bert))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (WORDS[:6], "has 6 tokens and the encoder 12"),
        ([*WORDS, "more"], "tokens up to number 12 and the encoder vectors for 12"),
    ],
)
def test_the_tokenizer_of_another_encoder_is_refused(bert: Path, words: list[str], says: str) -> None:
    save_tokenizer(bert, words)
    with pytest.raises(CsmvError, match=says):
        load_encoder(asked(bert))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_weights_that_do_not_fill_the_encoder_are_refused_by_name(bert: Path) -> None:
    edit_config(bert, num_hidden_layers=2)
    with pytest.raises(CsmvError, match=r"lack encoder\.layer\.1\.\S+ and 15 more .* start from chance"):
        load_encoder(asked(bert))


def test_weights_of_other_shapes_are_refused(bert: Path) -> None:
    edit_config(bert, hidden_size=32)
    with pytest.raises(CsmvError, match=r"other shapes than its config\.json says"):
        load_encoder(asked(bert))


def test_a_pooler_may_be_missing_since_nothing_asks_it(bert: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(bert / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in weights.items() if "pooler" not in name},
        bert / "model.safetensors",
        {"format": "pt"},
    )
    load_encoder(asked(bert))
