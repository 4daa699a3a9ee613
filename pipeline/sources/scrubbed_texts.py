"""What each text of a shard became when it was scrubbed: after new names, only texts that hold one are scrubbed again.

A private cache, one file a shard: of each text its digest, and what came out where that is another text. The file's
name says what it was made from. Deleted, the texts are scrubbed again; a request to forget deletes all of it.
"""

import hashlib
import json
import platform
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from csmv.pipeline.known_names import LANDED
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.scrub.gazetteer import Gazetteer
from csmv.pipeline.scrub.model_files import state_of
from csmv.pipeline.scrub.policy import ScrubPolicy
from csmv.pipeline.scrub.scrubber import Scrubber, holds
from csmv.pipeline.scrub_pool import ScrubPool
from csmv.pipeline.store import Store, parquet_bytes

CACHE = f"{LANDED}/scrubbed"
NAME_SETS = f"{LANDED}/name-sets"
_DIGEST_BYTES = 16
_FILE = re.compile(r"(\d{4})\.([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{64})\.parquet")
_BUILT_ON = ("phonenumbers", "presidio-analyzer", "regex", "tldextract", "wordfreq")
_SCHEMA = pa.schema(
    [
        pa.field("digest", pa.binary(_DIGEST_BYTES)),
        pa.field("text", pa.binary()),
        pa.field("kinds", pa.list_(pa.string())),
        pa.field("rounds", pa.int8()),
    ]
)


@dataclass(frozen=True)
class Scrubbing:
    """How texts are scrubbed, by the digests that stand in a file's name."""

    recipe: str
    """of the policy, the scrubber's code, and who was forgotten"""
    names: str
    """of the names that are known"""


@dataclass(frozen=True)
class Recorded:
    """A shard's file: how its texts were scrubbed, and which glance at its inputs meant which `made_from`."""

    file: str
    scrubbing: Scrubbing
    glance: str
    made_from: str


def scrubbing_of(policy: ScrubPolicy, names: Sequence[str], gone: Forgotten, key: str) -> Scrubbing:
    """How a policy scrubs with these names; `key` is a fingerprint of the key of keyed hashes."""
    recipe = _sha256(json.dumps([state_of(policy), _code(), gone.digest, key]))
    return Scrubbing(recipe[:32], _sha256("\n".join(names))[:32])


def recorded(store: Store, shard: int) -> Recorded | None:
    """What the cache has of a shard, told by one listing."""
    for file in store.files_beginning(f"{CACHE}/{shard:04d}."):
        name = _FILE.fullmatch(file.rsplit("/", 1)[-1])
        if name is not None:
            return Recorded(file, Scrubbing(name[2], name[3]), name[4], name[5])
    return None


class Before(NamedTuple):
    """What a text became before: None where it stayed as it was."""

    text: str | None
    kinds: tuple[str, ...]
    rounds: int


class ScrubbedTexts:
    """The texts of a shard: those of before that still stand, and those that were scrubbed now.

    A text's result can only change where one of the names that came is found in what the scrubber looked at, or where
    something was cut and a name has gone. After one round of cuts the scrubber has looked at the text and the result;
    after several, at others that nobody knows any more, and it is scrubbed again.
    """

    def __init__(
        self, scrubber: "Scrubber | ScrubPool", before: dict[bytes, Before], new: "Gazetteer | None", lost: bool
    ) -> None:
        self._scrubber = scrubber
        self._before = before
        self._new = new
        self._lost = lost
        self._now: dict[bytes, Before] = {}
        self.scrubbed = 0
        """How many texts went through the scrubber."""

    def scrub(
        self, texts: Sequence[str], languages: Sequence[str | None] | None = None
    ) -> list[tuple[str, tuple[str, ...]]]:
        """Each text scrubbed, with the kinds that were removed: as the scrubber itself would."""
        policy = self._scrubber.policy
        language_of_each = [None] * len(texts) if languages is None else map(policy.language_of, languages)
        again = []
        digests = []
        for text, language in zip(texts, language_of_each, strict=True):
            # A text has no \0 in it: what a language makes of it is kept apart from what it is elsewhere.
            digest = _digest(text if language is None else f"{language}\0{text}")
            digests.append(digest)
            if digest not in self._now:
                before = self._before.get(digest)
                if before is not None and self._stands(text, before):
                    self._now[digest] = before
                else:
                    again.append((digest, text, language))
        scrubbed = self._scrubber.scrub([text for _, text, _ in again], [language for _, _, language in again])
        for (digest, text, _), out in zip(again, scrubbed, strict=True):
            self._now[digest] = Before(None if out.text == text else out.text, tuple(map(str, out.kinds)), out.rounds)
        self.scrubbed += len(again)
        results = zip(texts, (self._now[digest] for digest in digests), strict=True)
        return [(text if now.text is None else now.text, now.kinds) for text, now in results]

    def _stands(self, text: str, before: Before) -> bool:
        if before.rounds and (self._lost or before.rounds > 1):
            return False
        if self._new is None:
            return True
        seen = (text,) if before.text is None else (text, before.text)
        return not any(holds(self._new, one) for one in seen)

    def table(self) -> pa.Table:
        """The texts asked for, as they are kept."""
        digests = sorted(self._now)
        rows = [self._now[digest] for digest in digests]
        columns = [
            pa.array(digests, pa.binary(_DIGEST_BYTES)),
            pa.array([None if row.text is None else _encoded(row.text) for row in rows], pa.binary()),
            pa.array([row.kinds or None for row in rows], _SCHEMA.field("kinds").type),
            pa.array([row.rounds for row in rows], pa.int8()),
        ]
        return pa.Table.from_arrays(columns, schema=_SCHEMA)


def texts_of(
    store: Store, shard: int, scrubber: "Scrubber | ScrubPool", scrubbing: Scrubbing, names: Sequence[str]
) -> ScrubbedTexts:
    """The texts of a shard, with what the cache has of them as far as it stands."""
    file = recorded(store, shard)
    if file is None or file.scrubbing.recipe != scrubbing.recipe:
        return ScrubbedTexts(scrubber, {}, None, False)
    new: Gazetteer | None = None
    lost = False
    if file.scrubbing.names != scrubbing.names:
        change = _change(store, file.scrubbing.names, scrubbing.names, names)
        if change is None:
            return ScrubbedTexts(scrubber, {}, None, False)
        new, lost = change
    before = _read(store, file.file)
    return ScrubbedTexts(scrubber, before, new, lost)


def keep(
    store: Store,
    shard: int,
    texts: ScrubbedTexts,
    scrubbing: Scrubbing,
    names: Sequence[str],
    glance: str,
    made_from: str,
    gone: Forgotten,
) -> None:
    """Keep a shard's texts in place of what the cache had; nothing is kept if somebody was forgotten meanwhile."""
    name_set = f"{NAME_SETS}/{scrubbing.names}"
    if not store.exists(name_set):
        store.create_file(name_set, b"".join(sorted(map(_digest, names))))
    _replace(store, shard, parquet_bytes(texts.table()), Recorded("", scrubbing, glance, made_from))
    if Forgotten.of(store).digest != gone.digest:
        for file in store.files_beginning(f"{CACHE}/{shard:04d}."):
            store.remove(file)


def keep_glance(store: Store, shard: int, glance: str, made_from: str) -> None:
    """Say of a shard's texts that another glance means the same `made_from`, so that the next glance is enough."""
    file = recorded(store, shard)
    data = store.read_if_there(file.file) if file is not None and file.glance != glance else None
    if file is not None and data is not None and file.made_from == made_from:
        _replace(store, shard, data, Recorded("", file.scrubbing, glance, made_from))


def sweep_name_sets(store: Store) -> None:
    """Remove the sets of names that no shard's texts were scrubbed with."""
    used = {file.scrubbing.names for shard in store.shards() if (file := recorded(store, shard)) is not None}
    for name in store.files(NAME_SETS):
        if name.rsplit("/", 1)[-1] not in used:
            store.remove(name)


def _replace(store: Store, shard: int, data: bytes, said: Recorded) -> None:
    parts = (f"{shard:04d}", said.scrubbing.recipe, said.scrubbing.names, said.glance[:32], said.made_from, "parquet")
    new = f"{CACHE}/{'.'.join(parts)}"
    old = [file for file in store.files_beginning(f"{CACHE}/{shard:04d}.") if file != new]
    store.write_file(new, data)
    for file in old:
        store.remove(file)


def _read(store: Store, file: str) -> dict[bytes, Before]:
    data = store.read_if_there(file)
    if data is None:
        return {}
    try:
        rows = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError):
        return {}
    columns = (rows[name].to_pylist() for name in _SCHEMA.names)
    return {
        digest: Before(
            None if text is None else text.decode("utf-8", "surrogatepass"), tuple(map(str, kinds or ())), rounds
        )
        for digest, text, kinds, rounds in zip(*columns, strict=True)
    }


_CHANGES: dict[tuple[str, str], "tuple[Gazetteer | None, bool]"] = {}
"""Of the names at hand only: what came and went is worked out once a process and not once a shard."""


def _change(store: Store, before: str, now: str, names: Sequence[str]) -> "tuple[Gazetteer | None, bool] | None":
    """A gazetteer of the names that came, None if none did, and whether one has gone; None if nobody knows any more."""
    change = _CHANGES.get((before, now))
    if change is None:
        data = store.read_if_there(f"{NAME_SETS}/{before}")
        if data is None:
            return None
        old = {data[at : at + _DIGEST_BYTES] for at in range(0, len(data), _DIGEST_BYTES)}
        new = [name for name in names if _digest(name) not in old]
        lost = len(old) != len(names) - len(new)
        change = (Gazetteer(new) if new else None, lost)
        _CHANGES.clear()
        _CHANGES[before, now] = change
    return change


@cache
def _code() -> str:
    """A digest of what scrubs: the scrubber's own files, and what it is built on."""
    whole = hashlib.sha256()
    versions = (platform.python_version(), unicodedata.unidata_version, *map(_version, _BUILT_ON))
    whole.update(json.dumps(versions).encode())
    folder = resources.files("csmv.pipeline.scrub")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.is_file() and file.name.endswith((".py", ".txt")):
            whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _digest(text: str) -> bytes:
    return hashlib.blake2b(_encoded(text), digest_size=_DIGEST_BYTES).digest()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _sha256(text: str) -> str:
    return hashlib.sha256(_encoded(text)).hexdigest()
