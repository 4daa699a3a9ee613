"""Where a language model lies on this machine, and which one it is. Downloads nothing, and reads no pickled weights."""

import hashlib
import json
import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psutil

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub.policy import Framework, NerModel, ScrubPolicy

_PROCESS_BYTES = 1_000_000_000
"""What a process takes that has loaded torch and the scrubber."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_CONFIG = {
    "spacy": "config.cfg",
    "transformers": "config.json",
    "gliner": "gliner_config.json",
    "gliner2": "config.json",
}
_RUN_CODE = ("gliner", "gliner2")
"""Packages that trust whatever code a model's configuration refers to, and read pickled weights beside a missing file.

As read of gliner 0.2.24 and gliner2 2.1.0, which pass trust_remote_code=True on when they make a model's encoder.
"""
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5")


def folder_of(model: NerModel) -> Path:
    """The folder that holds a model's files, checked to be the model that is asked for.

    A model with code of its own is read without that code, and weights are read as safetensors only.

    Raises:
        CsmvError: it is not on this machine, its files are others than `sha256` says, it lacks something, or its
            weights are pickled, which could run code.
    """
    folder = _found(model)
    if model.framework != "spacy":
        _refuse_pickles(model, folder)
    if model.framework in _RUN_CODE:
        _refuse_code(model, folder)
    if not any(folder.rglob(_CONFIG[model.framework]) if model.framework == "spacy" else _configs(model, folder)):
        raise CsmvError(
            f"The folder '{shown(model)}' should hold a {model.framework} model, and has no "
            f"{_CONFIG[model.framework]}: name the folder that the model was saved to, or another `framework`."
        )
    if model.sha256 is not None and sha256_of(folder) != model.sha256:
        raise CsmvError(
            f"The files of the model '{shown(model)}' have the sha256 {sha256_of(folder)}, and the scrub policy says "
            f"{model.sha256}: get the files that it means, or write the new sha256 into the policy."
        )
    return folder


def framework_of(name: str) -> Framework:
    """What reads a model, told by its files. Raises CsmvError if they are not on this machine, or of no known kind."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name.isidentifier() and find_spec(name) is not None:
            return "spacy"
        folder = _snapshot(NerModel(framework="transformers", name=name))
    if (folder / "gliner_config.json").is_file():
        return "gliner"
    if (folder / "encoder_config" / "config.json").is_file():
        return "gliner2"
    if (folder / "config.json").is_file():
        return "transformers"
    if (folder / "config.cfg").is_file():
        return "spacy"
    raise CsmvError(
        f"The folder '{folder.name}' holds no model that is known here: expected config.cfg (spaCy), config.json "
        "(transformers), gliner_config.json (GLiNER) or encoder_config/config.json (GLiNER2)."
    )


def state_of(policy: ScrubPolicy) -> str:
    """All that decides what a policy removes, as text to make a digest of: its settings, and the files of its models.

    A model that the policy pins, by `sha256` or by the commit of the hub, is told by that; any other by its files as
    they are now.
    """
    settings = policy.model_dump_json()
    loose = [model for model in policy.language_models if not _is_pinned(model)]
    return json.dumps([settings, *map(_state, loose)]) if loose else settings


def jobs_that_fit(policy: ScrubPolicy) -> int:
    """How many processes may load the models of a policy, by the memory that is free now; one where a GPU holds them.

    Raises:
        CsmvError: as `folder_of` does.
    """
    models = policy.language_models
    if not models:
        return sys.maxsize
    if any(model.device != "cpu" for model in models):
        return 1
    files = (path for model in models for path in folder_of(model).rglob("*") if path.is_file())
    # Twice what the files hold: weights are widened to float32, and activations come on top.
    needed = _PROCESS_BYTES + 2 * sum(path.stat().st_size for path in files)
    return max(1, psutil.virtual_memory().available // needed)


def _is_pinned(model: NerModel) -> bool:
    return model.sha256 is not None or bool(model.revision and _COMMIT.fullmatch(model.revision))


def _state(model: NerModel) -> str:
    try:
        folder = _found(model)
    except CsmvError:
        return "not here"  # whoever loads it is told
    return folder.name if _is_snapshot(folder) else sha256_of(folder)


def shown(model: NerModel) -> str:
    """A model's name for a person: of a folder, its last part, since the rest may tell who the user is."""
    return Path(model.name).name[:80] if _is_path(model.name) else model.name[:80]


def sha256_of(folder: Path) -> str:
    """SHA-256 of the names and contents of a folder's files, hidden ones left out."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
    )
    # A large model is not read again as long as its files have kept their sizes and times.
    seen = tuple((path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    return _sha256_of(folder, seen)


@cache
def _sha256_of(folder: Path, seen: tuple[tuple[str, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for name, _, _ in seen:
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{digest}  {name}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _found(model: NerModel) -> Path:
    folder = Path(model.name).expanduser()
    if folder.is_dir():
        if model.revision is not None:
            raise CsmvError(
                f"The scrub policy gives a revision for the folder '{shown(model)}', and only a model of the hub has "
                f"one: write `sha256: {sha256_of(folder)}` in its place."
            )
        return folder.resolve()
    if model.framework == "spacy":
        return _package(model)
    return _snapshot(model)


def _package(model: NerModel) -> Path:
    spec = find_spec(model.name) if model.name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise CsmvError(
            f"The scrub policy asks for the spaCy model '{shown(model)}', which is not installed: "
            f"`python -m spacy download {shown(model)}`, or name a folder, or take the model out of the policy."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _snapshot(model: NerModel) -> Path:
    if _is_path(model.name):
        raise CsmvError(f"The folder '{shown(model)}', which the scrub policy names as a model, is not there.")
    if find_spec("huggingface_hub") is None:
        raise CsmvError(
            f"The scrub policy asks for the {model.framework} model '{shown(model)}', and the packages that read it "
            f"are not installed: `pip install 'csmv[{'extract' if model.framework == 'transformers' else 'gliner'}]'`."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    revision = f" --revision {model.revision}" if model.revision else ""
    try:
        return Path(snapshot_download(model.name, revision=model.revision, local_files_only=True)).resolve()
    except (OSError, ValueError, HfHubHTTPError, HFValidationError):
        raise CsmvError(
            f"The scrub policy asks for the {model.framework} model '{shown(model)}', which is not on this machine, "
            f"and csmv downloads none by itself: `hf download {shown(model)}{revision}`, or name a folder that holds "
            "its files, or take the model out of the policy."
        ) from None


def _refuse_code(model: NerModel, folder: Path) -> None:
    for path in sorted(folder.rglob("*.json")):
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            continue  # whoever loads it is told
        if isinstance(content, dict) and _names_code(content):
            raise CsmvError(
                f"The model '{shown(model)}' brings code of its own (auto_map in {path.relative_to(folder)}), which "
                f"the package {model.framework} would run and csmv never does: take another model."
            )


def _names_code(content: dict[str, object]) -> bool:
    """Whether a configuration, or one within it, refers to classes that do not come with transformers."""
    return "auto_map" in content or any(_names_code(value) for value in content.values() if isinstance(value, dict))


def _refuse_pickles(model: NerModel, folder: Path) -> None:
    if any(folder.glob("model.safetensors" if model.framework in _RUN_CODE else "*.safetensors")):
        return
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    if pickled:
        raise CsmvError(
            f"The model '{shown(model)}' has its weights in {pickled[0]} only, which can run code when it is read, and "
            "csmv reads safetensors: look for a revision with model.safetensors, or load the model where you trust it "
            "and save it with `save_pretrained`."
        )
    raise CsmvError(
        f"The model '{shown(model)}' has no *.safetensors beside its configuration: the download is not complete, or "
        f"this is no {model.framework} model."
    )


def _configs(model: NerModel, folder: Path) -> list[Path]:
    path = folder / _CONFIG[model.framework]
    return [path] if path.is_file() else []


def _is_path(name: str) -> bool:
    return name.startswith((".", "~", "/", "\\")) or name.count("/") > 1 or "\\" in name or Path(name).is_dir()


def _is_snapshot(folder: Path) -> bool:
    return folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name) is not None
