"""Zenodo's REST interface, as far as publishing one archive needs it.

Source: https://developers.zenodo.org (deposit, bucket upload, publish).
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from csmv.pipeline.errors import CsmvError

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S = 60.0
_UPLOAD_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Draft:
    """A deposition that is not published yet: its number, where its files go, and the DOI that it will have."""

    number: int
    bucket: str
    doi: str


class Zenodo:
    """A connection with a token.

    Args:
        url: the service, such as https://sandbox.zenodo.org.
        token: one with the rights deposit:write and deposit:actions.
    """

    def __init__(self, url: str, token: SecretStr) -> None:
        import httpx

        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        self._client = httpx.Client(headers=headers, timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def reserve(self) -> Draft:
        """Begin a deposition; gives it with the DOI reserved for it."""
        said = self._asked("POST", f"{self._url}/api/deposit/depositions", json={})
        try:
            draft = Draft(int(said["id"]), str(said["links"]["bucket"]), str(said["metadata"]["prereserve_doi"]["doi"]))
        except (KeyError, TypeError, ValueError):
            raise CsmvError(f"Zenodo ({self._url}) answered otherwise than documented; nothing was sent.") from None
        if not draft.bucket.startswith(f"{self._url}/"):  # the token is for this service alone
            raise CsmvError(f"Zenodo ({self._url}) wants the file on another server; nothing was sent.")
        return draft

    def upload(self, draft: Draft, archive: Path) -> None:
        """Put a file into a deposition."""
        with archive.open("rb") as file:
            self._asked("PUT", f"{draft.bucket}/{archive.name}", content=file, timeout=_UPLOAD_TIMEOUT_S)

    def describe(self, draft: Draft, metadata: dict[str, Any]) -> None:
        """Say what a deposition is."""
        self._asked("PUT", f"{self._url}/api/deposit/depositions/{draft.number}", json={"metadata": metadata})

    def publish(self, draft: Draft) -> None:
        """Make a deposition public, for good."""
        self._asked("POST", f"{self._url}/api/deposit/depositions/{draft.number}/actions/publish")

    def _asked(self, method: str, url: str, **more: Any) -> Any:
        answer: httpx.Response = self._client.request(method, url, **more)
        if answer.status_code in (401, 403):
            raise CsmvError(
                f"Zenodo ({self._url}) refused the token: put one with deposit:write and deposit:actions into "
                "ZENODO_TOKEN."
            )
        if answer.is_error:
            raise CsmvError(
                f"Zenodo ({self._url}) failed with {answer.status_code} at {method} {answer.url.path}: look at the "
                "draft there, delete it, and run the same command again."
            )
        return answer.json() if answer.content else None
