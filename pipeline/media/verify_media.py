"""Looking at video files: whole, decodable, as long as promised. The same checks whatever the origin.

A file is opened in a worker process with a time limit, so that a bad one costs only itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from csmv.pipeline.failures import Failure
from csmv.pipeline.media.get import Got
from csmv.pipeline.schemas import FailureReason

if TYPE_CHECKING:
    from csmv.extractors.decode import Probe

_MOST_DRIFT_S = 2.0


@dataclass(frozen=True)
class Verified:
    """What came of one video: its file and what it says about itself, or why it is not used."""

    got: Got
    path: Path | None = None
    probe: "Probe | None" = None
    failure: Failure | None = None


def verify(files: Sequence[Got], *, workers: int, time_limit_s: float) -> Iterator[Verified]:
    """Look at files, one after the other as they come; those that were not got pass through with their failure."""
    from csmv.extractors.pool import probe_many

    whole: list[tuple[Got, Path]] = []
    for got in files:
        if got.path is None:
            yield Verified(got, failure=got.failure)
        elif got.downloaded and not _is_mp4(got.path):
            yield _bad(got, FailureReason.NOT_A_VIDEO, "the file is no MP4, whatever its address said")
        else:
            whole.append((got, got.path))
    if not whole:
        return  # no worker process is started
    for at, look in probe_many([path for _, path in whole], workers=workers, time_limit_s=time_limit_s):
        got, path = whole[at]
        if look.probe is not None:
            yield _judged(got, path, look.probe)
        elif look.error is not None:
            yield _bad(got, FailureReason(look.error.reason), look.error.detail)
        else:
            yield _bad(got, FailureReason.DECODER_CRASHED)


def _judged(got: Got, path: Path, probe: "Probe") -> Verified:
    from csmv.extractors.decode import is_cut_short

    try:
        if is_cut_short(path):
            return _bad(got, FailureReason.TRUNCATED, "the file ends before its container says it does")
    except OSError as error:
        return _bad(got, FailureReason.MISSING_FILE, f"the file can't be read ({type(error).__name__})")
    if got.promised_s and abs(probe.duration_s - got.promised_s) > _MOST_DRIFT_S:
        detail = f"it lasts {probe.duration_s:.1f} s and the page promised {got.promised_s:.0f} s"
        return _bad(got, FailureReason.TRUNCATED, detail)
    return Verified(got, path, probe)


def _bad(got: Got, reason: FailureReason, detail: str = "") -> Verified:
    return Verified(got, failure=Failure(got.video_id, reason, detail))


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:8] == b"ftyp"
