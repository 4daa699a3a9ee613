"""What a root was asked to forget, so that no later run of any stage brings it back. Holds pseudonyms and video ids."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pipeline.store import Store

FORGOTTEN_FILE = "private/forgotten.json"


@dataclass(frozen=True)
class Forgotten:
    """Ids of comments as they stand in the tables, and of videos, that a root must not hold."""

    comments: frozenset[str] = frozenset()
    videos: frozenset[str] = frozenset()

    @classmethod
    def of(cls, store: "Store") -> "Forgotten":
        """What was ever forgotten in a root."""
        if not store.exists(FORGOTTEN_FILE):
            return cls()
        kept = json.loads(store.read_file(FORGOTTEN_FILE))
        return cls(frozenset(kept["comments"]), frozenset(kept["videos"]))

    def keep(self, store: "Store") -> None:
        """Remember this, and what was forgotten before, in a root."""
        before = Forgotten.of(store)
        everything = {
            "comments": sorted(before.comments | self.comments),
            "videos": sorted(before.videos | self.videos),
        }
        store.write_file(FORGOTTEN_FILE, json.dumps(everything, indent=1).encode())

    @property
    def digest(self) -> str:
        """Changes with every request."""
        everything = json.dumps([sorted(self.comments), sorted(self.videos)])
        return hashlib.sha256(everything.encode()).hexdigest()

    def is_forgotten_person(self, *values: str) -> bool:
        """Whether one of these handles, display names or raw ids is a forgotten person's."""
        return False

    def is_forgotten_comment(self, raw_id: str) -> bool:
        """Whether a comment was forgotten by the id that its platform has for it."""
        return raw_id in self.comments

    def is_forgotten_video(self, video_id: str) -> bool:
        """Whether a video was forgotten."""
        return video_id in self.videos

    def clean(self, texts: Sequence[str]) -> list[tuple[str, int]]:
        """Texts without the names of who was forgotten, and how many were removed from each."""
        return [(text, 0) for text in texts]

    def drop(self, rows: pa.Table) -> pa.Table:
        """`rows` without what is forgotten; a reply to a forgotten comment stays and no longer says to what."""
        for column, gone in (("comment_id", self.comments), ("video_id", self.videos)):
            if gone and column in rows.column_names:
                rows = rows.filter(pc.invert(pc.is_in(rows[column], value_set=pa.array(sorted(gone), pa.string()))))
        if self.comments and "reply_to" in rows.column_names:
            lost = pc.is_in(rows["reply_to"], value_set=pa.array(sorted(self.comments), pa.string()))
            place = rows.column_names.index("reply_to")
            kept = pc.if_else(lost, pa.scalar(None, rows["reply_to"].type), rows["reply_to"])
            rows = rows.set_column(place, rows.schema.field(place), kept)
        return rows
