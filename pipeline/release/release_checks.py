"""What a release is refused for: no licence, raw media, random weights, stale or unfinished outputs, damage, names.

Every refusal is a sentence that names the file and what to do, and never what was found in it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from csmv.extractors.containers import SOUND_SUFFIXES, VIDEO_SUFFIXES
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.feature_sets import set_footer
from csmv.pipeline.files import PRIVATE
from csmv.pipeline.release.release_config import ReleaseConfig
from csmv.pipeline.release.release_folder import FOLDER
from csmv.pipeline.sources.base import Source
from csmv.pipeline.stage import DatasetView, StageStatus
from csmv.pipeline.store import Store
from csmv.pipeline.verify import verify

_BEFORE = ("tables", "media", "features", "splits")
"""The stages whose outputs are released, or decide what is."""
_SHOWN = 3
_HEAD = 16


def refuse_settings(store: Store, config: ReleaseConfig) -> None:
    """Raises CsmvError if no licence is stated, or a feature set or split is asked for that the root does not have."""
    if config.license is None:
        _refuse(
            "no licence is stated. Say under which one the data may be used: `license: CC-BY-NC-SA-4.0` in the section "
            "`release` of dataset.yaml, or --license"
        )
    _require("feature set", config.features or (), feature_sets(store))
    _require("split", (*(config.splits or ()), *([config.main_split] if config.main_split else ())), splits(store))


def refuse_weights(store: Store, names: Iterable[str]) -> None:
    """Raises CsmvError if a feature set was made by a network with random weights."""
    for name in names:
        if set_footer(store, name).get("weights") == "random":
            _refuse(
                f"features/{name} was made with random weights, which know nothing of the world: extract it with real "
                "ones, or leave it out with `features` in the section `release`"
            )


def refuse_unfinished(progress: Iterable[StageStatus], *, with_features: bool) -> None:
    """Raises CsmvError if what is to be released is stale, or not made to its end."""
    for stage in progress:
        if stage.name not in _BEFORE or (stage.name == "features" and not with_features):
            continue
        if stage.stale:
            unit, why = next(iter(stage.stale.items()))
            _refuse(
                f"{stage.name} is stale ({len(stage.stale)} of {stage.units} units; {unit}: {why}): run "
                f"`csmv run {stage.name}` first"
            )
        if stage.missing and stage.name != "media":
            _refuse(
                f"{stage.name} is not finished ({stage.missing} of {stage.units} units are missing): run "
                f"`csmv run {stage.name}` first"
            )


def refuse_media(store: Store) -> None:
    """Raises CsmvError if a film or sound lies outside `private/`: a release never has one, nor lies beside one."""
    for name in store.files():
        if name.startswith(f"{PRIVATE}/"):
            continue
        suffix = Path(name).suffix.lower()
        if suffix in VIDEO_SUFFIXES or suffix in SOUND_SUFFIXES or _begins_as_film(store, name):
            _refuse(f"'{_masked(name)}' is raw media and lies outside {PRIVATE}/: move it away")


def refuse_damage(store: Store, source: Source, *, media: bool) -> None:
    """Raises CsmvError if `csmv verify` finds fault with the root."""
    problems = verify(store, media=media, source=source).problems
    if problems:
        told = " ".join(problem.what for problem in problems[:_SHOWN])
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        _refuse(f"`csmv verify` finds fault with the root. {told}{more}".removesuffix("."))


def refuse_names(store: Store, folder: Path, papers: Sequence[str]) -> None:
    """Raises CsmvError if a file of the root outside `private/`, or a paper of the release, holds personal data.

    The sentence names the file, the place in it and the kind. The release that the root has already is left out: the
    new one takes its place. Of the new one, what was copied from the root's tables was searched there.

    Args:
        store: the root.
        folder: where the new release is put together.
        papers: its files that hold more than tables do.
    """
    from csmv.pipeline.privacy.audit import audit  # loads Presidio

    audited = audit(store, [folder / name for name in papers], leave_out=f"{FOLDER}/")
    if audited.hits:
        files = [_masked(hit.file, hit.place).replace(str(folder), FOLDER) for hit in audited.hits[:_SHOWN]]
        hits = [f"'{file}' ({hit.place}: {hit.kind})" for file, hit in zip(files, audited.hits, strict=False)]
        more = f" and {len(audited.hits) - _SHOWN} more places" if len(audited.hits) > _SHOWN else ""
        _refuse(
            f"`csmv audit` finds personal data in {', '.join(hits)}{more}: run it to see all, and take them out first"
        )
    if audited.unread:
        one = audited.unread[0]
        _refuse(f"'{_masked(one.file)}' could not be searched for personal data ({one.why}): move it away, or mend it")


def feature_sets(store: Store) -> list[str]:
    """The feature sets that a root has."""
    return sorted({name.split("/")[1] for name in store.files("features") if name.endswith(".parquet")})


def splits(store: Store) -> list[str]:
    """The splits that a root has."""
    return store.split_names()


def chosen_features(store: Store, config: ReleaseConfig) -> list[str]:
    """The feature sets that are released."""
    return feature_sets(store) if config.features is None else list(dict.fromkeys(config.features))


def chosen_splits(store: Store, config: ReleaseConfig) -> list[str]:
    """The splits that are released, the main one first."""
    names = splits(store) if config.splits is None else list(dict.fromkeys(config.splits))
    main = config.main_split or ("video" if "video" in names else names[0] if names else "")
    if config.main_split and main not in names:
        _refuse(f"the main split '{main}' is not among the splits that are released ({', '.join(names) or 'none'})")
    return [main, *(name for name in names if name != main)] if main else []


def check_all(dataset: DatasetView, config: ReleaseConfig) -> None:
    """All checks that need no release yet; damage first, since the others read tables."""
    store = dataset.store
    refuse_settings(store, config)
    refuse_media(store)
    refuse_damage(store, dataset.source, media=config.check_media)
    features = chosen_features(store, config)
    refuse_weights(store, features)
    refuse_unfinished(dataset.progress(), with_features=bool(features))


def _require(what: str, asked: Iterable[str], present: Sequence[str]) -> None:
    for name in asked:
        if name not in present:
            _refuse(f"there is no {what} '{name[:64]}' in the root (there are {', '.join(present) or 'none'})")


def _begins_as_film(store: Store, name: str) -> bool:
    """Whether the first bytes of a file without a suffix that tells are those of an MP4 or WebM."""
    if Path(name).suffix:
        return False
    head = bytes(store.fs.cat_file(store.path(name), start=0, end=_HEAD))
    return head[4:8] == b"ftyp" or head.startswith(b"\x1a\x45\xdf\xa3")


def _masked(name: str, place: str = "") -> str:
    """A file's name; of one whose name is what was found, its folder only."""
    return f"{name.rpartition('/')[0] or '.'}/..." if place == "its name" else name


def _refuse(why: str) -> NoReturn:
    raise CsmvError(f"No release was made: {why}.")
