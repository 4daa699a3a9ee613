"""What a page of HTML or XML holds."""

import re
from html.parser import HTMLParser

from csmv.pipeline.privacy.pieces import Look

STRING_LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`(?:[^`\\]|\\.)*`', re.S)
"""A string in a script."""
_INLINE = frozenset(
    (
        *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "em", "font", "i", "kbd", "mark", "q", "s", "small"),
        *("span", "strong", "sub", "sup", "u", "wbr"),
    )
)
_SENTENCES = frozenset(
    (
        *("alt", "title", "content", "placeholder", "value", "label", "summary"),
        *("aria-label", "aria-description", "aria-valuetext"),
    )
)
"""Attributes that hold what people read."""
_DRAWN = frozenset(["style", "class", "d", "points", "transform", "viewbox"])
"""Attributes that hold numbers and names of styles."""


class Page(HTMLParser):
    """What a page holds: its text (by element, and with inline elements joined), attributes, comments and scripts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.joined: list[str] = []
        self.others: list[tuple[str, Look, str]] = []
        self.scripts: list[tuple[str, str]] = []
        self._script = ""
        self._is_script = self._is_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element with its attributes."""
        self._break(tag)
        for name, value in attrs:
            if name in _DRAWN or not value:
                self.others.append(("an attribute", Look.BARE, value or name))
                continue
            is_sentence = name in _SENTENCES or value.lower().startswith(("mailto:", "tel:", "sms:"))
            self.others.append(("an attribute", Look.PROSE if is_sentence else Look.LABEL, value))
        if tag in ("script", "style"):
            self._is_script, self._is_style = tag == "script", tag == "style"
            self.scripts.append((str(dict(attrs).get("type") or "").lower(), ""))

    def handle_endtag(self, tag: str) -> None:
        """The end of an element."""
        self._break(tag)
        if tag in ("script", "style"):
            self._is_script = self._is_style = False

    def handle_data(self, data: str) -> None:
        """Text, or what a script or style says."""
        if self._is_style:
            self.others.append(("a style", Look.BARE, data))
        elif self._is_script:
            kind, before = self.scripts.pop()
            self.scripts.append((kind, before + data))
        else:
            self.texts.append(data)
            self.joined.append(data)

    def handle_comment(self, data: str) -> None:
        """A comment."""
        self.others.append(("a comment", Look.PROSE, data))

    def handle_decl(self, decl: str) -> None:
        """A declaration."""
        self.others.append(("a declaration", Look.BARE, decl))

    def unknown_decl(self, data: str) -> None:
        """A declaration of another kind."""
        self.handle_decl(data)

    def handle_pi(self, data: str) -> None:
        """A processing instruction."""
        self.handle_decl(data)

    def _break(self, tag: str) -> None:
        self.texts.append("\n")
        if tag not in _INLINE:
            self.joined.append("\n")
