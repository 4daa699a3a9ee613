"""Going through the questions of a run: pictures decoded in processes of their own, several questions at once.

What comes is kept at once in the journal. The order in which answers come decides nothing.
"""

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from csmv.extractors.extractor_errors import MediaError
from csmv.pipeline import interrupt
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.root import media_path
from csmv.pipeline.store import Store
from csmv.pipeline.zeroshot.answer_journal import Answered, AnswerJournal
from csmv.pipeline.zeroshot.answer_parser import Answer, NoClass, parsed
from csmv.pipeline.zeroshot.endpoint import Asker, NoAnswerError, RejectedError
from csmv.pipeline.zeroshot.prompts import prompt_text
from csmv.pipeline.zeroshot.spending import Spending, Usage
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig

_DECODERS = 2
_VIDEOS_A_DECODER = 8
"""Videos for which it pays to start another process."""
_MOST_IN_A_ROW = 3
"""Questions without an answer, after one another and for each that is asked at once, after which a run ends."""
_MOST_REJECTED = 10
"""Questions that are rejected before any has been answered, after which a run ends: it is not they that are wrong."""


@dataclass(frozen=True)
class Question:
    """Comments on one video that are asked about together: their places in the corpus and texts, and the key."""

    key: str
    video: str
    shard: int
    rows: tuple[int, ...]
    texts: tuple[str, ...]


@dataclass
class Outcome:
    """What came of going through questions.

    bad_videos: video -> why it gives no picture; stopped: why the run ended before its end, in words for a sentence;
    unanswered: why questions got no answer, and how many.
    """

    bad_videos: dict[str, MediaError] = field(default_factory=dict)
    stopped: str = ""
    unanswered: Counter[str] = field(default_factory=Counter)


class Asking:
    """One pass over questions.

    Args:
        store: the root, which has the videos' files.
        config: how the model is asked.
        asker: the model.
        journal: where answers are kept.
        spending: what is used, and the limits.
        tick: called with the number of comments just answered.
    """

    def __init__(
        self,
        store: Store,
        config: ZeroShotConfig,
        asker: Asker,
        journal: AnswerJournal,
        spending: Spending,
        tick: Callable[[int], None],
    ) -> None:
        self._store, self._config, self._asker = store, config, asker
        self._journal, self._spending, self._tick = journal, spending, tick
        self._at_once = config.concurrency if config.local is None else 1
        self._free = threading.Semaphore(self._at_once)
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._failed_in_a_row = 0
        self._answered = journal.answered
        self._rejected: list[Question] = []
        self._outcome = Outcome()

    def go(self, questions: Sequence[Question]) -> Outcome:
        """Ask all questions; each keeps its place, so those that got no answer are simply not in the journal.

        Raises:
            CsmvError: no question can be asked, such as for a key that is refused.
        """
        by_video: dict[str, list[Question]] = {}
        for question in questions:
            by_video.setdefault(question.video, []).append(question)
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="csmv-zeroshot") as threads:
            futures: list[Future[None]] = []
            try:
                with closing(self._pictures(by_video)) as shown:
                    for video, pictures in shown:
                        for question in by_video[video]:
                            if not self._may_begin():
                                break
                            futures.append(threads.submit(self._ask, question, pictures))
                            if not self._asker.is_ready:
                                futures[-1].result()
                        if self._has_ended():
                            break
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
        if self._error is not None:
            raise self._error
        self._settle_rejected()
        return self._outcome

    def _may_begin(self) -> bool:
        """Take a place for a question, waiting for one; False where the run is to end."""
        self._free.acquire()
        if not self._has_ended():
            if self._spending.begin():
                return True
            self._stop("its limit of cost or tokens is reached")
        self._free.release()
        return False

    def _has_ended(self) -> bool:
        if interrupt.is_asked():
            self._stop(interrupt.SENTENCE)
        return bool(self._error is not None or self._outcome.stopped)

    def _stop(self, why: str) -> None:
        self._outcome.stopped = self._outcome.stopped or why

    def _pictures(self, by_video: dict[str, list[Question]]) -> Generator[tuple[str, list[bytes]]]:
        """Each video with its pictures, as they are decoded; those that give none are noted."""
        from csmv.extractors.pool import DecodePool  # loads a decoder
        from csmv.extractors.stills import StillsRule

        config, videos = self._config, list(by_video)
        names = [media_path(by_video[video][0].shard, video) for video in videos]
        rule = StillsRule(config.frames, config.frame_side, config.jpeg_quality)
        decoders = min(_DECODERS, -(-len(videos) // _VIDEOS_A_DECODER))
        with self._store.local_files(names) as files, DecodePool((), decoders, stills=rule) as pool:
            paths: dict[int, Path] = {}

            def jobs() -> Iterator[tuple[int, Path]]:
                for number, path in enumerate(files.paths):
                    paths[number] = path
                    yield number, path

            for number, pictures in pool.stills(jobs()):
                files.give_back(paths.pop(number))
                if isinstance(pictures, MediaError):
                    self._outcome.bad_videos[videos[number]] = pictures
                    continue
                yield videos[number], pictures

    def _ask(self, question: Question, pictures: list[bytes]) -> None:
        usage = None
        try:
            if self._error is not None:
                return
            count = len(question.texts)
            reply = self._asker.ask(prompt_text(question.texts, len(pictures)), pictures, count)
            usage = reply.usage
            answers = tuple(parsed(reply.text, count, is_refusal=reply.is_refusal))
            self._journal.add(question.key, Answered(answers, usage, reply.structured))
            with self._lock:
                self._failed_in_a_row = 0
                self._answered += 1
            self._tick(count)
        except NoAnswerError as error:
            self._note_unanswered(str(error))
        except RejectedError as error:
            self._note_rejected(question, str(error))
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
        finally:
            try:
                self._spending.end(usage)
            except CsmvError as error:
                with self._lock:
                    self._error = self._error or error
            self._free.release()

    def _note_unanswered(self, why: str) -> None:
        with self._lock:
            self._outcome.unanswered[why] += 1
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= _MOST_IN_A_ROW * self._at_once:
                self._stop(f"{self._failed_in_a_row} requests after one another got no answer ({why})")

    def _note_rejected(self, question: Question, status: str) -> None:
        with self._lock:
            self._rejected.append(question)
            if not self._answered and len(self._rejected) >= _MOST_REJECTED:
                self._error = self._error or CsmvError(
                    f"The endpoint {self._config.place} rejects every request so far ({status}): check that the model "
                    "takes several pictures, --frames, --frame-side, and settings such as tokens_field and temperature."
                )

    def _settle_rejected(self) -> None:
        """Keep what was rejected for good, if others were answered by the same model: then it is the question's."""
        if not self._answered:
            if self._rejected:
                self._stop(f"{len(self._rejected)} requests were rejected and none was answered")
            return
        for question in self._rejected:
            answers = (Answer.without(NoClass.REJECTED),) * len(question.texts)
            self._journal.add(question.key, Answered(answers, Usage(requests=1)))
            self._tick(len(question.texts))
