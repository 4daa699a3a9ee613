"""A person's own weights files: dataset.yaml names them by file name and SHA-256, `private/` keeps where they lie."""

import json
from pathlib import Path

from csmv.extractors.extractor_errors import ExtractorError
from csmv.pipeline.errors import CsmvError, parsed_json
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.store import Store

PATHS_FILE = "private/weights.json"
"""SHA-256 of a weights file -> its path on the machine that used it last."""

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".tar")
"""What tells the name of a file from the name of published weights."""


def without_path(store: Store, config: FeatureConfig) -> FeatureConfig:
    """The section as a published dataset.yaml may hold it: a local file by its name and SHA-256, its path kept aside.

    `located` finds the file again. Other weights (default, random, a published name, an address) stay as they are.
    """
    path = _local(config.weights)
    if path is None:
        return config
    from csmv.extractors.weights import file_sha256

    sha256 = file_sha256(path)
    with store.one_at_a_time():
        paths = _paths(store) | {sha256: str(path.resolve())}
        store.write_file(PATHS_FILE, json.dumps(paths, indent=1, sort_keys=True).encode())
    return config.model_copy(update={"weights": path.name, "sha256": sha256})


def located(store: Store, config: FeatureConfig) -> FeatureConfig:
    """The same section with the path of its weights file, where it names one by its SHA-256 and the file lies here.

    Looks where the file was when it was used last, then in the working folder, then among the downloaded weights.

    Raises:
        CsmvError: it names a file, and the file is in none of these places.
    """
    if not config.sha256 or "://" in config.weights:
        return config
    from csmv.extractors.weights import cache_dir

    named = Path(config.weights).expanduser()
    places = (last_path(store, config.sha256), named, cache_dir() / named.name)
    path = next((place for place in places if place is not None and place.is_file()), None)
    if path is None and named.suffix in SUFFIXES:
        raise CsmvError(
            f"The weights file {named.name} of {config.table} (sha256 {config.sha256[:16]}) does not lie where it was "
            f"used last: put it at {cache_dir() / named.name}, or give its path with `csmv extract --weights`."
        )
    return config if path is None else config.model_copy(update={"weights": str(path)})


def last_path(store: Store, sha256: str) -> Path | None:
    """Where the weights file of this SHA-256 lay when it was used last; None where nothing says so."""
    path = _paths(store).get(sha256)
    return None if path is None else Path(path)


def _local(weights: str) -> Path | None:
    """The file that `weights` is the path or the file:// address of, if it is one."""
    if weights.startswith("file://"):
        from csmv.extractors.weights import Weights, fetch

        try:
            return fetch(Weights(weights, "unknown", weights))
        except ExtractorError as error:
            raise CsmvError(str(error)) from None
    path = Path(weights).expanduser()
    return path if path.is_file() else None


def _paths(store: Store) -> dict[str, str]:
    content = store.read_if_there(PATHS_FILE)
    return {} if content is None else dict(parsed_json(content, PATHS_FILE))
