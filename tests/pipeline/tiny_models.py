"""Language models small enough for a test to make: what they know is a handful of invented words.

They show that models are read as they should be, and nothing of how good a real one is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NAMES = {"Zorvina": "PER", "Quillon": "PER", "Bexhaven": "LOC", "Larkmoor": "LOC"}
PLAIN = ["met", "in", "and", "yesterday", "we", "saw", "the", "film", "call", "me", "at", "from", "with", "so", "good"]


def spacy_folder(folder: Path, patterns: Mapping[str, str]) -> Path:
    """A spaCy pipeline that gives each text of `patterns` its label."""
    import spacy

    language = spacy.blank("en")
    rules = [{"label": label, "pattern": text} for text, label in patterns.items()]
    language.add_pipe("entity_ruler").add_patterns(rules)
    language.to_disk(folder)
    return folder


def wordpiece(words: Sequence[str], pieces: Sequence[str] = ()) -> Any:
    """A fast tokenizer that knows these words, the pieces that words may be made of, and single letters."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: number for number, token in enumerate([*special, *words, *pieces])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return _as_berts(tokenizer, mask_token="[MASK]", model_max_length=64)


def _as_berts(tokenizer: Any, **more: Any) -> Any:
    """The tokenizer in Hugging Face's dress, with a text between [CLS] and [SEP], which are tokens 2 and 3."""
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **more)


def text_encoder(folder: Path) -> Path:
    """A BERT with two layers and random weights in Hugging Face's layout, whose tokenizer knows eight whole words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "love", "bad", "this", "is", "so", "good", "face", "joy"]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    _as_berts(tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=32,
        )
    ).save_pretrained(folder)
    return folder


def token_classifier(
    folder: Path, tags: Mapping[str, str], labels: Sequence[str], plain: Sequence[str] = PLAIN
) -> Path:
    """A BERT with one layer that was trained, in a second, to give each token of `tags` its tag and the others `O`."""
    import torch
    from transformers import BertConfig, BertForTokenClassification

    torch.manual_seed(7)
    words = [token for token in tags if not token.startswith("##")]
    tokenizer = wordpiece([*plain, *words, ".", ","], [token for token in tags if token.startswith("##")])
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    return _trained(BertForTokenClassification(config), tokenizer, tags, folder)


def privacy_filter(folder: Path, tags: Mapping[str, str]) -> Path:
    """As `token_classifier`, of the class of OpenAI's privacy filter, with the labels that it has."""
    import torch
    from transformers import OpenAIPrivacyFilterConfig, OpenAIPrivacyFilterForTokenClassification

    torch.manual_seed(7)
    tokenizer = wordpiece([*PLAIN, *tags])
    config = OpenAIPrivacyFilterConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_local_experts=4,
        num_experts_per_tok=2,
        head_dim=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        eos_token_id=3,
    )
    return _trained(OpenAIPrivacyFilterForTokenClassification(config), tokenizer, tags, folder)


def _trained(model: Any, tokenizer: Any, tags: Mapping[str, str], folder: Path) -> Path:
    import torch

    labels = [model.config.id2label[number] for number in range(len(model.config.id2label))]
    by_token = {tokenizer.convert_tokens_to_ids(token): labels.index(tag) for token, tag in tags.items()}
    target_of = torch.tensor([by_token.get(number, labels.index("O")) for number in range(len(tokenizer))])
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(80):
        ids = torch.randint(0, len(tokenizer), (16, 24))
        loss = model(input_ids=ids, labels=target_of[ids]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def gliner(folder: Path) -> Path:
    """A GLiNER with one layer and random weights: it finds something everywhere, with scores about a half."""
    import torch
    from gliner import GLiNER

    torch.manual_seed(7)
    tokenizer, encoder = _zero_shot_parts(["<<ENT>>", "<<SEP>>", "[FLERT]"])
    tokenizer.save_pretrained(folder)
    settings = {
        "model_name": str(folder),
        "name": "tiny",
        "max_width": 3,
        "hidden_size": 32,
        "dropout": 0.0,
        "max_len": 60,
        "encoder_config": encoder.to_dict(),
        "span_mode": "markerV0",
        "num_rnn_layers": 0,
        "class_token_index": len(tokenizer) - 3,
        "vocab_size": len(tokenizer),
        "subtoken_pooling": "first",
        "words_splitter_type": "whitespace",
        "ent_token": "<<ENT>>",
        "sep_token": "<<SEP>>",
    }
    GLiNER.from_config(settings, backbone_from_pretrained=False).save_pretrained(folder, safe_serialization=True)
    return folder


def gliner2(folder: Path) -> Path:
    """As `gliner`, of the package gliner2."""
    import torch
    from gliner2.configuration import ExtractorConfig
    from gliner2.models.span.model import Extractor

    torch.manual_seed(7)
    tokenizer, encoder = _zero_shot_parts([])
    settings = ExtractorConfig(model_name="tiny", max_width=3)
    Extractor(settings, encoder_config=encoder, tokenizer=tokenizer).save_pretrained(str(folder))
    return folder


def _zero_shot_parts(marks: Sequence[str]) -> tuple[Any, Any]:
    from transformers import BertConfig

    tokenizer = wordpiece([*PLAIN, *NAMES, "person", "location", "email", "entities", ".", ",", ":", "(", ")"])
    tokenizer.add_tokens(list(marks))
    encoder = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
    )
    return tokenizer, encoder


def llava_folder(folder: Path) -> Path:
    """A LLaVA of toy size with random weights, its processor and a chat template, as transformers saves them."""
    import torch
    from tokenizers import Tokenizer, decoders
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    letters = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()), 3)}
    tokenizer = Tokenizer(BPE({"<pad>": 0, "<s>": 1, "</s>": 2, **letters}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    fast.add_special_tokens({"additional_special_tokens": ["<image>"]})
    image = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    template = (
        "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}ANSWER:"
    )
    processor = LlavaProcessor(
        image_processor=image,
        tokenizer=fast,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
        image_token="<image>",
    )
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**small, image_size=16, patch_size=8, projection_dim=16),
        text_config=LlamaConfig(**small, num_key_value_heads=2, vocab_size=len(fast), max_position_embeddings=4096),
        image_token_index=fast.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
