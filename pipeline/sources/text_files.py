"""Text files as people have them: any usual encoding, any line ends."""

from pathlib import Path

from csmv.pipeline.errors import CsmvError

_MARKS = {b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def decoded(path: Path) -> str:
    """A file's text: UTF-8, UTF-16, UTF-32, or else an old encoding of one byte a character.

    Raises:
        CsmvError: it is no text.
    """
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    if not encoding and b"\0" in data[:4096]:
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    for name in [encoding] if encoding else ["utf-8-sig", "cp1252", "latin-1"]:
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise CsmvError(f"'{path.name}' is not text: save it as UTF-8.") from None


def lines_of(text: str) -> list[str]:
    """Lines by line feeds and carriage returns alone: other separators stand within values of JSON."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
