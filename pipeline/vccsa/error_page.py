"""The page of comments that another run, such as one of text alone, got wrong and this one right, and the other way.

One self-contained HTML file without a script. Comments stand in it as the tables have them: scrubbed; what was taken
out of the tables since the runs answered is left out.
"""

from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from csmv.pipeline.labels import NO_LABEL
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.corpus_columns import Strings
from csmv.pipeline.vccsa.evaluation import Predictions, read_predictions
from csmv.pipeline.vccsa.experiments.experiment import refuse_other_comments
from csmv.pipeline.vccsa.metrics import TASKS

MOST = 200
"""Comments of a list that are shown; all are counted."""


@dataclass(frozen=True)
class Turned:
    """A comment that one run has right and the other wrong: class names, and each answer's probability."""

    text: str
    video_id: str
    label: str
    before: str
    before_sure: float
    after: str
    after_sure: float


@dataclass(frozen=True)
class TaskErrors:
    """Of one task: how many comments have the label, how each run did on them, and those that turned.

    by_class: label -> (turned right, turned wrong). The lists begin where the two runs differ most in the label's
    probability.
    """

    task: str
    comments: int
    both_right: int
    both_wrong: int
    turned_right: int
    turned_wrong: int
    by_class: dict[str, tuple[int, int]]
    gained: list[Turned]
    lost: list[Turned]


def errors(store: Store, run: str, against: str, part: str = "test", most: int = MOST) -> list[TaskErrors]:
    """What turned from `against` to `run`, task by task.

    Raises CsmvError if one of the runs is not there, or they did not answer the same comments with the same labels.
    """
    before, after = (read_predictions(store, name, part) for name in (against, run))
    refuse_other_comments(before, after, part)
    texts = _texts(store, before)
    return [_of_task(before, after, task, texts, most) for task in TASKS]


def write_errors(store: Store, run: str, against: str, part: str, tasks: list[TaskErrors], most: int = MOST) -> str:
    """Write what `errors` says as a page into the run's evaluation folder; gives its path in the root."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(_PAGE).render(run=run, against=against, part=part, tasks=tasks, most=most)
    path = f"models/{run}/evaluation/{part}-errors-{against}.html"
    store.write_file(path, page.encode())
    return path


def _texts(store: Store, answers: Predictions) -> list[str | None]:
    """The comments' texts; None of one that the root no longer has."""
    comments = store.read_all("comments", ["comment_id", "text"])
    ids = Strings.of(answers.comment_ids).values
    at = pc.index_in(ids, value_set=Strings.large(comments["comment_id"]).values)
    texts: list[str | None] = comments["text"].take(at).to_pylist()
    return texts


def _of_task(before: Predictions, after: Predictions, task: str, texts: list[str | None], most: int) -> TaskErrors:
    label = after.labels[task]
    labelled = label != NO_LABEL
    was, now = (run.probabilities[task].argmax(1) == label for run in (before, after))
    gained, lost = labelled & ~was & now, labelled & was & ~now
    counts = {
        name: (int(gained[label == number].sum()), int(lost[label == number].sum()))
        for number, name in enumerate(TASKS[task])
    }
    return TaskErrors(
        task=task,
        comments=int(labelled.sum()),
        both_right=int((labelled & was & now).sum()),
        both_wrong=int((labelled & ~was & ~now).sum()),
        turned_right=int(gained.sum()),
        turned_wrong=int(lost.sum()),
        by_class=counts,
        gained=_turned(before, after, task, texts, gained, most),
        lost=_turned(before, after, task, texts, lost, most),
    )


def _turned(
    before: Predictions,
    after: Predictions,
    task: str,
    texts: list[str | None],
    chosen: NDArray[np.bool_],
    most: int,
) -> list[Turned]:
    rows = np.flatnonzero(chosen)
    was, now, label = before.probabilities[task], after.probabilities[task], after.labels[task]
    moved = np.abs(now[rows, label[rows]] - was[rows, label[rows]])
    rows = rows[np.argsort(-moved, kind="stable")]
    names = (*TASKS[task], "no answer")
    turned = (
        Turned(
            text=text,
            video_id=str(after.videos[row]),
            label=names[label[row]],
            before=names[was[row].argmax()],
            before_sure=float(was[row].max()),
            after=names[now[row].argmax()],
            after_sure=float(now[row].max()),
        )
        for row in rows
        if (text := texts[row]) is not None
    )
    return list(islice(turned, most))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ run }} against {{ against }}</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { border-bottom: 1px solid #bbb; padding: .25rem .5rem; text-align: left; vertical-align: top; }
td.number { text-align: right; } td.text { overflow-wrap: anywhere; } caption { text-align: left; }
table.counts { width: auto; }
</style></head><body>
<h1>What {{ run }} turned, against {{ against }}</h1>
<p>Comments of the part {{ part }} that one of the two runs has right and the other wrong, as the tables have them:
scrubbed. Each list begins where the two runs differ most about the label, and shows at most {{ most }}.</p>
{% for one in tasks %}
<h2>{{ one.task }}</h2>
<table class="counts"><caption>{{ one.comments }} comments with this label: {{ one.both_right }} right in both runs,
{{ one.both_wrong }} wrong in both, {{ one.turned_right }} turned right, {{ one.turned_wrong }} turned wrong.</caption>
<tr><th>label</th><th>turned right</th><th>turned wrong</th></tr>
{% for name, (right, wrong) in one.by_class.items() %}
<tr><td>{{ name }}</td><td class="number">{{ right }}</td><td class="number">{{ wrong }}</td></tr>
{% endfor %}
</table>
{% for title, turned, count in (
    ("Turned right", one.gained, one.turned_right), ("Turned wrong", one.lost, one.turned_wrong)) %}
<h3>{{ title }}: {{ turned | length }} of {{ count }}</h3>
<table><tr><th>comment</th><th>label</th><th>{{ against }}</th><th>{{ run }}</th><th>video</th></tr>
{% for comment in turned %}
<tr><td class="text">{{ comment.text }}</td><td>{{ comment.label }}</td>
<td>{{ comment.before }} ({{ "%.0f" | format(100 * comment.before_sure) }} %)</td>
<td>{{ comment.after }} ({{ "%.0f" | format(100 * comment.after_sure) }} %)</td><td>{{ comment.video_id }}</td></tr>
{% endfor %}
</table>
{% endfor %}
{% endfor %}
</body></html>
"""
