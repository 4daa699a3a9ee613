"""What lies under models/<run>/ besides tables and weights: the documents of a finished run, and of one that failed.

A run is finished when run.json is there, and failed when failed.json is there without it. No document holds a number
that is not finite: JSON has none.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.feature_sets import set_footer, vectors_of
from csmv.pipeline.root import is_safe_id
from csmv.pipeline.store import Store
from csmv.pipeline.validated import parse
from csmv.pipeline.vccsa.train_config import TrainConfig, as_flat
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig

Overwrite = Literal["never", "changed", "always"]
"""What may be replaced under a run's name: nothing; a run of the same settings whose data or labels have changed since;
whatever is there."""

RunConfig = TrainConfig | ZeroShotConfig
"""What decided a run: of a model that was trained, or of one that was asked as it is."""

ZERO_SHOT = "zero-shot"
"""What a run.json says under `kind` if its configuration is a `ZeroShotConfig`."""


class FailedRunError(CsmvError):
    """A run whose numbers were not finite: it has no scores."""


class TakenError(CsmvError):
    """A run's name that another run has."""


class NotFiniteError(FailedRunError):
    """A loss or a score that is not finite, and where it was met.

    Args:
        what: what is not finite.
        epoch, step: counted from 1.
        learning_rate: of that step, for all but the text encoder.
    """

    def __init__(self, what: str, epoch: int, step: int, learning_rate: float) -> None:
        self.what, self.epoch, self.step, self.learning_rate = what, epoch, step, learning_rate
        super().__init__(
            f"{what} is not finite at step {step} (epoch {epoch}, learning rate {learning_rate:.3g}), so training "
            "stopped: lower optimizer.learning_rate or text.learning_rate, set optimizer.clip_norm, or look for huge "
            "numbers among the features."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.epoch, self.step, self.learning_rate)

    def document(self) -> dict[str, Any]:
        """For failed.json."""
        return {
            "sentence": str(self),
            "what": self.what,
            "epoch": self.epoch,
            "step": self.step,
            "learning_rate": self.learning_rate if math.isfinite(self.learning_rate) else None,
        }


def document_bytes(data: object) -> bytes:
    """What stands in a run's JSON files: the same bytes for the same data. Raises ValueError for NaN or infinity."""
    return (json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def finished_document(store: Store, run: str) -> dict[str, Any] | None:
    """A run's run.json; None while the run is not finished."""
    return _document(store, f"models/{run}/run.json")


def failed_document(store: Store, run: str) -> dict[str, Any] | None:
    """A run's failed.json; None if the run is not marked failed."""
    return _document(store, f"models/{run}/failed.json")


def _document(store: Store, path: str) -> dict[str, Any] | None:
    data = store.read_document(path)
    if data is None:
        return None
    document = parsed_json(data, path)
    if not isinstance(document, dict):
        raise CsmvError(f"{path} holds no JSON object: restore it from a copy, or train the run again.")
    return dict(document)


def config_in(document: dict[str, Any], run: str) -> RunConfig:
    """The configuration that a run.json states. Raises CsmvError, one sentence, if this version does not know it."""
    where = f"models/{run}/run.json, under config"
    if document.get("kind") == ZERO_SHOT:
        return parse(ZeroShotConfig, document.get("config"), where)
    return parse(TrainConfig, document.get("config"), where)


def why_failed(store: Store, run: str) -> str | None:
    """Why a run has no scores: a sentence; None if it is finished, unfinished or not there.

    Earlier versions scored a diverged run as if nothing had happened; its history tells.
    """
    if (document := finished_document(store, run)) is not None:
        broken = next(_not_finite(document.get("result"), "result"), None)
        return None if broken is None else f"its run.json holds a number that is not finite ({broken}): train it again."
    failed = failed_document(store, run)
    return None if failed is None else str(failed.get("sentence", "it is marked failed."))


def _not_finite(value: object, path: str) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _not_finite(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _not_finite(inner, f"{path}.{number}")


def run_names(store: Store) -> tuple[list[str], dict[str, str]]:
    """The finished runs of a root by name, and of each failed one why."""
    marked = {
        path.split("/")[1]
        for path in store.files("models")
        if path.count("/") == 2 and path.endswith(("/run.json", "/failed.json"))
    }
    failed = {}
    for run in sorted(marked):
        try:
            reason = why_failed(store, run)
        except CsmvError as error:
            reason = str(error)
        if reason is not None:
            failed[run] = reason
    return sorted(marked - failed.keys()), failed


# ---------------------------------------------------------------- names


def refuse_other_settings(run: str, document: dict[str, Any], config: TrainConfig) -> None:
    """Raises TakenError if a finished run of that name was trained with other settings."""
    before = config_in(document, run)
    if before.identity == config.identity:
        return
    old, new = (as_flat(one.model_dump(mode="json")) for one in (before, config))
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    raise TakenError(
        f"The run '{run}' is there already, with other settings ({', '.join(changed[:3])}{more}): give this one "
        "another name with --run, or replace it with --overwrite."
    )


def refuse_taken(store: Store, run: str, fingerprint: str, unfinished: str | None, overwrite: Overwrite) -> bool:
    """Whether what is there under a run's name is to be replaced from the start.

    Args:
        store: the root.
        run: the name.
        fingerprint: of the run that is asked for, which is not finished.
        unfinished: the fingerprint of the last checkpoint there, if there is one.
        overwrite: what may be replaced.

    Raises:
        TakenError: another run is there.
        FailedRunError: this very one failed before.
    """
    failed = failed_document(store, run)
    if failed is not None and failed.get("fingerprint") == fingerprint:
        if overwrite == "always":
            return True
        raise FailedRunError(
            f"The run '{run}' failed before with the same settings and data, and would again. {failed.get('sentence')} "
            "To try it all the same, use --overwrite."
        )
    is_finished = store.exists(f"models/{run}/run.json")
    is_other = unfinished is not None and unfinished != fingerprint
    if not (is_finished or failed is not None or is_other) or overwrite != "never":
        return False
    what = "" if is_finished else ", failed" if failed is not None else ", unfinished"
    changed = "another split, other comments, labels, features or encoder files, or by another version"
    changed = changed if is_finished else f"other settings or {changed}"
    raise TakenError(
        f"The run '{run}' is there already{what}, made with {changed}: give this one another name with --run, or "
        "replace it with --overwrite."
    )


_OWN = re.compile(
    r"(run|failed|metrics|made_from)\.json|(predictions|unlabelled)\.parquet|(best-\d+|last)\.safetensors|encoder/.*"
    r"|evaluation/(dev|test)(\.json|-results\.(md|tex|json)|-(confusion|reliability)-\w+\.svg|-attribution\.json"
    r"|-errors-[\w-]+\.html)"
)
"""The files that a run and its evaluation write into the run's folder. Others there are a person's."""


def clear(store: Store, folder: str) -> None:
    """Remove all that an earlier run of that name left, above all the word that it is finished; nothing else."""
    for path in sorted(store.files(folder), key=lambda path: not path.endswith("/run.json")):
        if _OWN.fullmatch(path.removeprefix(f"{folder}/")):
            store.remove(path)


def last_fingerprint(store: Store, run: str) -> str | None:
    """The fingerprint of the run whose checkpoint to go on from is there; None if there is none."""
    path = f"models/{run}/last.safetensors"
    if not store.exists(path):
        return None
    from safetensors import safe_open

    with store.local_file(path) as local, safe_open(str(local), framework="np") as file:
        header = file.metadata() or {}
    return str(json.loads(header.get("progress", "{}")).get("fingerprint", ""))


# ---------------------------------------------------------------- features and an encoder's files


def features_settings(store: Store, config: TrainConfig) -> list[dict[str, str]]:
    """Of each feature set of a run, in order, which weights and rule made the vectors that are in the root now."""
    sets = config.features if config.needs_features else ()
    return [vectors_of(set_footer(store, name)) for name in sets]


def refuse_other_vectors(store: Store, run: str, document: dict[str, Any], config: TrainConfig) -> None:
    """Raises CsmvError if a feature set was extracted anew in another way since a finished run learnt from it.

    Runs of earlier versions did not write down what they learnt from.
    """
    before, now = document.get("features", []), features_settings(store, config)
    for name, old, new in zip(config.features, before, now, strict=False):
        changed = [key for key in sorted(old.keys() & new.keys()) if old[key] != new[key]]
        if changed:
            raise CsmvError(
                f"features/{name} was extracted anew since the run '{run}' was trained on it, with another "
                f"{changed[0]} ({old[changed[0]][:24]} then, {new[changed[0]][:24]} now), so its answers would mean "
                "nothing: train again, or bring back the features it was trained with."
            )


def encoder_files(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Of each file of an encoder that is a folder of this machine: bytes, when it was changed, SHA-256."""
    return {file.name: {**_seen(file), "sha256": _sha256(file)} for file in _files_of(config)}


def is_same_encoder(recorded: dict[str, dict[str, Any]], config: TrainConfig) -> bool:
    """Whether an encoder's folder is as it was, reading only files that were touched; one that is gone was the same."""
    files = {file.name: file for file in _files_of(config)}
    if not files:
        return True
    return files.keys() == recorded.keys() and all(
        recorded[name]["bytes"] == (seen := _seen(file))["bytes"]
        and (recorded[name]["changed_ns"] == seen["changed_ns"] or recorded[name]["sha256"] == _sha256(file))
        for name, file in files.items()
    )


def _files_of(config: TrainConfig) -> list[Path]:
    folder = Path(config.text.encoder)
    if config.text.encoder == "tiny" or not folder.is_dir():
        return []
    return [file for file in sorted(folder.iterdir()) if file.is_file()]


def _seen(file: Path) -> dict[str, int]:
    status = file.stat()
    return {"bytes": status.st_size, "changed_ns": status.st_mtime_ns}


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def require_name(run: str) -> None:
    """Raises CsmvError if a run can't be called so."""
    if not is_safe_id(run):
        raise CsmvError(f"A run's name is 1 to 64 letters, digits, - and _; '{run[:80]}' is not.")
