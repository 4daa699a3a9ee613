"""The figures of a dataset's supplement, as PDF and PNG in one style: the same numbers give the same bytes.

Source of what is shown: the supplement of Jia et al., NeurIPS 2024 (videos and comments per hashtag, label
distributions, comments per video, lengths), and beside it what a crawl adds: yield, failures, personal data, coverage.
"""

import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from csmv.pipeline.release.statistics import dataset_statistics
from csmv.pipeline.store import Store

FOLDER = "reports/figures"
NUMBERS = f"{FOLDER}/statistics.json"
FORMATS: Mapping[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
"""The kinds of file, and of each the metadata that would differ from day to day or version to version."""

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8a8f99",
    "axes.grid": True,
    "axes.labelcolor": "#1d2129",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "grid.color": "#e4e2dc",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "text.color": "#1d2129",
    "xtick.color": "#4a5160",
    "ytick.color": "#4a5160",
}
BLUE, ORANGE, GREEN, GREY = "#3257c8", "#d9663f", "#1f8a70", "#b8bcc6"
SERIES = (BLUE, ORANGE, GREEN, "#8d5fb4", "#c2a02c", "#4aa3c7", "#a8485e", "#6c7a3a")

MOST_BARS = 40
_FAR_OUT = 0.99
"""The share of values that a histogram shows one by one; what is larger goes into its last bar."""
_MOST_REASONS = len(SERIES) - 2

Numbers = dict[str, Any]


def write_figures(store: Store) -> list[str]:
    """Write the figures and `statistics.json` into `reports/figures/`; a figure that has nothing to show is removed.

    Returns:
        The paths of the files in the root.

    Raises:
        CsmvError: a table is damaged, lost or only begun.
    """
    numbers = dataset_statistics(store)
    store.write_file(NUMBERS, (json.dumps(numbers, indent=1, ensure_ascii=False) + "\n").encode())
    written = [NUMBERS]
    for name, draw in FIGURES.items():
        files = _drawn(draw, numbers)
        for kind in FORMATS:
            path = f"{FOLDER}/{name}.{kind}"
            if kind in files:
                store.write_file(path, files[kind])
                written.append(path)
            elif store.exists(path):
                store.remove(path)
    return written


def _drawn(draw: "Draw", numbers: Numbers) -> dict[str, bytes]:
    """The files of one figure by kind; none if it has nothing to show."""
    import matplotlib

    matplotlib.use("Agg")
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # hashtags are in any script
        figure = draw(numbers)
        if figure is None:
            return {}
        files = {}
        for kind, metadata in FORMATS.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, metadata=metadata)
            files[kind] = buffer.getvalue()
    return files


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _hashtags(numbers: Numbers) -> Any:
    rows = numbers["hashtags"]
    if not rows:
        return None
    shown = rows[:MOST_BARS]
    figure = _figure(7.2, 1 + 0.17 * len(shown))
    left, right = figure.subplots(1, 2, sharey=True)
    names = [row["hashtag"] for row in shown]
    _bars(left, names, [row["videos"] for row in shown], BLUE, "videos")
    _bars(right, names, [row["comments"] for row in shown], ORANGE, "comments")
    more = f" ({len(shown)} of {len(rows):,} hashtags)" if len(rows) > len(shown) else ""
    figure.suptitle(f"Videos and comments by hashtag{more}", fontsize=10, fontweight="bold")
    return figure


def _labels(numbers: Numbers) -> Any:
    if not numbers["labelled"]:
        return None
    figure = _figure(7.2, 2.5)
    panels = figure.subplots(1, 2, width_ratios=[1, 2.2])
    for axes, task, colour in zip(panels, ("opinion", "emotion"), (BLUE, ORANGE), strict=True):
        rows = sorted(numbers[task], key=lambda row: -row["comments"])
        bars = axes.bar([row["name"] for row in rows], [100 * row["share"] for row in rows], color=colour, width=0.65)
        axes.bar_label(bars, [f"{100 * row['share']:.1f}" for row in rows], fontsize=7, padding=1)
        axes.set(title=task.capitalize(), ylabel="% of comments")
        axes.grid(axis="x", visible=False)
        axes.tick_params(axis="x", rotation=30 if task == "emotion" else 0)
    return figure


def _joint(numbers: Numbers) -> Any:
    cells = numbers["joint"]
    largest = max((cell for row in cells for cell in row), default=0)
    if not largest:
        return None
    figure = _figure(6, 2.2)
    axes = figure.subplots()
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=largest, aspect="auto")
    axes.grid(visible=False)
    for place, row in enumerate(cells):
        for column, cell in enumerate(row):
            shade = "white" if cell > 0.55 * largest else "#1d2129"
            axes.text(column, place, f"{cell:,}", ha="center", va="center", fontsize=7, color=shade)
    axes.set_xticks(range(len(numbers["emotion"])), [row["name"] for row in numbers["emotion"]])
    axes.set_yticks(range(len(numbers["opinion"])), [row["name"] for row in numbers["opinion"]])
    axes.set(title="Comments by opinion and emotion")
    return figure


def _comments_per_video(numbers: Numbers) -> Any:
    data = numbers["comments_per_video"]
    if not data["n"]:
        return None
    sizes = [int(size) for size in data["videos"]]
    counts = list(data["videos"].values())
    end = _far_out(counts, sizes)
    heights = [data["videos"].get(str(size), 0) for size in range(1, end + 1)]
    more = sum(count for size, count in zip(sizes, counts, strict=True) if size > end)
    return _columns(
        list(range(1, end + 1)), heights, more, 1, "comments a video", "videos", data, "Comments per video", BLUE
    )


def _durations(numbers: Numbers) -> Any:
    return _lengths(numbers["duration_s"], "duration, s", "videos", "Duration of the videos", GREEN)


def _comment_lengths(numbers: Numbers) -> Any:
    return _lengths(numbers["comment_length"], "length, characters", "comments", "Length of the comments", ORANGE)


def _lengths(data: Numbers, unit: str, what: str, title: str, colour: str) -> Any:
    if not data["n"]:
        return None
    step, counts = data["step"], data["counts"]
    end = _far_out(counts, list(range(len(counts)))) + 1
    middles = [(place + 0.5) * step for place in range(end)]
    return _columns(middles, counts[:end], sum(counts[end:]), step, unit, what, data, title, colour)


def _columns(
    at: Sequence[float],
    heights: Sequence[int],
    more: int,
    step: float,
    unit: str,
    what: str,
    summary: Numbers,
    title: str,
    colour: str,
) -> Any:
    """A histogram, its mean and median, and how many lie beyond its last column."""
    figure = _figure(4.6, 2.6)
    axes = figure.subplots()
    axes.bar(at, heights, width=0.9 * step, color=colour)
    if more:
        axes.bar([at[-1] + step], [more], width=0.9 * step, color=GREY, label=f"larger: {more:,}")
    for name, line in (("mean", "-"), ("median", ":")):
        axes.axvline(summary[name], color="#1d2129", linestyle=line, linewidth=1, label=f"{name} {summary[name]:,.4g}")
    axes.grid(axis="x", visible=False)
    axes.set(xlabel=unit, ylabel=what, title=title)
    axes.legend(fontsize=7)
    return figure


def _far_out(counts: Sequence[int], values: Sequence[int]) -> int:
    """The value up to which nearly all lie; the last one where little is beyond."""
    total, running = sum(counts), 0
    for count, value in zip(counts, values, strict=True):
        running += count
        if running >= _FAR_OUT * total and value < 0.8 * values[-1]:
            return value
    return values[-1]


def _collection(numbers: Numbers) -> Any:
    """Yield by year of publication: got, not tried, and not there by reason."""
    years = numbers["collection"]
    if not any(year["fetched"] or year["reasons"] for year in years):
        return None
    totals: dict[str, int] = {}
    for year in years:
        for reason, count in year["reasons"].items():
            totals[reason] = totals.get(reason, 0) + count
    reasons = sorted(totals, key=lambda reason: (-totals[reason], reason))
    rows = {"got": [year["fetched"] for year in years]}
    rows |= {
        reason.replace("_", " "): [year["reasons"].get(reason, 0) for year in years]
        for reason in reasons[:_MOST_REASONS]
    }
    rest = [sum(year["reasons"].get(reason, 0) for reason in reasons[_MOST_REASONS:]) for year in years]
    rows |= {"other reasons": rest} if any(rest) else {}
    colours = dict(zip(rows, SERIES, strict=False))
    if any(year["pending"] for year in years):
        rows["not tried"] = [year["pending"] for year in years]
        colours["not tried"] = GREY
    figure = _figure(6, 3)
    axes = figure.subplots()
    names = [str(year["year"] or "unknown") for year in years]
    below = [0] * len(years)
    for name, counts in rows.items():
        axes.bar(names, counts, bottom=below, label=name, color=colours[name], width=0.7)
        below = [low + count for low, count in zip(below, counts, strict=True)]
    axes.grid(axis="x", visible=False)
    axes.set(xlabel="year of publication", ylabel="videos", title="Yield of the collection")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _failures(numbers: Numbers) -> Any:
    names = [f"{row['stage']}: {row['reason'].replace('_', ' ')}" for row in numbers["failures"]]
    return _one_panel(names, [row["count"] for row in numbers["failures"]], ORANGE, "rows", "Failures by reason")


def _personal_data(numbers: Numbers) -> Any:
    names = [row["kind"].lower().replace("_", " ") for row in numbers["pii"]]
    title = "Comments out of which personal data was taken, by kind"
    return _one_panel(names, [row["comments"] for row in numbers["pii"]], GREEN, "comments", title)


def _coverage(numbers: Numbers) -> Any:
    names = [row["set"] for row in numbers["features"]]
    shares = [100 * row["share"] for row in numbers["features"]]
    return _one_panel(names, shares, BLUE, "% of videos", "Videos with features, by set")


def _languages(numbers: Numbers) -> Any:
    rows = [row for row in numbers["languages"]["comments"] if row["count"]]
    if len(rows) < 2:  # nothing is known of any
        return None
    names = [row["language"] for row in rows]
    return _one_panel(names, [row["count"] for row in rows], BLUE, "comments", "Languages of the comments")


def _one_panel(names: Sequence[str], values: Sequence[float], colour: str, unit: str, title: str) -> Any:
    if not names:
        return None
    shown = min(len(names), MOST_BARS)
    figure = _figure(5, 0.9 + 0.2 * shown)
    _bars(figure.subplots(), names[:shown], values[:shown], colour, unit)
    more = f" ({shown} of {len(names):,})" if len(names) > shown else ""
    figure.suptitle(f"{title}{more}", fontsize=10, fontweight="bold")
    return figure


def _bars(axes: Any, names: Sequence[str], values: Sequence[float], colour: str, unit: str) -> None:
    """Horizontal bars with their numbers, the first on top. A hashtag may hold a $, which is no mathematics."""
    places = range(len(names))
    bars = axes.barh(places, values, color=colour, height=0.72)
    labels = [f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" for value in values]
    axes.bar_label(bars, labels, fontsize=6.5, padding=2)
    axes.set_yticks(places, [name.replace("$", r"\$") for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.15 * max(values, default=1) or 1)
    axes.set_xlabel(unit)
    axes.grid(axis="y", visible=False)


Draw = Callable[[Numbers], Any]

FIGURES: Mapping[str, Draw] = {
    "hashtags": _hashtags,
    "labels": _labels,
    "joint_labels": _joint,
    "comments_per_video": _comments_per_video,
    "durations": _durations,
    "comment_lengths": _comment_lengths,
    "collection": _collection,
    "failures": _failures,
    "personal_data": _personal_data,
    "feature_coverage": _coverage,
    "languages": _languages,
}
"""The figures by the name of their files."""
