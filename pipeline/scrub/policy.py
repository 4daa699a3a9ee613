"""What a scrub looks for and what it puts in its place, as data for `dataset.yaml`. Removes nothing itself."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from csmv.pipeline.validated import Validated


class Kind(StrEnum):
    """The kinds of personal data. They name the placeholders and fill the column `pii` of comments."""

    USERNAME = "USERNAME"
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    URL = "URL"
    IP_ADDRESS = "IP_ADDRESS"
    CREDIT_CARD = "CREDIT_CARD"
    IBAN = "IBAN"
    CRYPTO_WALLET = "CRYPTO_WALLET"
    NATIONAL_ID = "NATIONAL_ID"
    STREET_ADDRESS = "STREET_ADDRESS"
    PERSON = "PERSON"
    LOCATION = "LOCATION"


NER_KINDS = (Kind.PERSON, Kind.LOCATION)
"""Kinds that only a language model finds; everything else needs none. All that the model `ner` is asked for."""


class Operator(StrEnum):
    """What stands in the text where something personal stood."""

    PLACEHOLDER = "placeholder"  # <USERNAME>
    REMOVE = "remove"  # nothing
    HASH = "hash"  # <USERNAME:9f86d081884c>, the same for the same value and key


class EntityRule(Validated):
    """One kind of personal data: whether to look for it, how sure to be, and what to put in its place."""

    # Not "on": YAML reads that as a truth value, even as a key.
    enabled: bool = True
    operator: Operator = Operator.PLACEHOLDER
    threshold: float | None = Field(default=None, ge=0, le=1, description="instead of the policy's own")


def _label_pairs(given: Any) -> Any:
    """A mapping as pairs, which can be hashed; kinds may be written in lower case, as the policy's keys are."""
    pairs = given.items() if isinstance(given, Mapping) else given
    if not isinstance(given, Mapping | tuple | list) or not all(len(pair) == 2 for pair in pairs):
        raise ValueError("expected a mapping of the model's labels to kinds, such as `{PER: PERSON}`")
    return tuple((label, kind.upper() if isinstance(kind, str) else kind) for label, kind in pairs)


Labels = Annotated[tuple[tuple[str, Kind], ...], BeforeValidator(_label_pairs), PlainSerializer(dict)]


class NerModel(Validated):
    """A language model that finds personal data. It must be on this machine: nothing is ever downloaded."""

    framework: Literal["spacy", "transformers", "gliner", "gliner2"] = "spacy"
    name: str = Field(
        default="en_core_web_sm",
        min_length=1,
        description="a folder, an installed spaCy package, or the id of a model in the cache of the Hugging Face hub",
    )
    revision: str | None = Field(
        default=None, pattern="^[0-9a-zA-Z][0-9a-zA-Z._/-]*$", description="of a hub's model: a commit, tag or branch"
    )
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="of all the model's files; others are refused"
    )
    labels: Labels = Field(
        default=(), description="the labels that are read, and the kind that each means; left out, those of usual names"
    )
    threshold: float | None = Field(default=None, ge=0, le=1, description="instead of the policy's and the kind's own")
    device: str = Field(default="cpu", pattern="^(cpu|cuda|cuda:[0-9]+)$", description="`cpu`, `cuda` or `cuda:0`")
    batch: int = Field(
        default=1, ge=1, le=1024, description="texts read together; above 1, scores depend on them in the last digits"
    )


OFF = EntityRule(enabled=False)


class ScrubPolicy(Validated):
    """Which kinds are removed, from what score on, and how.

    Persons and places are off by default: comments speak of public figures, and without them nothing is left to learn
    about sentiment. Turning one on loads the model that `ner` names.
    """

    threshold: float = Field(default=0.5, ge=0, le=1, description="findings of a lower score are left alone")
    username: EntityRule = EntityRule()
    email: EntityRule = EntityRule()
    phone: EntityRule = EntityRule()
    url: EntityRule = EntityRule()
    ip_address: EntityRule = EntityRule()
    credit_card: EntityRule = EntityRule()
    iban: EntityRule = EntityRule()
    crypto_wallet: EntityRule = EntityRule()
    national_id: EntityRule = EntityRule()
    street_address: EntityRule = EntityRule()
    person: EntityRule = OFF
    location: EntityRule = OFF
    ner: NerModel | None = None
    models: tuple[NerModel, ...] = Field(
        default=(), description="second opinions: what they find of the kinds that are on is removed as well"
    )

    @model_validator(mode="after")
    def _model_for_names(self) -> "ScrubPolicy":
        wanted = [kind.lower() for kind in NER_KINDS if self.rule(kind).enabled]
        if wanted and not self.language_models:
            raise ValueError(
                f"'{wanted[0]}' is enabled and needs a model: add `ner: {{framework: spacy, name: en_core_web_sm}}`"
            )
        return self

    def rule(self, kind: Kind) -> EntityRule:
        """The rule for one kind."""
        rule: EntityRule = getattr(self, kind.lower())
        return rule

    def threshold_of(self, kind: Kind) -> float:
        """The score from which a finding of this kind counts."""
        own = self.rule(kind).threshold
        return self.threshold if own is None else own

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that are on."""
        return tuple(kind for kind in Kind if self.rule(kind).enabled)

    @property
    def language_models(self) -> tuple[NerModel, ...]:
        """All models that the policy names."""
        return self.models if self.ner is None else (self.ner, *self.models)

    @property
    def needs_key(self) -> bool:
        """Whether a kind that is on is replaced by a keyed hash."""
        return any(self.rule(kind).operator is Operator.HASH for kind in self.kinds)


class StreamSettings(Validated):
    """How `csmv scrub` reads a stream, and by which policy it scrubs it. Not part of a dataset's configuration."""

    field: tuple[str, ...] = Field(
        default=("text",),
        min_length=1,
        description="the field of a JSON row that is scrubbed, while others stay: text, reply.text, comments[].text "
        'for each item of a list, "a.b" for a key with a dot; a ? at the end if it may be in no row',
    )
    form: Literal["auto", "lines", "jsonl", "json"] = Field(
        default="auto",
        description="what the stream holds: text, an object a line, or a JSON document (an array, or objects over "
        "several lines); auto looks at the first lines",
    )
    bad_rows: Literal["scrub", "stop", "pass", "drop"] = Field(
        default="scrub",
        description="what becomes of a row that is no JSON, or holds something else in the field than text: scrub all "
        "of it, stop there, pass it on as it is, or drop it",
    )
    policy: Path | None = Field(default=None, description="a dataset.yaml, or only its `scrub` section")
    names: Path | None = Field(default=None, description="names to remove wherever they are words, one a line")
    root: str | None = Field(default=None, description="a root to take policy, names and key from")
    jobs: int | None = Field(
        default=None, ge=1, description="processes that scrub; left out, one for each core, or what CSMV_JOBS says"
    )
