"""A scrubber on all cores: batches of texts are divided among processes, each with a scrubber of its own."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Self

from pydantic import SecretStr

from csmv.pipeline.processes import Processes, default_jobs, may_start_processes
from csmv.pipeline.scrub.policy import ScrubPolicy
from csmv.pipeline.scrub.scrubber import Scrubbed, Scrubber

_AT_ONCE = 250
"""Texts that are sent to a process together; fewer are not worth sending."""
_WORTH_IT = 6000
"""Texts after which more of them are scrubbed by processes: each takes a second or two to load what it needs."""


class ScrubPool:
    """Scrubs as `Scrubber` does, on `jobs` processes once there is enough to do; a context manager.

    The same texts become the same whatever `jobs` is. Few texts are scrubbed in this process.

    Args:
        policy: what is removed, and how.
        key: for keyed hashes.
        names: handles and display names known for this dataset.
        jobs: processes; left out, one for each core, or what CSMV_JOBS says.

    Raises:
        CsmvError: as `Scrubber` does; and if CSMV_JOBS is no number.
    """

    def __init__(
        self, policy: ScrubPolicy, key: SecretStr | None = None, names: Iterable[str] = (), jobs: int | None = None
    ) -> None:
        self._names = tuple(names)
        self._policy, self._key = policy, key
        self._here = Scrubber(policy, key, self._names)
        jobs = default_jobs() if jobs is None else jobs
        self._jobs = jobs if may_start_processes() else 1
        self._lock = threading.Lock()
        self._processes: Processes | None = None
        self._scrubbed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; the next large batch would start them again."""
        with self._lock:
            if self._processes is not None:
                self._processes.close()
                self._processes = None

    def scrub(self, texts: Sequence[str]) -> list[Scrubbed]:
        """Each text scrubbed, in the order given."""
        if len(texts) < _AT_ONCE:
            self._scrubbed += len(texts)
            return self._here.scrub(texts)
        batches = (texts[at : at + _AT_ONCE] for at in range(0, len(texts), _AT_ONCE))
        return list(chain.from_iterable(scrubbed for _, scrubbed in self.batches(batches)))

    def batches(self, batches: Iterable[Sequence[str]]) -> Iterator[tuple[Sequence[str], list[Scrubbed]]]:
        """Each batch of texts with what became of them, in the order given; only a few are taken ahead."""
        rest = iter(batches)
        for batch in rest:
            if self._jobs > 1 and self._scrubbed + len(batch) > _WORTH_IT:
                for texts, changed in self._in_processes().map(_changed, chain([batch], rest)):
                    yield texts, [changed.get(at) or Scrubbed(text, (), ()) for at, text in enumerate(texts)]
                return
            self._scrubbed += len(batch)
            yield batch, self._here.scrub(batch)

    def _in_processes(self) -> Processes:
        with self._lock:
            if self._processes is None:
                self._processes = Processes(self._jobs, _set_up, self._policy, self._key, self._names)
            return self._processes


_scrubber: Scrubber
"""Of a process of the pool."""


def _set_up(policy: ScrubPolicy, key: SecretStr | None, names: tuple[str, ...]) -> None:
    global _scrubber
    _scrubber = Scrubber(policy, key, names)


def _changed(texts: Sequence[str]) -> dict[int, Scrubbed]:
    """What became of the texts that held something, by their place: most texts need not be sent back."""
    return {at: scrubbed for at, scrubbed in enumerate(_scrubber.scrub(texts)) if scrubbed.spans}
