"""By which policy, names and key `csmv scrub` scrubs a stream: those of a root, of files, or the default ones."""

import os

from pydantic import SecretStr

from csmv.pipeline.config import read_config
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.landed_names import known_names
from csmv.pipeline.pseudonym import KEY_VARIABLE, load_key
from csmv.pipeline.scrub import ScrubPolicy
from csmv.pipeline.scrub.policy import StreamSettings
from csmv.pipeline.scrub_pool import ScrubPool
from csmv.pipeline.store import Store
from csmv.pipeline.validated import parse, read_text, yaml_mapping


def stream_pool(settings: StreamSettings) -> ScrubPool:
    """The scrubber of a stream: by a policy and names of files, and by a root's policy, names and key.

    Raises:
        CsmvError: a file is not there or is no policy, or there is no root.
    """
    policy, names, key = _policy(settings), _names(settings), None
    if settings.root is not None:
        store = Store.open(settings.root)
        names += known_names(store).names
        key = load_key(store)
    return ScrubPool(policy, key or _key_of_environment(), names, settings.jobs)


def _key_of_environment() -> SecretStr | None:
    given = os.environ.get(KEY_VARIABLE)
    return SecretStr(given) if given else None


def _policy(settings: StreamSettings) -> ScrubPolicy:
    if settings.policy is None:
        if settings.root is None:
            return ScrubPolicy()
        return read_config(Store.open(settings.root)).scrub
    data = yaml_mapping(read_text(settings.policy), str(settings.policy))
    return parse(ScrubPolicy, data.get("scrub", data) or {}, str(settings.policy))


def _names(settings: StreamSettings) -> list[str]:
    if settings.names is None:
        return []
    if not settings.names.is_file():
        raise CsmvError(f"The file of names '{settings.names}' is not there.")
    return settings.names.read_text(encoding="utf-8", errors="replace").splitlines()
