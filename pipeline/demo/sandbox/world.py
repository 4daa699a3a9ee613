"""The invented TikTok behind the sandbox: hashtags, videos, persons and comments, all from one seed, and the truth
about what a faultless collector ends with. Serves nothing. Nobody in it exists.
"""

import hashlib
import random
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import Field

from csmv.pipeline.demo.sandbox.faults import EFFECTS, Fault, Place, drawn_at
from csmv.pipeline.validated import Validated

FIRST_DAY = 1_788_000_000
"""2026-08-29: when the first invented video was published, Unix seconds."""


class SandboxSettings(Validated):
    """How large the sandbox's world is and how badly it behaves."""

    seed: int = Field(default=1, description="decides everything in it")
    hashtags: int = Field(default=2, ge=1, le=200, description="how many hashtags")
    videos: int = Field(default=12, ge=1, le=2000, description="videos under each hashtag")
    comments: int = Field(default=6, ge=0, le=2000, description="comments of each video, replies among them")
    fault_rate: float = Field(
        default=0.0, ge=0, le=1, description="share of targets that misbehave, drawn for each place"
    )
    faults: dict[str, Fault] = Field(default_factory=dict, description="'tag:NAME', 'video:ID', ... -> fault")
    heal_after: int = Field(default=1, ge=0, description="visits that a passing fault spoils")
    retry_after_s: float = Field(default=2.0, ge=0, description="what a 429 asks for")
    latency_s: float = Field(default=0.0, ge=0, le=30, description="added to every answer")
    slow_s: float = Field(default=1.0, ge=0, description="what a slow answer takes")
    list_size: int = Field(default=30, ge=1, le=50, description="videos in one answer")
    comment_list_size: int = Field(default=20, ge=1, le=50)
    reply_list_size: int = Field(default=3, ge=1, le=20)
    media_s: float = Field(default=2.0, gt=0, le=60, description="length of the videos")
    robots: str = Field(default="allow", pattern="^(allow|disallow|missing|broken)$")
    research_quota: int = Field(default=1000, ge=0)


@dataclass(frozen=True)
class Person:
    """Somebody who does not exist, with all that TikTok tells of a person."""

    uid: str
    handle: str
    nickname: str
    sec_uid: str


@dataclass(frozen=True)
class Comment:
    """A comment; `reply_to` is the cid of the comment it answers."""

    cid: str
    author: Person
    text: str
    created: int
    likes: int
    reply_to: str | None = None
    mentions: Person | None = None


@dataclass(frozen=True)
class Video:
    """A video and its comments, as they are whatever the site shows of them."""

    id: str
    number: int
    creator: Person
    created: int
    text: str
    tags: tuple[str, ...]
    comments: tuple[Comment, ...]

    @property
    def roots(self) -> list[Comment]:
        """Comments that answer no other."""
        return [comment for comment in self.comments if comment.reply_to is None]

    def replies_to(self, cid: str) -> list[Comment]:
        """The replies to one comment."""
        return [comment for comment in self.comments if comment.reply_to == cid]


@dataclass(frozen=True)
class Truth:
    """What a collection must end with: the cids of every collectable video, and the outcome class of every other."""

    collected: dict[str, frozenset[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


_WORDS = [
    "love this so much",
    "that ending though",
    "not me crying at work",
    "who else came back",
    "this is wild 😂",
    "so calm and lovely",
    "cười xỉu luôn",
    "đáng yêu quá",
    "I expected worse honestly",
    "the sound is perfect",
    "why is nobody talking about this",
    "waiting for part two",
    "this made my day 🙏",
    "scared me a little",
    "he deserved that goal",
    "can't trust this anymore",
]


class World:
    """All there is, from `settings.seed`. The same settings give the same world."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.tags = [f"sandboxtag{number:02d}" for number in range(1, settings.hashtags + 1)]

    @cached_property
    def videos(self) -> dict[str, Video]:
        """All videos by id."""
        invented = (
            self._video(tag_number, number)
            for tag_number in range(len(self.tags))
            for number in range(self.settings.videos)
        )
        return {video.id: video for video in invented}

    @cached_property
    def listing(self) -> dict[str, list[str]]:
        """The ids under each hashtag, in the order of the site."""
        listed: dict[str, list[str]] = {tag: [] for tag in self.tags}
        for video in self.videos.values():
            for tag in video.tags:
                listed[tag].append(video.id)
        return listed

    @cached_property
    def short_links(self) -> dict[str, str]:
        """Codes of short links and the videos they lead to."""
        return {f"ZM{video.number:06d}": video.id for video in self.videos.values()}

    def fault(self, place: Place, key: str) -> Fault | None:
        """What strikes a target, if anything: as the settings name it, else drawn from seed and rate."""
        named = self.settings.faults.get(f"{place}:{key}")
        if named is not None:
            return named
        draw = random.Random(f"{self.settings.seed}:{place}:{key}")
        if draw.random() >= self.settings.fault_rate:
            return None
        return draw.choice(drawn_at(place))

    def truth(self) -> Truth:
        """What a collection of all hashtags with replies must end with, restarted until nothing is left to do."""
        collected, failed = {}, {}
        for video in self.videos.values():
            if all(self.fault(Place.TAG, tag) is Fault.TAG_NOT_FOUND for tag in video.tags):
                continue
            fault = self.fault(Place.VIDEO, video.id)
            effect = EFFECTS[fault] if fault else None
            if effect and effect.lasting and effect.expect:
                failed[video.id] = effect.expect
            elif self.fault(Place.COMMENTS, video.id) in (Fault.COMMENTS_NONE, Fault.COMMENTS_OFF):
                collected[video.id] = frozenset[str]()
            else:
                collected[video.id] = frozenset(comment.cid for comment in video.comments)
        return Truth(collected, failed)

    def personal(self) -> set[str]:
        """Every planted identifier: none may be found outside a root's private folder."""
        persons = {video.creator for video in self.videos.values()}
        persons |= {comment.author for video in self.videos.values() for comment in video.comments}
        identifiers = {text for p in persons for text in (p.uid, p.handle, p.nickname, p.sec_uid)}
        return identifiers | {contact for video in self.videos.values() for contact in _contacts(video.number)}

    # ------------------------------------------------------------------ making

    def person(self, number: int, kind: str) -> Person:
        """The person of a number; `kind` is viewer or creator."""
        base = 6_900_000_000_000_000_000 if kind == "creator" else 6_800_000_000_000_000_000
        mark = hashlib.sha256(f"{self.settings.seed}:{kind}:{number}".encode()).hexdigest()
        return Person(
            uid=str(base + number + self.settings.seed * 1_000_000),
            handle=f"invented_{kind}_{number:05d}",
            nickname=f"Invented {kind.title()} {number:05d}",
            sec_uid=f"MS4wLjABAAAA{mark}",
        )

    def _video(self, tag_number: int, number: int) -> Video:
        overall = tag_number * self.settings.videos + number
        draw = random.Random(f"{self.settings.seed}:video:{overall}")
        created = FIRST_DAY + overall * 3600 + draw.randrange(3000)
        tags = [self.tags[tag_number]]
        if len(self.tags) > 1 and number % 20 == 7:
            tags.append(self.tags[(tag_number + 1) % len(self.tags)])
        creator = self.person(overall % 97, "creator")
        friend = self.person(5000 + overall % 31, "viewer")
        text = f"{draw.choice(_WORDS)} with @{friend.handle} #{' #'.join(tags)}"
        video_id = str((created << 32) | (overall + 1))
        return Video(video_id, overall, creator, created, text, tuple(tags), self._comments(overall, created, creator))

    def _comments(self, video: int, created: int, creator: Person) -> tuple[Comment, ...]:
        draw = random.Random(f"{self.settings.seed}:comments:{video}")
        comments: list[Comment] = []
        roots: list[Comment] = []
        for number in range(self.settings.comments):
            answers = draw.choice(roots) if roots and number % 4 == 3 else None
            # Now and then the creator answers below the own video.
            author = creator if answers and number % 8 == 7 else self.person(draw.randrange(3000), "viewer")
            mentioned = self.person(draw.randrange(3000), "viewer") if number % 5 == 1 else None
            text = draw.choice(_WORDS)
            if mentioned:
                text += f" @{mentioned.handle}"
            if number % 7 == 2:
                text += f" {_contacts(video)[number % 2]}"
            if number % 6 == 4:
                text = f"{author.nickname} was here, {text}"
            when = created + 600 + number * 61
            comment = Comment(
                cid=str((when << 32) | (video * 4096 + number)),
                author=author,
                text=text,
                created=when,
                likes=draw.randrange(500),
                reply_to=answers.cid if answers else None,
                mentions=mentioned,
            )
            comments.append(comment)
            if answers is None:
                roots.append(comment)
        return tuple(comments)


def _contacts(number: int) -> tuple[str, str]:
    return f"write.me{number:05d}@mail.example", f"+1 202 555 {number % 10000:04d}"
