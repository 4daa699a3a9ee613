"""What could not be done, and why: `failures/<stage>`, tables like any other, that a stage adds to and takes from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from csmv.pipeline.schemas import FAILURES, FailureReason
from csmv.pipeline.store import Store


@dataclass(frozen=True)
class Failure:
    """One thing that could not be done. `key` and `detail` must hold no personal data.

    `detail` is a sentence; left empty, it is the reason's own. Nothing reads anything out of it again.
    """

    key: str
    reason: FailureReason
    detail: str = ""


def record_failures(
    store: Store, stage: str, shard: int, failures: Iterable[Failure], at: datetime | None = None
) -> None:
    """Add to `failures/<stage>`: a key that failed before counts one more attempt and takes the new reason."""
    new = {failure.key: failure for failure in failures}
    if not new:
        return
    now = (at or datetime.now(UTC)).replace(microsecond=0)
    rows: dict[str, Mapping[str, Any]] = {row["key"]: row for row in failure_rows(store, stage, shard)}
    for key, failure in new.items():
        attempts = int(rows[key]["attempts"]) + 1 if key in rows else 1
        reason = FailureReason(failure.reason)
        rows[key] = {
            "key": key,
            "reason": str(reason),
            "class": str(reason.kind),
            "detail": failure.detail or reason.sentence,
            "attempts": attempts,
            "at": now,
        }
    _write(store, stage, shard, list(rows.values()))


def clear_failures(store: Store, stage: str, shard: int, keys: Iterable[str]) -> None:
    """Forget the failures of `keys`: they have been done since. A shard that was lost is there again, and empty."""
    done = set(keys)
    rows = failure_rows(store, stage, shard)
    left = [row for row in rows if row["key"] not in done]
    if len(left) < len(rows) or store.is_lost(f"failures/{stage}", shard):
        _write(store, stage, shard, left)


def failures_of(store: Store) -> dict[str, pa.Table]:
    """Every stage's failures, all shards together; a stage without any is left out."""
    stages = sorted({name.rsplit("/", 1)[0] for name in store.files("failures") if name.endswith(".parquet")})
    by_stage = {stage.removeprefix("failures/"): store.read_all(stage) for stage in stages}
    return {stage: rows for stage, rows in by_stage.items() if rows.num_rows}


def failure_rows(store: Store, stage: str, shard: int) -> Sequence[Mapping[str, Any]]:
    """What a stage has recorded of a shard, for that stage.

    Of a shard that was lost, or whose first writer was killed before it was there, that is nothing: the stage tries
    again what it failed at, and so makes the shard anew.
    """
    table = store.read(f"failures/{stage}", shard, remake=True)
    return [] if table is None else table.to_pylist()


def _write(store: Store, stage: str, shard: int, rows: Sequence[Mapping[str, Any]]) -> None:
    store.write(f"failures/{stage}", shard, pa.Table.from_pylist(list(rows), schema=FAILURES.schema))
