"""The configuration of a dataset, `dataset.yaml`: what made a root, validated, and nothing that is secret.

A person's own file stands in the root word for word and is never rewritten. What commands did beside it is kept in
`dataset.recorded.yaml`, which is laid under it when the configuration is read.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import field_validator

from csmv.pipeline.dataset_head import FORMAT_VERSION, DatasetHead
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.manifest import HEADER_FILE, Header
from csmv.pipeline.media.media_settings import MediaSettings
from csmv.pipeline.pseudonym import key_fingerprint
from csmv.pipeline.release.release_config import ReleaseConfig
from csmv.pipeline.root import CONFIG_FILE, shards_for
from csmv.pipeline.scrub import ScrubPolicy
from csmv.pipeline.sources.collect_settings import WebSource
from csmv.pipeline.sources.folder import FolderSource
from csmv.pipeline.sources.published import PublishedSource
from csmv.pipeline.sources.registry import SOURCES, Section
from csmv.pipeline.sources.research import ResearchSource
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Validated, decoded, parse, yaml_mapping
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig, zeroshot_run_name

__all__ = ["DatasetConfig", "FolderSource", "PublishedSource", "ResearchSource", "WebSource"]


class DatasetConfig(DatasetHead):
    """All that decides what is in a root. Tables of one configuration and one source are equal, byte for byte.

    Features are too on one kind of processor, with the same versions and number of threads.
    """

    source: Section
    scrub: ScrubPolicy = ScrubPolicy()
    media: MediaSettings = MediaSettings()
    features: tuple[FeatureConfig, ...] = ()
    splits: tuple[SplitConfig, ...] = ()
    train: tuple[TrainConfig, ...] = ()
    zeroshot: tuple[ZeroShotConfig, ...] = ()
    release: ReleaseConfig | None = None

    @field_validator("train", "features", "splits", "zeroshot")
    @classmethod
    def _distinct(cls, sections: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(sections)) != len(sections):
            raise ValueError("the same section stands there twice")
        return sections

    @classmethod
    def from_yaml(cls, text: str, where: str) -> "DatasetConfig":
        """The configuration in `text`. Raises CsmvError, one sentence that begins with `where`."""
        data = yaml_mapping(text, where)
        version = data.get("format_version", FORMAT_VERSION)
        if version not in (1, FORMAT_VERSION):
            raise CsmvError(
                f"{where}: this root has format version {str(version)[:20]!r} and this csmv reads version "
                f"{FORMAT_VERSION}: use the csmv that made it, or build the root anew."
            )
        return parse(cls, data | {"format_version": FORMAT_VERSION}, where)

    def to_yaml(self) -> str:
        """The configuration as YAML, every setting written out, keys in the order of this class."""
        # As it was written before there were these sections.
        without = {name for name in ("release", "zeroshot") if not getattr(self, name)}
        return str(yaml.safe_dump(self.model_dump(mode="json", exclude=without), sort_keys=False, allow_unicode=True))

    def fingerprint(self) -> str:
        """SHA-256 of the YAML: the same for the same settings."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()


# ---------------------------------------------------------------------- in a root

RECORDED_FILE = "dataset.recorded.yaml"
"""Entries of `features`, `splits`, `train` and `zeroshot` that commands added to a root whose dataset.yaml a person
wrote, and the digests of the lists of words that its scrub allows and denies."""

_OURS = "# Written by csmv. Once it is edited, csmv leaves it alone. sha256 of the rest: "

_NAME_OF: Mapping[str, Callable[[Any], str]] = {
    "features": lambda entry: str(entry.name),
    "splits": lambda entry: str(entry.title),
    "train": lambda entry: str(entry.model_dump_json()),
    "zeroshot": zeroshot_run_name,
}
"""What tells two entries of a section apart."""


@dataclass(frozen=True)
class _Written:
    """A configuration with the text that shall stand in the root for it."""

    config: DatasetConfig
    text: str

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def n_shards(self) -> int:
        return self.config.n_shards

    @property
    def source(self) -> Section:
        return self.config.source

    def to_yaml(self) -> str:
        return self.text


def read_config(store: Store) -> DatasetConfig:
    """The configuration of a root: its dataset.yaml, and what commands recorded beside it."""
    config = DatasetConfig.from_yaml(_text(store, CONFIG_FILE), f"{store.root}/{CONFIG_FILE}")
    config = _with_shards_of(store, config)
    where = f"{store.root}/{RECORDED_FILE}"
    recorded = store.read_if_there(RECORDED_FILE)
    if recorded is None:
        return config
    data = yaml_mapping(decoded(recorded, where), where)
    added = parse(_Recorded, data, where)
    merged: dict[str, Any] = {}
    for section, name_of in _NAME_OF.items():
        written = getattr(config, section)
        names = {name_of(entry) for entry in written}
        merged[section] = (*written, *(entry for entry in getattr(added, section) if name_of(entry) not in names))
    merged |= {"release": config.release or added.release, "scrub": _with_words(config.scrub, added.scrub)}
    return config.model_copy(update=merged)


def create_root(
    root: str,
    config: DatasetConfig,
    text: str | None = None,
    *,
    replace_source: bool = False,
    expected_videos: int | None = None,
) -> Store:
    """The root at `root`, made or checked to be this dataset, with its configuration in it.

    Args:
        root: a folder or an fsspec URL.
        config: what the root is made by.
        text: the file that a person wrote it in, kept word for word; without it csmv writes one of its own.
        replace_source: take another folder, other published files or fewer hashtags into a root that is there.
        expected_videos: how many there will be, for the number of shards where `config` leaves it out; without it, what
            the source expects.

    Raises:
        CsmvError: the root belongs to another dataset or source, or its dataset.yaml was edited by a person and says
            something else.
    """
    store = Store(root)
    if not store.exists(HEADER_FILE) and (not store.exists(CONFIG_FILE) or _text(store, CONFIG_FILE) == text):
        if not store.exists(CONFIG_FILE):
            config = _with_chosen_shards(store, config, expected_videos)
        return Store.create(root, _Written(config, signed(config) if text is None else text))
    store = Store.open(root)
    before = read_config(store)
    config = _with_shards_of(store, config)
    refuse_another(root, before, config, replace_source=replace_source)
    write_config(store, config, text)
    return store


def _with_chosen_shards(store: Store, config: DatasetConfig, expected_videos: int | None) -> DatasetConfig:
    """A configuration that says how many shards: its own number, else what suits the size of what is expected.

    The header is created exclusively, so that of several processes that make one root, and expect different sizes, the
    first decides for all.
    """
    if "n_shards" in config.model_fields_set:
        return config
    if expected_videos is None:
        expected_videos = SOURCES[config.source.kind](config.source).expected_videos()
    key = key_fingerprint(store.make_key())
    header = Header(config.name, config.source.kind, shards_for(expected_videos), key)
    store.create_file(HEADER_FILE, header.to_json())
    return _with_shards_of(store, config)


def _with_shards_of(store: Store, config: DatasetConfig) -> DatasetConfig:
    """A configuration that leaves the number of shards out, with the number that its root has."""
    given = "n_shards" in config.model_fields_set
    return config if given else config.model_copy(update={"n_shards": store.n_shards})


def refuse_another(root: str, before: DatasetConfig, config: DatasetConfig, *, replace_source: bool = False) -> None:
    """Raises CsmvError unless `config` is of the dataset that the root is made by `before`."""
    identities = {
        "name": (before.name, config.name),
        "n_shards": (before.n_shards, config.n_shards),
        "kind of source": (before.source.kind, config.source.kind),
    }
    for what, (made_with, asked) in identities.items():
        if made_with != asked:
            raise CsmvError(
                f"The root '{root}' was made with the {what} '{made_with}' and can't be used with '{asked}': a root "
                "belongs to one dataset, and sources are never mixed in one. Keep it, or choose another root."
            )
    difference = other_source(before.source, config.source)
    if difference and not replace_source:
        raise CsmvError(
            f"The root '{root}' is made from another source: {difference}. Choose another root; or, to have this "
            "source take its place, say so with --replace-source."
        )


def other_source(before: Section, now: Section) -> str:
    """What makes `now` another source than `before`, in words; empty if it is the same or has only grown."""
    source = SOURCES[before.kind]
    for name in source.identity:
        old, new = getattr(before, name), getattr(now, name)
        # What is left empty is found out when the source lands.
        if old and new and old != new and _resolved(old) != _resolved(new):
            return f"its {name} {_shown(old)} would become {_shown(new)}"
    for name in source.grows:
        lost = [value for value in getattr(before, name) if value not in getattr(now, name)]
        if lost:
            return f"its {name} would lose '{lost[0]}'"
    return ""


def write_config(store: Store, config: DatasetConfig, text: str | None = None) -> None:
    """Put a configuration into a root that has one: `text` as a person wrote it, else what csmv writes for `config`.

    Raises:
        CsmvError: the root's own file was edited by a person and says something else.
    """
    current = _text(store, CONFIG_FILE)
    new = signed(config) if text is None else text
    if new == current or (text is None and read_config(store) == config):
        return
    if not is_ours(current):
        if DatasetConfig.from_yaml(current, CONFIG_FILE) == config and text is None:
            return
        raise CsmvError(
            f"The root's {CONFIG_FILE} was written by a person, and something else is asked for now: edit "
            f"{store.root}/{CONFIG_FILE} to say it, and build that file."
        )
    store.write_file(CONFIG_FILE, new.encode())


def record_section(
    store: Store,
    section: Literal["features", "splits", "train", "zeroshot"],
    entry: FeatureConfig | SplitConfig | TrainConfig | ZeroShotConfig,
) -> None:
    """Add what a command did to the root's configuration, where later stages find it.

    An entry of the same name that csmv wrote is replaced; one that a person wrote stays. Commands that record at once
    on one machine wait for each other; in an object store the later of two within a second can take the other's place,
    and the footers still say how each output was made.
    """
    with store.one_at_a_time():
        _record(store, section, entry)


def _record(store: Store, section: str, entry: FeatureConfig | SplitConfig | TrainConfig | ZeroShotConfig) -> None:
    name_of = _NAME_OF[section]
    current = _text(store, CONFIG_FILE)
    written = DatasetConfig.from_yaml(current, f"{store.root}/{CONFIG_FILE}")
    if is_ours(current):
        entries = _with(getattr(written, section), entry, name_of)
        if entries != getattr(written, section):
            store.write_file(CONFIG_FILE, signed(written.model_copy(update={section: entries})).encode())
        return
    if name_of(entry) in map(name_of, getattr(written, section)):
        return
    recorded = _recorded(store)
    _write_recorded(store, recorded.model_copy(update={section: _with(getattr(recorded, section), entry, name_of)}))


def record_release(store: Store, release: ReleaseConfig) -> None:
    """Let a root's configuration say how it is released, where later releases find it; what a person wrote stays."""
    with store.one_at_a_time():
        current = _text(store, CONFIG_FILE)
        written = DatasetConfig.from_yaml(current, f"{store.root}/{CONFIG_FILE}")
        if is_ours(current) and written.release != release:
            store.write_file(CONFIG_FILE, signed(written.model_copy(update={"release": release})).encode())
        elif not is_ours(current) and written.release is None:
            _write_recorded(store, _recorded(store).model_copy(update={"release": release}))


def rename_features(store: Store, moved: Mapping[str, FeatureConfig]) -> bool:
    """Give feature sets another name, and the extractor of that name, wherever csmv wrote the configuration.

    Args:
        store: the root.
        moved: the set as it is asked for now, by the name that it had.

    Returns:
        Whether nothing is left of the old names: a dataset.yaml that a person wrote keeps them.
    """

    def renamed(data: dict[str, Any]) -> dict[str, Any]:
        features = tuple(
            one.model_copy(update={"extractor": moved[one.name].extractor}) if one.name in moved else one
            for one in data["features"]
        )
        train = tuple(
            one.replace({"features": tuple(moved[name].name if name in moved else name for name in one.features)})
            if set(one.features) & set(moved)
            else one
            for one in data["train"]
        )
        return {"features": tuple(dict.fromkeys(features)), "train": tuple(dict.fromkeys(train))}

    with store.one_at_a_time():
        text = _text(store, CONFIG_FILE)
        config = DatasetConfig.from_yaml(text, f"{store.root}/{CONFIG_FILE}")
        update = renamed(vars(config))
        is_same = all(getattr(config, name) == value for name, value in update.items())
        if not is_same and is_ours(text):
            store.write_file(CONFIG_FILE, signed(config.model_copy(update=update)).encode())
            is_same = True
        if store.exists(RECORDED_FILE):
            recorded = _recorded(store)
            _write_recorded(store, recorded.model_copy(update=renamed(vars(recorded))))
    return is_same


def with_recorded_words(store: Store, policy: ScrubPolicy) -> ScrubPolicy:
    """A policy with the lists of words that a command put into a root, where it names none itself."""
    return _with_words(policy, _recorded(store).scrub)


def _with_words(policy: ScrubPolicy, recorded: "_RecordedWords") -> ScrubPolicy:
    """A policy with the lists that were recorded, where it names none itself."""
    lists = {name: digest for name, digest in recorded if getattr(policy, name) is None and digest is not None}
    return policy.model_copy(update=lists)


def record_words(store: Store, digests: Mapping[str, str | None]) -> dict[str, str]:
    """Let a root's scrub policy name the lists of these digests: list -> digest, as the policy's fields have it.

    They stand in dataset.recorded.yaml, and in dataset.yaml where csmv wrote it: the configuration of a person who
    knows nothing of the lists can then take the place of csmv's own, and the lists still apply. The caller holds the
    root's lock.

    Returns:
        Those that a person's own dataset.yaml has otherwise, and has to be given.
    """
    current = _text(store, CONFIG_FILE)
    written = DatasetConfig.from_yaml(current, f"{store.root}/{CONFIG_FILE}")
    recorded = _recorded(store)
    lists = recorded.scrub.model_copy(update=dict(digests))
    if lists != recorded.scrub:
        _write_recorded(store, recorded.model_copy(update={"scrub": lists}))
    if is_ours(current):
        policy = written.scrub.model_copy(update=dict(digests))
        if policy != written.scrub:
            store.write_file(CONFIG_FILE, signed(written.model_copy(update={"scrub": policy})).encode())
        return {}
    return {
        name: digest
        for name, digest in digests.items()
        if digest is not None and getattr(written.scrub, name) not in (None, digest)
    }


def signed(config: DatasetConfig) -> str:
    """The text that csmv writes for a configuration: its first line says so, and whether it was edited since."""
    return _sign(config.to_yaml())


def is_ours(text: str) -> bool:
    """Whether csmv wrote a file and nobody has edited it. A file of an older csmv has no first line to tell."""
    first, _, rest = text.partition("\n")
    return first == _OURS + _sha256(rest)


class _RecordedWords(Validated):
    """The digests of the lists of words that a command put into a root."""

    allow: str | None = None
    deny: str | None = None


class _Recorded(Validated):
    """The sections of dataset.recorded.yaml."""

    scrub: _RecordedWords = _RecordedWords()

    features: tuple[FeatureConfig, ...] = ()
    splits: tuple[SplitConfig, ...] = ()
    train: tuple[TrainConfig, ...] = ()
    zeroshot: tuple[ZeroShotConfig, ...] = ()
    release: ReleaseConfig | None = None


def _recorded(store: Store) -> _Recorded:
    where = f"{store.root}/{RECORDED_FILE}"
    data = yaml_mapping(_text(store, RECORDED_FILE), where) if store.exists(RECORDED_FILE) else {}
    return parse(_Recorded, data, where)


def _write_recorded(store: Store, recorded: _Recorded) -> None:
    without = {"scrub"} if recorded.scrub == _RecordedWords() else set()
    without |= {name for name in ("release", "zeroshot") if not getattr(recorded, name)}
    body = yaml.safe_dump(recorded.model_dump(mode="json", exclude=without), sort_keys=False, allow_unicode=True)
    store.write_file(RECORDED_FILE, _sign(body).encode())


def _with(entries: tuple[Any, ...], entry: Any, name_of: Callable[[Any], str]) -> tuple[Any, ...]:
    names = [name_of(one) for one in entries]
    if name_of(entry) not in names:
        return (*entries, entry)
    return tuple(entry if name == name_of(entry) else one for one, name in zip(entries, names, strict=True))


def _sign(body: str) -> str:
    return f"{_OURS}{_sha256(body)}\n{body}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text(store: Store, relative: str) -> str:
    return decoded(store.read_file(relative), f"{store.root}/{relative}")


def _resolved(value: object) -> object:
    return Path(value).expanduser().resolve() if isinstance(value, str) else value


def _shown(value: object) -> str:
    return f"of {len(value)} file(s)" if isinstance(value, dict) else f"'{value}'"
