"""What the data say to the questions of a datasheet: counts, hours, times, splits, what is missing, how it was made."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.annotation_labels import AGREEMENT_FILES
from csmv.pipeline.errors import parsed_json
from csmv.pipeline.failures import failures_of
from csmv.pipeline.labels import TASKS, labelled, resolve
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.release.datasheet import Answer
from csmv.pipeline.release.leakage import read_leakage
from csmv.pipeline.release.leakage_words import leakage_lines
from csmv.pipeline.release.release_folder import About
from csmv.pipeline.schemas import SPLIT_NAMES, FailureReason, MediaStatus, spec_of
from csmv.pipeline.scrub import Kind
from csmv.pipeline.splits import overlap
from csmv.pipeline.stage import DatasetView
from csmv.pipeline.store import Store

MEASURED = Path(__file__).parent.parent / "scrub" / "measured.json"
"""How good the scrub is, as its benchmark measured it."""
_MOST_LANGUAGES = 12

Rows = tuple[tuple[str, ...], ...]


def facts_of(dataset: DatasetView, about: About) -> dict[str, Answer]:
    """The key of a question -> what a root and its release say; questions of which they know nothing are left out."""
    store = dataset.store
    videos, comments, labels = (store.read_all(table) for table in ("videos", "comments", "labels"))
    facts = table_facts(about, videos, comments, labels, {name: store.read_split(name) for name in about.splits})
    audited = ((name, read_leakage(store, name)) for name in about.splits)
    audits = [f"`{name}`: {' '.join(leakage_lines(audit))}" for name, audit in audited if audit is not None]
    missing, tables = _missing(store, videos)
    return {
        **facts,
        "sampling": Answer(
            (f"All that the source of kind `{store.header.source}` gave, but for what is missing below.",)
        ),
        "labels": Answer((*facts["labels"].sentences, *agreement_sentences(store)), facts["labels"].tables),
        "missing": Answer((*facts["missing"].sentences, *missing), tables),
        "splits": Answer((*facts["splits"].sentences, *audits), facts["splits"].tables),
        **_collection(dataset, videos, comments),
        **_privacy(dataset, comments),
    }


def table_facts(
    about: About, videos: pa.Table, comments: pa.Table, labels: pa.Table, splits: Mapping[str, pa.Table]
) -> dict[str, Answer]:
    """What the tables of a release say by themselves, whatever they were made of.

    Args:
        about: what the release says of itself.
        videos: its videos.
        comments: its comments.
        labels: its labels.
        splits: split -> its comments with video and part.
    """
    seconds = float(pc.sum(videos["duration_s"]).as_py() or 0)
    measured = len(videos["duration_s"].drop_null())
    length = f"The {measured:,} videos whose length is known are {seconds / 3600:,.2f} hours together."
    settled = labelled(resolve(labels))
    each = comments.group_by("video_id").aggregate([([], "count_all")])["count_all"]
    spread = [f"A video has {pc.mean(each).as_py():.2f} comments on average, {_range(each)}."] if len(each) else []
    has_replies = comments["reply_to"].null_count < comments.num_rows
    replies = " `reply_to` names the comment that a comment answers." if has_replies else ""
    lacking = [f"{settled[task].null_count:,} labelled comments lack a settled {task}." for task in TASKS]
    lacking += [
        f"`features/{name}` has {about.rows[f'features/{name}']:,} of {videos.num_rows:,} videos."
        for name in about.features
    ]
    return {
        "instances": Answer(
            (
                "A video (`videos`), a comment below one (`comments`), a label that somebody gave a comment "
                "(`labels`), and of each feature set the vectors of a video (`features`).",
            )
        ),
        "counts": Answer(
            (length, *spread), ((("table", "rows"), *((name, f"{rows:,}") for name, rows in about.rows.items())),)
        ),
        "fields": Answer((), tuple(_columns(table) for table in ("videos", "comments", "labels"))),
        "labels": Answer(
            (
                f"{settled.num_rows:,} of {comments.num_rows:,} comments have a label that counts; labels came from "
                f"{_listed(_sources(labels))}.",
            ),
            tuple(_distribution(task, settled[task], names) for task, names in TASKS.items()),
        ),
        "missing": Answer(tuple(lacking)),
        "relations": Answer(
            (
                "`video_id` says to which video a comment belongs. `creator` and `author` are keyed pseudonyms: the "
                f"same account has the same one everywhere in this dataset, and in no other.{replies}",
            )
        ),
        "splits": _splits(about, splits),
        "errors": Answer((f"{_repeated(comments):,} comments repeat the text of another one below the same video.",)),
        "groups": Answer(tuple(_languages(comments))),
        **_made(about),
        **_given(about),
    }


def _range(counts: pa.ChunkedArray) -> str:
    ends = pc.min_max(counts).as_py()
    return f"from {ends['min']:,} to {ends['max']:,}"


def _columns(table: str) -> Rows:
    spec = spec_of(table)
    assert spec is not None
    fields = spec.schema
    rows = [(field.name, str(field.type), (field.metadata or {}).get(b"meaning", b"").decode()) for field in fields]
    return ((f"column of `{table}`", "type", "meaning"), *rows)


def _sources(labels: pa.Table) -> list[str]:
    counts = Counter(labels["source"].to_pylist())
    annotators = [source for source in counts if source not in ("published", "adjudicated")]
    said = [f"{counts[source]:,} {source}" for source in ("published", "adjudicated") if counts[source]]
    if annotators:
        said.append(f"{sum(counts[one] for one in annotators):,} by {len(annotators):,} annotators")
    return said or ["nobody"]


def _distribution(task: str, column: pa.ChunkedArray, names: Iterable[str]) -> Rows:
    counts = Counter(column.to_pylist())
    total = sum(counts[name] for name in names)
    rows = [(name, f"{counts[name]:,}", f"{counts[name] / total:.1%}" if total else "") for name in names]
    return ((task, "comments", "share"), *rows, ("none settled", f"{counts[None]:,}", ""))


def _missing(store: Store, videos: pa.Table) -> tuple[tuple[str, ...], tuple[Rows, ...]]:
    """What a root records of what it could not get: sentences, and a table of reasons."""
    total = videos.num_rows
    with_file = sum(status in (MediaStatus.OK, MediaStatus.DELETED) for status in videos["media_status"].to_pylist())
    reasons: Counter[tuple[str, str]] = Counter()
    for stage, rows in failures_of(store).items():
        reasons.update((stage, reason) for reason in rows["reason"].to_pylist())
    lines = [
        (stage, reason, FailureReason(reason).sentence, f"{count:,}")
        for (stage, reason), count in sorted(reasons.items(), key=lambda one: (one[0][0], -one[1], one[0][1]))
    ]
    told = f"{total - with_file:,} of {total:,} videos had no media file to measure: their length and size are unknown."
    return (told,), ((("failed at", "reason", "what it means", "times"), *lines),) if lines else ()


def _repeated(comments: pa.Table) -> int:
    pairs = comments.group_by(["video_id", "text"]).aggregate([([], "count_all")])
    return int(comments.num_rows - pairs.num_rows)


def _languages(comments: pa.Table) -> Iterable[str]:
    counts = Counter(language for language in comments["language"].to_pylist() if language)
    if counts:
        said = _listed(f"{language} {count:,}" for language, count in counts.most_common(_MOST_LANGUAGES))
        yield f"Languages of comments, as the platform guessed them: {said}. No age, gender or origin is recorded."
    else:
        yield "No language, age, gender or origin of anybody is recorded."


def _splits(about: About, splits: Mapping[str, pa.Table]) -> Answer:
    if not splits:
        return Answer(("There is no split.",))
    heading = ("split", *SPLIT_NAMES, "dev on videos of train", "test on videos of train")
    rows = [
        (
            name,
            *(f"{about.splits[name].get(part, 0):,}" for part in SPLIT_NAMES),
            *(f"{overlap(split, part):,}" for part in ("dev", "test")),
        )
        for name, split in splits.items()
    ]
    first = f"`{next(iter(about.splits))}` is the one that `load_dataset` gives where none is named."
    return Answer((first,), ((heading, *rows),))


def agreement_sentences(store: Store) -> Iterable[str]:
    """What is known of how far the annotators of each batch agree."""
    for name in sorted(store.files("reports")):
        if name.startswith(AGREEMENT_FILES) and name.endswith(".json"):
            report = parsed_json(store.read_file(name), name)
            agreement = _flat(report["agreement"])
            yield (
                f"Batch `{report['batch']}`: {report['labels']:,} labels of {len(report['annotators'])} annotators on "
                f"{report['comments']:,} comments; agreement: {agreement}."
            )


def _flat(value: Any, path: str = "") -> str:
    """The numbers of a JSON value in one line; lists are left out, since their rows are read elsewhere."""
    if isinstance(value, Mapping):
        inner = (_flat(one, f"{path} {name}".strip()) for name, one in value.items())
        return "; ".join(text for text in inner if text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f"{path.replace('_', ' ')} {shown}"


def _collection(dataset: DatasetView, videos: pa.Table, comments: pa.Table) -> dict[str, Answer]:
    store, source = dataset.store, dataset.source
    hashtags = Counter(tag for tags in videos["hashtags"].to_pylist() for tag in tags or ())
    topics = f" Its videos have {len(hashtags):,} different hashtags." if hashtags else ""
    if source.online and source.manners is not None:
        how = "It asked the site politely: one pace for all workers, robots.txt obeyed unless a setting says otherwise."
    else:
        how = "Nothing was asked of the site for the tables."
    times = [
        f"{what} from {ends['min']:%Y-%m-%d} to {ends['max']:%Y-%m-%d}"
        for what, column in (("videos were published", videos["created_at"]), ("comments are", comments["created_on"]))
        if (ends := pc.min_max(column).as_py())["min"] is not None
    ]
    gone = Forgotten.of(store)
    return {
        "acquired": Answer(("Seen: public videos and comments; labels were given by people who read or saw them.",)),
        "mechanisms": Answer((f"By csmv {metadata.version('csmv')}, source `{source.kind}`.{topics} {how}",)),
        "timeframe": Answer(
            (f"{_listed(times).capitalize()}." if times else "No times of videos or comments are known.",)
        ),
        "directly": Answer(("From the platform, not from the persons themselves.",)),
        "revocation": Answer(
            (
                "`csmv forget` takes a comment, a video or all of an account out of the root for good, and the next "
                f"release counts it in its changelog. So far {len(gone.comments):,} comments and {len(gone.videos):,} "
                "videos were removed on request.",
            )
        ),
    }


def _privacy(dataset: DatasetView, comments: pa.Table) -> dict[str, Answer]:
    policy, measured = dataset.scrub, json.loads(MEASURED.read_text(encoding="utf-8"))
    kinds = Counter(kind for kinds in comments["pii"].to_pylist() for kind in kinds or ())
    cleaned = int(pc.sum(pc.greater(pc.list_value_length(comments["pii"]), 0)).as_py() or 0)
    removed = tuple((kind, f"{count:,}") for kind, count in kinds.most_common())
    rules = {kind: getattr(policy, kind.lower(), None) for kind in Kind}
    taken = [kind.lower().replace("_", " ") for kind, rule in rules.items() if rule is not None and rule.enabled]
    left = [kind.lower().replace("_", " ") for kind, rule in rules.items() if rule is not None and not rule.enabled]
    recall = tuple((one["what"], f"{one['recall']:.2%}", f"{one['precision']:.2%}") for one in measured["kinds"])
    return {
        "confidential": Answer(
            (
                f"Comments and descriptions were public. Of {comments.num_rows:,} comments {cleaned:,} held personal "
                "data, which a placeholder replaces.",
            ),
            ((("kind", "comments"), *removed),) if removed else (),
        ),
        "identifiable": Answer(
            (
                "Accounts are keyed pseudonyms, addresses of videos hold no handle, and a video's id leads to it while "
                "it is public. Texts could be searched for on the platform.",
                f"What the scrub lets pass was measured on {measured['generated']:,} generated comments "
                f"({measured['date']}): recall and precision by kind are below.",
            ),
            ((("personal data", "recall", "precision"), *recall),),
        ),
        "preprocessing": Answer(
            (
                f"Personal data was taken out of every text before it was stored: {_listed(taken)}; findings below a "
                f"score of {policy.threshold:g} stay.",
                f"Left in on purpose: {_listed(left)}, since comments speak of public figures and places."
                if left
                else "No kind of personal data is left in on purpose.",
            )
        ),
        "raw": Answer(("Raw pages and media stay in the root's private part and are never published.",)),
        "software": Answer((f"csmv {metadata.version('csmv')}, under the MIT licence.",)),
    }


def _made(about: About) -> dict[str, Answer]:
    rows = [
        (
            name,
            said.get("extractor", ""),
            said.get("clip_rule", ""),
            f"{int(said['vectors']):,} x {said['dim']}",
            said.get("weights", ""),
            said.get("weights_sha256", ""),
        )
        for name, said in about.features.items()
    ]
    heading = ("feature set", "extractor", "clip rule", "vectors", "weights", "SHA-256 of the weights")
    return {"preprocessing_more": Answer((), ((heading, *rows),))} if rows else {}


def _given(about: About) -> dict[str, Answer]:
    return {
        "external": Answer(
            (
                "Videos are not in the release: `url` leads to each on the platform, where creators may delete it any "
                "day. Features, texts, labels and splits need nothing from outside.",
            )
        ),
        "how": Answer(
            (
                f"As a folder of Parquet files, version {about.version}, with the SHA-256 of every file and Croissant "
                f"metadata. {f'DOI: {about.doi}.' if about.doi else 'It has no DOI yet.'}",
            )
        ),
        "licence": Answer((f"The data are under {about.license}.",)),
        "updates": Answer(
            ("Each version has a number, and `CHANGELOG.md` counts what was added, removed and relabelled.",)
        ),
        "extend": Answer(
            (
                "`csmv import RELEASE --root ROOT` takes a release as the source of a root of one's own; `csmv merge` "
                "makes one release of two.",
            )
        ),
    }


def _listed(words: Iterable[str]) -> str:
    """Words as a sentence has them."""
    several = list(words)
    return several[0] if len(several) == 1 else f"{', '.join(several[:-1])} and {several[-1]}" if several else "none"
