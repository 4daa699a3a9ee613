"""What changed between two releases: added, removed (on request or otherwise), relabelled; counts only, no id."""

from collections import Counter
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.files import Files
from csmv.pipeline.labels import TASKS, resolve
from csmv.pipeline.privacy.forgotten import Forgotten
from csmv.pipeline.release.release_folder import About, read_about, read_parquet

_KEYS = {"videos": "video_id", "comments": "comment_id"}


def next_version(version: str) -> str:
    """The version after one whose data have changed: one more in the middle."""
    major, minor, _ = version.split(".")
    return f"{major}.{int(minor) + 1}.0"


def changes_since(before: Files, now: Files, version: str, gone: Forgotten) -> dict[str, Any]:
    """One entry of the changelog.

    Args:
        before: the release before.
        now: the new one; its tables are written, its papers need not be.
        version: of the new one.
        gone: what was forgotten on request.
    """
    about = read_about(before)
    entry: dict[str, Any] = {"version": version, "before": about.version}
    for table, key in _KEYS.items():
        old, new = (read_parquet(files, f"{table}.parquet", [key])[key].combine_chunks() for files in (before, now))
        requested = gone.videos if table == "videos" else gone.comments
        entry[table] = _moved(old, new, requested)
        # `csmv forget` took rows out of the release that lies in the root, too.
        entry[table]["removed_on_request"] += max(about.rows[table] - len(old), 0)
    entry["relabelled"] = _relabelled(*(read_parquet(files, "labels.parquet") for files in (before, now)))
    entry["edited"] = _edited(
        *(read_parquet(files, "comments.parquet", ["comment_id", "text"]) for files in (before, now))
    )
    for what, folder in (("splits", "splits"), ("features", "features")):
        old_names, new_names = ({name.split("/")[1] for name in files.files(folder)} for files in (before, now))
        entry[what] = {"added": sorted(new_names - old_names), "removed": sorted(old_names - new_names)}
    return entry


def changelog_text(about: About) -> str:
    """The changelog as Markdown, the newest version first."""
    title = f"# Changes of {about.title or about.name}\n"
    if not about.changes:
        return f"{title}\n## {about.version}\n\nThe first release.\n"
    first = about.changes[-1]["before"]
    return title + "".join(f"\n{_entry(one)}" for one in about.changes) + f"\n## {first}\n\nThe first release.\n"


def _moved(old: pa.Array, new: pa.Array, requested: Collection[str]) -> dict[str, int]:
    removed = old.filter(pc.invert(pc.is_in(old, value_set=new)))
    on_request = sum(key in requested for key in removed.to_pylist())
    added = pc.sum(pc.invert(pc.is_in(new, value_set=old))).as_py() or 0
    return {"added": added, "removed_on_request": on_request, "removed": len(removed) - on_request}


def _relabelled(old: pa.Table, new: pa.Table) -> dict[str, int]:
    """Of each task how many comments that both have count in another class now."""
    both = resolve(old).join(resolve(new), "comment_id", join_type="inner", right_suffix="_now")
    counts = {}
    for task in TASKS:
        before, now = (pc.fill_null(both[name], "") for name in (task, f"{task}_now"))
        counts[task] = pc.sum(pc.not_equal(before, now)).as_py() or 0
    return counts


def _edited(old: pa.Table, new: pa.Table) -> int:
    """Comments that both have, whose scrubbed text is another now."""
    both = old.join(new, "comment_id", join_type="inner", right_suffix="_now")
    return pc.sum(pc.not_equal(both["text"], both["text_now"])).as_py() or 0


def _entry(entry: dict[str, Any]) -> str:
    lines = [f"## {entry['version']}", ""]
    for table in _KEYS:
        counts = Counter(entry[table])
        said = [
            f"{counts['added']:,} added" if counts["added"] else "",
            f"{counts['removed_on_request']:,} removed on request" if counts["removed_on_request"] else "",
            f"{counts['removed']:,} removed" if counts["removed"] else "",
        ]
        if any(said):
            lines.append(f"- {table}: {', '.join(filter(None, said))}")
    relabelled = [f"{count:,} by {task}" for task, count in entry["relabelled"].items() if count]
    if relabelled:
        lines.append(f"- relabelled: {', '.join(relabelled)}")
    if entry["edited"]:
        lines.append(f"- comments whose scrubbed text changed: {entry['edited']:,}")
    for what in ("splits", "features"):
        lines += [f"- {what} {how}: {', '.join(names)}" for how, names in entry[what].items() if names]
    if len(lines) == 2:
        lines.append("- no row was added, removed or relabelled; other columns, parts of splits or vectors changed")
    return "\n".join(lines) + "\n"
