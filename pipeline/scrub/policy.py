"""What a scrub looks for and what it puts in its place, as data for `dataset.yaml`. Removes nothing itself."""

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

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
"""Kinds that only a language model finds; everything else needs none."""


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


class NerModel(Validated):
    """The model that finds persons and places, if one is asked for."""

    framework: Literal["spacy", "transformers"] = "spacy"
    name: str = Field(default="en_core_web_sm", min_length=1, description="an installed model, or a folder")


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

    @model_validator(mode="after")
    def _model_for_names(self) -> "ScrubPolicy":
        wanted = [kind.lower() for kind in NER_KINDS if self.rule(kind).enabled]
        if wanted and self.ner is None:
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
    def needs_key(self) -> bool:
        """Whether a kind that is on is replaced by a keyed hash."""
        return any(self.rule(kind).operator is Operator.HASH for kind in self.kinds)


class StreamSettings(Validated):
    """How `csmv scrub` reads a stream, and by which policy it scrubs it. Not part of a dataset's configuration."""

    field: str = Field(default="text", description="the field of a JSON line that is scrubbed; the others stay")
    form: Literal["auto", "lines", "jsonl"] = Field(
        default="auto", description="what the stream holds; auto looks at the first line"
    )
    policy: Path | None = Field(default=None, description="a dataset.yaml, or only its `scrub` section")
    names: Path | None = Field(default=None, description="names to remove wherever they are words, one a line")
    root: str | None = Field(default=None, description="a root to take policy, names and key from")
    jobs: int | None = Field(
        default=None, ge=1, description="processes that scrub; left out, one for each core, or what CSMV_JOBS says"
    )
