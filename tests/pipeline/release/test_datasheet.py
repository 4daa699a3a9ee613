"""The papers of a release: a datasheet that fills itself and keeps what people wrote, Croissant, a citation."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from release_roots import LICENSED, release

from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.release.datasheet import OPEN_PLACE, answers_in, open_questions
from csmv.pipeline.release.datasheet_questions import SECTIONS
from csmv.pipeline.store import Store

QUESTIONS = [question for questions in SECTIONS.values() for question in questions]


def answered(sheet: str, key: str) -> str:
    """What stands below a question, up to the next."""
    [question] = [question for question in QUESTIONS if question.key == key]
    return sheet.partition(f"### {question.text}\n")[2].partition("\n##")[0]


def write_answer(folder: Path, key: str, text: str) -> None:
    sheet = (folder / "DATASHEET.md").read_text()
    place = f"<!-- answer: {key} -->\n"
    assert f"{place}{OPEN_PLACE}" in sheet
    (folder / "DATASHEET.md").write_text(sheet.replace(f"{place}{OPEN_PLACE}", f"{place}{text}"))


def test_every_question_stands_in_both_and_those_of_the_data_are_answered(released: Path) -> None:
    sheet, page = ((released / f"DATASHEET.{kind}").read_text() for kind in ("md", "html"))

    assert len({question.key for question in QUESTIONS}) == len(QUESTIONS) > 55
    for question in QUESTIONS:
        below = answered(sheet, question.key)
        assert f'id="{question.key}"' in page
        assert question.for_people or len(below.split()) > 2, question.key
        assert (f"<!-- answer: {question.key} -->" in below) == question.for_people


def test_the_numbers_are_those_of_the_root(released: Path) -> None:
    root, sheet = Store.open(str(released.parent)), (released / "DATASHEET.md").read_text()
    labels = root.read_all("labels")["emotion"].to_pylist()

    assert f"| comments | {root.num_rows('comments'):,} |" in answered(sheet, "counts")
    assert f"| joy | {labels.count('joy')} | {labels.count('joy') / len(labels):.1%} |" in answered(sheet, "labels")
    assert "ab" * 32 in answered(sheet, "preprocessing_more")
    assert "comments are from 2026-01-02 to 2026-01-02" in answered(sheet, "timeframe").lower()
    assert "| video |" in answered(sheet, "splits") and "missing_file" in answered(sheet, "missing")
    assert "measures generalisation to unseen videos" in answered(sheet, "splits"), "the leakage audit"
    assert "CC-BY-4.0" in answered(sheet, "licence")


def test_what_people_wrote_stays_whatever_is_released_again(root: str) -> None:
    folder = Path(release(root).address)
    config = folder.parent / "dataset.yaml"
    config.write_text(config.read_text() + "release: {license: CC-BY-4.0, title: A small set, day: 2026-02-03}\n")
    assert "release" not in [one.name for one in Dataset.open(root).status() if one.missing or one.stale]
    write_answer(folder, "purpose", "To learn what <viewers> feel.\n\nAnd | why.")
    [status] = [one for one in Dataset.open(root).status() if one.name == "release"]
    assert "wrote into its datasheet" in status.stale["root"]

    Dataset.open(root).run("release")
    Dataset.open(root).store.remove("splits/comment.parquet")
    Dataset.open(root).run("splits")
    release(root, LICENSED.model_copy(update={"splits": ("video",)}))

    sheet = (folder / "DATASHEET.md").read_text()
    assert answers_in(sheet) == {"purpose": "To learn what <viewers> feel.\n\nAnd | why."}
    assert "<p>To learn what &lt;viewers&gt; feel.</p>" in (folder / "DATASHEET.html").read_text()
    assert "purpose" not in [question.key for question in open_questions(answers_in(sheet))]


def test_a_handle_in_an_answer_is_refused_by_the_datasheets_name(root: str) -> None:
    folder = Path(release(root).address)
    write_answer(folder, "contact", "Ask viewer.number3, or mail jo@example.com")

    with pytest.raises(CsmvError, match=r"release/DATASHEET\.(md|html)") as refused:
        release(root)

    assert "jo@" not in str(refused.value) and "viewer" not in str(refused.value)


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset")]
        self.found += [tag] if tag in ("script", "link", "img", "iframe") else []


def test_the_page_asks_nobody_for_anything(released: Path) -> None:
    page = (released / "DATASHEET.html").read_text()
    addresses = _Addresses()
    addresses.feed(page)

    assert addresses.found == [] and not re.search(r"url\(|@import", page)


def test_croissant_is_valid_and_its_records_are_those_of_the_tables(released: Path, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    got = shutil.copytree(released, tmp_path / "got")
    root = Store.open(str(released.parent))

    dataset = mlcroissant.Dataset(jsonld=str(got / "croissant.json"))
    comments = {one["comments/comment_id"].decode(): one for one in dataset.records("comments")}
    vectors = {one["features/i3d/video_id"].decode(): one for one in dataset.records("features/i3d")}

    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    for row in root.read_all("comments").to_pylist():
        assert comments[row["comment_id"]]["comments/text"].decode() == row["text"]
    for row in root.read_all("features/i3d").to_pylist():
        assert np.allclose(vectors[row["video_id"]]["features/i3d/features"], row["features"])
    said = json.loads((got / "croissant.json").read_text())
    for field in ("dataCollection", "personalSensitiveInformation", "dataReleaseMaintenancePlan", "dataLimitations"):
        assert len(said[f"rai:{field}"]) > 40, field


def test_a_citation_names_authors_version_and_doi(root: str, tmp_path: Path) -> None:
    more = {"authors": ("Ada Lovelace", "A team"), "doi": "10.5281/zenodo.1234567", "version": "2.0.1"}

    folder = Path(release(root, LICENSED.model_copy(update=more), tmp_path / "out").address)

    said = yaml.safe_load((folder / "CITATION.cff").read_text())
    assert (said["doi"], said["version"], said["type"]) == ("10.5281/zenodo.1234567", "2.0.1", "dataset")
    assert said["authors"] == [{"name": "Ada Lovelace"}, {"name": "A team"}]
    assert "10.5281/zenodo.1234567" in (folder / "DATASHEET.md").read_text()
