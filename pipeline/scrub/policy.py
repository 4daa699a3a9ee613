"""What a scrub looks for and what it puts in its place, as data for `dataset.yaml`. Removes nothing itself."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from csmv.pipeline.scrub.pattern_check import LONGEST, refusal
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
    IDENTIFIER = "IDENTIFIER"  # found by patterns of the policy's own and by models


NER_KINDS = (Kind.PERSON, Kind.LOCATION)
"""Kinds that only a language model finds; everything else needs none. All that the model `ner` is asked for."""


class Operator(StrEnum):
    """What stands in the text where something personal stood."""

    PLACEHOLDER = "placeholder"  # <USERNAME>
    REMOVE = "remove"  # nothing
    HASH = "hash"  # <USERNAME:9f86d081884c>, the same for the same value and key
    MASK = "mask"  # ********98, as long as what stood there
    REPLACE = "replace"  # a text of one's own


class Sparse(Validated):
    """A section that is written without the fields that have their default, but for those that it always had.

    The digest of a policy is made of what is written: a field that a later version adds changes no root's.
    """

    always: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in handler(self).items()
            if name in self.always or getattr(self, name) != fields[name].get_default(call_default_factory=True)
        }


MASKS = "*█■●"
"""Signs that no recogniser reads as part of anything."""
OPENING, CLOSING = "[({<«‹【", "])}>»›】"
_STRANGE = re.compile(r"[@:/\\#&+\n\r\t\0]|\d{4}|\w\.\w")


class Mask(Sparse):
    """How a finding is masked: it keeps its length, and of its characters these."""

    char: str = Field(default="*", description=f"one of the signs {' '.join(MASKS)}")
    keep_first: int = Field(default=0, ge=0, description="characters left at the beginning")
    keep_last: int = Field(default=0, ge=0, description="characters left at the end; at most half of all are left")

    @field_validator("char")
    @classmethod
    def _inert(cls, char: str) -> str:
        if len(char) != 1 or char not in MASKS:
            raise ValueError(f"expected one of {' '.join(MASKS)}: other signs may be read as part of a name or number")
        return char


def _own_text(text: str | None) -> str | None:
    """A text to put in the place of a finding. Raises ValueError if it may be read as a finding itself."""
    if text is None:
        return None
    if not text.strip() or text != text.strip() or len(text) > 80:
        raise ValueError("expected a text of 1 to 80 characters without spaces around it; `operator: remove` is none")
    if _STRANGE.search(text):
        raise ValueError(
            "the text would itself be read as a handle, link, address or number and be scrubbed again: take one "
            "without @ : / # & + and long numbers, such as '[user]'"
        )
    return text


class _Action(Sparse):
    """What is put in the place of a finding, in words that go together."""

    @model_validator(mode="before")
    @classmethod
    def _operator_from_its_setting(cls, data: Any) -> Any:
        """`replace: "[user]"` alone says which operator, and so does `mask`."""
        if isinstance(data, dict) and data.get("operator") is None:
            for name in ("replace", "mask"):
                if data.get(name) is not None:
                    return {**data, "operator": name}
        return data

    @model_validator(mode="after")
    def _goes_together(self) -> Any:
        operator = getattr(self, "operator")  # noqa: B009  (of the classes below)
        for name in ("replace", "mask"):
            if getattr(self, name) is not None and operator != name:
                raise ValueError(f"`{name}` belongs to `operator: {name}`, and the operator is '{operator}'")
        if operator is Operator.REPLACE and getattr(self, "replace") is None:  # noqa: B009
            raise ValueError("`operator: replace` needs the text: add `replace: '[user]'`")
        return self


class EntityRule(_Action):
    """One kind of personal data: whether to look for it, how sure to be, and what to put in its place."""

    always = frozenset(("enabled", "operator", "threshold"))

    # Not "on": YAML reads that as a truth value, even as a key.
    enabled: bool = True
    operator: Operator = Operator.PLACEHOLDER
    threshold: float | None = Field(default=None, ge=0, le=1, description="instead of the policy's own")
    mask: Mask | None = Field(default=None, description="how to mask: char, keep_first, keep_last")
    replace: str | None = Field(default=None, description="a text of one's own, such as '[user]'")

    _checked = field_validator("replace")(_own_text)


class LanguageRule(_Action):
    """What is otherwise for one kind in texts of one language; what is left out is as in other texts."""

    enabled: bool | None = None
    operator: Operator | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    mask: Mask | None = None
    replace: str | None = None

    _checked = field_validator("replace")(_own_text)

    def over(self, rule: EntityRule) -> EntityRule:
        """`rule` with what this one says laid over it."""
        given = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        if "operator" in given:
            given = {"mask": None, "replace": None} | given
        return rule.model_copy(update=given)


def _label_pairs(given: Any) -> Any:
    """A mapping as pairs, which can be hashed; kinds may be written in lower case, as the policy's keys are."""
    pairs = given.items() if isinstance(given, Mapping) else given
    if not isinstance(given, Mapping | tuple | list) or not all(len(pair) == 2 for pair in pairs):
        raise ValueError("expected a mapping of the model's labels to kinds, such as `{PER: PERSON}`")
    return tuple((label, kind.upper() if isinstance(kind, str) else kind) for label, kind in pairs)


Framework = Literal["spacy", "transformers", "gliner", "gliner2"]
Labels = Annotated[tuple[tuple[str, Kind], ...], BeforeValidator(_label_pairs), PlainSerializer(dict)]


class NerModel(Sparse):
    """A language model that finds personal data. It must be on this machine: nothing is ever downloaded."""

    always = frozenset(("framework", "name"))

    framework: Framework = "spacy"
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


class OwnPattern(Sparse):
    """Something that a policy describes itself: a regular expression, and how sure what fits it is.

    A score below the kind's threshold counts only where a word of the context is near.
    """

    name: str = Field(pattern=r"^\w[\w .-]{0,59}$", description="what it is called in errors and figures")
    kind: Kind = Field(description="what is found; identifier where none of the kinds fits")
    regex: str = Field(min_length=1, max_length=LONGEST, description="a regular expression, in any casing")
    context: tuple[str, ...] = Field(default=(), description="words that raise the score to the threshold, if near")
    score: float = Field(default=0.5, ge=0, le=1)
    language: str | None = Field(default=None, pattern="^[a-z]{2,3}$", description="a language's code, such as 'de'")

    @field_validator("kind", mode="before")
    @classmethod
    def _in_any_casing(cls, kind: Any) -> Any:
        if isinstance(kind, str) and kind.upper() not in set(Kind):
            kinds = ", ".join(sorted(Kind)).lower()
            raise ValueError(f"there is no kind '{kind[:40]}'; the kinds are {kinds}")
        return kind.upper() if isinstance(kind, str) else kind

    @field_validator("context")
    @classmethod
    def _words(cls, context: tuple[str, ...]) -> tuple[str, ...]:
        if not all(any(map(str.isalnum, word)) for word in context):
            raise ValueError("expected words, and found one without letters")
        return context

    @model_validator(mode="after")
    def _safe(self) -> "OwnPattern":
        if problem := refusal(self.regex):
            raise ValueError(f"the pattern '{self.name}' {problem}")
        return self


OFF = EntityRule(enabled=False)


class LanguageRules(Sparse):
    """What is otherwise in texts of one language."""

    threshold: float | None = Field(default=None, ge=0, le=1)
    username: LanguageRule | None = None
    email: LanguageRule | None = None
    phone: LanguageRule | None = None
    url: LanguageRule | None = None
    ip_address: LanguageRule | None = None
    credit_card: LanguageRule | None = None
    iban: LanguageRule | None = None
    crypto_wallet: LanguageRule | None = None
    national_id: LanguageRule | None = None
    street_address: LanguageRule | None = None
    person: LanguageRule | None = None
    location: LanguageRule | None = None
    identifier: LanguageRule | None = None


_LISTED = "the SHA-256 of private/policy/{0}.txt; words are put there by `csmv words`, and never stand here"
_LANGUAGE = re.compile(r"[a-z]{2,3}")
OTHER = "other"
"""Every language that a policy says nothing about."""
_NOBODY_KNOWS = ("", "un", "und", "zxx", "mul")
"""What stands for a language that is not known."""


class ScrubPolicy(Sparse):
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

    identifier: EntityRule = EntityRule()
    allow: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description=_LISTED.format("allow"))
    deny: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description=_LISTED.format("deny"))
    public_ips_only: bool = Field(default=False, description="leave private, loopback and documentation addresses")
    languages: dict[str, LanguageRules] = Field(default={}, description="language -> what is otherwise in its texts")

    patterns: tuple[OwnPattern, ...] = Field(default=(), description="what else is looked for, described here")

    always = frozenset(
        (
            *("threshold", "username", "email", "phone", "url", "ip_address", "credit_card", "iban", "crypto_wallet"),
            *("national_id", "street_address", "person", "location", "ner"),
        )
    )

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @field_validator("allow", "deny", mode="before")
    @classmethod
    def _no_words(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise ValueError("expected a SHA-256: words stand in private/policy, put there by `csmv words`")
        return value

    @field_validator("languages")
    @classmethod
    def _codes(cls, languages: dict[str, LanguageRules]) -> dict[str, LanguageRules]:
        for language in languages:
            if not _LANGUAGE.fullmatch(language):
                raise ValueError(f"expected a language by its code, such as 'de', and found '{language[:20]}'")
        return languages

    @model_validator(mode="after")
    def _patterns_that_look(self) -> "ScrubPolicy":
        names = [pattern.name for pattern in self.patterns]
        for pattern in self.patterns:
            if names.count(pattern.name) > 1:
                raise ValueError(f"two patterns are called '{pattern.name}'")
            if not any(self.in_language(one).rule(pattern.kind).enabled for one in (None, *self.languages)):
                kind = pattern.kind.lower()
                raise ValueError(f"the pattern '{pattern.name}' finds the kind '{kind}', which is off: enable it")
        return self

    @model_validator(mode="after")
    def _model_for_names(self) -> "ScrubPolicy":
        policies = [self, *map(self.in_language, self.languages)]
        described = {pattern.kind for pattern in self.patterns}
        wanted = [
            kind.lower()
            for kind in NER_KINDS
            if kind not in described and any(policy.rule(kind).enabled for policy in policies)
        ]
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
        """The kinds that are on, whatever is otherwise in a language."""
        return tuple(kind for kind in Kind if self.rule(kind).enabled)

    @property
    def language_models(self) -> tuple[NerModel, ...]:
        """All models that the policy names."""
        return self.models if self.ner is None else (self.ner, *self.models)

    @property
    def needs_key(self) -> bool:
        """Whether a kind that is on is replaced by a keyed hash."""
        return any(
            policy.rule(kind).operator is Operator.HASH
            for policy in (self, *map(self.in_language, self.languages))
            for kind in policy.kinds
        )

    # ------------------------------------------------------------------ languages

    @property
    def spoken(self) -> tuple[str, ...]:
        """The languages that the policy says anything about."""
        of_patterns = (pattern.language for pattern in self.patterns)
        return tuple(dict.fromkeys((*self.languages, *(one for one in of_patterns if one is not None))))

    @property
    def by_language(self) -> bool:
        """Whether it matters in which language a text is."""
        return bool(self.spoken)

    def language_of(self, tag: str | None) -> str | None:
        """The language of a tag such as `de-AT`: one of `spoken`, `OTHER`, or None where it is not known or all one."""
        code = re.split("[-_]", tag.strip().lower())[0] if tag else ""
        if not self.by_language or code in _NOBODY_KNOWS:
            return None
        return code if code in self.spoken else OTHER

    def in_language(self, language: str | None) -> "ScrubPolicy":
        """The policy for texts of one language, as `language_of` calls it; of none, every pattern is looked for."""
        patterns = self.patterns
        if language is not None:
            patterns = tuple(pattern for pattern in patterns if pattern.language in (None, language))
        rules = self.languages.get(language or "")
        if rules is None:
            return self.model_copy(update={"languages": {}, "patterns": patterns})
        update: dict[str, Any] = {"languages": {}, "patterns": patterns}
        if rules.threshold is not None:
            update["threshold"] = rules.threshold
        for kind in Kind:
            own: LanguageRule | None = getattr(rules, kind.lower())
            if own is not None:
                update[kind.lower()] = own.over(self.rule(kind))
        return self.model_copy(update=update)

    @property
    def widest(self) -> "ScrubPolicy":
        """The policy with every kind on that is on in some language."""
        on = {kind for language in (None, *self.languages) for kind in self.in_language(language).kinds}
        rules = {kind.lower(): self.rule(kind).model_copy(update={"enabled": kind in on}) for kind in Kind}
        return self.model_copy(update=rules)

    def counting(self) -> "ScrubPolicy":
        """The policy by which scrubbed tables are searched for what is left: without keys and models.

        Nothing that the scrub leaves in some language counts.
        """
        policies = [self.in_language(language) for language in (None, *self.languages)]
        rules = {
            kind.lower(): self.rule(kind).model_copy(
                update={
                    "enabled": kind not in NER_KINDS and all(policy.rule(kind).enabled for policy in policies),
                    "threshold": max(policy.threshold_of(kind) for policy in policies),
                }
            )
            for kind in Kind
        }
        without_key = {
            name: rule.model_copy(update={"operator": Operator.PLACEHOLDER})
            for name, rule in rules.items()
            if rule.operator is Operator.HASH
        }
        languages = {
            language: LanguageRules.model_validate(
                {kind.lower(): {"replace": text} for kind in Kind if (text := policy.rule(kind).replace) is not None}
            )
            for language, policy in zip(self.languages, policies[1:], strict=True)
        }
        patterns = tuple(pattern for pattern in self.patterns if pattern.language is None)
        without_models = {"ner": None, "models": (), "languages": languages, "patterns": patterns}
        return self.model_copy(update=rules | without_key | without_models)

    def own_texts(self) -> frozenset[str]:
        """The texts of one's own that stand in the place of findings."""
        policies: Iterable[ScrubPolicy] = (self, *map(self.in_language, self.languages))
        texts = (policy.rule(kind).replace for policy in policies for kind in Kind)
        return frozenset(text for text in texts if text is not None)


class CompareSettings(Validated):
    """With which model `csmv scrub --compare` compares the rules."""

    compare: str | None = Field(
        default=None,
        min_length=1,
        description="instead of scrubbing, list what only the rules or only this model finds: a folder, an installed "
        "spaCy package, the id of a model in the hub's cache, or one that the policy names",
    )
    framework: Framework | None = Field(
        default=None, description="what reads the model of --compare; left out, its files tell"
    )


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
    names: Path | None = Field(
        default=None,
        description="words to remove wherever they stand as words, one a line; ordinary words stay, unless the line "
        "begins with !",
    )
    show_spared: bool = Field(default=False, description="say which words of --names stay as ordinary words")
    language: str | None = Field(default=None, description="the texts' language, such as de, for the policy's rules")
    root: str | None = Field(default=None, description="a root to take policy, names and key from")
    jobs: int | None = Field(
        default=None, ge=1, description="processes that scrub; left out, one for each core, or what CSMV_JOBS says"
    )
