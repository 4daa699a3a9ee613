"""The papers of a release: card, changelog, datasheet, citation, Croissant, and the sums that close it."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from csmv.pipeline.files import Files
from csmv.pipeline.release.changelog import changelog_text
from csmv.pipeline.release.citation import FILE as CITATION
from csmv.pipeline.release.citation import citation_cff
from csmv.pipeline.release.croissant import FILE as CROISSANT
from csmv.pipeline.release.croissant import croissant_json
from csmv.pipeline.release.dataset_card import release_card
from csmv.pipeline.release.datasheet import MARKDOWN, PAGE, Answer, answers_in, as_markdown, as_page
from csmv.pipeline.release.release_folder import ABOUT, CARD, SUMS, About, local_sums, sums_text
from csmv.pipeline.validated import decoded

CHANGES = "CHANGELOG.md"


def papers_of(about: About, said: Mapping[str, Answer], answers: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The texts of a release: file -> text.

    Args:
        about: what the release says of itself.
        said: question of the datasheet -> what the data say.
        answers: question of the datasheet -> what a person wrote.
        folder: where its Parquet files lie.
    """
    comments = pq.read_table(folder / "comments.parquet", columns=["language"])
    counts = Counter(language for language in comments["language"].to_pylist() if language)
    languages = sorted(counts, key=lambda language: (-counts[language], language))
    durations = pq.read_table(folder / "videos.parquet", columns=["duration_s"])["duration_s"]
    hours = float(pc.sum(durations).as_py() or 0) / 3600
    title = about.title or about.name
    description = f"{title}: {about.rows['videos']:,} micro videos, {about.rows['comments']:,} comments, their labels."
    return {
        CARD: release_card(about, languages, hours),
        CHANGES: changelog_text(about),
        MARKDOWN: as_markdown(title, about.version, said, answers),
        PAGE: as_page(title, about.version, said, answers),
        CITATION: citation_cff(about),
        CROISSANT: croissant_json(folder, about, local_sums(folder), said, answers, description),
    }


def finish(folder: Path, about: About, papers: Mapping[str, str]) -> list[str]:
    """Write the papers, `release.json` and the sums into a folder; gives the files that hold more than tables do."""
    for name, text in papers.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / ABOUT).write_bytes(about.to_json())
    (folder / SUMS).write_bytes(sums_text(local_sums(folder)))
    return [*papers, ABOUT]


def answers_before(before: Files) -> dict[str, str]:
    """What people wrote into the datasheet of a release; nothing where there is none."""
    data = before.read_if_there(MARKDOWN)
    return {} if data is None else answers_in(decoded(data, MARKDOWN))
