"""Brings a release to where others find it: the Hugging Face hub, S3, or Zenodo, which gives it a DOI.

Nothing is sent unless it is asked for by name: without that, this says what would be. Tokens come from the environment,
are secret types here, and stand in no message.
"""

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.files import Files
from csmv.pipeline.release.release_folder import About
from csmv.pipeline.release.release_place import previous_release, put_release
from csmv.pipeline.release.verify_release import verify_release
from csmv.pipeline.release.zenodo import Draft, Zenodo

HUB_TOKEN, ZENODO_TOKEN, ZENODO_URL = "HF_TOKEN", "ZENODO_TOKEN", "CSMV_ZENODO_URL"
_HUB, _S3, _ZENODO = "hf:", "s3://", "zenodo"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Pushed:
    """What was sent, or would be: where to, how many files and bytes, and the DOI if there is one."""

    target: str
    files: int
    size: int
    was_sent: bool
    doi: str = ""
    needs: str = ""
    """What a real run would lack, in a sentence; empty if nothing."""


def require_target(target: str) -> None:
    """Raises UsageError unless `target` is hf:ORG/NAME, s3://BUCKET/PREFIX or zenodo."""
    is_hub = target.startswith(_HUB) and target.removeprefix(_HUB).count("/") == 1 and not target.endswith("/")
    is_s3 = target.startswith(_S3) and len(target) > len(_S3)
    if not (is_hub or is_s3 or target == _ZENODO):
        raise UsageError(f"--push takes hf:ORG/NAME, s3://BUCKET/PREFIX or zenodo, and got '{target[:80]}'.")


def push_release(
    address: str, target: str, *, send: bool, with_doi: Callable[[str], None] = lambda _doi: None
) -> Pushed:
    """Send a release, or say what would be sent.

    Args:
        address: the release, a folder or an fsspec URL; it is verified first.
        target: hf:ORG/NAME, s3://BUCKET/PREFIX or zenodo.
        send: whether to; else nothing is asked of anybody.
        with_doi: makes the release at `address` anew with a DOI that Zenodo has reserved for it.

    Raises:
        CsmvError: the release is damaged, a token is missing or was refused, or the service failed.
    """
    require_target(target)
    about = _verified(address)
    listing = Files(address).listing()
    told = Pushed(target, len(listing), sum(one.size for one in listing.values()), send, about.doi, _lacking(target))
    if not send:
        return told
    if told.needs:
        raise CsmvError(told.needs)
    doi = about.doi
    if target == _ZENODO:
        doi = _to_zenodo(address, with_doi)
    else:
        with _local(address) as folder:
            if target.startswith(_HUB):
                _to_hub(folder, target.removeprefix(_HUB), about)
            else:
                bucket = Files(target)
                previous_release(bucket)
                put_release(folder, bucket)
    return Pushed(target, told.files, told.size, True, doi)


def _verified(address: str) -> About:
    verified = verify_release(address)
    if verified.problems:
        raise CsmvError(f"'{address}' was not sent: {verified.problems[0][1]}")
    return verified.about


def _lacking(target: str) -> str:
    variable = HUB_TOKEN if target.startswith(_HUB) else ZENODO_TOKEN if target == _ZENODO else ""
    if not variable or os.environ.get(variable):
        return ""
    return f"Sending to {target} needs a token with the right to write, in {variable}."


def _token(variable: str) -> SecretStr:
    return SecretStr(os.environ[variable])


@contextmanager
def _local(address: str) -> Iterator[Path]:
    """The release as a local folder: itself, or a copy of one that is elsewhere."""
    files = Files(address)
    if files.is_local:
        yield Path(files.path("x")).parent
        return
    with tempfile.TemporaryDirectory() as temporary:
        here = Files(temporary)
        for name in files.files():
            here.take(files, name, name)
        yield Path(temporary)


def _to_hub(folder: Path, repository: str, about: About) -> None:
    """Put a release into a dataset repository of the hub, as one commit with the version as its tag."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=_token(HUB_TOKEN).get_secret_value())
    api.create_repo(repository, repo_type="dataset", exist_ok=True)
    api.upload_folder(
        repo_id=repository,
        repo_type="dataset",
        folder_path=folder,
        commit_message=f"Version {about.version}",
        delete_patterns="*",
    )
    api.create_tag(repository, tag=f"v{about.version}", repo_type="dataset", exist_ok=True)


def _to_zenodo(address: str, with_doi: Callable[[str], None]) -> str:
    """Reserve a DOI, let the release name it, send it and publish; gives the DOI."""
    with Zenodo(os.environ.get(ZENODO_URL, "https://zenodo.org"), _token(ZENODO_TOKEN)) as zenodo:
        draft: Draft = zenodo.reserve()
        with_doi(draft.doi)
        about = _verified(address)
        with _local(address) as folder, tempfile.TemporaryDirectory() as temporary:
            archive = Path(temporary) / f"{about.name}-{about.version}.zip"
            pack(folder, archive, f"{about.name}-{about.version}")
            zenodo.upload(draft, archive)
        zenodo.describe(draft, _described(about))
        zenodo.publish(draft)
    return draft.doi


def pack(folder: Path, archive: Path, inside: str) -> None:
    """A folder as a ZIP of equal bytes each time: sorted, stored as it is (Parquet is compressed), without times."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            member = zipfile.ZipInfo(f"{inside}/{path.relative_to(folder).as_posix()}", _EPOCH)
            member.external_attr = 0o644 << 16
            with path.open("rb") as source, packed.open(member, "w", force_zip64=True) as target:
                while piece := source.read(1 << 22):
                    target.write(piece)


def _described(about: About) -> dict[str, Any]:
    """A release in Zenodo's words."""
    title = about.title or about.name
    rows = ", ".join(f"{about.rows[table]:,} {table}" for table in ("videos", "comments", "labels"))
    said: dict[str, Any] = {
        "title": title,
        "upload_type": "dataset",
        "description": f"{title}, version {about.version}: {rows}. Features and scrubbed comments, no videos.",
        "creators": [{"name": name} for name in about.authors] or [{"name": f"The authors of {title}"}],
        "version": about.version,
        "access_right": "open",
        "license": about.license.lower(),
    }
    return said | ({"publication_date": about.day} if about.day else {})
