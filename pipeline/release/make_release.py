"""Makes a release of a root: checks, tables, papers and sums, first beside everything else and then in its place.

Two releases of one root under the same settings are the same bytes: nothing in one tells the time of day.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_sets import read_footer
from csmv.pipeline.files import Files
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.release.changelog import changes_since, next_version
from csmv.pipeline.release.csmv_layout import write_csmv
from csmv.pipeline.release.dataset_card import MARK, root_card
from csmv.pipeline.release.datasheet import open_questions
from csmv.pipeline.release.datasheet_facts import facts_of
from csmv.pipeline.release.feature_tars import write_webdataset
from csmv.pipeline.release.leakage import audit_file
from csmv.pipeline.release.plain_tables import write_csv, write_jsonl
from csmv.pipeline.release.release_checks import (
    check_all,
    chosen_features,
    chosen_splits,
    feature_sets,
    refuse_names,
    splits,
)
from csmv.pipeline.release.release_config import ReleaseConfig, ReleaseFormat
from csmv.pipeline.release.release_folder import CARD, FOLDER, About, content_of, local_sums, read_about
from csmv.pipeline.release.release_papers import answers_before, finish, papers_of
from csmv.pipeline.release.release_place import previous_release, put_release, staging
from csmv.pipeline.release.release_tables import write_features, write_splits, write_tables
from csmv.pipeline.stage import DatasetView, digest
from csmv.pipeline.store import Store

_STAGING = "private/release"
_RECIPE = 1
"""Of this package: another number makes releases stale."""


@dataclass(frozen=True)
class Made:
    """A release that was made: where, what it says of itself, and how many files it has."""

    address: str
    about: About
    files: int
    open_questions: int
    """Of its datasheet, those that only a person can answer and nobody has."""


def make_release(dataset: DatasetView, config: ReleaseConfig, out: str | None = None) -> Made:
    """Release a root.

    Args:
        dataset: the root.
        config: what the release holds.
        out: a folder or fsspec URL; None for `release/` in the root. A release that is there is replaced, and is what
            the changelog compares with.

    Raises:
        CsmvError: the root can't be released, or something else is where the release is to be; the sentence says why.
    """
    store = dataset.store
    target = Files(out or f"{store.root.rstrip('/')}/{FOLDER}")
    before = previous_release(target)
    check_all(dataset, config)
    made_from = state_of(store, config)
    answers = answers_before(before or Files(f"{store.root.rstrip('/')}/{FOLDER}"))
    with staging(store.private_folder(_STAGING) if store.is_local else None) as folder:
        about, papers = _write(dataset, config, before, answers, made_from, folder)
        refuse_names(store, folder, papers)
        count = put_release(folder, target)
    _card_of_root(store, about.license)
    return Made(target.root, about, count, len(open_questions(answers)))


EXPORTS: Mapping[ReleaseFormat, Callable[[Path, list[str], list[str]], object]] = {
    ReleaseFormat.CSMV: write_csmv,
    ReleaseFormat.CSV: write_csv,
    ReleaseFormat.JSONL: write_jsonl,
    ReleaseFormat.WEBDATASET: write_webdataset,
}
"""What writes a format from the Parquet files of a release: its folder, its splits, its feature sets."""


def state_of(store: Store, config: ReleaseConfig) -> str:
    """A digest of all that decides a release but people's answers: settings, tables, splits, how features were made."""
    lines = [f"recipe {_RECIPE}", config.model_dump_json(), store.header.name]
    for table in ("videos", "comments", "labels"):
        lines += [f"{name} {sha256}" for name, sha256 in sorted(store.states(table).items())]
    for split in chosen_splits(store, config):
        lines.append(f"splits/{split} {store.sha256_of(f'splits/{split}', None)}")
        lines.append(str(store.read_document(audit_file(split))))
    for name in chosen_features(store, config):
        table = f"features/{name}"
        lines += [f"{file} {sha256}" for file, sha256 in sorted(store.states(table).items())]
        lines.append(str(read_footer(store, table, 0)))
    return digest(*lines)


def _write(
    dataset: DatasetView,
    config: ReleaseConfig,
    before: Files | None,
    answers: Mapping[str, str],
    made_from: str,
    folder: Path,
) -> tuple[About, list[str]]:
    """Write everything of a release below a local folder.

    Returns:
        What it says of itself, and the files in it that hold more than the tables do.
    """
    store = dataset.store
    assert config.license is not None
    rows = write_tables(store, folder)
    parts = write_splits(store, chosen_splits(store, config), folder)
    videos, said = write_features(store, chosen_features(store, config), folder)
    rows |= {f"splits/{name}": sum(counts.values()) for name, counts in parts.items()}
    rows |= {f"features/{name}": count for name, count in videos.items()}
    content = content_of(local_sums(folder))
    gone = Forgotten.of(store)
    version, changes = _version(config, before, folder, content, gone)
    about = About(
        name=store.header.name,
        version=version,
        license=config.license,
        content=content,
        made_from=made_from,
        title=config.title or "",
        day=config.day.isoformat() if config.day else None,
        doi=config.doi or "",
        homepage=config.homepage or "",
        authors=list(config.authors),
        citation=config.citation or "",
        rows=rows,
        splits=parts,
        features=said,
        formats=[str(one) for one in config.formats],
        changes=changes,
    )
    for form in config.formats:
        EXPORTS[form](folder, list(parts), list(videos))
    return about, finish(folder, about, papers_of(about, facts_of(dataset, about), answers, folder))


def _version(
    config: ReleaseConfig, before: Files | None, folder: Path, content: str, gone: Forgotten
) -> tuple[str, list[dict[str, Any]]]:
    """The version of a release, and what changed from version to version, the newest first."""
    if before is None:
        return config.version or "1.0.0", []
    old = read_about(before)
    if old.content == content:
        version = config.version or old.version
        return version, [dict(old.changes[0], version=version), *old.changes[1:]] if old.changes else []
    if config.version == old.version:
        raise CsmvError(
            f"'{before.root}' holds version {old.version} with other data: a version names one state of the data. Give "
            "this one another number, or leave `version` out."
        )
    version = config.version or next_version(old.version)
    return version, [changes_since(before, Files(str(folder)), version, gone), *old.changes]


def _card_of_root(store: Store, license_name: str) -> None:
    """Write a card into the root, so that its own tables can be loaded by their names; a person's own card stays."""
    current = store.read_if_there(CARD)
    if current is not None and MARK.encode() not in current:
        return
    card = root_card(store.header.name, license_name, store.num_rows("comments"), splits(store), feature_sets(store))
    if current != card.encode():
        store.write_file(CARD, card.encode())
