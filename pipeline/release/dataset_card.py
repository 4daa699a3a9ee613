"""The Hugging Face dataset card: a README whose head tells `datasets.load_dataset(FOLDER)` which files are what.

The head is YAML between two lines of dashes (https://huggingface.co/docs/hub/datasets-manual-configuration); the text
below it is for people.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from csmv.pipeline.release.release_folder import SUMS, About

MARK = "<!-- Written by csmv; made anew with every release. -->"
_LICENCES = {
    "CC0-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-ND-4.0",
    "CC-BY-NC-ND-4.0",
}
"""Those that the hub has a word for, which is the SPDX identifier in small letters."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "1M<n<10M"
_MOST_LANGUAGES = 30


def release_card(about: About, languages: Sequence[str], hours: float) -> str:
    """The card of a release.

    Args:
        about: what the release says of itself.
        languages: codes of the comments' languages, the most frequent first; empty where nobody knows.
        hours: length of all videos together.
    """
    configs = [_config(f"split-{name}", _parts(name, parts)) for name, parts in about.splits.items()]
    configs += [_config(table, f"{table}.parquet") for table in ("comments", "videos", "labels")]
    configs += [_config(f"features-{name}", f"features/{name}/*.parquet") for name in about.features]
    configs[0]["default"] = True
    head = _head(about.title or about.name, about.license, languages, about.rows["comments"], configs)
    return f"{head}\n{MARK}\n\n{_text(about, hours)}"


def root_card(name: str, license_name: str, rows: int, splits: Sequence[str], features: Sequence[str]) -> str:
    """The card of a dataset root, whose tables are shards.

    Args:
        name: the dataset's.
        license_name: as the settings state it.
        rows: number of comments.
        splits: names of the splits there are.
        features: names of the feature sets there are.
    """
    configs = [_config(table, f"{table}/*.parquet") for table in ("comments", "videos", "labels")]
    configs += [_config(f"split-{split}", f"splits/{split}.parquet") for split in splits]
    configs += [_config(f"features-{one}", f"features/{one}/*.parquet") for one in features]
    configs[0]["default"] = True
    head = _head(name, license_name, (), rows, configs)
    return (
        f'{head}\n{MARK}\n\n# {name}\n\nA dataset root of csmv: `datasets.load_dataset(FOLDER, "comments")` reads its '
        "tables. What is below `private/` is raw and is never published; `csmv release` makes what may be.\n"
    )


def _config(name: str, files: Any) -> dict[str, Any]:
    return {"config_name": name, "data_files": files}


def _parts(name: str, parts: Mapping[str, int]) -> list[dict[str, str]]:
    return [{"split": part, "path": f"splits/{name}/{part}.parquet"} for part in parts]


def _head(title: str, license_name: str, languages: Sequence[str], rows: int, configs: list[dict[str, Any]]) -> str:
    said: dict[str, Any] = {"pretty_name": title}
    if license_name in _LICENCES:
        said["license"] = license_name.lower()
    else:
        said |= {"license": "other", "license_name": license_name}
    if languages:
        said["language"] = list(languages[:_MOST_LANGUAGES])
    said["task_categories"] = ["text-classification", "video-classification"]
    said["tags"] = ["sentiment", "emotion", "micro videos", "comments", "multimodal"]
    said["size_categories"] = [next((word for most, word in _SIZES if rows < most), _LARGEST)]
    said["configs"] = configs
    return f"---\n{yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=120)}---"


def _text(about: About, hours: float) -> str:
    rows = [f"| {name} | {count:,} |" for name, count in about.rows.items()]
    lines = [
        f"# {about.title or about.name}, version {about.version}",
        "",
        "Micro videos, what viewers wrote below them, and the opinion and emotion of each labelled comment.",
        "Comments are scrubbed of personal data, accounts are keyed pseudonyms, and no video is in here: `url` in",
        "`videos.parquet` leads to each as long as it is public.",
        "",
        f"Licence of the data: {about.license}.",
        "",
        "| table | rows |",
        "|---|---|",
        *rows,
        "",
        f"{hours:,.2f} hours of video where lengths are known." if hours else "No lengths of videos are known.",
        "",
        "## Reading it",
        "",
        "```python",
        *_READING,
        "```",
        "",
        f"`sha256sum --check {SUMS}` or `csmv verify FOLDER` tells whether every byte is as it was released; what",
        "changed since the version before is in `CHANGELOG.md`.",
    ]
    if about.splits:
        lines += ["", "## Splits", "", "| split | train | dev | test |", "|---|---|---|---|"]
        lines += [
            f"| {name} | {' | '.join(f'{parts.get(part, 0):,}' for part in ('train', 'dev', 'test'))} |"
            for name, parts in about.splits.items()
        ]
    if about.features:
        lines += [
            "",
            "## Features",
            "",
            "| set | videos | vectors | width | extractor | weights (SHA-256) | clip rule |",
        ]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [
            f"| {name} | {about.rows[f'features/{name}']:,} | {int(said['vectors']):,} | {said['dim']} | "
            f"{said.get('extractor', '')} | {said.get('weights_sha256', '')[:16]} | {said.get('clip_rule', '')} |"
            for name, said in about.features.items()
        ]
    return "\n".join(lines) + "\n"


_READING = (
    "import datasets, duckdb, pandas, polars",
    "",
    "datasets.load_dataset(FOLDER)  # the first split below, with texts and labels",
    'datasets.load_dataset(FOLDER, "comments")',
    "duckdb.sql(f\"SELECT * FROM '{FOLDER}/comments.parquet'\")",
    'polars.read_parquet(f"{FOLDER}/comments.parquet")',
    'pandas.read_parquet(f"{FOLDER}/comments.parquet")',
)
