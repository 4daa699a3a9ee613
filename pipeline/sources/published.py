"""The published CSMV files read as they are published, irregularities counted rather than hidden, into a root.

Reads the label dictionary (zip or JSON), the label maps, the split lists and the workbook of links. Never fetches
anything. Source of the format: the files of the CSMV dataset (NeurIPS 2024, annotations CC BY-SA 4.0).
"""

import hashlib
import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import DatasetConfig, PublishedSource
from pipeline.errors import CsmvError
from pipeline.known_names import LANDING
from pipeline.privacy.forgotten import Forgotten
from pipeline.progress import track
from pipeline.pseudonym import load_or_create_key
from pipeline.schemas import (
    COMMENTS,
    EMOTIONS,
    LABELS,
    OPINIONS,
    SPLIT_NAMES,
    SPLITS,
    VIDEOS,
    FailureReason,
    MediaStatus,
)
from pipeline.scrub import Scrubber, ScrubPolicy
from pipeline.sources.links import LinkFile, canonical_url, creators_in, read_links
from pipeline.sources.media_columns import keep_media_columns
from pipeline.store import Failure, Store, is_safe_id, shard_of

REPORT_FILE = "import_report.json"
CREATORS_FILE = f"{LANDING}/published/creators.jsonl"
"""Whose video is whose, from the links: for the scrub, the audit and requests to be forgotten."""
_LABEL_MAPS = {"opinion": ("opinion_label_map.json", OPINIONS), "emotion": ("emotion_label_map.json", EMOTIONS)}
_SPLIT_FILES = {part: f"{part}_set.json" for part in SPLIT_NAMES}
_MAX_JSON_BYTES = 1 << 30
_DATA_ID = re.compile(r"[0-9A-Za-z_.-]{1,128}")


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
        found = _read_json(folder / name)
        if found != expected:
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
    files = [annotations, *(folder / name for name in _SPLIT_FILES.values()), links]
    link_file = read_links(links)
    sha256 = {path.name: _sha256(path) for path in files}
    return PublishedFiles(entries, split_of, link_file, refused, sha256)


def import_published(root: str, annotations: Path, links: Path, n_shards: int, scrub: ScrubPolicy) -> PublishedFiles:
    """Read the published files and write them into the root: videos, comments, labels, the published split, failures
    and `import_report.json`. Importing again gives the same bytes and keeps what later stages found out.
    """
    published = read_published(annotations, links)
    source = PublishedSource(files=published.sha256)
    if _has_root(root):
        config = Store.open(root).config.model_copy(update={"source": source, "scrub": scrub, "n_shards": n_shards})
    else:
        config = DatasetConfig(name="csmv", n_shards=n_shards, source=source, scrub=scrub)
    store = Store.create(root, config)
    store.sweep()
    by_shard: dict[int, list[Entry]] = defaultdict(list)
    for entry in published.entries.values():
        by_shard[store.shard_of(entry.video_id)].append(entry)
    # In this process: at thousands of comments a second a second one would only add its memory.
    # What the dataset is about is nobody's name, though an account may go by it (@teamusa).
    topics = {entry.hashtag.casefold() for entry in published.entries.values()}
    creators = {video: name for video, name in creators_in(links).items() if name.casefold() not in topics}
    store.write_file(CREATORS_FILE, _creator_lines(creators, Forgotten.of(store)))
    key = load_or_create_key(store) if scrub.needs_key else None
    scrubber = Scrubber(scrub, key=key, names=sorted(set(creators.values())))
    with track("scrubbing comments", len(published.entries)) as tick:
        for shard in sorted(by_shard):
            _write_shard(store, shard, by_shard[shard], scrubber)
            tick(len(by_shard[shard]))
    store.write_split("published", _split_table(published))
    by_failure_shard: dict[int, list[Failure]] = defaultdict(list)
    for failure in published.refused:
        by_failure_shard[shard_of(failure.key, n_shards)].append(failure)
    for shard, failures in sorted(by_failure_shard.items()):
        store.record_failures("import", shard, failures)
    store.write_file(REPORT_FILE, (json.dumps(published.report(), indent=2) + "\n").encode())
    return published


def _creator_lines(creators: dict[str, str], forgotten: Forgotten) -> bytes:
    rows = ({"id": video, "author": creators[video]} for video in sorted(creators.keys() - forgotten.videos))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _has_root(root: str) -> bool:
    return Store(root).exists("dataset.yaml")


def _write_shard(store: Store, shard: int, entries: list[Entry], scrubber: Scrubber) -> None:
    scrubbed = scrubber.scrub([entry.comment for entry in entries])
    hashtags: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        hashtags[entry.video_id].add(entry.hashtag)
    videos = [
        {
            "video_id": video,
            "url": canonical_url(video),
            "hashtags": sorted(hashtags[video]),
            "media_status": str(MediaStatus.PENDING),
        }
        for video in sorted(hashtags)
    ]
    comments = [
        {
            "comment_id": entry.data_id,
            "video_id": entry.video_id,
            "text": clean.text,
            "pii": sorted(set(map(str, clean.kinds))),
        }
        for entry, clean in zip(entries, scrubbed, strict=True)
    ]
    labels = [
        {"comment_id": entry.data_id, "opinion": entry.opinion, "emotion": entry.emotion, "source": "published"}
        for entry in entries
    ]
    fresh = pa.Table.from_pylist(videos, schema=VIDEOS.schema)
    store.write("videos", shard, keep_media_columns(store.read("videos", shard), fresh))
    store.write("comments", shard, pa.Table.from_pylist(comments, schema=COMMENTS.schema))
    store.write("labels", shard, pa.Table.from_pylist(labels, schema=LABELS.schema))


def _split_table(published: PublishedFiles) -> pa.Table:
    rows = [
        {"comment_id": entry.data_id, "video_id": entry.video_id, "split": part}
        for part, entry in published.split_entries
    ]
    return pa.Table.from_pylist(rows, schema=SPLITS.schema)


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
        found = _entry(key, value)
        if isinstance(found, Entry):
            entries[key] = found
        else:
            refused.append(Failure(_printable(key), found[0], found[1]))
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _printable(key: str) -> str:
    """A key fit for a failures table, whatever it was."""
    return key if _DATA_ID.fullmatch(key) else f"sha256:{hashlib.sha256(key.encode(errors='replace')).hexdigest()[:16]}"
