"""The explorer's questions as SQL over tables in memory.

Values are parameters; names of tables and columns hold nothing but words of this module and numbers counted here.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import TASKS
from csmv.pipeline.release.explorer.browsed_runs import SCORED_PARTS, RunAnswers, answers_of, browsed_runs
from csmv.pipeline.release.explorer.browsed_tables import NOTHING, BrowsedTables, facets, read_tables
from csmv.pipeline.release.explorer.comment_filter import PAGE_SIZE, CommentFilter
from csmv.pipeline.schemas import SPLIT_NAMES
from csmv.pipeline.store import Store

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_OF_A_VIDEO = 500
"""Comments that the page of one video shows."""
THREADS = 2
_MOST_MATCHED = 16
_READ_AHEAD = 2

Row = dict[str, Any]
Rows = NDArray[np.int32]


class ExplorerDatabase:
    """The tables of a root and the answers of its runs, in DuckDB; may be asked by several threads at once.

    Args:
        store: the root. It is read when this is made, and the answers of a run when they are first asked for; what is
            written later is not seen.

    Attributes:
        about: what one can choose from.

    Raises:
        CsmvError: a table is damaged, lost or only begun.
    """

    def __init__(self, store: Store) -> None:
        import duckdb

        self._store = store
        self.tables = read_tables(store)
        self.runs = {run.name: run for run in browsed_runs(store)}
        self.splits = list(self.tables.parts)
        self._video_of = self.tables.comments["video"].to_numpy()
        self._loaded: dict[str, int] = {}
        self._matched: OrderedDict[CommentFilter, Rows] = OrderedDict()
        self._loading = threading.Lock()
        self._is_open = True
        self._lock = threading.Lock()
        # No file of this machine and no address is opened from here on, whatever a query says.
        self._connection = duckdb.connect(
            ":memory:",
            config={"threads": THREADS, "enable_external_access": False, "autoload_known_extensions": False},
        )
        self._fill(self.tables)
        self._connection.execute("SET lock_configuration = true")
        runs = [run.as_dict() for run in self.runs.values()]
        self.about: Row = facets(self.tables) | {"runs": runs, "page_size": PAGE_SIZE}
        # From here on the texts are wanted in one place only.
        self.tables = replace(self.tables, comments=self.tables.comments.select(["comment_id", "video"]))

    def read_ahead(self) -> None:
        """Read the answers of the runs that are best on dev, so that whoever asks for them need not wait."""
        for run in sorted(self.runs.values(), key=lambda run: (-run.dev_score, run.name))[:_READ_AHEAD]:
            with suppress(CsmvError):  # whoever asks is told
                self._answers(run.name)

    def close(self) -> None:
        """Give the memory back; answers that are being read come to their end first."""
        with self._loading:
            self._is_open = False
            self._connection.close()

    def comments(self, asked: CommentFilter) -> Row:
        """A page of comments: `total`, and `rows` with labels, the part in the chosen split, and both runs' answers."""
        matching = self._matching(asked)
        return {"total": len(matching), "rows": self._comments(_page(matching, asked), asked)}

    def confusion(self, asked: CommentFilter) -> list[list[int]]:
        """Of the comments that the run answered and that have a label: label (rows) by predicted class (columns)."""
        names = TASKS[asked.task]
        conditions, values = self._of_comments(asked)
        conditions.append(f"c.{asked.task} <> {NOTHING}")
        with self._cursor() as cursor:
            counts = cursor.execute(
                f"SELECT c.{asked.task}, a.{asked.task}, count(*) FROM comments c {self._joined('JOIN', a=asked.run)} "
                f"WHERE {' AND '.join(conditions)} GROUP BY ALL",
                values,
            ).fetchall()
        cells = [[0] * len(names) for _ in names]
        for label, predicted, count in counts:
            cells[label][predicted] = count
        return cells

    def videos(self, asked: CommentFilter) -> Row:
        """A page of videos that have a comment which the filter lets through, or all where nothing is filtered by."""
        with self._cursor() as cursor:
            if asked.is_of_comments:
                matching = np.unique(self._video_of[self._matching(asked)])
            else:
                conditions, values = _of_videos(asked, "v.v")
                where = " AND ".join(conditions) or "true"
                matching = _numbers(cursor.execute(f"SELECT v.v AS n FROM videos v WHERE {where}", values))
            page = cursor.execute(
                f"SELECT {_OF_A_VIDEO} FROM videos v WHERE v.v IN (SELECT unnest(?::INTEGER[])) ORDER BY v.v",
                [_page(matching, asked).tolist()],
            )
            rows = _rows(page)
        return {"total": len(matching), "rows": rows}

    def video(self, asked: CommentFilter) -> Row | None:
        """A video with its failures and its first comments; None if there is none of that id."""
        with self._cursor() as cursor:
            videos = _rows(
                cursor.execute(f"SELECT v.v AS row, {_OF_A_VIDEO} FROM videos v WHERE v.video_id = ?", [asked.video])
            )
            if not videos:
                return None
            [video] = videos
            row = video.pop("row")
            failures = _rows(
                cursor.execute("SELECT stage, reason, detail, attempts FROM failures WHERE video = ?", [row])
            )
        first = np.searchsorted(self._video_of, row)
        shown = np.arange(first, first + min(video["comments"], MOST_OF_A_VIDEO))
        return {"video": video, "failures": failures, "comments": self._comments(shown, asked)}

    def failures(self, asked: CommentFilter) -> Row:
        """A page of failures, of one reason where that is asked for."""
        where, values = ("reason = ?", [asked.failure]) if asked.failure else ("true", [])
        with self._cursor() as cursor:
            total = cursor.execute(f"SELECT count(*) FROM failures WHERE {where}", values).fetchone()
            page = cursor.execute(
                "SELECT stage, key, reason, detail, attempts, video IS NOT NULL AS is_video FROM failures "
                f"WHERE {where} ORDER BY stage, reason, key LIMIT {PAGE_SIZE} OFFSET ?",
                [*values, asked.page * PAGE_SIZE],
            )
            rows = _rows(page)
        return {"total": total[0] if total else 0, "rows": rows}

    # ------------------------------------------------------------------ queries

    def _matching(self, asked: CommentFilter) -> Rows:
        """The rows of the comments that a filter lets through, in order; those of the last few filters are kept."""
        key = replace(asked, page=0)
        with self._lock:
            if key in self._matched:
                self._matched.move_to_end(key)
                return self._matched[key]
        conditions, values = self._of_comments(asked)
        # Answers are joined where the filter speaks of them, and not to be shown.
        is_of_run = asked.answered or asked.predicted or asked.outcome
        is_of_two = asked.outcome in ("gained", "lost")
        joined = self._joined("JOIN", a=asked.run if is_of_run else "", b=asked.against if is_of_two else "")
        where = " AND ".join(conditions) or "true"
        with self._cursor() as cursor:
            matching = _numbers(cursor.execute(f"SELECT c.c AS n FROM comments c {joined} WHERE {where}", values))
        with self._lock:
            self._matched[key] = matching
            while len(self._matched) > _MOST_MATCHED:
                self._matched.popitem(last=False)
        return matching

    def _comments(self, rows: Rows, asked: CommentFilter) -> list[Row]:
        """Some comments with all that is shown of each."""
        columns = [
            "c.comment_id AS id, v.video_id AS video, c.text, c.opinion, c.emotion, c.like_count AS likes",
            "c.created_on AS day",
            f"c.part_{self.splits.index(asked.split)} AS part" if asked.split else f"{NOTHING} AS part",
        ]
        for letter, run in (("a", asked.run), ("b", asked.against)):
            if run:
                answer = ", ".join(f"{letter}.{column}" for task in TASKS for column in (task, f"{task}_sure"))
                columns.append(f"CASE WHEN {letter}.c IS NULL THEN NULL ELSE [{answer}, {letter}.part] END AS {letter}")
        joined = self._joined("LEFT JOIN", a=asked.run, b=asked.against)
        with self._cursor() as cursor:
            return _rows(
                cursor.execute(
                    f"SELECT {', '.join(columns)} FROM comments c JOIN videos v ON v.v = c.video {joined} "
                    "WHERE c.c IN (SELECT unnest(?::INTEGER[])) ORDER BY c.c",
                    [rows.tolist()],
                )
            )

    def _joined(self, how: str, **runs: str) -> str:
        """The joins of comments `c` with the answers of runs, under the letters that are given."""
        return " ".join(
            f"{how} answers_{self._answers(run)} {letter} ON {letter}.c = c.c" for letter, run in runs.items() if run
        )

    def _of_comments(self, asked: CommentFilter) -> tuple[list[str], list[Any]]:
        """Conditions on the comment `c` and the answers `a` and `b`, and their values."""
        conditions, values = _of_videos(asked, "c.video")
        for task, names in TASKS.items():
            if label := getattr(asked, task):
                conditions.append(f"c.{task} = ?")
                values.append(NOTHING if label == "none" else names.index(label))
        if asked.part:
            conditions.append(f"c.part_{self.splits.index(asked.split)} = ?")
            values.append(SPLIT_NAMES.index(asked.part))
        if asked.words:
            conditions.append("contains(c.folded, lower(?))")
            values.append(asked.words)
        if asked.answered:
            conditions.append("a.part = ?")
            values.append(SCORED_PARTS[asked.answered])
        if asked.predicted:
            conditions.append(f"a.{asked.task} = ?")
            values.append(TASKS[asked.task].index(asked.predicted))
        if asked.outcome:
            conditions.append(_outcome(asked.outcome, asked.task))
        return conditions, values

    @contextmanager
    def _cursor(self) -> "Iterator[DuckDBPyConnection]":
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    # ------------------------------------------------------------------ tables

    def _fill(self, tables: BrowsedTables) -> None:
        numbered = tables.comments.add_column(0, "c", pa.array(np.arange(tables.comments.num_rows, dtype=np.int32)))
        for number, parts in enumerate(tables.parts.values()):
            numbered = numbered.append_column(f"part_{number}", pa.array(parts))
        rows = pa.array(np.arange(tables.videos.num_rows, dtype=np.int32))
        self._take_in("comments", numbered, "*, lower(text) AS folded")
        self._take_in("videos", tables.videos.add_column(0, "v", rows))
        self._take_in("failures", tables.failures)
        with self._cursor() as cursor:
            cursor.execute("CREATE TABLE tags AS SELECT v, unnest(hashtags) AS hashtag FROM videos")
            cursor.execute(
                "CREATE TABLE counts AS SELECT video AS v, count(*)::INTEGER AS n FROM comments GROUP BY video"
            )

    def _answers(self, run: str) -> int:
        """The number of the table with a run's answers, which is made when it is first asked for."""
        with self._loading:
            if not self._is_open:
                raise CsmvError("The explorer has ended: start it again with `csmv explore`.")
            if run not in self._loaded:
                number = len(self._loaded)
                self._take_in(f"answers_{number}", _as_table(answers_of(self._store, run, self.tables)))
                self._loaded[run] = number
            return self._loaded[run]

    def _take_in(self, name: str, table: pa.Table, columns: str = "*") -> None:
        with self._cursor() as cursor:
            cursor.register("incoming", table)
            cursor.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM incoming")
            cursor.unregister("incoming")


_OF_A_VIDEO = (
    "v.video_id AS id, v.hashtags, v.description, v.year, v.duration_s AS seconds, v.language, "
    "v.media_status AS media, v.like_count AS likes, v.play_count AS plays, "
    "coalesce((SELECT n FROM counts WHERE counts.v = v.v), 0) AS comments, "
    "(SELECT list(DISTINCT reason ORDER BY reason) FROM failures f WHERE f.video = v.v) AS reasons"
)


def _of_videos(asked: CommentFilter, row: str) -> tuple[list[str], list[Any]]:
    """Conditions on the video whose row is in the column `row`, and their values."""
    conditions, values = [], []
    for value, condition in (
        (asked.hashtag, "(SELECT v FROM tags WHERE hashtag = ?)"),
        (asked.failure, "(SELECT video FROM failures WHERE reason = ?)"),
        (asked.video, "(SELECT v FROM videos WHERE video_id = ?)"),
    ):
        if value:
            conditions.append(f"{row} IN {condition}")
            values.append(value)
    return conditions, values


def _outcome(outcome: str, task: str) -> str:
    right = f"(c.{task} <> {NOTHING} AND {{}}.{task} = c.{task})"
    wrong = f"(c.{task} <> {NOTHING} AND {{}}.{task} <> c.{task})"
    of_a, of_b = {"right": (right, ""), "wrong": (wrong, ""), "gained": (right, wrong), "lost": (wrong, right)}[outcome]
    return of_a.format("a") + (f" AND {of_b.format('b')}" if of_b else "")


def _as_table(answers: RunAnswers) -> pa.Table:
    columns = {"c": answers.comment, "part": answers.part}
    for task in TASKS:
        columns |= {task: answers.predicted[task], f"{task}_sure": answers.sure[task]}
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def _page(rows: Rows, asked: CommentFilter) -> Rows:
    return rows[asked.page * PAGE_SIZE : (asked.page + 1) * PAGE_SIZE]


def _numbers(cursor: "DuckDBPyConnection") -> Rows:
    """The column `n` of an answer, in order."""
    return np.sort(np.asarray(cursor.fetchnumpy()["n"], np.int32))


def _rows(cursor: "DuckDBPyConnection") -> list[Row]:
    names = [one[0] for one in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
