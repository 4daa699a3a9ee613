"""Asking a model behind an OpenAI-compatible endpoint, with the `openai` client: retries, refusals, schemas, keys.

A key comes from the environment or a private file and stands in no configuration, log or result. No exception's own
text is passed on, since servers quote what they were sent. Redirects are not followed: pictures of people's videos go
to the address that was named and nowhere else.
"""

import json
import logging
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from csmv.pipeline import interrupt
from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.zeroshot.prompts import chat_message, response_format
from csmv.pipeline.zeroshot.spending import Usage
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig

KEY_VARIABLE = "CSMV_ZEROSHOT_KEY"
KEY_FILE_VARIABLE = "CSMV_ZEROSHOT_KEY_FILE"
MOST_BACKOFF_S = 60.0
_MOST_ASKED_FOR_S = 300.0
"""The longest that a server may ask to wait before a request is sent again; what asks for more is left for later."""


class NoAnswerError(Exception):
    """No answer came, and one may come in a later run. Says why in a few words."""


class RejectedError(Exception):
    """The endpoint refuses a request for what it holds, and would again. Says with which status."""


@dataclass(frozen=True)
class Reply:
    """What a model wrote, whether it is marked as a refusal, what it used, and whether it was asked by a schema."""

    text: str
    is_refusal: bool
    usage: Usage
    structured: bool


class Asker(Protocol):
    """A model that can be asked; safe for several threads."""

    files: str
    """The digest of a local model's files; empty for an endpoint."""
    is_ready: bool
    """Whether it has answered before: until then questions come one at a time."""

    def ask(self, text: str, pictures: Sequence[bytes], count: int) -> Reply:
        """Its answer to a question about `count` comments.

        Raises:
            NoAnswerError: none came, and one may later.
            RejectedError: the question is refused for good.
            CsmvError: no question can be asked.
        """

    def described(self) -> dict[str, str]:
        """Where it is, for run.json: nothing that only this machine knows."""

    def close(self) -> None:
        """It is not asked any more."""


def require_leave(config: ZeroShotConfig) -> None:
    """Raises UsageError unless the settings allow to send pictures and comments to the endpoint."""
    if config.base_url is None and config.local is None:
        raise UsageError(
            f"Nothing says where the model '{config.model}' is: give --base-url, an OpenAI-compatible endpoint, or "
            "--local, a model's folder or hub id."
        )
    if config.is_loopback:
        return
    if not config.send_media:
        raise UsageError(
            f"The endpoint {config.place} is not on this machine: {config.frames} pictures of each video, and the "
            "scrubbed comments, would be sent there. Pictures show people as they are. If you may do that, say so with "
            "--send-media (send_media: true)."
        )
    if not (config.base_url or "").startswith("https://") and not config.allow_http:
        raise UsageError(
            f"The endpoint {config.place} is not on this machine and is reached without encryption: use https, or set "
            "allow_http: true if the way there is safe otherwise."
        )


def api_key(config: ZeroShotConfig) -> str | None:
    """The endpoint's key, of the environment or of a private file; None if there is none.

    Raises:
        CsmvError: the file can't be read, or others may read it.
    """
    if key := os.environ.get(KEY_VARIABLE):
        return key
    if named := os.environ.get(KEY_FILE_VARIABLE):
        path = Path(named)
        try:
            mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise CsmvError(f"The file that {KEY_FILE_VARIABLE} names can't be read.") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise CsmvError(f"The file that {KEY_FILE_VARIABLE} names holds a key, and others may read it: chmod 600.")
        return text.strip()
    # A key of OpenAI's is for OpenAI alone, whatever else is asked.
    is_openai = urlsplit(config.base_url or "").hostname == "api.openai.com"
    return os.environ.get("OPENAI_API_KEY") if is_openai else None


class Endpoint:
    """An OpenAI-compatible endpoint.

    Args:
        config: where it is and how it is asked.
        structured: whether it takes a schema, if earlier answers say so.
    """

    files = ""

    def __init__(self, config: ZeroShotConfig, structured: bool | None = None) -> None:
        import openai

        require_leave(config)
        self._config = config
        settled = {"always": True, "never": False, "auto": structured}
        self._structured = settled[config.structured]
        self.is_ready = False
        # At DEBUG the client writes requests into the log, with comments and pictures.
        logging.getLogger("openai").setLevel(max(logging.getLogger("openai").getEffectiveLevel(), logging.INFO))
        nothing: Any = openai.Omit()
        self._client = openai.OpenAI(
            base_url=config.base_url,
            api_key=api_key(config) or "none",
            timeout=config.timeout_s,
            max_retries=0,
            default_headers={"OpenAI-Organization": nothing, "OpenAI-Project": nothing},
            http_client=openai.DefaultHttpxClient(
                follow_redirects=False,
                trust_env=not config.is_loopback,
                timeout=config.timeout_s,
                verify=(config.base_url or "").startswith("https://"),  # without it no certificates are loaded
            ),
        )

    def described(self) -> dict[str, str]:
        """The endpoint's scheme and host, or `loopback`."""
        return {"endpoint": self._config.place}

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def ask(self, text: str, pictures: Sequence[bytes], count: int) -> Reply:
        """The model's answer to a question about `count` comments; see `Asker`."""
        message = chat_message(text, pictures)
        structured = self._structured is not False
        try:
            reply = self._sent(message, count, structured)
        except RejectedError:
            if self._structured is not None:
                raise
            # It may be the schema that it does not take: the first answer settles that.
            reply = self._sent(message, count, structured=False)
        if self._structured is None:
            self._structured = reply.structured
        self.is_ready = True
        return reply

    def _sent(self, message: dict[str, Any], count: int, structured: bool) -> Reply:
        attempt = 0
        while True:
            try:
                return self._once(message, count, structured)
            except _TryAgain as error:
                wait_s = min(self._config.backoff_s * 2**attempt, MOST_BACKOFF_S)
                if error.after_s is not None:
                    wait_s = max(error.after_s, wait_s)
                attempt += 1
                if attempt > self._config.retries or wait_s > _MOST_ASKED_FOR_S or interrupt.rest(wait_s):
                    raise NoAnswerError(str(error)) from None

    def _once(self, message: dict[str, Any], count: int, structured: bool) -> Reply:
        import openai

        config = self._config
        options: dict[str, Any] = {config.tokens_field: config.answer_tokens * count}
        if config.temperature is not None:
            options["temperature"] = config.temperature
            if config.temperature > 0:
                options["seed"] = config.seed
        if structured:
            options["response_format"] = response_format(count)
        try:
            create: Any = self._client.chat.completions.with_raw_response.create
            raw = create(model=config.model, messages=[message], **options)
            body: bytes = raw.http_response.content
        except openai.APITimeoutError:
            raise _TryAgain(f"no answer within {config.timeout_s:g} s") from None
        except openai.APIConnectionError:
            raise _TryAgain("the connection failed") from None
        except openai.APIStatusError as error:
            raise self._about(error) from None
        return _reply_in(body, structured)

    def _about(self, error: Any) -> Exception:
        """What a status other than success means."""
        status, place = int(error.status_code), self._config.place
        code = error.code if isinstance(error.code, str) and re.fullmatch(r"\w{1,40}", error.code) else ""
        if status == 429 and code in ("insufficient_quota", "billing_hard_limit_reached"):
            return CsmvError(f"The endpoint {place} says that the account's quota is used up ({code}): see to it.")
        if status in (408, 409, 425, 429) or status >= 500:
            return _TryAgain(f"HTTP {status}", _seconds(error.response.headers.get("retry-after")))
        if status in (401, 403):
            return CsmvError(
                f"The endpoint {place} refuses the key (HTTP {status}): set {KEY_VARIABLE} to a valid one, or "
                f"{KEY_FILE_VARIABLE} to a file of mode 600 that holds it."
            )
        if status == 404:
            return CsmvError(
                f"The endpoint {place} has no model '{self._config.model}' at that address (HTTP 404): check --model, "
                "and --base-url, which usually ends with /v1."
            )
        if 300 <= status < 400:
            return CsmvError(
                f"The endpoint {place} sends requests on to another address (HTTP {status}), which is not followed: "
                "give that address with --base-url."
            )
        return RejectedError(f"HTTP {status}")


class _TryAgain(Exception):
    """A failure that may pass; `after_s` is how long the server asks to wait."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


def _seconds(header: str | None) -> float | None:
    return float(header) if header and re.fullmatch(r"\d{1,6}(\.\d+)?", header) else None


def _reply_in(body: bytes, structured: bool) -> Reply:
    """The reply in an answer's JSON. Raises _TryAgain if it is not what the API promises, as when it was cut short."""
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        message = choice["message"]
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(part.get("text") or "" for part in content)
        if content is not None and not isinstance(content, str):
            raise TypeError("content is text")
        usage = data.get("usage") or {}
        counts = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
        is_refusal = bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise _TryAgain("the answer was not what the API promises") from None
    return Reply(content or "", is_refusal, Usage(1, *counts), structured)
