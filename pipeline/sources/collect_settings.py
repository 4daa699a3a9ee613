"""Settings of collection: what is collected (part of a dataset's configuration), and how one reaches the site (not).

Secrets are never settings: cookies come from a file, keys from the environment.
"""

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from csmv.pipeline.validated import Validated

FLOOR_S = 1.0
"""No setting brings requests closer together than this, except towards the project's own sandbox."""


class Limits(Validated):
    """How much is collected. A limit that is left out is none."""

    videos: int | None = Field(default=100, ge=1, description="at most so many videos a hashtag")
    comments: int | None = Field(default=200, ge=0, description="at most so many comments a video, replies included")
    replies: bool = Field(default=True, description="open the threads below comments")
    since: date | None = Field(default=None, description="videos published on this day or later, UTC")
    until: date | None = Field(default=None, description="videos published on this day or earlier, UTC")
    min_comments: int = Field(default=0, ge=0, description="videos with at least so many comments")

    def admit(self, published: date | None, comments: int | None) -> bool:
        """Whether they let in a video of this day (UTC) that declares so many comments."""
        if (comments or 0) < self.min_comments:
            return False
        if published is None:
            return self.since is None and self.until is None
        return (self.since is None or published >= self.since) and (self.until is None or published <= self.until)


class Manners(Validated):
    """How politely. The interval is shared by all workers of a run."""

    interval_s: float = Field(default=3.0, ge=0, le=3600, description="seconds between two requests to the site")
    scroll_pause_s: tuple[float, float] = Field(default=(1.2, 3.5), description="shortest and longest, drawn anew")
    page_timeout_s: float = Field(default=45.0, gt=0, le=600, description="for the first answer of a page")
    list_timeout_s: float = Field(default=12.0, gt=0, le=600, description="for the next answer after a scroll")
    stall_scrolls: int = Field(default=5, ge=1, le=100, description="scrolls without an answer that mean a stall")
    walls_in_a_row: int = Field(default=3, ge=1, le=100, description="walls on different targets that end the run")
    after_wall_s: float = Field(default=30.0, ge=0, le=86400, description="pause after a wall")
    longest_wait_s: float = Field(default=900.0, ge=0, description="a Retry-After above this ends the run instead")
    wait_without_retry_after_s: float = Field(default=3600.0, ge=0)
    obey_robots: bool = Field(default=True, description="false only after reading the site's terms")
    honour_creators: bool = Field(default=True, description="skip items whose creators disallow download or indexing")

    @model_validator(mode="after")
    def _ordered(self) -> "Manners":
        if not 0 <= self.scroll_pause_s[0] <= self.scroll_pause_s[1]:
            raise ValueError("scroll_pause_s is the shortest and the longest pause, in this order")
        return self


class WebSource(Validated):
    """Videos and comments from the public pages, by hashtag or from a list of links. Never mixed with the API."""

    kind: Literal["web"] = "web"
    hashtags: tuple[str, ...] = Field(default=(), description="hashtags to collect, without #")
    limits: Limits = Limits()
    manners: Manners = Manners()
    mixed_with: tuple[str, ...] = Field(
        default=(), description="SHA-256 of files of other tools that were imported into the crawl with --mix"
    )
    gone: Literal["remove", "keep"] = Field(
        default="remove",
        description="what becomes of a collected video that is gone at a later visit: out of the tables, or kept there",
    )


class Connection(Validated):
    """How this machine reaches the site. Not part of a dataset's configuration."""

    proxy: str | None = Field(
        default=None,
        pattern=r"^(https?|socks5h?)://[^@]+$",
        description="a proxy, http://HOST:PORT or socks5://HOST:PORT; one with a password comes from CSMV_PROXY, or "
        "from the private file that CSMV_PROXY_FILE names",
    )
    ca_file: Path | None = Field(default=None, description="a certificate (PEM) to trust besides the system's")
    browser: Path | None = Field(default=None, description="Chromium's executable; found by itself if left out")
    profile: Path | None = Field(default=None, description="folder of the persistent browser profile")
    cookies: Path | None = Field(default=None, description="a cookie file in Netscape's format; or set CSMV_COOKIES")
    headed: bool = Field(default=False, description="show the browser's window")
    locale: str = Field(
        default="en-US",
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="the browser's language, such as en or pt-BR",
    )


class RunSettings(Validated):
    """What one run is asked to do differently. Not part of a dataset's configuration."""

    interval_s: float | None = Field(
        default=None,
        ge=0,
        description="seconds between two requests, shared by all workers; left out, as the source's manners say",
    )
    workers: int = Field(default=1, ge=1, le=32, description="browsers at once; the pace is shared by all")
    links: Path | None = Field(
        default=None, description="a file of links to collect, besides the hashtags: xlsx, csv, tsv, txt or jsonl"
    )
    again: bool = Field(default=False, description="read hashtags anew that were read to their end")
    refresh_after: float | None = Field(
        default=None,
        ge=0,
        description="visit again the videos that were last visited more than so many days ago: new comments, counts",
    )
    sample: int | None = Field(
        default=None, ge=1, description="try only so many videos, the same ones each time, drawn from all shards"
    )
    retry_failed: bool = Field(default=False, description="try media once more that failed for good")
