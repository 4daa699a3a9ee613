"""Links: every address form, real files in four formats, and files made to do harm."""

import json
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CsmvError
from pipeline.sources import workbook
from pipeline.sources.links import LinkFile, read_links, short_link_of, video_id_of

ID = "7679401525248000001"


@pytest.mark.parametrize(
    "url",
    [
        f"https://www.tiktok.com/@some.user_1/video/{ID}",
        f" https://www.tiktok.com/@some.user_1/video/{ID}?is_from_webapp=v1&lang=en#comments",
        f"http://www.tiktok.com/@/video/{ID}/",
        f"https://tiktok.com/@имя/video/{ID}",
        f"https://www.tiktok.com/%40user/video/{ID}",
        f"https://www.tiktok.com/share/video/{ID}",
        f"https://www.tiktokv.com/share/video/{ID}/",
        f"https://www.tiktok.com/embed/{ID}",
        f"https://www.tiktok.com/embed/v2/{ID}?lang=vi",
        f"https://www.tiktok.com/player/v1/{ID}",
        f"https://www.tiktok.com/@user/photo/{ID}",
        f"https://m.tiktok.com/v/{ID}.html?_d=x",
        f"https://m.tiktok.com/@user/video/{ID}",
        f"https://www.tiktok.com/v/{ID}.html",
        f"www.tiktok.com/@user/video/{ID}",
        f"//WWW.TikTok.com/@user/video/{ID}",
        f"https://www.tiktok.com:443/@user/video/{ID}",
        ID,
    ],
)
def test_every_address_form_gives_the_id(url: str) -> None:
    assert video_id_of(url) == ID


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        f"file:///@user/video/{ID}",
        f"https://127.0.0.1/@user/video/{ID}",
        f"https://10.0.0.5/@user/video/{ID}",
        f"https://www.tiktok.com@evil.example/@user/video/{ID}",
        f"https://user:secret@www.tiktok.com/@user/video/{ID}",
        f"https://www.tiktok.com.evil.example/@user/video/{ID}",
        f"https://www.tiktok.com:8080/@user/video/{ID}",
        f"ftp://www.tiktok.com/@user/video/{ID}",
        f"javascript://www.tiktok.com/@user/video/{ID}",
        f"https://www.tiktok.com/@user/video/{ID}/../../../../etc/passwd",
        "https://www.tiktok.com/@user/video/../../x",
        "https://www.tiktok.com/@user/video/76794015252480000019999999",
        "https://www.tiktok.com/@user/video/٧٦٧٩٤٠١٥٢٥٢٤٨٠٠٠٠٠١",
        "https://www.tiktok.com/tag/nba",
        "https://www.tiktok.com/@user",
        "https://www.tiktok.com/login?redirect_url=x",
        "https://[::1/@user/video/" + ID,
        "https://www.tiktok.com:notaport/@user/video/" + ID,
        "",
        "../../x",
    ],
)
def test_anything_else_gives_none(url: str) -> None:
    assert video_id_of(url) is None
    assert short_link_of(url) is None


@given(st.text(max_size=300))
def test_no_text_breaks_the_reading_of_addresses(text: str) -> None:
    found = video_id_of(text)
    assert found is None or (found.isascii() and found.isdigit())
    short_link_of(text)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://vm.tiktok.com/ZMabc123/", "https://vm.tiktok.com/ZMabc123/"),
        ("vt.tiktok.com/ZSabc123?x=1", "https://vt.tiktok.com/ZSabc123/"),
        ("https://www.tiktok.com/t/ZTabc123/", "https://www.tiktok.com/t/ZTabc123/"),
        (f"https://www.tiktok.com/@user/video/{ID}", None),
    ],
)
def test_short_links_are_recognised_and_not_guessed(url: str, plain: str | None) -> None:
    assert short_link_of(url) == plain


def test_the_published_workbook(shared: Path) -> None:
    links = read_links(shared / "csmv" / "CSMV_rawLinks.xlsx")

    assert (links.rows, len(links.ids), links.repeats, len(links.rejects)) == (8210, 8008, 202, 0)
    # In a third of its rows the column of ids has slipped against the column of addresses.
    assert links.id_differs == 2644
    assert links.ids[0] == "6815001842360143109"


ROWS = [
    f"https://www.tiktok.com/@a/video/{ID}",
    f"https://m.tiktok.com/v/{ID}.html",
    "https://www.tiktok.com/@b/video/7679030440073625604",
    "https://vm.tiktok.com/ZMabc123/",
    "https://example.com/@a/video/1",
]
EXPECTED = ((ID, "7679030440073625604"), 1, ("https://vm.tiktok.com/ZMabc123/",))


def check(links: LinkFile) -> None:
    assert (links.ids, links.repeats, links.short_links) == EXPECTED
    assert links.rows == 5
    assert [reject.reason for reject in links.rejects] == ["not an address of a TikTok video"]
    assert "@" not in repr(links.rejects)


def test_txt(tmp_path: Path) -> None:
    path = tmp_path / "links.txt"
    path.write_text("# my links\n" + "\n\n".join(ROWS) + "\n")
    check(read_links(path))


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".csv", ";"), (".tsv", "\t")])
def test_csv(tmp_path: Path, suffix: str, delimiter: str) -> None:
    path = tmp_path / f"links{suffix}"
    lines = [f"{number}{delimiter}{row}" for number, row in enumerate(ROWS)]
    path.write_text("﻿" + "\n".join([f"No.{delimiter}URL", *lines]), encoding="utf-8")
    check(read_links(path))


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "links.jsonl"
    path.write_text("\n".join(json.dumps({"n": 1, "url": row}) for row in ROWS))
    check(read_links(path))


def test_a_broken_line_of_jsonl_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "links.jsonl"
    path.write_text(json.dumps({"url": ROWS[0]}) + "\n{broken\n" + "[" * 100_000 + "\n" + json.dumps(ID))
    links = read_links(path)
    assert (links.ids, links.repeats) == ((ID,), 1)
    assert [reject.row for reject in links.rejects] == [2, 3]


# ---------------------------------------------------------------------- workbooks

_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def write_workbook(path: Path, sheet_data: str) -> Path:
    """A minimal workbook whose only sheet holds `sheet_data`."""
    parts = {
        "[Content_Types].xml": "<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'/>",
        "_rels/.rels": f"<Relationships xmlns='{_RELATIONS}'><Relationship Id='r1' Type='{_OFFICE}/officeDocument' "
        "Target='xl/workbook.xml'/></Relationships>",
        "xl/workbook.xml": f"<workbook xmlns='{_MAIN}' xmlns:r='{_OFFICE}'><sheets>"
        "<sheet name='S' sheetId='1' r:id='r1'/></sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f"<Relationships xmlns='{_RELATIONS}'><Relationship Id='r1' "
        f"Type='{_OFFICE}/worksheet' Target='worksheets/sheet1.xml'/></Relationships>",
        "xl/worksheets/sheet1.xml": f"<worksheet xmlns='{_MAIN}'><sheetData>{sheet_data}</sheetData></worksheet>",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def cell(reference: str, text: str) -> str:
    return f"<c r='{reference}' t='inlineStr'><is><t>{text}</t></is></c>"


def test_xlsx_rows_keep_their_numbers(tmp_path: Path) -> None:
    rows = "".join(f"<row r='{n}'>{cell(f'B{n}', row)}</row>" for n, row in enumerate(ROWS, start=3))
    links = read_links(write_workbook(tmp_path / "links.xlsx", rows))
    check(links)
    assert links.rejects[0].row == 7


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_UNPACKED_BYTES", 8 << 20)
    path = write_workbook(tmp_path / "bomb.xlsx", " " * (9 << 20))
    assert path.stat().st_size < 20_000
    with pytest.raises(CsmvError, match="unpacks to more than 8 MiB"):
        read_links(path)


def test_an_archive_that_lies_about_its_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_UNPACKED_BYTES", 8 << 20)
    path = write_workbook(tmp_path / "bomb.xlsx", " " * (9 << 20))
    data = path.read_bytes()
    true_size = struct.pack("<I", zipfile.ZipFile(path).getinfo("xl/worksheets/sheet1.xml").file_size)
    path.write_bytes(data.replace(true_size, struct.pack("<I", 100)))
    with pytest.raises(CsmvError, match="unpacks to more than 8 MiB"):
        read_links(path)


def test_a_sheet_that_claims_sixteen_billion_cells_is_refused(tmp_path: Path) -> None:
    rows = f"<row r='1'>{cell('A1', ROWS[0])}</row><row r='1048576'>{cell('XFD1048576', ROWS[1])}</row>"
    with pytest.raises(CsmvError, match="too much memory"):
        read_links(write_workbook(tmp_path / "wide.xlsx", rows))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.xlsx", b"not a zip", "not an Excel workbook"),
        ("a.xlsx", b"", "not an Excel workbook"),
        ("a.csv", b"\xff\xfe\x00", "not text"),
        ("a.txt", b"\x80abc", "not text"),
        ("a.pdf", b"%PDF", "ends in .xlsx"),
        ("a.csv", b"x" * 200_000, "not CSV from line 1"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(CsmvError, match=message):
        read_links(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CsmvError, match="no file"):
        read_links(tmp_path / "nowhere.csv")
