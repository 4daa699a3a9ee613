"""Writes the comments of the sample data, with personal data planted in them that nobody owns.

About half say what they feel in words. The others ("no words", "perfect, just what I needed") are told apart only by
the mood of the video they stand under.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

Label = tuple[str, str]
"""Opinion and emotion."""

PLAIN: dict[Label, Sequence[str]] = {
    ("positive", "joy"): (
        "this made me so happy",
        "laughing out loud {place}",
        "pure happiness in one video",
        "I'm grinning like an idiot {place}",
        "such a fun clip, my cheeks hurt from laughing",
        "this is hilarious, sending it to everyone",
        "best laugh I had {when}",
    ),
    ("positive", "trust"): (
        "you always explain it so honestly",
        "I believe every word you say",
        "finally someone reliable on this app",
        "this is solid advice, saved it {when}",
        "I trust this account completely",
        "you are so genuine, never change",
        "learned something real here, thank you",
    ),
    ("positive", "anticipation"): (
        "so excited for the next one",
        "can't wait until you post again",
        "counting the days to the full version",
        "looking forward to more of this {when}",
        "already hyped for the sequel",
        "I need the tutorial soon, so excited",
    ),
    ("positive", "surprise"): (
        "wow I did not expect this to be so good",
        "what a lovely surprise {when}",
        "amazing, my jaw dropped",
        "unexpectedly brilliant, wow",
        "whoa, the skill is unreal",
    ),
    ("neutral", "surprise"): (
        "huh, I never knew that existed",
        "odd, is it supposed to look like this?",
        "strange coincidence, I saw the same thing {when}",
        "wait, was this filmed in one take?",
        "curious, which camera is that?",
    ),
    ("neutral", "anticipation"): (
        "what song is this?",
        "does anyone know when it opens?",
        "asking for a friend, where can I find the list?",
        "following to see how it continues",
        "which day is the event?",
        "can somebody drop the name of the app?",
    ),
    ("negative", "sadness"): (
        "this made me cry, so heartbreaking",
        "poor thing, I feel so sad now",
        "crying {place}, this hurts",
        "I miss those days, it breaks my heart",
        "so sorry for your loss",
        "feeling lonely after watching this {when}",
    ),
    ("negative", "fear"): (
        "this is terrifying, I can't sleep now",
        "scared me half to death {place}",
        "creepy, I had to check the door twice",
        "so frightening, nightmares for a week",
        "I'm shaking, that was too scary",
        "horror film material, I'm afraid to scroll on",
    ),
    ("negative", "anger"): (
        "this makes me furious",
        "how dare they, I'm so angry",
        "unacceptable, somebody should be fired",
        "I'm mad just watching this {place}",
        "what an outrage, report them",
        "stop doing this, it is infuriating",
    ),
    ("negative", "disgust"): (
        "eww that is disgusting",
        "gross, I lost my appetite {place}",
        "yuck, who would do that",
        "this is vile, scrolling away",
        "nasty, I feel sick now",
        "so gross I almost threw up {when}",
    ),
}
"""Comments whose words tell the label."""

PLAIN_SHARES: dict[str, dict[Label, int]] = {
    "party": {
        ("positive", "joy"): 6,
        ("positive", "surprise"): 4,
        ("positive", "anticipation"): 4,
        ("neutral", "anticipation"): 3,
        ("negative", "disgust"): 2,
        ("negative", "anger"): 2,
        ("neutral", "surprise"): 2,
    },
    "calm": {
        ("positive", "trust"): 7,
        ("positive", "joy"): 2,
        ("neutral", "anticipation"): 4,
        ("neutral", "surprise"): 4,
        ("negative", "sadness"): 2,
        ("negative", "disgust"): 2,
    },
    "gloom": {
        ("negative", "sadness"): 6,
        ("negative", "disgust"): 3,
        ("negative", "fear"): 2,
        ("positive", "trust"): 3,
        ("neutral", "anticipation"): 3,
        ("neutral", "surprise"): 2,
        ("positive", "joy"): 2,
    },
    "menace": {
        ("negative", "fear"): 5,
        ("negative", "anger"): 5,
        ("negative", "disgust"): 2,
        ("positive", "surprise"): 3,
        ("positive", "anticipation"): 3,
        ("neutral", "surprise"): 2,
    },
}
"""How often each kind of plain comment comes under a video of a mood."""

VEILED: tuple[tuple[Sequence[str], dict[str, Label]], ...] = (
    (
        ("no words", "speechless", "I just stared at my screen", "sat there in silence", "I have nothing to say"),
        {
            "party": ("positive", "surprise"),
            "calm": ("positive", "trust"),
            "gloom": ("negative", "sadness"),
            "menace": ("negative", "fear"),
        },
    ),
    (
        (
            "perfect, just what I needed",
            "oh great, that made my morning",
            "love that for us",
            "thanks, exactly the mood I was after",
            "well done, truly",
        ),
        {
            "party": ("positive", "joy"),
            "calm": ("positive", "trust"),
            "gloom": ("negative", "disgust"),
            "menace": ("negative", "anger"),
        },
    ),
    (
        ("and then what", "part two please", "where is the rest", "it stops right there?", "so what happens after"),
        {
            "party": ("positive", "anticipation"),
            "calm": ("neutral", "anticipation"),
            "gloom": ("negative", "sadness"),
            "menace": ("negative", "fear"),
        },
    ),
    (
        ("literally me", "me every single day", "my life in one clip", "this is so us", "tell me why this is me"),
        {
            "party": ("positive", "joy"),
            "calm": ("neutral", "trust"),
            "gloom": ("negative", "sadness"),
            "menace": ("negative", "anger"),
        },
    ),
)
"""Families of comments whose label the video decides."""

OPENERS = (
    "",
    "",
    "",
    "ok ",
    "honestly ",
    "lol ",
    "guys ",
    "ngl ",
    "hmm ",
    "right, ",
    "bro ",
    "sorry but ",
    "not gonna lie ",
)
PLACES = ("on the bus", "in the kitchen", "at my desk", "in class", "in bed", "on my lunch break", "at the gym")
TIMES = ("today", "this week", "last night", "this morning", "since monday", "all month", "at 3am")
ENDINGS = (
    "",
    "",
    "",
    "!",
    "!!",
    "...",
    " 😭",
    " 💀",
    " 🙃",
    " 😮",
    " 🔥",
    " 👀",
    " 🫠",
    " ✨",
    " 🤍",
    " fr",
    " tbh",
    " rn",
)
_SYLLABLES = ("to", "va", "ren", "mi", "lo", "qu", "zu", "ki", "bra", "fen", "dox", "wyn", "hal", "sto", "yre", "pex")
REMARKS = (
    "watched it twice {place}",
    "my sister showed me {when}",
    "found this {when}",
    "on my fyp {when}",
    "volume up btw",
    "third time {when}",
    "watching {place}",
    "nobody at home gets it",
)


@dataclass(frozen=True)
class Comment:
    """A comment as the platform would show it; label is None where nobody labelled it."""

    text: str
    author: str
    label: Label | None
    veiled: bool = False


@dataclass(frozen=True)
class Planted:
    """One piece of personal data in the sample: its kind, as the scrubber names kinds, and how it is written."""

    kind: str
    value: str


def write_comments(mood: str, count: int, creator: str, chance: random.Random) -> tuple[list[Comment], list[Planted]]:
    """`count` labelled comments under a video of `mood` and everything personal that was planted in them.

    No two of them are the same.
    """
    comments: list[Comment] = []
    planted: list[Planted] = []
    texts: set[str] = set()
    kinds = [number < round(count * 0.45) for number in range(count)]
    chance.shuffle(kinds)
    for veiled in kinds:
        text, label = _veiled(mood, chance) if veiled else _plain(mood, chance)
        while text in texts:
            text, label = _veiled(mood, chance) if veiled else _plain(mood, chance)
        texts.add(text)
        author = make_handle(chance)
        planted.append(Planted("USERNAME", author))
        if chance.random() < 0.16:
            text, personal = _with_personal_data(text, creator, [c.author for c in comments], chance)
            planted += personal
        comments.append(Comment(text, author, label, veiled))
    return comments, planted


def make_handle(chance: random.Random) -> str:
    """A user name that no word of any language equals, such as `tovarenq_quill92`."""
    syllables = (
        "to",
        "va",
        "ren",
        "mi",
        "lo",
        "qu",
        "zu",
        "ki",
        "bra",
        "fen",
        "dox",
        "wyn",
        "hal",
        "sto",
        "yre",
        "pex",
    )
    name = "".join(chance.choice(syllables) for _ in range(4))
    joint = chance.choice(("_", ".", "", "_x"))
    return f"{name}{joint}{chance.choice(_SYLLABLES)}{chance.choice(_SYLLABLES)}{chance.randrange(10, 9999)}"


def _plain(mood: str, chance: random.Random) -> tuple[str, Label]:
    shares = PLAIN_SHARES[mood]
    label = chance.choices(list(shares), weights=list(shares.values()))[0]
    return _dressed(chance.choice(PLAIN[label]), chance), label


def _veiled(mood: str, chance: random.Random) -> tuple[str, Label]:
    phrases, labels = chance.choice(VEILED)
    return _dressed(chance.choice(phrases), chance), labels[mood]


def _dressed(phrase: str, chance: random.Random) -> str:
    text = chance.choice(OPENERS) + phrase
    if chance.random() < 0.35:
        text += chance.choice((", ", ". ", " - ")) + chance.choice(REMARKS)
    text = text.format(place=chance.choice(PLACES), when=chance.choice(TIMES)) + chance.choice(ENDINGS)
    return text[:1].upper() + text[1:] if chance.random() < 0.3 else text


def _with_personal_data(
    text: str, creator: str, authors: Sequence[str], chance: random.Random
) -> tuple[str, list[Planted]]:
    kind = chance.choice(("mention", "mention", "creator", "reply", "email", "phone", "url"))
    friend = make_handle(chance)
    if kind == "creator":
        return f"{text} classic {creator}", [Planted("USERNAME", creator)]
    if kind == "reply" and authors:
        return f"@{authors[-1]} {text}", [Planted("USERNAME", authors[-1])]
    if kind == "email":
        address = f"{make_handle(chance).replace('_', '')}@{chance.choice(('example.org', 'mail.example.com'))}"
        return f"{text} write to {address}", [Planted("EMAIL", address)]
    if kind == "phone":
        number = make_phone(chance)
        return f"{text} call me {number}", [Planted("PHONE", number)]
    if kind == "url":
        address = f"https://{chance.choice(('shop', 'links', 'my'))}.example.com/{make_handle(chance)}"
        return f"{text} more at {address}", [Planted("URL", address)]
    place = chance.choice((f"@{friend} {text}", f"{text} @{friend}", f"{text} @{friend} look"))
    return place, [Planted("USERNAME", friend)]


def make_phone(chance: random.Random) -> str:
    """A number from the ranges that are kept free for fiction in the United States and Britain."""
    if chance.random() < 0.5:
        area = chance.choice(("212", "415", "303", "617"))
        return f"+1 ({area}) 555-01{chance.randrange(100):02d}"
    return f"+44 7700 900{chance.randrange(1000):03d}"
