"""The published CSMV files read as they are published, irregularities counted rather than hidden.

Reads the label dictionary (zip or JSON), the label maps, the split lists and the workbook of links. Never fetches
anything. Source of the format: the files of the CSMV dataset (NeurIPS 2024, annotations CC BY-SA 4.0).
"""

import hashlib
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure
from csmv.pipeline.known_names import LANDING, KnownNames
from csmv.pipeline.landed_names import extracted_names
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.schemas import EMOTIONS, OPINIONS, SPLIT_NAMES, FailureReason
from csmv.pipeline.sources.base import (
    CommentRow,
    LabelRow,
    LandReport,
    Part,
    Reach,
    Rows,
    Source,
    VideoRow,
    reshard_folder,
)
from csmv.pipeline.sources.by_shard import (
    digest_of,
    inputs_of,
    is_landed,
    land_parts,
    look_of,
    part_anew,
    part_state,
    read_part,
    sha256_of,
)
from csmv.pipeline.sources.collect_settings import Manners
from csmv.pipeline.sources.landing import WEB
from csmv.pipeline.sources.link_files import LinkFile, creators_in, read_links
from csmv.pipeline.sources.plain_http import PAGE, check_robots
from csmv.pipeline.sources.video_links import canonical_url
from csmv.pipeline.sources.video_pages import (
    failures_of_pages,
    glance_at_pages,
    land_pages,
    pages_of,
    pending_pages,
    state_of_pages,
    with_page,
)
from csmv.pipeline.sources.web_visits import Report
from csmv.pipeline.store import Store
from csmv.pipeline.validated import Validated

REPORT_FILE = "import_report.json"
_LABEL_MAPS = {"opinion": ("opinion_label_map.json", OPINIONS), "emotion": ("emotion_label_map.json", EMOTIONS)}
_SPLIT_FILES = {part: f"{part}_set.json" for part in SPLIT_NAMES}
_MAX_JSON_BYTES = 1 << 30
_DATA_ID = re.compile(r"[0-9A-Za-z_.-]{1,128}")
_RECIPE = 2
"""Of landing: another number makes the files land anew."""
_FILES, _PAGES = "files", "pages"
"""The steps of landing where pages are read, too."""


class PublishedSource(Validated):
    """The published CSMV files: where they are, or, once they have landed, what they were."""

    kind: Literal["published"] = "published"
    annotations: str | None = Field(
        default=None, description="lable_data_dict.json.zip or .json, or the folder it is in; left out after an import"
    )
    links: str | None = Field(default=None, description="the published workbook of links")
    files: dict[str, str] = Field(default_factory=dict, description="file name -> SHA-256, as imported")
    metadata: bool = Field(
        default=False, description="read the videos' pages too: their description, counts and dates of today"
    )
    manners: Manners | None = Field(default=None, description="how politely the site is asked, for pages and media")


@dataclass(frozen=True)
class Entry:
    """One comment as published: `data_id` is its key, labels are names or None."""

    data_id: str
    video_id: str
    comment: str
    opinion: str | None
    emotion: str | None
    hashtag: str


@dataclass
class PublishedFiles:
    """What the published files hold, checked: good entries, the split of each, the links, and the rows refused."""

    entries: dict[str, Entry]
    split_of: dict[str, str]
    links: LinkFile
    refused: list[Failure] = field(default_factory=list)
    sha256: dict[str, str] = field(default_factory=dict)

    @cached_property
    def split_entries(self) -> list[tuple[str, Entry]]:
        """(part, entry) of every entry that is in a split, in the order of the split lists."""
        return [(part, self.entries[key]) for key, part in self.split_of.items()]

    def report(self) -> dict[str, Any]:
        """Every count and irregularity, by the names that `import_report.json` promises."""
        split_videos = {entry.video_id for _part, entry in self.split_entries}
        linked = set(self.links.ids)
        train_videos = {entry.video_id for part, entry in self.split_entries if part == "train"}
        seen = Counter(part for part, entry in self.split_entries if entry.video_id in train_videos)
        pairs = Counter((entry.video_id, entry.comment) for _part, entry in self.split_entries)
        sizes = Counter(part for part, _entry in self.split_entries)
        return {
            "entries": len(self.entries),
            "entry_videos": len({entry.video_id for entry in self.entries.values()}),
            "comments": {part: sizes[part] for part in SPLIT_NAMES},
            "split_videos": len(split_videos),
            "link_rows": self.links.rows,
            "linked_videos": len(linked),
            "repeated_links": self.links.repeats,
            "split_videos_without_link": len(split_videos - linked),
            "null_labels_in_splits": sum(
                entry.opinion is None or entry.emotion is None for _part, entry in self.split_entries
            ),
            "entries_outside_splits": len(self.entries) - len(self.split_of),
            "repeated_pairs_in_splits": sum(count - 1 for count in pairs.values()),
            "test_comments_with_video_in_train": seen["test"],
            "dev_comments_with_video_in_train": seen["dev"],
        }


def read_published(annotations: Path, links: Path) -> PublishedFiles:
    """The published files: `annotations` is lable_data_dict.json, plain or zipped, with the label maps and the split
    lists beside it (or the folder that holds them all); `links` the workbook.

    Raises CsmvError for a file that is missing or is not what it should be. A single bad entry is refused alone.
    """
    annotations = _annotation_file(annotations)
    folder = annotations.parent
    for task, (name, expected) in _LABEL_MAPS.items():
        classes = _read_json(folder / name)
        if classes != expected:
            raise CsmvError(f"{name}: expected the {task} classes {json.dumps(expected)}, found another map.")
    entries, refused = _entries(_read_json(annotations), annotations.name)
    split_of: dict[str, str] = {}
    for part, name in _SPLIT_FILES.items():
        for key in _split_list(folder / name):
            if key in split_of:
                raise CsmvError(f"{name}: data id '{key[:80]}' is listed twice; one comment belongs to one part.")
            if key not in entries:
                refused.append(Failure(_printable(key), FailureReason.BAD_ROW, f"listed in {name} without an entry"))
                continue
            split_of[key] = part
    link_file = read_links(links)
    sha256 = {path.name: sha256_of(path) for path in _files(annotations, links)}
    return PublishedFiles(entries, split_of, link_file, refused, sha256)


class Published(Source):
    """Comments and labels as published; their videos are fetched by their ids."""

    kind: ClassVar[str] = "published"
    section_class: ClassVar[type[Validated]] = PublishedSource
    identity: ClassVar[tuple[str, ...]] = ("files",)
    section: PublishedSource

    @property
    def online(self) -> bool:
        """Only where the videos' pages are read."""
        return self.section.metadata

    @property
    def manners(self) -> Manners | None:
        """As the section says."""
        return self.section.manners

    def expected_videos(self, links: Path | None = None) -> int:
        """Those of the workbook of links; 0 where it is not there."""
        workbook = Path(self.section.links).expanduser() if self.section.links else None
        return len(read_links(workbook).ids) if workbook is not None and workbook.is_file() else 0

    def prepare(self, store: Store, reach: Reach) -> None:
        """What robots.txt says, where pages are to be read."""
        if self.section.metadata and self._manners.obey_robots:
            pacer, manners = reach.pace(store, self._manners), reach.with_interval(self._manners)
            check_robots(reach.connection, pacer, manners, (PAGE,))

    def parts(self, workers: int) -> Sequence[Sequence[Part]]:
        """One part reads the files; where the videos' pages are read, several workers share them."""
        if not self.section.metadata or workers == 1:
            return [[Part()]]
        return [[Part(step=_FILES)], [Part(number, workers, _PAGES) for number in range(workers)]]

    def land(self, store: Store, reach: Reach, part: Part) -> LandReport:
        """Part the entries by shard, and write `import_report.json`, unless that was done of the very same files; then
        read the pages of the videos, where the section asks for them.

        Raises:
            CsmvError: the section does not say where the files are, one is missing or is not what it should be, or the
                root was made from others.
        """
        landed = LandReport() if part.step == _PAGES else self._land_files(store)
        if not self.section.metadata:
            return landed
        report = Report()
        if part.step != _FILES:
            pacer = reach.pace(store, self._manners)
            report = land_pages(store, reach, part, self._manners, pacer, lambda: self._videos(store))
        report.merge(Report(landed.landed))
        return report

    def _land_files(self, store: Store) -> LandReport:
        if self.section.annotations is None or self.section.links is None:
            if self._files_left(store):
                raise CsmvError(
                    "The published files have not been read into this root: name them in dataset.yaml "
                    "(`source: {kind: published, annotations: ..., links: ...}`) or run `csmv import`."
                )
            return LandReport()
        annotations, links = Path(self.section.annotations).expanduser(), Path(self.section.links).expanduser()
        files = {path.name: path for path in _files(_annotation_file(annotations), links)}
        inputs = {"recipe": _RECIPE, "n_shards": store.n_shards}
        if all(path.is_file() for path in files.values()) and is_landed(store, self.landing, inputs, files):
            return LandReport()
        published = read_published(annotations, links)
        self._refuse_others(published)
        # What the dataset is about is nobody's name, though an account may go by it (@teamusa).
        topics = {_letters(entry.hashtag) for entry in published.entries.values()}
        creators = {video: name for video, name in creators_in(links).items() if _letters(name) not in topics}
        looks = {name: look_of(path) for name, path in files.items()}
        landed = land_parts(store, self.landing, _parted(store, published, creators), {**inputs, "files": looks})
        store.write_file(REPORT_FILE, (json.dumps(published.report(), indent=2) + "\n").encode())
        return LandReport(landed)

    def left(self, store: Store) -> int:
        """1 until the files have landed as they are now, then the pages that are still to be read.

        What has landed of files that are gone stays as it is.
        """
        if files := self._files_left(store):
            return files
        return len(pending_pages(store, self._videos(store))) if self.section.metadata else 0

    def _files_left(self, store: Store) -> int:
        if inputs_of(store, self.landing) is None:
            return 1
        if self.section.annotations is None or self.section.links is None:
            return 0
        annotations, links = Path(self.section.annotations).expanduser(), Path(self.section.links).expanduser()
        if not annotations.exists() or not links.exists():
            return 0
        files = {path.name: path for path in _files(_annotation_file(annotations), links)}
        inputs = {"recipe": _RECIPE, "n_shards": store.n_shards}
        return int(all(path.is_file() for path in files.values()) and not is_landed(store, self.landing, inputs, files))

    def state(self, store: Store, shard: int) -> str:
        """The digest of the shard's part, and of what its videos' pages say."""
        state = part_state(store, self.landing, shard)
        return digest_of([state, state_of_pages(pages_of(store, shard))]) if state and self.section.metadata else state

    def glance(self, store: Store, shard: int) -> str:
        """The digest of the shard's part and the names of its pages' files."""
        state = part_state(store, self.landing, shard)
        return digest_of([state, glance_at_pages(store, shard)]) if state and self.section.metadata else state

    def rows(self, store: Store, shard: int) -> Rows:
        """The shard's entries and the rows refused; data ids are kept as they are published."""
        hashtags: dict[str, set[str]] = {}
        comments: list[CommentRow] = []
        labels: list[LabelRow] = []
        failures: list[Failure] = []
        for line in read_part(store, self.landing, shard):
            if "failure" in line:
                key, reason, detail = line["failure"]
                failures.append(Failure(key, FailureReason(reason), detail))
            elif line.get("text") is not None:
                hashtags.setdefault(line["video"], set()).add(line["hashtag"])
                comments.append(CommentRow(line["id"], line["video"], line["text"], kind="text", published_id=True))
                labels.append(LabelRow(line["id"], line["opinion"], line["emotion"]))
        pages = pages_of(store, shard) if self.section.metadata else {}
        videos = [
            with_page(VideoRow(video, url=canonical_url(video), hashtags=tuple(sorted(tags))), pages.get(video))
            for video, tags in sorted(hashtags.items())
        ]
        return Rows(videos, comments, labels, [*failures, *failures_of_pages(pages)])

    def names(self, store: Store) -> KnownNames:
        """Those of the files, and of the pages where any have landed."""
        return extracted_names(store, LANDING, ("handles", "display_names"))

    def split_of(self, store: Store, shard: int) -> dict[str, str]:
        """The published split of a shard's comments, by data id."""
        lines = read_part(store, self.landing, shard)
        return {line["id"]: line["split"] for line in lines if line.get("text") is not None and line["split"]}

    def reshard(self, old: Store, new: Store) -> None:
        """Part the lines anew; what stood in one part keeps its order."""
        kinds = {"text": 0, "author": 1, "failure": 2}

        def order(line: dict[str, Any]) -> tuple[int, str, int]:
            kind = next((number for name, number in kinds.items() if name in line), 0)
            return kind, str(line["id"]) if kind == kinds["author"] else "", 0

        part_anew(old, new, self.landing, _place_of, order)
        reshard_folder(WEB, old, new)

    def _videos(self, store: Store) -> list[str]:
        """The ids of all videos that have comments, sorted."""
        lines = (line for shard in store.shards() for line in read_part(store, self.landing, shard))
        return sorted({line["video"] for line in lines if line.get("text") is not None})

    @property
    def _manners(self) -> Manners:
        return self.section.manners or Manners()

    def _refuse_others(self, published: PublishedFiles) -> None:
        for name, sha256 in self.section.files.items():
            if published.sha256.get(name, sha256) != sha256:
                raise CsmvError(
                    f"'{name}' is another file than the one that this root was made from: give back that one, or build "
                    "a new root."
                )


def _files(annotations: Path, links: Path) -> list[Path]:
    """Every file whose content decides what is in a root."""
    return [annotations, *(annotations.parent / name for name in _SPLIT_FILES.values()), links]


def _letters(name: str) -> str:
    """A name without what readers of names overlook: the account `vinyl.records` is the topic `vinylrecords`."""
    return re.sub(r"[\W_]", "", name.casefold())


def _parted(store: Store, published: PublishedFiles, creators: dict[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for entry in published.entries.values():
        yield (
            store.shard_of(entry.video_id),
            {
                "id": entry.data_id,
                "video": entry.video_id,
                "text": entry.comment,
                "opinion": entry.opinion,
                "emotion": entry.emotion,
                "hashtag": entry.hashtag,
                "split": published.split_of.get(entry.data_id),
            },
        )
    # Whose video is whose, from the links: for the scrub, the audit and requests to be forgotten.
    for video, creator in sorted(creators.items()):
        yield store.shard_of(video), {"id": video, "author": creator}
    for failure in published.refused:
        yield store.shard_of(failure.key), {"failure": [failure.key, str(failure.reason), failure.detail]}


def _place_of(line: dict[str, Any]) -> str:
    """What decides the shard of a line."""
    return str(line["failure"][0] if "failure" in line else line.get("video") or line.get("id") or "")


def _annotation_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise CsmvError(f"'{path}' is not there; name lable_data_dict.json.zip or the folder it is in.")
    for name in ("lable_data_dict.json.zip", "lable_data_dict.json"):
        if (path / name).is_file():
            return path / name
    raise CsmvError(
        f"'{path}': expected lable_data_dict.json.zip or lable_data_dict.json in this folder, found neither."
    )


def _entries(data: object, name: str) -> tuple[dict[str, Entry], list[Failure]]:
    if not isinstance(data, dict) or not data:
        raise CsmvError(f"{name}: expected a JSON object of data id -> entry, found {type(data).__name__}.")
    entries: dict[str, Entry] = {}
    refused: list[Failure] = []
    for key, value in data.items():
        entry = _entry(key, value)
        if isinstance(entry, Entry):
            entries[key] = entry
        else:
            refused.append(Failure(_printable(key), entry[0], entry[1]))
    if not entries:
        raise CsmvError(
            f"{name}: none of its {len(data)} entries has the fields of a CSMV entry; is it the right file?"
        )
    return entries, refused


def _entry(key: str, value: object) -> Entry | tuple[FailureReason, str]:
    if not isinstance(value, dict):
        return FailureReason.BAD_ROW, "the entry is not an object"
    for name in ("video_file_id", "comment", "hashtag"):
        if not isinstance(value.get(name), str) or not value[name]:
            return FailureReason.BAD_ROW, f"'{name}' is missing or is no text"
    video_id = value["video_file_id"].removesuffix(".mp4")
    if not is_safe_id(video_id) or not _DATA_ID.fullmatch(key):
        return FailureReason.UNSAFE_ID, "the data id or the video id has characters that an id can't have"
    opinion, emotion = value.get("opinion_label"), value.get("emotion_label")
    if (opinion is not None and opinion not in OPINIONS) or (emotion is not None and emotion not in EMOTIONS):
        return FailureReason.BAD_ROW, "a label that is not in the label maps"
    return Entry(key, video_id, value["comment"], opinion, emotion, value["hashtag"])


def _split_list(path: Path) -> Iterable[str]:
    data = _read_json(path)
    if not isinstance(data, list) or not all(isinstance(key, str) for key in data):
        raise CsmvError(f"{path.name}: expected a JSON list of data ids, found something else.")
    return data


def _read_json(path: Path) -> Any:
    """The JSON in a file, or in the one JSON member of a zip."""
    if not path.is_file():
        raise CsmvError(
            f"'{path}' is not there; the published annotation files are expected side by side in one folder."
        )
    try:
        if path.suffix != ".zip":
            return json.loads(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if item.filename.endswith(".json")]
            if len(members) != 1:
                raise CsmvError(f"{path.name}: expected a zip with one JSON file, found {len(members)}.")
            if members[0].file_size > _MAX_JSON_BYTES:
                raise CsmvError(f"{path.name}: unpacks to {members[0].file_size:,} bytes, too many for annotations.")
            return json.loads(archive.read(members[0]))
    except zipfile.BadZipFile:
        raise CsmvError(f"{path.name}: expected a zip archive, found something else.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise CsmvError(f"{path.name}: expected JSON, found something else.") from None


def _printable(key: str) -> str:
    """A key fit for a failures table, whatever it was."""
    return key if _DATA_ID.fullmatch(key) else f"sha256:{hashlib.sha256(key.encode(errors='replace')).hexdigest()[:16]}"
