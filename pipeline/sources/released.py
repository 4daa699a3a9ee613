"""A release as a source: its tables are the raw material, its videos are fetched by their addresses.

Texts are scrubbed once more under the root's own policy, ids of comments stay as they were released, and accounts get a
pseudonym of this root's, made from the released one. Splits and feature sets are brought by `csmv import`
(`csmv.pipeline.import_release`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.files import Files
from csmv.pipeline.labels import PUBLISHED
from csmv.pipeline.release.plain_values import from_plain, plain_row
from csmv.pipeline.release.release_folder import ABOUT, TABLES, About, read_about, read_parquet
from csmv.pipeline.schemas import COMMENTS, SPLIT_NAMES, VIDEOS
from csmv.pipeline.sources.base import CommentRow, LabelRow, LandReport, Part, Person, Reach, Rows, Source, VideoRow
from csmv.pipeline.sources.by_shard import inputs_of, land_parts, part_anew, part_state, read_part
from csmv.pipeline.sources.collect_settings import Manners
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Validated

_RECIPE = 1
"""Of landing: another number makes a release land anew."""
_VIDEO, _COMMENT, _LABEL = "video", "comment", "label"
_VIDEO_FIELDS = (
    *("url", "description", "hashtags", "created_at", "comment_count", "like_count", "play_count", "share_count"),
    "language",
)
_COMMENT_FIELDS = ("like_count", "reply_to", "created_on", "language", "by_creator", "pinned", "kind")


class ReleasedSource(Validated):
    """A release: where it is, or, once it has landed, which it was."""

    kind: Literal["released"] = "released"
    path: str | None = Field(default=None, description="the folder or URL of the release; left out after an import")
    content: str | None = Field(default=None, description="digest of the release's tables, as imported")
    manners: Manners | None = Field(default=None, description="how politely the site is asked for media")


class Released(Source):
    """Videos, comments, labels and a split out of a release."""

    kind: ClassVar[str] = "released"
    section_class: ClassVar[type[Validated]] = ReleasedSource
    identity: ClassVar[tuple[str, ...]] = ("content",)
    section: ReleasedSource

    @property
    def manners(self) -> Manners | None:
        """As the section says."""
        return self.section.manners

    def expected_videos(self, links: Path | None = None) -> int:
        """As many as the release says."""
        return self._about().rows[TABLES[0]] if self.section.path is not None else 0

    def land(self, store: Store, reach: Reach, part: Part) -> LandReport:
        """Part the release's rows by shard, unless that was done of this very release.

        Raises:
            CsmvError: the section does not say where the release is, it is damaged, or the root was made from another.
        """
        if self.section.path is None:
            if self.left(store):
                raise CsmvError(
                    "The release has not been read into this root: name it in dataset.yaml "
                    "(`source: {kind: released, path: ...}`) or run `csmv import RELEASE --root ROOT`."
                )
            return LandReport()
        about = self._about()
        if self.section.content not in (None, about.content):
            raise CsmvError(f"'{self.section.path}' is another release than the one that this root was made from.")
        inputs = _inputs(store, about)
        if inputs_of(store, self.landing) == inputs:
            return LandReport()
        return LandReport(land_parts(store, self.landing, _lines(store, Files(self.section.path), about), inputs))

    def left(self, store: Store) -> int:
        """1 until the release has landed; what has landed of one that is gone stays as it is."""
        landed = inputs_of(store, self.landing)
        if self.section.path is None or not Files(self.section.path).exists(ABOUT):
            return int(landed is None)
        return int(landed != _inputs(store, self._about()))

    def state(self, store: Store, shard: int) -> str:
        """The digest of the shard's part."""
        return part_state(store, self.landing, shard)

    def rows(self, store: Store, shard: int) -> Rows:
        """The shard's videos, comments and labels; ids as they were released."""
        videos: list[VideoRow] = []
        comments: list[CommentRow] = []
        labels: list[LabelRow] = []
        for line in read_part(store, self.landing, shard):
            if line["row"] == _VIDEO:
                values = from_plain({name: line[name] for name in _VIDEO_FIELDS if name in line}, VIDEOS.schema)
                values |= {"hashtags": tuple(values.get("hashtags", ())), "creator": _account(line)}
                videos.append(VideoRow(line["id"], **values))
            elif line["row"] == _COMMENT:
                values = from_plain({name: line[name] for name in _COMMENT_FIELDS if name in line}, COMMENTS.schema)
                values |= {"author": _account(line), "removed": tuple(line.get("pii", ()))}
                comments.append(CommentRow(line["id"], line["video"], line["text"], published_id=True, **values))
            else:
                labels.append(LabelRow(line["id"], line.get("opinion"), line.get("emotion"), line["source"]))
        return Rows(videos, comments, labels)

    def split_of(self, store: Store, shard: int) -> dict[str, str]:
        """The release's split `published`, else its main one."""
        lines = read_part(store, self.landing, shard)
        return {line["id"]: line["part"] for line in lines if line["row"] == _COMMENT and line.get("part")}

    def reshard(self, old: Store, new: Store) -> None:
        """Part the lines anew, each kind by its ids."""
        kinds = {_VIDEO: 0, _COMMENT: 1, _LABEL: 2}
        part_anew(
            old, new, self.landing, lambda line: str(line["video"]), lambda line: (kinds[line["row"]], line["id"], 0)
        )

    def _about(self) -> About:
        assert self.section.path is not None
        return read_about(Files(self.section.path))


def _inputs(store: Store, about: About) -> dict[str, Any]:
    return {"recipe": _RECIPE, "n_shards": store.n_shards, "content": about.content}


def _account(line: dict[str, Any]) -> Person | None:
    """The account of a line: its released pseudonym stands for its id."""
    return Person(ids=(line["account"],)) if line.get("account") else None


def _lines(store: Store, release: Files, about: About) -> Iterator[tuple[int, dict[str, Any]]]:
    """A line a row, sorted by key within each table, and the shard it belongs to."""
    tables = {table: read_parquet(release, f"{table}.parquet") for table in TABLES}
    part_of = _parts(release, about)
    video_of: dict[str, str] = {}
    for row in tables["videos"].sort_by("video_id").to_pylist():
        line = plain_row(row, _VIDEO_FIELDS)
        video = row["video_id"]
        yield store.shard_of(video), {"row": _VIDEO, "id": video, "video": video, "account": row["creator"], **line}
    for row in tables["comments"].sort_by("comment_id").to_pylist():
        video = video_of[row["comment_id"]] = row["video_id"]
        line = {"row": _COMMENT, "id": row["comment_id"], "video": video, "text": row["text"], "pii": row["pii"] or []}
        line |= {"account": row["author"], "part": part_of.get(row["comment_id"])}
        yield store.shard_of(video), {**line, **plain_row(row, _COMMENT_FIELDS)}
    for row in tables["labels"].sort_by([("comment_id", "ascending"), ("source", "ascending")]).to_pylist():
        if row["comment_id"] not in video_of:
            raise CsmvError(f"'{release.root}' has a label of a comment that it lacks: `csmv verify` it first.")
        video = video_of[row["comment_id"]]
        said = {"opinion": row["opinion"], "emotion": row["emotion"], "source": row["source"]}
        yield store.shard_of(video), {"row": _LABEL, "id": row["comment_id"], "video": video, **said}


def _parts(release: Files, about: About) -> dict[str, str]:
    """Comment -> its part in the split `published`, else in the main one."""
    name = PUBLISHED if PUBLISHED in about.splits else next(iter(about.splits), None)
    if name is None:
        return {}
    return {
        comment: part
        for part in SPLIT_NAMES
        if part in about.splits[name]
        for comment in read_parquet(release, f"splits/{name}/{part}.parquet", ["comment_id"])["comment_id"].to_pylist()
    }
