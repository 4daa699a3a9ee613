"""A scrubber on all cores: batches of texts are divided among processes, each with a scrubber of its own."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Self, TypeVar

from pydantic import SecretStr

from csmv.pipeline.processes import Processes, default_jobs, may_start_processes
from csmv.pipeline.scrub.model_files import jobs_that_fit
from csmv.pipeline.scrub.policy import ScrubPolicy
from csmv.pipeline.scrub.scrubber import Scrubbed, Scrubber
from csmv.pipeline.scrub.word_lists import WordLists

Item = TypeVar("Item")
Result = TypeVar("Result")

_AT_ONCE = 250
"""Texts that are sent to a process together; fewer are not worth sending."""
_LONG = 500
"""Characters of a text that count as a text: what is scrubbed of few long ones takes as long as of many short ones."""
_WORTH_IT = 20_000
"""Texts after which more of them are scrubbed by processes: each takes a second or two to load what it needs.

With a language model, which takes as long for a few hundred texts, the second batch is.
"""


class ScrubPool:
    """Scrubs as `Scrubber` does, on `jobs` processes once there is enough to do; a context manager.

    The same texts become the same whatever `jobs` is. Few texts are scrubbed in this process.

    Args:
        policy: what is removed, and how.
        key: for keyed hashes.
        names: handles and display names known for this dataset.
        words: those that are allowed and denied.
        jobs: processes; left out, one for each core, or what CSMV_JOBS says.

    Raises:
        CsmvError: as `Scrubber` does; and if CSMV_JOBS is no number.
    """

    def __init__(
        self,
        policy: ScrubPolicy,
        key: SecretStr | None = None,
        names: Iterable[str] = (),
        jobs: int | None = None,
        words: WordLists = WordLists(),  # noqa: B008  (immutable)
    ) -> None:
        self._names = tuple(names)
        self.policy, self._key, self._words = policy, key, words
        self._here = Scrubber(policy, key, self._names, words)
        jobs = min(jobs_that_fit(policy), default_jobs() if jobs is None else jobs)
        self._jobs = jobs if may_start_processes() else 1
        self._worth_it = _AT_ONCE if policy.language_models else _WORTH_IT
        self._lock = threading.Lock()
        self._processes: Processes | None = None
        self._scrubbed = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it was given. Personal."""
        return self._names

    def by(self, policy: ScrubPolicy) -> "ScrubPool":
        """A pool of as many processes, with the same key, names and words, that scrubs by another policy."""
        return ScrubPool(policy, self._key, self._names, self._jobs, self._words)

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

    def scrub(self, texts: Sequence[str], languages: Sequence[str | None] | None = None) -> list[Scrubbed]:
        """Each text scrubbed, in the order given; by the rules for its language, where that is known."""
        language_of_each = [None] * len(texts) if languages is None else languages
        whole = list(zip(texts, language_of_each, strict=True))
        batches = (whole[at : at + _AT_ONCE] for at in range(0, len(whole), _AT_ONCE))
        scrubbed: list[Scrubbed] = []
        for batch, changed in self.map(_changed, batches, _length):
            scrubbed += [changed.get(at) or Scrubbed(text, (), ()) for at, (text, _) in enumerate(batch)]
        return scrubbed

    def map(
        self,
        work: Callable[[Scrubber, Sequence[Item]], Result],
        batches: Iterable[Sequence[Item]],
        size: Callable[[Item], int] = lambda _item: 0,
    ) -> Iterator[tuple[Sequence[Item], Result]]:
        """Each batch of texts with what `work`, a function of a module, made of it with a scrubber; in their order.

        `size` is how long the text of an item is, where some may be long. Only a few batches are taken ahead. An
        exception of a batch is raised after the results of those before it.
        """
        rest = iter(batches)
        for batch in rest:
            texts = len(batch) + sum(map(size, batch)) // _LONG
            if self._jobs > 1 and texts >= _AT_ONCE and self._scrubbed >= self._worth_it:
                yield from self._in_processes().map(partial(_worked, work), chain([batch], rest))
                return
            self._scrubbed += texts
            yield batch, work(self._here, batch)

    def _in_processes(self) -> Processes:
        with self._lock:
            if self._processes is None:
                self._processes = Processes(self._jobs, _set_up, self.policy, self._key, self._names, self._words)
            return self._processes


_scrubber: Scrubber
"""Of a process of the pool."""


def _set_up(policy: ScrubPolicy, key: SecretStr | None, names: tuple[str, ...], words: WordLists) -> None:
    global _scrubber
    _scrubber = Scrubber(policy, key, names, words)


def _worked(work: Callable[[Scrubber, Sequence[Item]], Result], batch: Sequence[Item]) -> Result:
    return work(_scrubber, batch)


def _length(item: tuple[str, str | None]) -> int:
    return len(item[0])


def _changed(scrubber: Scrubber, texts: Sequence[tuple[str, str | None]]) -> dict[int, Scrubbed]:
    """What became of the texts that held something, by their place: most texts need not be sent back."""
    done = scrubber.scrub([text for text, _ in texts], [language for _, language in texts])
    return {at: scrubbed for at, scrubbed in enumerate(done) if scrubbed.spans}
