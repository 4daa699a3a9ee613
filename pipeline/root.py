"""A dataset root: its header, the key of its pseudonyms, its shards, and the names that files may have in it.

Knows no configuration but the header that was made from it.
"""

import hashlib
import os
import re
from functools import cached_property
from typing import Protocol, Self

from pydantic import SecretStr

from csmv.pipeline.dataset_head import FEWEST, MOST
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.files import Files
from csmv.pipeline.manifest import HEADER_FILE, Header
from csmv.pipeline.pseudonym import KEY_FILE, KEY_VARIABLE, MissingKeyError, key_fingerprint, new_key

CONFIG_FILE = "dataset.yaml"
MEDIA = "private/media"
VIDEOS_A_SHARD = 500
_SAFE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


def shard_of(key: str, n_shards: int) -> int:
    """The shard of a video: the first eight bytes of SHA-256 of its id, big-endian, modulo `n_shards`."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % n_shards


def shards_for(videos: int) -> int:
    """How many shards suit a root of so many videos: a power of two, at least 16, of 500 to 1,000 videos each.

    So a shard of CSMV's features is some 300 MB, and its comments fit in memory many times over.
    """
    number = FEWEST
    while number * 2 * VIDEOS_A_SHARD <= videos and number * 2 <= MOST:
        number *= 2
    return number


def is_safe_id(key: str) -> bool:
    """Whether an id may become a file name: 1 to 64 letters, digits, - and _, beginning with a letter or digit."""
    return _SAFE_ID.fullmatch(key) is not None


def media_folder(shard: int) -> str:
    """The folder of the video files of a shard."""
    return f"{MEDIA}/{shard:04d}"


def media_path(shard: int, video_id: str) -> str:
    """Where a video's file is kept in the root. Raises CsmvError for an id that may not become a file name."""
    if not is_safe_id(video_id):
        raise CsmvError("A video id that is not 1 to 64 letters, digits, - and _ can't become a file name.")
    return f"{media_folder(shard)}/{video_id}.mp4"


class _SourceKind(Protocol):
    @property
    def kind(self) -> str: ...


class Described(Protocol):
    """What a root is made by: a configuration, of which no more than this is known here."""

    @property
    def name(self) -> str: ...
    @property
    def n_shards(self) -> int: ...
    @property
    def source(self) -> _SourceKind: ...
    def to_yaml(self) -> str:
        """The whole configuration."""


class Root(Files):
    """The files of one dataset root, which has a header and a key."""

    @classmethod
    def open(cls, root: str) -> Self:
        """The root at `root`. Raises CsmvError if there is none or another version made it."""
        opened = cls(root)
        _ = opened.header
        return opened

    @classmethod
    def create(cls, root: str, config: Described) -> Self:
        """The root at `root`, made if need be, with `config` written into it.

        The key of its pseudonyms is made first, once, whoever else does the same at the same time.

        Raises:
            CsmvError: a root is there and belongs to another dataset, source or number of shards.
        """
        created = cls(root)
        if not created.exists(HEADER_FILE):
            if created.exists(CONFIG_FILE) and _is_format_1(created.read_file(CONFIG_FILE)):
                raise CsmvError(_migrate(root))
            key = created.make_key()
            header = Header(config.name, config.source.kind, config.n_shards, key_fingerprint(key))
            created.create_file(HEADER_FILE, header.to_json())
        created.require(config.name, config.source.kind, config.n_shards)
        text = config.to_yaml().encode()
        if not created.exists(CONFIG_FILE) or created.read_file(CONFIG_FILE) != text:
            created.write_file(CONFIG_FILE, text)
        return created

    def require(self, name: str, source: str, n_shards: int) -> None:
        """Raises CsmvError unless the root is the dataset of this name, source and number of shards."""
        asked = {"name": name, "source": source, "n_shards": n_shards}
        for field, value in asked.items():
            made_with = getattr(self.header, field)
            if made_with != value:
                raise CsmvError(
                    f"The root '{self.root}' was made with {field} {made_with} and can't be used with {value}: a root "
                    "belongs to one dataset. Keep what it says, or choose another root."
                )

    @cached_property
    def header(self) -> Header:
        """What never changes in this root. Raises CsmvError if there is none or it can't be trusted."""
        data = self.read_if_there(HEADER_FILE)
        if data is None:
            if self.exists(CONFIG_FILE):
                raise CsmvError(self._without_header())
            raise CsmvError(
                f"'{self.root}' is not a dataset root: it has no {CONFIG_FILE}. Make one with `csmv import` or "
                "`csmv build`."
            )
        return Header.from_json(data, f"{self.root}/{HEADER_FILE}")

    def _without_header(self) -> str:
        data = self.read_file(CONFIG_FILE)
        if _is_format_1(data) or data.startswith(b"# Written by csmv"):  # a migration that was interrupted at its end
            return _migrate(self.root)
        line = re.search(rb"^format_version:\s*(\S+)", data, re.M)
        version = f"format version '{line[1].decode(errors='replace')[:20]}'" if line else "no format version"
        return (
            f"{self.root}: this root has {version} and no {HEADER_FILE}, and this csmv reads format 2: use the csmv "
            "that made it, or build the root anew."
        )

    @property
    def n_shards(self) -> int:
        """How many shards every table of this root has."""
        return self.header.n_shards

    def shards(self) -> range:
        """All shard numbers."""
        return range(self.n_shards)

    def shard_of(self, video_id: str) -> int:
        """The shard in which a video, its comments, labels, features and failures are kept."""
        return shard_of(video_id, self.n_shards)

    def key(self) -> SecretStr:
        """The key of this root's pseudonyms: the environment's CSMV_PSEUDONYM_KEY, else `private/pseudonym.key`.

        Raises:
            CsmvError: there is none, or it is not the one that the root was made with.
        """
        given = os.environ.get(KEY_VARIABLE)
        data = None if given else self.read_if_there(KEY_FILE)
        if not given and data is None:
            raise MissingKeyError(
                f"The key of this root's pseudonyms is not in {KEY_FILE} nor in {KEY_VARIABLE}: put it back. "
                "Without it nobody can tell which comment is which."
            )
        key = SecretStr(given or (data or b"").decode("ascii", "replace").strip())
        if key_fingerprint(key) != self.header.key:
            where = KEY_VARIABLE if given else KEY_FILE
            raise CsmvError(
                f"The key in {where} is not the one that the root '{self.root}' was made with: every pseudonym would "
                f"change. Put the right one there{f', or unset {KEY_VARIABLE}' if given else ''}."
            )
        return key

    def make_key(self) -> SecretStr:
        """The key of a root that is only being made: the environment's, the one that is there, or a new one."""
        given = os.environ.get(KEY_VARIABLE)
        if given:
            return SecretStr(given)
        self.create_file(KEY_FILE, new_key())
        # Read back rather than kept: another process may have been first.
        return SecretStr(self.read_file(KEY_FILE).decode("ascii", "replace").strip())


def _is_format_1(config: bytes) -> bool:
    return re.search(rb"^format_version:\s*1\s*$", config, re.M) is not None


def _migrate(root: str) -> str:
    return (
        f"The root '{root}' has format 1, and this csmv reads format 2: `csmv migrate {root}` brings it up to date in "
        "place, and can be run again if it is interrupted."
    )


def name_for(root: str) -> str:
    """What a dataset is called that nobody named: its root's last part, in the letters that a name may have."""
    last = root.rstrip("/").rsplit("/", 1)[-1]
    name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in last) or "csmv"
    return name if name[0].isalnum() else f"x{name}"
