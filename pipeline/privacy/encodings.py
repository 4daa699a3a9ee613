"""Texts behind their encodings: bytes as text, and percent signs, entities and escapes as what they stand for.

What is searched for a name has to be read as a browser, a parser or another program would read it.
"""

import base64
import binascii
import codecs
import html
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import unquote, unquote_to_bytes

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""UTF-32 before UTF-16, whose mark begins its own."""
_OLD = (
    *("cp1252", "cp1250", "cp1251", "koi8-r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1258", "cp874"),
    *("gb18030", "big5", "shift_jis", "euc-jp", "euc-kr"),
)
"""Encodings in which a text that is no UTF-8 may be written. A name may be read in any that fits."""
_SAMPLE = 4096
_ENOUGH = 0.9
_FEW_PAGES = 3
"""Of 256 characters each, that a text in one language is written with."""

_CODED = re.compile(r"%[0-9A-Fa-f]{2}|%u[0-9A-Fa-f]{4}|&#?[0-9A-Za-z]{2,31};|\\[uUx][0-9A-Fa-f{]|\\/")
_PERCENT_U = re.compile(r"%u([0-9A-Fa-f]{4})")
_ESCAPE = re.compile(r"\\u\{([0-9A-Fa-f]{1,6})\}|\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})|\\x([0-9A-Fa-f]{2})|\\(?=/)")
_MOST_LAYERS = 6
_DATA_URI = re.compile(r"data:(?:[\w.+-]+/[\w.+-]+)?((?:;[\w.+=-]+)*),([\w.~!*'()+/=%@:&-]*)", re.I)
_PACKED = re.compile(r"(?<![\w+/-])[A-Za-z0-9+/_-]{12,}={0,2}(?![\w+/=-])")


def marked_text(data: bytes) -> str | None:
    """The text of bytes that begin with a byte order mark, or are UTF-16 or UTF-32 by their look; None for others."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    wide = _wide_encoding(data[:_SAMPLE])
    return data.decode(wide, "replace") if wide else None


def _wide_encoding(sample: bytes) -> str:
    """The encoding of text of two or four bytes a character, by the bytes that its characters share; "" for others."""
    if len(sample) < 8:
        return ""
    for width, orders in ((4, (("utf-32-le", 3), ("utf-32-be", 0))), (2, (("utf-16-le", 1), ("utf-16-be", 0)))):
        whole = sample[: len(sample) // width * width]
        for encoding, place in orders:
            shared = Counter(whole[place::width])
            pages = [page for page, _ in shared.most_common(_FEW_PAGES)]
            if 0 not in shared or sum(shared[page] for page in pages) < _ENOUGH * shared.total():
                continue
            text = whole.decode(encoding, "replace")
            if _is_readable(text) and len(set(whole[1 - min(place, 1) :: width])) > len(shared):
                return encoding
    return ""


def _is_readable(text: str) -> bool:
    good = sum(char.isprintable() or char in "\t\r\n" for char in text)
    return "\0" not in text and "\N{REPLACEMENT CHARACTER}" not in text[:-1] and good >= _ENOUGH * len(text)


def is_plain(data: bytes) -> bool:
    """Whether bytes look like text of one or several bytes a character."""
    return not any(byte < 9 for byte in data[:_SAMPLE])


def old_readings(data: bytes) -> Iterator[str]:
    """What bytes that are no UTF-8 say in each older encoding that fits them whole."""
    seen: set[str] = set()
    for encoding in _OLD:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if text not in seen:
            seen.add(text)
            yield text


def is_coded(text: str) -> bool:
    """Whether a text may have another reading than the one as it stands."""
    return ("%" in text or "&" in text or "\\" in text) and _CODED.search(text) is not None


def readings(text: str) -> tuple[str, ...]:
    """A text as it stands and, where that is another, with every layer of its encodings taken off."""
    if not is_coded(text):
        return (text,)
    plain = text
    for _ in range(_MOST_LAYERS):
        layer = plain
        if "%" in plain:
            plain = unquote(_PERCENT_U.sub(_character, plain), errors="replace")
        if "&" in plain:
            plain = html.unescape(plain)
        if "\\" in plain:
            plain = _ESCAPE.sub(_character, plain)
        if plain == layer:
            break
    # Halves of pairs, as JSON writes what is beyond the first plane.
    plain = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return (text,) if plain == text else (text, plain)


def _character(match: re.Match[str]) -> str:
    code = next((group for group in match.groups() if group), "")
    number = int(code, 16) if code else 0
    return chr(number) if 0 < number < 0x110000 else ""


def without_data_uris(text: str) -> tuple[str, list[bytes]]:
    """A text without the contents of its data: addresses, and those."""
    if "data:" not in text[:5].lower() and "data:" not in text and "DATA:" not in text:
        return text, []
    contents: list[bytes] = []

    def take(match: re.Match[str]) -> str:
        content = unquote_to_bytes(match[2])
        if match[1].lower().endswith(";base64"):
            try:
                content = base64.b64decode(content + b"=" * (-len(content) % 4), b"-_" if b"-" in content else None)
            except binascii.Error:
                return match[0]
        contents.append(content)
        return "data:"

    return _DATA_URI.sub(take, text), contents


def packed_texts(text: str) -> Iterator[str]:
    """What words of base64 in a text say, where it is text."""
    for match in _PACKED.finditer(text):
        word = match[0]
        if word.isalpha() and (word.islower() or word.isupper() or word.istitle()):
            continue
        bare = word.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
        try:
            said = base64.b64decode(bare + "=" * (-len(bare) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
        if said.isprintable():
            yield said
