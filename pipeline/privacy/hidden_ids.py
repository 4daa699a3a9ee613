"""Ids of videos that hold a person's name: a keyed pseudonym stands for each, in tables, file names and features.

People name files by who is in them (`kayla_rose22_1.mp4`), and a video's id stands in every table. An id is hidden once
it holds a handle or name that the source's own lists have, or one that is forgotten, and stays hidden from then on,
whatever becomes of the lists.
"""

import json
from collections.abc import Iterable
from typing import Protocol

from pydantic import SecretStr

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.privacy.forgotten import Files, Forgotten
from csmv.pipeline.privacy.names_in_ids import NamesInIds
from csmv.pipeline.pseudonym import Pseudonymiser

HIDDEN_IDS = "private/hidden_ids.json"
"""The pseudonyms that stand for ids; nobody can tell from it for which."""


class _Root(Files, Protocol):
    def key(self) -> SecretStr: ...

    def read_if_there(self, relative: str) -> bytes | None:
        """A file's bytes, or None."""

    def write_file(self, relative: str, data: bytes) -> None:
        """Commit a file, whole or not at all."""


class HiddenIds:
    """Gives the ids that videos have in tables. An id without a name in it stays as it is.

    Args:
        store: the root.
        names: handles and display names of the source's lists.
    """

    def __init__(self, store: _Root, names: Iterable[str] = ()) -> None:
        self._store = store
        self._names = NamesInIds(names, Forgotten.of(store).traces)
        self._before = _pseudonyms(store)
        self._pseudonymiser: Pseudonymiser | None = None
        self._public: dict[str, str] = {}

    def public(self, video_id: str) -> str:
        """What a video is called in tables. Raises CsmvError if it needs a pseudonym and the key is gone."""
        if video_id not in self._public:
            self._public[video_id] = self._pseudonym(video_id) if self._is_hidden(video_id) else video_id
        return self._public[video_id]

    def public_before(self, video_id: str) -> str:
        """What a video has been called in tables until now."""
        if not self._before or video_id.isdecimal() or (pseudonym := self._pseudonym(video_id)) not in self._before:
            return video_id
        return pseudonym

    def keep(self) -> None:
        """Write down which ids are hidden, so that they stay so; a file without any says that none had to be."""
        new = self._before | {public for given, public in self._public.items() if given != public}
        if new != self._before or not self._store.exists(HIDDEN_IDS):
            self._store.write_file(HIDDEN_IDS, json.dumps(sorted(new), indent=0).encode())

    def _is_hidden(self, video_id: str) -> bool:
        if video_id.isdecimal():
            return False
        return self._names.holds(video_id) or self.public_before(video_id) != video_id

    def _pseudonym(self, video_id: str) -> str:
        if self._pseudonymiser is None:
            self._pseudonymiser = Pseudonymiser(self._store.key())
        return self._pseudonymiser.video_id(video_id)


def _pseudonyms(store: _Root) -> frozenset[str]:
    data = store.read_if_there(HIDDEN_IDS)
    try:
        return frozenset(map(str, json.loads(data))) if data is not None else frozenset()
    except (ValueError, TypeError):
        raise CsmvError(f"'{HIDDEN_IDS}' in the root '{store.root}' is damaged: put it back from a copy.") from None
