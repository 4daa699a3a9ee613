"""The two kinds of failure in here: a mistake of the person who asked, and a file that gives nothing.

Neither message ever carries a file's contents; a MediaError does not carry its path either.
"""

from csmv.extractors.reasons import MediaFailure


class ExtractorError(Exception):
    """What was asked for cannot be had (unknown name, weights that do not fit); one sentence for the asker."""


class UnknownChoiceError(ExtractorError):
    """There is no such extractor, or it has no such granularity or dtype; the sentence names those there are."""


class MediaError(Exception):
    """One media file gives nothing, for `reason`; `detail` says more in words fit to publish."""

    def __init__(self, reason: MediaFailure, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
