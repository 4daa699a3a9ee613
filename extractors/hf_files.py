"""The files of a Hugging Face repository: a folder of one's own, or an id whose files are fetched once and checked.

Only JSON and safetensors are ever taken. `huggingface_hub` fetches (its cache, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE
count) and compares sizes; the SHA-256 that the hub gives for large files is compared here.
"""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.weights import cache_dir, file_sha256, state_sha256

SETTINGS = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
"""Where preprocessing stands; a repository has some of these."""
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Repository:
    """One model's files: `folder` has its config.json and settings, `weights_files` gives the rest."""

    name: str
    """As it may be published: an id, with @revision where one was asked for, or the name of a folder."""
    folder: Path
    id: str = ""
    commit: str = ""
    """The revision that was fetched; empty for a folder of one's own."""

    def config(self) -> dict[str, Any]:
        """What config.json says."""
        path = self.folder / "config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ExtractorError(f"{path} could not be read as JSON ({type(error).__name__}).") from None
        if not isinstance(config, dict):
            raise ExtractorError(f"{path} should hold an object of settings, and holds a {type(config).__name__}.")
        return config

    def weights_files(self) -> list[Path]:
        """The safetensors files, in order of name, fetched and checked if they are not here.

        Raises:
            ExtractorError: there are none, or they can't be had.
        """
        if (single := self._file(WEIGHTS)) is not None:
            return [single]
        if (index := self._file(INDEX)) is not None:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            files = [self._file(name) for name in names if re.fullmatch(r"[\w.-]+\.safetensors", name)]
            if len(files) == len(names) and None not in files:
                return [file for file in files if file is not None]
            raise ExtractorError(f"hf:{self.name} lacks some of the files that its {INDEX} names.")
        raise ExtractorError(
            f"hf:{self.name} has no {WEIGHTS}. Others, such as pytorch_model.bin, may hold code and are not read: "
            "ask for a revision that has safetensors (hf:ID@REVISION; many have one under refs/pr), or load the model "
            "with transformers once and save it by save_pretrained."
        )

    def _file(self, name: str) -> Path | None:
        if not self.id:
            path = self.folder / name
            return path if path.is_file() else None
        return _fetched(self.id, name, self.commit)


def files_sha256(files: Sequence[Path]) -> str:
    """The SHA-256 of a model's file; of several, one over theirs in order of name."""
    digests = {file.name: file_sha256(file) for file in files}
    if len(digests) == 1:
        return next(iter(digests.values()))
    of_all = {name: torch.frombuffer(bytearray.fromhex(one), dtype=torch.uint8) for name, one in digests.items()}
    return state_sha256(of_all)


def repository(asked: str) -> Repository:
    """The repository of what stands after `hf:`: a folder, one in the cache's `hf` folder, or an id[@revision].

    Raises:
        ExtractorError: it is none of these, or its settings can't be had.
    """
    for folder in (Path(asked).expanduser(), cache_dir() / "hf" / asked):
        if folder.is_dir():
            if not (folder / "config.json").is_file():
                raise ExtractorError(f"The folder {folder} has no config.json, so that it is no model of transformers.")
            return Repository(folder.resolve().name, folder)
    named, _, revision = asked.partition("@")
    if not _ID.fullmatch(named):
        raise ExtractorError(f"'{asked}' is neither a folder nor the id of a repository, such as OWNER/NAME.")
    config = _fetched(named, "config.json", revision or "main")
    if config is None:
        raise ExtractorError(f"{_address(named)} has no config.json, so that it is no model of transformers.")
    commit = config.parent.name
    for name in SETTINGS:
        _fetched(named, name, commit)
    return Repository(asked, config.parent, named, commit)


def _address(repository_id: str) -> str:
    return f"https://huggingface.co/{repository_id}"


def _fetched(repository_id: str, name: str, revision: str) -> Path | None:
    """The file in the hub's cache, fetched if it is not there; None where the repository has none of that name."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    cached = try_to_load_from_cache(repository_id, name, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    # Its own lines on each attempt tell no more than the sentence below.
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        path = Path(hf_hub_download(repository_id, name, revision=revision))
    except LocalEntryNotFoundError:
        cause = "it is not in the cache and the hub can't be reached"
    except EntryNotFoundError:
        return None
    except RevisionNotFoundError:
        cause = f"it has no revision '{revision}'"
    except RepositoryNotFoundError:
        cause = "there is no such repository, or none that may be read without a token (HF_TOKEN)"
    except (HfHubHTTPError, OSError, ValueError) as error:
        cause = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
    else:
        _check(path, name)
        return path
    finally:
        log.setLevel(level)
    raise ExtractorError(
        f"{name} of {_address(repository_id)} could not be fetched ({cause}): on a machine with access run "
        f"`hf download {repository_id} --local-dir FOLDER`, and give that folder as hf:FOLDER."
    )


def _check(path: Path, name: str) -> None:
    """Compare a new file with its SHA-256, by which the hub's cache calls a large one."""
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and (digest := file_sha256(blob)) != blob.name:
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
        raise ExtractorError(
            f"{name} came with sha256 {digest} and should have {blob.name}: it was not kept, try again."
        )
