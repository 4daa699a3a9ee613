"""An expert's labels in a CSV: gold items to export, and decisions where annotators are tied."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.labels import TASKS

_COLUMNS = ("comment_id", *TASKS)


def read_expert_labels(path: Path) -> dict[str, Mapping[str, str | None]]:
    """comment_id -> task -> class, None where a field is empty; rows without any label are left out.

    Raises:
        CsmvError: the file is not there, is no such CSV, or a label is none of its task's classes. An expert's file is
            taken whole or not at all, because a line left out would be a decision that nobody made.
    """
    if not path.is_file():
        raise CsmvError(f"The file '{path}' is not there.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CsmvError(f"{path}: expected a CSV in UTF-8, found something else.") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise CsmvError(f"{path}: expected a CSV with the columns {', '.join(_COLUMNS)}, found no {missing[0]}.")
    labels: dict[str, Mapping[str, str | None]] = {}
    for number, row in enumerate(reader, 2):
        comment = (row["comment_id"] or "").strip()
        chosen = {task: (row[task] or "").strip() or None for task in TASKS}
        for task, classes in TASKS.items():
            if chosen[task] is not None and chosen[task] not in classes:
                raise CsmvError(f"{path}, line {number}: the {task} is none of {', '.join(classes)}: correct it.")
        if not comment or comment in labels:
            raise CsmvError(f"{path}, line {number}: expected a comment_id of its own, found none or a repeated one.")
        if any(chosen.values()):
            labels[comment] = chosen
    return labels
