"""Where a release is put together, and how it comes to its place: whole, or to be noticed as half.

The list of sums comes first, with what was there and what is coming, and `release.json` last: one that was cut short is
stale, fails `csmv verify`, and the next run puts it right.
"""

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.files import Files
from csmv.pipeline.release.release_folder import ABOUT, SUMS, is_release, sums_of, sums_text

_STALE_S = 24 * 3600


def previous_release(target: Files) -> Files | None:
    """The release that is where a new one is to be; None if nothing is. Raises CsmvError if something else is."""
    names = target.files()
    sums = sums_of(target)
    strange = [name for name in names if name not in sums and name != SUMS]
    if strange and sums:
        raise CsmvError(f"'{target.root}/{strange[0]}' is no part of the release beside it: move it away first.")
    if strange:
        raise CsmvError(
            f"'{target.root}' is to hold the release, and holds something else ('{strange[0]}' among it): name an "
            "empty folder with --out, or move that away."
        )
    return target if is_release(target.root) else None


def put_release(folder: Path, target: Files) -> int:
    """Bring a finished release to its place, file by file; gives their number. What the release before had goes.

    Args:
        folder: a local folder that holds the release and nothing else.
        target: where it is to be; `previous_release` was asked.
    """
    staged = Files(str(folder))
    names = staged.files()
    before, sums = sums_of(target), sums_of(staged)
    if before:
        target.write_file(SUMS, sums_text(before | sums))
    else:
        target.take(staged, SUMS, SUMS)
    for name in names:
        if name not in (SUMS, ABOUT):
            target.take(staged, name, name)
    for name in before.keys() - sums.keys():
        target.remove(name)
    target.take(staged, SUMS, SUMS)
    target.take(staged, ABOUT, ABOUT)
    return len(names)


@contextmanager
def staging(above: Path | None) -> Iterator[Path]:
    """A local folder to put a release together in, gone at the end of the block.

    Args:
        above: in which folder, so that moving the release from it is free; None for the system's temporary files. What
            killed processes left in it goes after a day.
    """
    if above is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    for left in above.iterdir():
        if time.time() - left.stat().st_mtime > _STALE_S:
            shutil.rmtree(left, ignore_errors=True)
    folder = above / secrets.token_hex(4)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
