"""Which files a person means by files, folders and lists of them, and a key for each that nothing else has.

A wrong path costs only itself: it is in the answer with its reason, and so is what a folder holds that is no video.
"""

import hashlib
import os
import stat
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from csmv.extractors.containers import SOUND_SUFFIXES, VIDEO_SUFFIXES
from csmv.pipeline.errors import CsmvError

HIDDEN, NOT_MEDIA = "hidden", "of other kinds"
NOT_THERE, NOT_A_FILE, UNREADABLE, NO_VIDEOS = "not_there", "not_a_file", "unreadable", "no_videos"
"""Why a path gave no file to look at."""

_LONGEST = 180
"""Bytes of one part of a key: file systems take 255, with a suffix and what a temporary file adds."""


@dataclass(frozen=True)
class LooseFile:
    """One file.

    `below` are the parts of its path below the folder that was given; only its name, where it was given by itself.
    """

    path: Path
    below: tuple[str, ...]

    @property
    def identity(self) -> str:
        """The same for the same entry of a folder, whatever way leads there; a link is another file than its target."""
        return text_of(str(self.path.parent.resolve() / self.path.name).replace("%", "%25"))


@dataclass
class Found:
    """The files in the order in which they were given, and what is to be told of the rest."""

    files: list[LooseFile] = field(default_factory=list)
    wrong: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Path, as text -> the reason why it gave no file, and a sentence's worth of detail."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Files of folders that were left out, by HIDDEN and NOT_MEDIA."""
    repeated: list[str] = field(default_factory=list)
    """Files that were given again."""


def find(given: Iterable[Path], lists: Iterable[Path] = (), *, with_sound: bool = False) -> Found:
    """The files that paths name.

    A folder stands for every file below it with a suffix of a container that decoding takes, in the order of their
    names; hidden files and folders are left out. A file given by itself is taken whatever it is called.

    Args:
        given: files and folders.
        lists: text files of more of them, one path a line, relative to the working folder; "-" is standard input.
        with_sound: whether folders give files of sound alone, too.

    Raises:
        CsmvError: a list is not there.
    """
    found, seen = Found(), set[str]()
    suffixes = {*VIDEO_SUFFIXES, *(SOUND_SUFFIXES if with_sound else ())}
    for path in [*given, *(line for one in lists for line in _lines(one))]:
        for file in _files(path, suffixes, found):
            if file.identity in seen:
                found.repeated.append(text_of(file.path))
            else:
                seen.add(file.identity)
                found.files.append(file)
    return found


def _lines(path: Path) -> Iterator[Path]:
    if str(path) == "-":
        data = sys.stdin.buffer.read()
    elif path.is_file():
        data = path.read_bytes()
    else:
        raise CsmvError(f"The list '{text_of(path)}' is not there: it should hold one path a line.")
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if line := line.removesuffix(b"\r"):
            yield Path(os.fsdecode(line))


def _files(path: Path, suffixes: set[str], found: Found) -> Iterator[LooseFile]:
    mode = _mode(path, found)
    if mode is None:
        return
    if not stat.S_ISDIR(mode):
        yield LooseFile(path, (path.name,))
        return
    empty = True
    for file in _below(path, (), suffixes, found, ()):
        empty = False
        yield file
    if empty and text_of(path) not in found.wrong:
        found.wrong[text_of(path)] = (NO_VIDEOS, "no file in this folder is called as videos are")


def _mode(path: Path, found: Found) -> int | None:
    """The mode of a file or folder; None, with the reason in `found`, for anything else."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        found.wrong[text_of(path)] = (NOT_THERE, "there is no file of that name")
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no name that a file can have"
        found.wrong[text_of(path)] = (UNREADABLE, why.lower())
    else:
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return mode
        found.wrong[text_of(path)] = (NOT_A_FILE, "it is neither a file nor a folder")
    return None


def _below(
    folder: Path, parts: tuple[str, ...], suffixes: set[str], found: Found, above: tuple[tuple[int, int], ...]
) -> Iterator[LooseFile]:
    """The files below a folder; links to folders are followed, except to one that this one is in."""
    try:
        status = folder.stat()
        paths = sorted(folder.iterdir(), key=os.fsencode)
    except OSError as error:
        found.wrong[text_of(folder)] = (UNREADABLE, os.strerror(error.errno or 0).lower())
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for path in paths:
        name = path.name
        if name.startswith("."):
            found.left_out[HIDDEN] += 1
        elif path.is_dir():
            yield from _below(path, (*parts, name), suffixes, found, (*above, here))
        elif path.suffix.lower() not in suffixes:
            found.left_out[NOT_MEDIA] += 1
        elif _mode(path, found) is not None:
            yield LooseFile(path, (*parts, name))


# ---------------------------------------------------------------------- keys


def text_of(name: str | os.PathLike[str]) -> str:
    """A name as text that any file can hold: bytes that are not UTF-8, and control characters, as %XX."""
    text = os.fsencode(name).decode(errors="surrogateescape")
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"%{code - 0xDC00:02X}"
    return f"%{code:02X}" if code < 32 or code == 127 else character


def keys_of(files: Sequence[LooseFile], kept: Mapping[str, str], is_it: Callable[[str, LooseFile], bool]) -> list[str]:
    """A key for each file, that stands for it in what is written; never the same for two, whatever their case.

    The key is the path below the folder that was given, without its suffix: of a file given by itself its name. Files
    that would share one keep their suffixes, then get the whole path as it was given, then a number.

    Args:
        files: the files.
        kept: identity -> key, of files that have theirs from before.
        is_it: whether a key from before is this file's, though it was called otherwise then.
    """
    keys: dict[str, str] = {}
    own = {key: identity for identity, key in kept.items()}
    taken = {name for key in own for name in _blocked(key)}
    choices = {file.identity: _choices(file) for file in files}
    shared = [Counter(_folded(names[level]) for names in choices.values()) for level in range(3)]
    for file in files:
        if (key := kept.get(file.identity)) is None:
            key = next(
                name
                for level, name in enumerate(_numbered(choices[file.identity]))
                if (level > 2 or shared[level][_folded(name)] == 1)
                and (not taken.intersection(_blocked(name)) or (name in own and is_it(name, file)))
            )
        taken.update(_blocked(key))
        keys[file.identity] = key
    return [keys[file.identity] for file in files]


def _choices(file: LooseFile) -> list[str]:
    whole = [part for part in Path(os.path.normpath(file.path)).parts if part not in ("..", os.sep)]
    *folders, name = file.below
    return [_key([*folders, Path(name).stem]), _key([*folders, name]), _key(whole)]


def _numbered(names: list[str]) -> Iterator[str]:
    yield from names
    number = 1
    while True:
        number += 1
        yield f"{names[0]} ({number})"


def _key(parts: Sequence[str]) -> str:
    *folders, name = (_part(part) for part in parts)
    return "/".join([*(f"{one}_" if one.endswith((".npz", ".npy", ".parquet")) else one for one in folders), name])


def _part(part: str) -> str:
    text = text_of(part).replace("\\", "%5C").replace("/", "%2F")
    text = f"%2E{text[1:]}" if text in (".", "..") else text
    if len(text.encode()) <= _LONGEST:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text.encode()[: _LONGEST - 10].decode(errors='ignore')}~{digest}"


def _folded(key: str) -> str:
    return unicodedata.normalize("NFC", key).casefold()


def _blocked(key: str) -> list[str]:
    """The names that stand for a key in what is written, for comparing."""
    folded = _folded(key)
    return [folded, f"{folded}.npy", f"{folded}.start", f"{folded}/start"]
