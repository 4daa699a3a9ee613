"""Reads texts with a spaCy pipeline, a token classifier or a GLiNER model, each through Presidio's own wrapper.

One text at a time and on one thread unless a policy says otherwise, so that what is found depends on the text alone.
"""

import re
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from csmv.pipeline.errors import CsmvError, how_to_install
from csmv.pipeline.scrub.label_kinds import PROMPTS, TagScheme, kinds_of
from csmv.pipeline.scrub.model_files import folder_of, shown
from csmv.pipeline.scrub.policy import Kind, NerModel
from csmv.pipeline.scrub.presidio import LANGUAGE, model_wrapper, presidio

Entity = tuple[int, int, str, float]
"""Start, end, label and score of what a model found."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_AT_ONCE = threading.RLock()
"""Fast tokenizers can't be used by two threads at a time, and the number of torch's threads is the process's."""

_SPACY_SCORE = 0.85
"""spaCy gives no score; this is the one that Presidio gives in its place."""
_GLINER_LOWEST = 0.3
"""Presidio's own threshold, below which a GLiNER model reports nothing, where a policy gives it none."""

_MOST_TOKENS = 512
"""Tokens that a model reads together; more cost more than they tell, in texts as short as comments."""
_OVERLAP = 64
"""Tokens that two pieces of a long text share."""
_GLINER_TOKENS = 200
"""Tokens of a piece for a GLiNER model, whose own limit is in words, never more than there are tokens."""
_ROOM = 16
"""Tokens that a piece leaves free: cut out, it may be divided into a few more."""


class ModelReader(ABC):
    """A model that has been loaded.

    Args:
        model: which one, and how it is read.
        labels: all that it has, where they are fixed; else what it is asked for.

    Raises:
        CsmvError: none of the labels means anything here, or the policy names one that the model lacks.
    """

    def __init__(self, model: NerModel, labels: Sequence[str]) -> None:
        self.model = model
        self.name = shown(model)
        self._last: tuple[str | None, tuple[Entity, ...]] = (None, ())
        self.kinds = _meanings(model, labels)
        """Label -> what it means here; the others are not reported."""

    def read(self, text: str) -> tuple[Entity, ...]:
        """What the model finds in a text, in any order. Raises CsmvError if it can't read it."""
        with _AT_ONCE, self._told(len(text)):
            if text != self._last[0]:  # each kind's recogniser asks for its own
                self._last = text, tuple(self._read(_SURROGATE.sub("\ufffd", text)))
            return self._last[1]

    def read_ahead(self, texts: Sequence[str]) -> None:
        """Read several texts together, for the `read` of each that follows; only if the policy says so."""
        if self.model.batch > 1:
            with _AT_ONCE, self._told(sum(map(len, texts))):
                self._read_ahead([_SURROGATE.sub("\ufffd", text) for text in texts])

    @abstractmethod
    def _read(self, text: str) -> Iterator[Entity]: ...

    @abstractmethod
    def _read_ahead(self, texts: Sequence[str]) -> None: ...

    @contextmanager
    def _told(self, characters: int) -> Iterator[None]:
        """Whatever a model runs into is told without the error's own words, which may quote the text."""
        try:
            yield
        except CsmvError:
            raise
        except Exception as error:
            raise CsmvError(
                f"The model '{self.name}' failed on a text of {characters:,} characters ({type(error).__name__}), so "
                "nothing says that the text is clean: try another model or device, or take it out of the policy."
            ) from None


@cache
def reader_of(model: NerModel) -> ModelReader:
    """The model that a policy names, loaded once. Raises CsmvError if it is not there or can't be read."""
    folder = folder_of(model)
    presidio()  # without what this model may not need
    reader: Callable[[NerModel, Path], ModelReader] = _READERS[model.framework]
    with _AT_ONCE, _offline(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return reader(model, folder)
        except CsmvError:
            raise
        except Exception as error:  # whatever a library runs into with files that are not as it expects
            raise CsmvError(
                f"The {model.framework} model '{shown(model)}' can't be loaded ({type(error).__name__}): its files may "
                "be incomplete, of a version that the installed packages don't know, or need code of their own, which "
                "csmv never runs."
            ) from None


def _meanings(model: NerModel, labels: Sequence[str]) -> Mapping[str, Kind]:
    if not model.labels:
        kinds = kinds_of(labels)
        if not kinds:
            raise CsmvError(
                f"None of the labels of the model '{shown(model)}' ({_listed(labels)}) is known: say what they mean, "
                "such as `labels: {PER: PERSON}`."
            )
        return kinds
    by_lower_case = {label.lower(): label for label in labels}
    unknown = [label for label, _ in model.labels if label.lower() not in by_lower_case]
    if unknown:
        raise CsmvError(f"The model '{shown(model)}' has no label '{unknown[0][:40]}'; it has {_listed(labels)}.")
    return {by_lower_case[label.lower()]: kind for label, kind in model.labels}


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:40]) + (" ..." if len(labels) > 40 else "") if labels else "no labels"


@contextmanager
def _offline() -> Iterator[None]:
    """Within the block, the hub's library asks nothing of the network, whatever a model's files refer to."""
    if find_spec("huggingface_hub") is None:
        yield
        return
    import huggingface_hub.constants as hub

    before = hub.HF_HUB_OFFLINE
    hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


@contextmanager
def _one_thread() -> Iterator[None]:
    """Within the block, torch adds up in one order, however many processes share the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------------- spaCy


class _Spacy(ModelReader):
    """A spaCy pipeline, through Presidio's engine and recogniser; only the step of loading is ours, as it downloads."""

    def __init__(self, model: NerModel, folder: Path) -> None:
        import spacy

        nlp_engine, recognizers = presidio().nlp_engine, presidio().predefined_recognizers
        language: Any = spacy.load(folder if Path(model.name).expanduser().is_dir() else model.name)
        labels = sorted({label for pipe in language.pipe_labels.values() for label in pipe})
        super().__init__(model, [label for label in labels if _is_of_entities(language, label)] or labels)
        ignored = [label for label in labels if label not in self.kinds]
        self._engine: Any = nlp_engine.SpacyNlpEngine(
            models=[{"lang_code": LANGUAGE, "model_name": str(folder)}],
            ner_model_configuration=nlp_engine.NerModelConfiguration(
                model_to_presidio_entity_mapping={label: label for label in self.kinds},
                labels_to_ignore=ignored,
                default_score=_SPACY_SCORE,
            ),
        )
        self._engine.nlp = {LANGUAGE: language}
        self._recognizer: Any = recognizers.SpacyRecognizer(
            supported_language=LANGUAGE, supported_entities=list(self.kinds)
        )
        self._longest: int = language.max_length
        self._ahead: dict[str, Any] = {}

    def _read_ahead(self, texts: Sequence[str]) -> None:
        short = [text for text in texts if len(text) <= self._longest]
        self._ahead = dict(self._engine.process_batch(short, LANGUAGE, batch_size=self.model.batch))

    def _read(self, text: str) -> Iterator[Entity]:
        start = 0
        while start < len(text):
            end = start + self._longest
            if end < len(text) and (space := text.rfind(" ", start, end)) > start:
                end = space
            piece = text[start:end]
            artifacts = self._ahead.get(piece) or self._engine.process_text(piece, LANGUAGE)
            for result in self._recognizer.analyze(piece, list(self.kinds), artifacts):
                yield start + result.start, start + result.end, result.entity_type, float(result.score)
            start = end


def _is_of_entities(language: Any, label: str) -> bool:
    """Whether one of a pipeline's steps that find entities, and not its tagger or parser, has a label."""
    return any(
        label in labels
        for name, labels in language.pipe_labels.items()
        if "doc.ents" in language.get_pipe_meta(name).assigns
    )


# ---------------------------------------------------------------------- token classifiers of transformers


class _TokenClassifier(ModelReader):
    """Any token classifier, through Presidio's recogniser for those of Hugging Face.

    Presidio's own step of loading reads pickled weights and asks the network, and its prediction takes a failure for
    a text without findings: neither is used.
    """

    def __init__(self, model: NerModel, folder: Path) -> None:
        _needs(model, "transformers", "torch")
        from presidio_analyzer.chunkers import TokenizerBasedTextChunker
        from transformers import AutoModelForTokenClassification, AutoTokenizer

        with _quiet():
            network: Any = AutoModelForTokenClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not tokenizer.is_fast:
            raise CsmvError(
                f"The model '{shown(model)}' has no fast tokenizer (tokenizer.json), and without one nothing tells "
                "where in a text its findings stand."
            )
        scheme = TagScheme(list(map(str, network.config.id2label.values())))
        super().__init__(model, scheme.names)
        tokenizer.model_max_length = _window(tokenizer, network.config)
        tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True  # it is divided
        room = max(8, tokenizer.model_max_length - tokenizer.num_special_tokens_to_add() - _ROOM)
        self._pipe = _Pipe(_pipeline(network.eval(), tokenizer, scheme, _device(model)), model.batch)
        self._chunker = TokenizerBasedTextChunker(tokenizer, max_tokens=room, overlap_tokens=min(_OVERLAP, room // 4))
        wrapper = model_wrapper("huggingface_ner_recognizer").HuggingFaceNerRecognizer
        self._recognizer: Any = type("TokenClassifier", (wrapper,), {"load": lambda _: None})(
            model_name=str(folder),
            supported_entities=list(scheme.names),
            label_mapping={name: name for name in scheme.names},
            label_prefixes=["\0"],  # there are none any more, and an E-MAIL stays what it is
            threshold=0.0,  # the scrubber's own decide
            device="cpu",
            text_chunker=self._chunker,
        )
        self._recognizer.ner_pipeline = self._pipe

    def _read_ahead(self, texts: Sequence[str]) -> None:
        self._pipe.read_ahead([piece.text for text in texts for piece in self._chunker.chunk(text)])

    def _read(self, text: str) -> Iterator[Entity]:
        for result in self._recognizer.analyze(text, list(self.kinds)):
            yield result.start, result.end, result.entity_type, float(result.score)
        self._pipe.raise_failure()


def _window(tokenizer: Any, config: Any) -> int:
    """How many tokens a model reads together, special ones included."""
    positions = getattr(config, "max_position_embeddings", None) or _MOST_TOKENS
    # RoBERTa's kin count positions from behind the padding's.
    offset = 2 if getattr(config, "position_embedding_type", "") == "absolute" or "roberta" in config.model_type else 0
    return int(min(tokenizer.model_max_length, positions - offset, _MOST_TOKENS))


class _Pipe:
    """A pipeline of transformers as Presidio calls it, which remembers what failed and what was read ahead."""

    def __init__(self, pipeline: Any, batch: int) -> None:
        self._pipeline = pipeline
        self._batch = batch
        self._ahead: dict[str, list[dict[str, Any]]] = {}
        self._failure: Exception | None = None

    def __call__(self, text: str) -> list[dict[str, Any]]:
        if text in self._ahead:
            return self._ahead[text]
        try:
            with _one_thread():
                found: list[dict[str, Any]] = self._pipeline(text)
        except Exception as error:  # Presidio would go on without it
            self._failure = error
            raise
        return found

    def read_ahead(self, texts: Sequence[str]) -> None:
        texts = [text for text in dict.fromkeys(texts) if not text.isspace()]
        with _one_thread():
            self._ahead = dict(zip(texts, self._pipeline(texts, batch_size=self._batch), strict=True)) if texts else {}

    def raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


def _pipeline(network: Any, tokenizer: Any, scheme: TagScheme, device: str) -> Any:
    from transformers import TokenClassificationPipeline

    base: Any = TokenClassificationPipeline

    def named(self: Any, entities: Any) -> dict[str, Any]:
        group: dict[str, Any] = base.group_sub_entities(self, entities)
        return group | {"entity_group": scheme.parts(entities[0]["entity"])[1]}

    # The library's own knows B- and I- alone, and takes the last token of a span for another one.
    marked = type("Marked", (base,), {"get_tag": lambda _, label: scheme.parts(label), "group_sub_entities": named})
    stride = min(_OVERLAP, tokenizer.model_max_length // 4)
    return marked(model=network, tokenizer=tokenizer, device=device, aggregation_strategy="simple", stride=stride)


def _device(model: NerModel) -> str:
    import torch

    if model.device != "cpu" and not torch.cuda.is_available():
        raise CsmvError(
            f"The scrub policy runs the model '{shown(model)}' on {model.device}, and torch finds no such device here: "
            "write `device: cpu`, or run this where there is one."
        )
    return model.device


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block, transformers draws no bars and warns of nothing."""
    from transformers.utils import logging as log

    logging: Any = log
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


# ---------------------------------------------------------------------- GLiNER


class _Gliner(ModelReader):
    """A GLiNER or GLiNER2 model, which is told in plain words what to look for, through Presidio's recogniser for them.

    Presidio knows the package `gliner` alone; a model of `gliner2` answers it through an adapter.
    """

    def __init__(self, model: NerModel, folder: Path) -> None:
        _needs(model, "torch", model.framework)
        from presidio_analyzer.chunkers import TokenizerBasedTextChunker

        super().__init__(model, [label for label, _ in model.labels] or PROMPTS)
        with _quiet():
            network, tokenizer, words = _GLINERS[model.framework](folder, _device(model))
        room = min(_GLINER_TOKENS, words)
        wrapper = model_wrapper("gliner_recognizer").GLiNERRecognizer
        self._recognizer: Any = type("ZeroShot", (wrapper,), {"load": lambda _: None})(
            model_name=str(folder),
            entity_mapping={label: label for label in self.kinds},
            threshold=_GLINER_LOWEST if model.threshold is None else model.threshold,
            map_location=model.device,
            text_chunker=TokenizerBasedTextChunker(tokenizer, max_tokens=room, overlap_tokens=min(_OVERLAP, room // 4)),
        )
        self._recognizer.gliner = network

    def _read(self, text: str) -> Iterator[Entity]:
        with _one_thread():
            for result in self._recognizer.analyze(text, list(self.kinds)):
                yield result.start, result.end, result.entity_type, float(result.score)

    def _read_ahead(self, texts: Sequence[str]) -> None:
        raise CsmvError(f"Presidio reads a {self.model.framework} model text by text: leave `batch` out of its entry.")


def _gliner(folder: Path, device: str) -> tuple[Any, Any, int]:
    """A model of the package gliner, its tokenizer, and how many words it reads together."""
    from gliner import GLiNER

    model: Any = GLiNER.from_pretrained(str(folder), local_files_only=True, map_location=device)
    return model, model.data_processor.transformer_tokenizer, int(model.config.max_len)


def _gliner2(folder: Path, device: str) -> tuple[Any, Any, int]:
    """A model of the package gliner2 behind the interface of gliner's, its tokenizer, and how many words it reads."""
    from gliner2 import AutoExtractor

    model: Any = AutoExtractor.from_pretrained(str(folder), local_files_only=True, map_location=device)
    return _Gliner2(model.eval()), model.processor.tokenizer, _GLINER_TOKENS


class _Gliner2:
    """A model of gliner2, called as one of gliner is."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def predict_entities(self, text: str, labels: list[str], threshold: float, **_: Any) -> list[dict[str, Any]]:
        entities = self._model.extract_entities(
            text, labels, threshold=threshold, include_confidence=True, include_spans=True
        )
        return [
            {"label": label, "score": one["confidence"], "start": one["start"], "end": min(one["end"], len(text))}
            for label, several in entities["entities"].items()
            for one in several
            if one["start"] < len(text)  # it adds a full stop where there is none
        ]


_GLINERS = {"gliner": _gliner, "gliner2": _gliner2}


def _needs(model: NerModel, *packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            install = how_to_install(package) or f"`pip install {package}`"
            raise CsmvError(
                f"The scrub policy asks for the {model.framework} model '{shown(model)}', and the package {package} is "
                f"not installed: {install}, or take the model out of the policy."
            )


_READERS: Mapping[str, Callable[[NerModel, Path], ModelReader]] = {
    "spacy": _Spacy,
    "transformers": _TokenClassifier,
    "gliner": _Gliner,
    "gliner2": _Gliner,
}
