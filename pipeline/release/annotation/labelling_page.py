"""The labelling configuration of Label Studio: a comment beside its video, three opinions, eight emotions.

Source of the emotions: Plutchik, "A general psychoevolutionary theory of emotion" (1980): eight primary emotions on a
wheel, each across from its opposite. They are offered in the order of the wheel, in its usual colours.
"""

from xml.sax.saxutils import quoteattr

from csmv.pipeline.labels import EMOTIONS, OPINIONS
from csmv.pipeline.release.annotation.annotation_config import MediaLink

_WHEEL = {
    "joy": ("#ffd54f", "pleased, amused, happy; across from sadness"),
    "trust": ("#aed581", "liking, admiring, agreeing; across from disgust"),
    "fear": ("#4caf50", "worried, afraid, uneasy; across from anger"),
    "surprise": ("#4fc3f7", "did not expect it, baffled; across from anticipation"),
    "sadness": ("#5c7cfa", "sad, moved, sorry; across from joy"),
    "disgust": ("#b388ff", "put off, bored by it, contemptuous; across from trust"),
    "anger": ("#ef5350", "annoyed, indignant, hostile; across from fear"),
    "anticipation": ("#ffa726", "looking forward, curious, asking for more; across from surprise"),
}
_OPINION_HINTS = {
    "positive": "speaks for the video, its people or its subject",
    "neutral": "takes no side, or it can't be told",
    "negative": "speaks against the video, its people or its subject",
}
_KEYS = "qwe12345678"

assert set(_WHEEL) == set(EMOTIONS) and set(_OPINION_HINTS) == set(OPINIONS)


def labelling_configuration(media: MediaLink) -> str:
    """The configuration as XML, for the tasks of `csmv.pipeline.release.annotation.labelling_tasks`.

    The values of the choices are the classes' names, so that an export needs no table to be read by.
    """
    keys = iter(_KEYS)
    opinions = [_choice(name, next(keys), hint) for name, hint in _OPINION_HINTS.items()]
    emotions = [_choice(name, next(keys), hint, color) for name, (color, hint) in _WHEEL.items()]
    lines = [
        "<View>",
        *_VIDEO[media],
        '  <Text name="comment" value="$text"/>',
        '  <Header value="Which opinion does the comment hold?"/>',
        '  <Choices name="opinion" toName="comment" choice="single-radio" showInline="true" required="true">',
        *opinions,
        "  </Choices>",
        '  <Header value="Which emotion did the video induce in who wrote it?"/>',
        '  <Choices name="emotion" toName="comment" choice="single-radio" showInline="true" required="true">',
        *emotions,
        "  </Choices>",
        "</View>",
    ]
    return "\n".join(lines) + "\n"


_PLAYER = ['  <Video name="video" value="$video"/>']
_VIDEO: dict[MediaLink, list[str]] = {
    MediaLink.PLATFORM: ['  <HyperText name="video" value="$video"/>'],
    MediaLink.LOCAL: _PLAYER,
    MediaLink.SIGNED: _PLAYER,
    MediaLink.NONE: [],
}


def _choice(name: str, key: str, hint: str, color: str = "") -> str:
    style = f" color={quoteattr(color)}" if color else ""
    return f"    <Choice value={quoteattr(name)} hotkey={quoteattr(key)} hint={quoteattr(hint)}{style}/>"
