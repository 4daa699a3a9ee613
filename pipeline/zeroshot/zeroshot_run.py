"""A zero-shot run: a model asked about the dev and test comments of a split, and scored as trained models are.

It is a run like any other: models/<run>/ has predictions.parquet, metrics.json and run.json. What decides its bytes are
the answers alone, in whatever order and over however many interrupted runs they came.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.failures import Failure, clear_failures, failure_rows, record_failures
from csmv.pipeline.feature_rows import files_of
from csmv.pipeline.labels import TASKS
from csmv.pipeline.progress import expect
from csmv.pipeline.root import media_folder, media_path
from csmv.pipeline.schemas import FailureReason
from csmv.pipeline.stage import digest
from csmv.pipeline.store import Store, parquet_bytes
from csmv.pipeline.vccsa.data import PARTS, Corpus, load_corpus
from csmv.pipeline.vccsa.inputs import inputs_of
from csmv.pipeline.vccsa.metrics import both_tasks
from csmv.pipeline.vccsa.run_files import ZERO_SHOT, clear, document_bytes, finished_document
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import SCORED, RunResult, predictions_table, versions
from csmv.pipeline.zeroshot.answer_journal import AnswerJournal, key_of
from csmv.pipeline.zeroshot.answer_parser import Answer, NoClass
from csmv.pipeline.zeroshot.asking import Asking, Outcome, Question
from csmv.pipeline.zeroshot.endpoint import Asker, Endpoint, require_leave
from csmv.pipeline.zeroshot.local_model import LocalModel
from csmv.pipeline.zeroshot.prompts import prompt_sha256
from csmv.pipeline.zeroshot.spending import Spending, Usage
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig, zeroshot_run_name


@dataclass(frozen=True)
class ZeroShotResult:
    """What a call came to.

    stopped: why comments are left, in words for a sentence; empty if the run is finished. left: how many. asked: how
    many comments were answered by this call. usage, cost: of all answers of the run so far. metrics, unanswered: of a
    finished run; unanswered is part -> task -> reason -> comments.
    """

    run: str
    model: str
    stopped: str = ""
    left: int = 0
    asked: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    metrics: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    unanswered: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Plan:
    """What is to be asked: the corpus, the places of its comments, and of each video its shard and file's SHA-256."""

    corpus: Corpus
    rows: NDArray[np.int64]
    media: Mapping[str, tuple[int, str]]

    @property
    def fingerprint(self) -> str:
        """Of all the data that decide the run."""
        media = sorted(f"{video} {sha}" for video, (_, sha) in self.media.items())
        return digest(self.corpus.fingerprint, "\n".join(media), str(self.rows.tolist()))

    def videos(self) -> list[str]:
        """The video of each comment."""
        ids: list[str] = self.corpus.video_ids.take(self.rows).values.to_pylist()
        return ids


def zero_shot(
    store: Store, config: ZeroShotConfig, tick: Callable[[int], None] = lambda _count: None
) -> ZeroShotResult:
    """Ask what has no answer yet, and once all has, score the run. A finished run is not asked again.

    Args:
        store: the root, with comments, labels, the split and the videos' files.
        config: the model and how it is asked.
        tick: called with the number of comments just answered.

    Raises:
        CsmvError: the data can't be asked about, the endpoint refuses every request, or leave to send is missing.
    """
    run = zeroshot_run_name(config)
    inputs = zeroshot_inputs(store, config)
    document = finished_document(store, run)
    if document is not None and document.get("inputs") == inputs and config.local is None:
        return _finished(config, document)
    require_leave(config)
    plan = _planned(store, config)
    journal = AnswerJournal(store, config)
    asker: Asker = LocalModel(config) if config.local is not None else Endpoint(config, journal.structured)
    try:
        fingerprint = digest(config.identity, plan.fingerprint, asker.files)
        if document is not None and document.get("result", {}).get("fingerprint") == fingerprint:
            store.write_file(f"models/{run}/run.json", document_bytes(document | {"inputs": inputs}))
            return _finished(config, document)
        questions = _questions(config, plan, asker.files)
        is_there = _files_there(store, questions)
        open_questions = [one for one in questions if journal.get(one.key) is None]
        absent = {one.video for one in open_questions if one.video not in is_there}
        _refuse_absent(config, plan, absent)
        waiting = [one for one in open_questions if one.video not in absent]
        expect(sum(len(one.rows) for one in waiting))
        outcome = Outcome()
        if waiting:
            spending = Spending(config, *_used(journal, questions, config))
            outcome = Asking(store, config, asker, journal, spending, tick).go(waiting)
        described = asker.described()
    finally:
        asker.close()
    usage, _ = _used(journal, questions, config)
    unasked = [one for one in waiting if journal.get(one.key) is None and one.video not in outcome.bad_videos]
    asked = sum(len(one.rows) for one in waiting if journal.get(one.key) is not None)
    if unasked and (outcome.stopped or not config.give_up):
        failed = ", ".join(f"{count} {why}" for why, count in sorted(outcome.unanswered.items()))
        why = outcome.stopped or failed or "they were not reached"
        left = sum(len(one.rows) for one in unasked)
        return ZeroShotResult(run, config.model, why, left, asked, usage, usage.cost(config))
    _record_failures(store, run, questions, absent, outcome)
    answers = _answers(plan, questions, journal, {*absent, *outcome.bad_videos})
    made: dict[str, Any] = {
        "kind": ZERO_SHOT,
        "config": config.published(),
        "data_fingerprint": plan.corpus.fingerprint,
        "split": config.split,
        "classes": {task: list(names) for task, names in TASKS.items()},
        "video_dims": [],
        "prompt": {"version": config.prompt, "sha256": prompt_sha256()},
        "unanswered": _unanswered(plan, answers),
        "usage": asdict(usage) | {"cost": usage.cost(config)},
        "structured": bool(journal.structured),
        **described,
        "inputs": inputs,
        "fingerprint": plan.fingerprint,
        "versions": versions(),
    }
    document = _write(store, config, plan, answers, fingerprint, made)
    return _finished(config, document, asked)


def zeroshot_inputs(store: Store, config: ZeroShotConfig) -> str:
    """A digest of a run's settings and of the files it reads, from the manifest alone: equal means nothing changed."""
    videos = str(sorted(store.states("videos").items()))
    return digest(config.identity, inputs_of(store, _as_scored(config)), videos)


def data_fingerprint(store: Store, config: ZeroShotConfig) -> str:
    """A digest of what is asked about: comments, labels, the split and the videos' files. Reads them."""
    return _planned(store, config).fingerprint


def _as_scored(config: ZeroShotConfig) -> TrainConfig:
    """The settings by which trained models without a video read the same comments."""
    return TrainConfig(model="majority", split=config.split)


def _finished(config: ZeroShotConfig, document: Mapping[str, Any], asked: int = 0) -> ZeroShotResult:
    counts = document["usage"]
    return ZeroShotResult(
        run=zeroshot_run_name(config),
        model=config.model,
        asked=asked,
        usage=Usage(counts["requests"], counts["tokens_in"], counts["tokens_out"]),
        cost=counts["cost"],
        metrics=document["result"]["metrics"],
        unanswered=document["unanswered"],
    )


# ---------------------------------------------------------------- what is asked


def _planned(store: Store, config: ZeroShotConfig) -> _Plan:
    corpus = load_corpus(store, _as_scored(config))
    rows = np.concatenate([_sampled(corpus, config, part) for part in SCORED])
    wanted = set(corpus.video_ids.take(rows).values.to_pylist())
    media = {
        video: (shard, sha or "")
        for shard in store.shards()
        for video, sha in files_of(store, shard).items()
        if video in wanted
    }
    for video in wanted - media.keys():
        media[video] = (store.shard_of(video), "")
    return _Plan(corpus, rows, media)


def _sampled(corpus: Corpus, config: ZeroShotConfig, part: str) -> NDArray[np.int64]:
    """Places of a part's comments, or of as many as are asked for, in the order of ids."""
    rows = corpus.rows(part)
    if config.sample is None or config.sample >= len(rows):
        return rows
    ids = corpus.comment_ids.take(rows).values.to_pylist()
    drawn = [hashlib.sha256(f"{config.seed} {one}".encode()).digest() for one in ids]
    chosen = sorted(range(len(rows)), key=lambda place: drawn[place])[: config.sample]
    sampled: NDArray[np.int64] = rows[np.sort(np.array(chosen))]
    return sampled


def _questions(config: ZeroShotConfig, plan: _Plan, files: str) -> list[Question]:
    """The comments of each video in the order of their ids, some to a question; videos in the order of theirs."""
    by_video: dict[str, list[int]] = {}
    for place, video in enumerate(plan.videos()):
        by_video.setdefault(video, []).append(place)
    ids = plan.corpus.comment_ids.take(plan.rows).values.to_pylist()
    texts = plan.corpus.texts.take(plan.rows).values.to_pylist()
    questions = []
    for video, places in sorted(by_video.items()):
        shard, sha = plan.media[video]
        places.sort(key=lambda place: ids[place])
        for start in range(0, len(places), config.comments_per_request):
            some = tuple(places[start : start + config.comments_per_request])
            key = key_of(config, files, sha, [(ids[place], texts[place]) for place in some])
            questions.append(Question(key, video, shard, some, tuple(texts[place] for place in some)))
    return questions


def _files_there(store: Store, questions: Sequence[Question]) -> set[str]:
    """The videos whose file is in the root."""
    there = {shard: store.files(media_folder(shard)) for shard in {one.shard for one in questions}}
    names = {shard: set(files) for shard, files in there.items()}
    return {one.video for one in questions if media_path(one.shard, one.video) in names[one.shard]}


def _refuse_absent(config: ZeroShotConfig, plan: _Plan, absent: set[str]) -> None:
    lacks = np.array([video in absent for video in plan.videos()])
    part = plan.corpus.part[plan.rows]
    for name in SCORED:
        here = part == PARTS.index(name)
        share = float(lacks[here].mean()) if here.any() else 0.0
        if share > config.most_missing_scored:
            raise CsmvError(
                f"{int(lacks[here].sum())} of {int(here.sum())} {name} comments are on videos whose file is not in the "
                f"root ({share:.1%}, and most_missing_scored allows {config.most_missing_scored:.1%}): run `csmv "
                "download`, or raise most_missing_scored. They would count as wrong."
            )


def _used(journal: AnswerJournal, questions: Sequence[Question], config: ZeroShotConfig) -> tuple[Usage, Usage]:
    """What the answers to these questions have used together, and the largest of them."""
    usages = [answered.usage for one in questions if (answered := journal.get(one.key)) is not None]
    largest = max(usages, key=lambda one: (one.cost(config) or 0, one.tokens_in + one.tokens_out), default=Usage())
    return sum(usages, Usage()), largest


# ---------------------------------------------------------------- what came of it


def _answers(
    plan: _Plan, questions: Sequence[Question], journal: AnswerJournal, without_video: set[str]
) -> list[Answer]:
    """Of each comment what came of it."""
    answers = [Answer.without(NoClass.UNANSWERED)] * len(plan.rows)
    for question in questions:
        answered = journal.get(question.key)
        if answered is not None:
            for place, answer in zip(question.rows, answered.answers, strict=True):
                answers[place] = answer
        elif question.video in without_video:
            for place in question.rows:
                answers[place] = Answer.without(NoClass.NO_VIDEO)
    return answers


def _unanswered(plan: _Plan, answers: Sequence[Answer]) -> dict[str, dict[str, dict[str, int]]]:
    """Part -> task -> reason -> comments without a class."""
    part = plan.corpus.part[plan.rows]
    counts = {}
    for name in SCORED:
        here = [answers[place] for place in np.flatnonzero(part == PARTS.index(name)).tolist()]
        counts[name] = {
            task: dict(sorted(Counter(str(one.reasons[task]) for one in here if task in one.reasons).items()))
            for task in TASKS
        }
    return counts


def _record_failures(store: Store, run: str, questions: Sequence[Question], absent: set[str], outcome: Outcome) -> None:
    """Keep note of the videos without a picture, and forget those that have one now."""
    table = f"zeroshot/{run}"
    shards: dict[int, list[Failure]] = {}
    for video, shard in {one.video: one.shard for one in questions}.items():
        if video in absent:
            shards.setdefault(shard, []).append(Failure(video, FailureReason.MISSING_MEDIA))
        elif (error := outcome.bad_videos.get(video)) is not None:
            shards.setdefault(shard, []).append(Failure(video, FailureReason(error.reason.value), error.detail))
    for shard in sorted({one.shard for one in questions}):
        failed = shards.get(shard, [])
        record_failures(store, table, shard, failed)
        if known := {row["key"] for row in failure_rows(store, table, shard)} - {one.key for one in failed}:
            clear_failures(store, table, shard, known)


def _write(
    store: Store,
    config: ZeroShotConfig,
    plan: _Plan,
    answers: Sequence[Answer],
    fingerprint: str,
    made: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the run; gives its run.json, which is written last."""
    run = zeroshot_run_name(config)
    probabilities = {task: _probabilities(task, answers) for task in TASKS}
    part = plan.corpus.part[plan.rows]
    metrics, counts = {}, {}
    for name in SCORED:
        here = part == PARTS.index(name)
        metrics[name] = both_tasks(
            plan.corpus.scored_labels(plan.rows[here]), {task: values[here] for task, values in probabilities.items()}
        )
        without = {f"{task}_{why}": number for task in TASKS for why, number in made["unanswered"][name][task].items()}
        counts[name] = plan.corpus.counts[name] | {"comments": int(here.sum())} | without
    result = RunResult(
        run=run,
        model=config.model,
        metrics=metrics,
        counts=counts,
        history=[],
        seconds=0.0,  # the answers decide the bytes, and how long they took is no part of them
        parameters=0,
        predictions=f"models/{run}/predictions.parquet",
        fingerprint=fingerprint,
    )
    document = {**made, "result": asdict(result)}
    clear(store, f"models/{run}")
    store.write_file(result.predictions, parquet_bytes(predictions_table(plan.corpus, plan.rows, probabilities)))
    store.write_file(f"models/{run}/metrics.json", document_bytes({"model": config.model, "metrics": metrics}))
    store.write_file(f"models/{run}/run.json", document_bytes(document))
    return document


def _probabilities(task: str, answers: Sequence[Answer]) -> NDArray[np.float64]:
    """(N, K + 1): 1 for the class that was named, or in the last column where none was. Models state no probability."""
    names = TASKS[task]
    values = np.zeros((len(answers), len(names) + 1))
    columns = [names.index(one.classes[task]) if task in one.classes else len(names) for one in answers]
    values[np.arange(len(answers)), columns] = 1
    return values
