"""Puts a batch into a running Label Studio and fetches what annotators said, by its documented HTTP interface.

A project a list of tasks: the free edition deals no tasks out, so that each annotator has a project of their own. The
library `label-studio-sdk` is not used: it wants an older numpy than this project, OpenCV, NLTK and a code generator.
"""

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.release.annotation.annotation_batch import Batch
from csmv.pipeline.release.annotation.annotator_files import Answer, answers_in
from csmv.pipeline.release.annotation.labelling_page import labelling_configuration
from csmv.pipeline.release.annotation.labelling_tasks import task_lists
from csmv.pipeline.store import Store

if TYPE_CHECKING:
    pass

URL_VARIABLE = "LABEL_STUDIO_URL"
TOKEN_VARIABLE = "LABEL_STUDIO_API_KEY"
"""The environment variables that Label Studio's own library reads, too."""

_AT_ONCE = 500
"""Tasks a request."""
_SECONDS = 120.0


@dataclass
class Pushed:
    """What a push did: project numbers by list, tasks that were new, and comments without a video to show."""

    projects: dict[int, int] = field(default_factory=dict)
    tasks: int = 0
    without_media: int = 0


class LabelStudio:
    """A running Label Studio.

    Args:
        url: its address; left out, LABEL_STUDIO_URL.
        token: a legacy token or a personal access token; left out, LABEL_STUDIO_API_KEY. It stands in no message.

    Raises:
        CsmvError: neither says which.
    """

    def __init__(self, url: str | None = None, token: SecretStr | None = None) -> None:
        url = url or os.environ.get(URL_VARIABLE) or ""
        secret = token.get_secret_value() if token else os.environ.get(TOKEN_VARIABLE) or ""
        if not url.startswith(("http://", "https://")) or not secret:
            raise CsmvError(
                f"Which Label Studio? Set {URL_VARIABLE} to its address, such as https://labels.example.org, and "
                f"{TOKEN_VARIABLE} to a token of yours (its page Account & Settings)."
            )
        import httpx

        self.url = url.rstrip("/")
        self._client: httpx.Client = httpx.Client(base_url=self.url, timeout=_SECONDS)
        self._client.headers["Authorization"] = f"Token {secret}"
        if _is_personal(secret):
            access = self._json("POST", "/api/token/refresh", json={"refresh": secret})["access"]
            self._client.headers["Authorization"] = f"Bearer {access}"

    def push(self, store: Store, batch: Batch) -> Pushed:
        """Make a project a list, and put the tasks into it that it does not have.

        Can be killed and run again: a project is recognised by its description, a task by its comment.
        """
        lists, without_media = task_lists(store, batch)
        pushed = Pushed(without_media=without_media)
        projects = self._projects(store, batch)
        for number, tasks in enumerate(lists, 1):
            project = projects.get(number) or self._make_project(store, batch, number)
            present = {str(task["data"].get("comment_id")) for task in self._export(project, everything=True)}
            new = [task for task in tasks if task["data"]["comment_id"] not in present]
            for start in range(0, len(new), _AT_ONCE):
                self._json("POST", f"/api/projects/{project}/import", json=new[start : start + _AT_ONCE])
            pushed.projects[number] = project
            pushed.tasks += len(new)
        return pushed

    def pull(self, store: Store, batch: Batch) -> list[Answer]:
        """What annotators have said in the batch's projects.

        Raises:
            CsmvError: it has no project of the batch.
        """
        projects = self._projects(store, batch)
        if not projects:
            raise CsmvError(
                f"The Label Studio at {self.url} has no project of the batch '{batch.config.name}' that this token may "
                "see: `csmv annotate push` makes them."
            )
        answers: list[Answer] = []
        for number, project in sorted(projects.items()):
            data = json.dumps(self._export(project)).encode()
            answers += answers_in(data, f"list {number}")
        return answers

    def _projects(self, store: Store, batch: Batch) -> dict[int, int]:
        """List number -> project, of those that a push has made."""
        numbers = {_description(store, batch, one): one for one in range(1, batch.config.lists + 1)}
        projects: dict[int, int] = {}
        for project in self._pages("/api/projects"):
            number = numbers.get(project.get("description") or "")
            if number is not None:
                projects[number] = min(int(project["id"]), projects.get(number, int(project["id"])))
        return projects

    def _make_project(self, store: Store, batch: Batch, number: int) -> int:
        settings = {
            "title": f"{batch.config.name} {number} of {batch.config.lists}"[:50],
            "description": _description(store, batch, number),
            "label_config": labelling_configuration(batch.config.media),
            "maximum_annotations": 1,
            "sampling": "Sequential sampling",
            "show_skip_button": True,
        }
        return int(self._json("POST", "/api/projects", json=settings)["id"])

    def _export(self, project: int, *, everything: bool = False) -> list[dict[str, Any]]:
        """A project's tasks as its JSON export has them; those without an annotation only for `everything`."""
        asked = {"exportType": "JSON", "download_all_tasks": "true" if everything else "false"}
        tasks: list[dict[str, Any]] = self._json("GET", f"/api/projects/{project}/export", params=asked)
        return tasks

    def _pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        page = 1
        while True:
            answer = self._json("GET", path, params={"page": page, "page_size": 100})
            yield from answer["results"]
            if not answer.get("next"):
                return
            page += 1

    def _json(self, method: str, path: str, **more: Any) -> Any:
        """What it answers. Raises CsmvError for anything but a success; neither token nor tasks are told."""
        import httpx

        try:
            answer = self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise CsmvError(
                f"The Label Studio at {self.url} can't be reached ({type(error).__name__}): check the address, and run "
                "the same command again."
            ) from None
        if answer.status_code in (401, 403):
            raise CsmvError(
                f"The Label Studio at {self.url} refuses the token in {TOKEN_VARIABLE} (HTTP {answer.status_code}): "
                "take a new one from its page Account & Settings; legacy tokens have to be allowed in its organization."
            )
        try:
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPStatusError, ValueError):
            raise CsmvError(
                f"The Label Studio at {self.url} answered {method} {path} with HTTP {answer.status_code} and not with "
                "what its documentation says: check that the address is Label Studio's, version 1.20 or newer."
            ) from None


def _description(store: Store, batch: Batch, number: int) -> str:
    """What a project is recognised by: root, batch and list."""
    return f"csmv:{store.header.root}:{batch.config.name}:{number}"


def _is_personal(token: str) -> bool:
    """Whether a token is a personal access token: a JSON web token, which is traded for one that expires."""
    parts: Sequence[str] = token.split(".")
    if len(parts) != 3:
        return False
    try:
        head = json.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    except (ValueError, binascii.Error):
        return False
    return isinstance(head, dict) and "alg" in head
