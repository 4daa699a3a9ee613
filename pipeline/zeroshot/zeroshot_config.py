"""Everything that decides a zero-shot run, validated: which model is asked, what it is shown, within which limits."""

import hashlib
import ipaddress
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from csmv.pipeline.validated import Validated

_OF_THE_WAY = {
    *("base_url", "local", "send_media", "allow_http"),
    *("concurrency", "timeout_s", "retries", "backoff_s", "give_up", "device", "dtype"),
    *("max_cost", "max_tokens", "price_in", "price_out", "most_missing_scored"),
}
"""Fields that say how a model is reached and within which limits: they decide no answer, and are no part of `identity`.
The files of a local model count by their digest."""

_OF_THE_DATA = {"split", "sample"}
"""Fields that decide which comments are asked about: answers to the others hold for any of them."""


class ZeroShotConfig(Validated):
    """One zero-shot run: a model behind an OpenAI-compatible endpoint, or a local one, asked about dev and test."""

    model: str = Field(
        pattern=r"^[\w./:@+-]{1,200}$",
        description="the model's name as the endpoint knows it; of a local one, what it is called in tables",
    )
    base_url: str | None = Field(
        None, description="an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1 of a vLLM on this machine"
    )
    local: str | None = Field(
        None, description="instead of an endpoint: a Hugging Face image-text-to-text model, by folder or hub id"
    )
    revision: str | None = Field(None, description="the local model's revision on the hub, if not its newest")
    split: str = Field("comment", description="name of the split whose dev and test comments are asked about")
    frames: PositiveInt = Field(8, le=64, description="pictures of a video, evenly spaced over its length")
    frame_side: int = Field(512, ge=32, le=2048, description="longer side of a picture, in pixels")
    jpeg_quality: int = Field(85, ge=1, le=95, description="of the pictures")
    comments_per_request: int = Field(1, ge=1, le=50, description="comments of one video that are asked about together")
    structured: Literal["auto", "always", "never"] = Field(
        "auto", description="ask for JSON by a schema (response_format): if the endpoint takes it, always, or never"
    )
    temperature: NonNegativeFloat | None = Field(0.0, description="of drawing the answer; null for the model's own")
    answer_tokens: PositiveInt = Field(100, description="most tokens of an answer, for each comment in the request")
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="how the endpoint calls that limit"
    )
    sample: PositiveInt | None = Field(
        None, description="only so many comments of dev and of test, drawn by the seed, to try a model at low cost"
    )
    seed: int = Field(3407, ge=0, lt=1 << 31, description="decides what is drawn from chance")
    prompt: Literal[1] = Field(1, description="version of the prompt and of the rules that read answers")

    send_media: bool = Field(
        False,
        description="you may send pictures of these people's videos, and their comments, to an endpoint elsewhere",
    )
    allow_http: bool = Field(False, description="reach an endpoint elsewhere without encryption")
    concurrency: int = Field(4, ge=1, le=256, description="requests at once")
    timeout_s: PositiveFloat = Field(120.0, description="seconds to wait for an answer")
    retries: int = Field(5, ge=0, le=20, description="how often a request that may succeed later is sent again")
    backoff_s: PositiveFloat = Field(1.0, description="seconds before it is sent again, doubled each time, at most 60")
    give_up: bool = Field(
        False, description="count comments that got no answer as unanswered, instead of asking in a later run"
    )
    max_cost: PositiveFloat | None = Field(None, description="most that the run may cost, by the two prices")
    max_tokens: PositiveInt | None = Field(None, description="most tokens that the run may use, both ways together")
    price_in: NonNegativeFloat | None = Field(None, description="price of a million tokens of requests")
    price_out: NonNegativeFloat | None = Field(None, description="price of a million tokens of answers")
    most_missing_scored: float = Field(
        0.1, ge=0, le=1, description="share of dev or test comments without a video file above which nothing is asked"
    )
    device: str = Field(
        "cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="where a local model runs: cpu, cuda or cuda:1"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="of a local model's numbers")

    @model_validator(mode="before")
    @classmethod
    def _called_after_its_folder(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("model") is None and data.get("local"):
            name = re.sub(r"[^\w./:@+-]+", "-", str(data["local"]).rstrip("/").rpartition("/")[2])
            return {**data, "model": name[:200] or "local"}
        return data

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            is_one = False
        if not is_one:
            raise ValueError("expected an address such as https://HOST/v1")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError(
                "an endpoint's address has no user, password or query in it: keys come from the environment"
            )
        return value.rstrip("/")

    @model_validator(mode="after")
    def _consistent(self) -> "ZeroShotConfig":
        if self.base_url is not None and self.local is not None:
            raise ValueError("base_url and local are two ways to one model; give one of them")
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise ValueError("max_cost needs price_in and price_out, the prices of a million tokens")
        return self

    @property
    def identity(self) -> str:
        """What decides the answers and which comments they are of, as JSON, of which names are digests."""
        return self.model_dump_json(exclude=_OF_THE_WAY)

    @property
    def asking(self) -> str:
        """What decides an answer, whichever comments are asked about, as JSON."""
        return self.model_dump_json(exclude=_OF_THE_WAY | _OF_THE_DATA)

    @property
    def short_name(self) -> str:
        """The model, in names of runs and experiments: the last part of its name, in letters, digits and dashes."""
        last = self.model.rstrip("/").rpartition("/")[2]
        return f"zeroshot-{re.sub('[^a-z0-9]+', '-', last.lower()).strip('-') or 'model'}"[:36].rstrip("-")

    @property
    def select_by(self) -> str:
        """The metric by which dev compares it with others."""
        return "micro"

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine, or the model is read from its files."""
        host = urlsplit(self.base_url or "http://127.0.0.1").hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def place(self) -> str:
        """The endpoint without what only this machine knows: its scheme and host; `loopback`; or `local`."""
        if self.base_url is None:
            return "local"
        parts = urlsplit(self.base_url)
        return "loopback" if self.is_loopback else f"{parts.scheme}://{parts.hostname}"

    def published(self) -> dict[str, Any]:
        """The fields as run.json has them: no path or port of this machine, and nothing of limits."""
        left_out = _OF_THE_WAY - {"price_in", "price_out"}
        return self.model_dump(mode="json", exclude=left_out)


def zeroshot_run_name(config: ZeroShotConfig) -> str:
    """The model, the split, and eight digits that stand for all the rest of what decides the answers."""
    digits = hashlib.sha256(config.identity.encode()).hexdigest()[:8]
    return f"{config.short_name}-{config.split}"[:55] + f"-{digits}"
