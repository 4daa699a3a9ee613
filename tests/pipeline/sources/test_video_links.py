"""Links: every address form, real files in four formats, and files made to do harm."""

import json
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.sources import link_files, workbook
from csmv.pipeline.sources.link_files import MAX_FILE_BYTES, LinkFile, Reject, creators_in, read_links
from csmv.pipeline.sources.video_links import MAX_LINK_CHARACTERS, canonical_url, short_link_of, video_id_of

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


@pytest.mark.parametrize(
    ("digits", "is_id"), [(1, False), (14, False), (15, True), (19, True), (20, True), (21, False), (26, False)]
)
def test_an_id_has_fifteen_to_twenty_digits(digits: int, is_id: bool) -> None:
    number = "7" * digits
    wanted = number if is_id else None
    assert video_id_of(number) == wanted
    for path in (
        "@user/video/{}",
        "@user/photo/{}",
        "share/video/{}",
        "embed/{}",
        "embed/v2/{}",
        "player/v1/{}",
        "v/{}.html",
    ):
        assert video_id_of("https://www.tiktok.com/" + path.format(number)) == wanted


@pytest.mark.parametrize(
    "host", ["tiktok.com", "www.tiktok.com", "m.tiktok.com", "tiktokv.com", "www.tiktokv.com", "m.tiktokv.com"]
)
def test_hosts_of_videos(host: str) -> None:
    assert video_id_of(f"https://{host}/@a/video/{ID}") == ID
    assert video_id_of(f"https://{host}./@a/video/{ID}") == ID  # with the root's dot
    assert video_id_of(f"https://x{host}/@a/video/{ID}") is None
    assert short_link_of(f"https://{host}/t/ZTabc123") == "https://www.tiktok.com/t/ZTabc123/"


@pytest.mark.parametrize(
    "path",
    [
        "@user/video/{}/comments",
        "@user/live/{}",
        "user/video/{}",
        "@a/b/video/{}",
        "share/photo/{}",
        "embed/v22/{}",
        "embed/vx/{}",
        "player/{}",
        "v/{}.htm",
        "v/{}xhtml",
        "V/{}",
        "x/v/{}",
        "@user/video/{}x",
        "@user/video/x{}",
        "@user/video/{}%00",
        "@user/video/{}%0a",
    ],
)
def test_paths_that_are_nearly_those_of_videos(path: str) -> None:
    assert video_id_of("https://www.tiktok.com/" + path.format(ID)) is None


@pytest.mark.parametrize(
    ("prefix", "is_id"),
    [
        ("http://", True),
        ("HTTPS://", True),
        ("//", True),
        ("", True),
        ("http://www.tiktok.com:80", True),
        ("https://www.tiktok.com:443", True),
        ("https://www.tiktok.com:", True),
        ("https://www.tiktok.com:81", False),
        ("https://www.tiktok.com:442", False),
        ("https://www.tiktok.com:0", False),
        ("https://@www.tiktok.com", False),
        ("ftp://", False),
        ("https:", False),
    ],
)
def test_schemes_and_ports(prefix: str, is_id: bool) -> None:
    start = prefix if "tiktok" in prefix else f"{prefix}www.tiktok.com"
    assert video_id_of(f"{start}/@user/video/{ID}") == (ID if is_id else None)


def test_an_address_of_4096_characters_is_read_and_a_longer_one_is_not() -> None:
    address = f"https://www.tiktok.com/@user/video/{ID}?x="
    longest = address + "y" * (4096 - len(address))
    assert len(longest) == MAX_LINK_CHARACTERS
    assert video_id_of(f"  {longest}  ") == ID
    assert video_id_of(longest + "y") is None
    short = "https://vm.tiktok.com/ZMabc123/?x="
    assert short_link_of(short + "y" * 9000) == "https://vm.tiktok.com/ZMabc123/"


def test_the_address_without_a_handle() -> None:
    assert canonical_url(ID) == f"https://www.tiktok.com/@/video/{ID}"
    assert video_id_of(canonical_url(ID)) == ID


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
        (" http://vm.tiktok.com/Z-a_9 ", "https://vm.tiktok.com/Z-a_9/"),
        ("vm.tiktok.com/abcd", "https://vm.tiktok.com/abcd/"),
        ("vm.tiktok.com/abc", None),
        ("vm.tiktok.com/" + "a" * 32, "https://vm.tiktok.com/" + "a" * 32 + "/"),
        ("vm.tiktok.com/" + "a" * 33, None),
        ("vm.tiktok.com/abcd/efgh", None),
        ("vm.tiktok.com/ab.d", None),
        ("vm.tiktok.com/", None),
        ("tiktok.com/t/abcd?_r=1#x", "https://www.tiktok.com/t/abcd/"),
        ("tiktok.com/t/abc", None),
        ("tiktok.com/t/", None),
        ("tiktok.com/abcd", None),
        ("tiktok.com/x/abcd", None),
        ("vm.tiktok.com.evil.example/abcd", None),
        ("evil.example/t/abcd", None),
        ("https://vm.tiktok.com:8080/abcd", None),
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


# ---------------------------------------------------------------------- what counts as a row

OTHER = "7679030440073625604"
VIDEO, SHORT = f"https://www.tiktok.com/@a/video/{ID}", "https://vm.tiktok.com/ZMabc123/"


def read(folder: Path, name: str, text: str, encoding: str = "utf-8") -> LinkFile:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return read_links(path)


def test_a_file_that_holds_nothing(tmp_path: Path) -> None:
    for name in ("a.txt", "a.csv", "a.tsv", "a.jsonl"):
        for text in ("", "\n\n", "  \n"):
            assert read(tmp_path, name, text) == LinkFile(0, (), 0, (), ())


def test_rows_ids_repeats_short_links_and_rejects(tmp_path: Path) -> None:
    lines = [VIDEO, OTHER, SHORT, "", SHORT, "https://example.com/x", OTHER, "nothing", "vt.tiktok.com/ZSabc123", ID]
    found = read(tmp_path, "a.txt", "\n".join(lines))
    assert found == LinkFile(
        rows=9,
        ids=(ID, OTHER),
        repeats=3,
        short_links=("https://vm.tiktok.com/ZMabc123/", "https://vt.tiktok.com/ZSabc123/"),
        rejects=(Reject(6, "not an address of a TikTok video"), Reject(8, "no link in the row")),
    )
    assert found.rows == len(found.ids) + found.repeats + len(found.short_links) + len(found.rejects)


def test_only_a_first_row_without_a_link_is_a_heading(tmp_path: Path) -> None:
    heading = "No.,Address\n"
    assert read(tmp_path, "a.csv", f"{heading}1,{VIDEO}\n") == LinkFile(1, (ID,), 0, (), ())
    assert read(tmp_path, "a.csv", f"{heading}{heading}1,{VIDEO}\n").rejects == (Reject(2, "no link in the row"),)
    assert read(tmp_path, "a.csv", f"\n{heading}1,{VIDEO}\n").rejects == (Reject(2, "no link in the row"),)
    assert read(tmp_path, "a.csv", f"1,{VIDEO}\n{heading}").rejects == (Reject(2, "no link in the row"),)
    # A first row with the address of another site is no heading.
    assert read(tmp_path, "a.csv", f"1,https://example.com/\n2,{VIDEO}\n").rows == 2


def test_the_first_address_of_a_row_counts_and_a_bare_id_only_without_one(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", f"{OTHER},{VIDEO}\n") == LinkFile(1, (ID,), 0, (), (), id_differs=1)
    assert read(tmp_path, "a.csv", f"{ID},{VIDEO}\n").id_differs == 0
    assert read(tmp_path, "a.csv", f"{OTHER},{ID},{VIDEO}\n").id_differs == 0
    assert read(tmp_path, "a.csv", f"{OTHER},{SHORT}\n") == LinkFile(1, (), 0, (SHORT,), ())
    assert read(tmp_path, "a.csv", f"a note, {OTHER} ,{ID}\n") == LinkFile(1, (OTHER,), 0, (), (), id_differs=0)
    assert read(tmp_path, "a.csv", f"https://example.com/,{VIDEO}\n").ids == (ID,)  # the column that yields ids
    assert read(tmp_path, "a.csv", f"{OTHER},{VIDEO}\n{OTHER},{VIDEO}\n{ID},{VIDEO}\n").id_differs == 2


def test_what_looks_like_a_link(tmp_path: Path) -> None:
    """An address anywhere on the web, or the word tiktok."""
    rows = {
        "x" * 300 + "://a": "not an address of a TikTok video",
        "x" * 300 + "TikTok": "not an address of a TikTok video",
        "7" * 14: "no link in the row",
        "7" * 21: "no link in the row",
        f"https://www.tiktok.com/@a/video/{ID}?" + "x" * 4096: "a link of more than 4096 characters",
    }
    found = read(tmp_path, "a.txt", "\n".join([ID, *rows]))
    assert [reject.reason for reject in found.rejects] == list(rows.values())
    assert found.ids == (ID,)
    exact = f"https://www.tiktok.com/@a/video/{OTHER}?"
    assert read(tmp_path, "a.txt", exact + "x" * (4096 - len(exact))).ids == (OTHER,)


def test_comments_in_txt_and_several_words_on_a_line(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", f"# {VIDEO}\n  # {OTHER}\nsee {VIDEO} # and this\n\t{OTHER}\t\n")
    assert found == LinkFile(2, (ID, OTHER), 0, (), ())
    assert read(tmp_path, "a.txt", f"x\n# one\nnothing\n{ID}").rejects == (Reject(3, "no link in the row"),)


# ---------------------------------------------------------------------- encodings and endings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "A.CSV", "a.Tsv", "a.TXT"])
def test_text_in_utf_8_and_utf_16(tmp_path: Path, name: str, encoding: str) -> None:
    text = f"https://www.tiktok.com/@имя/video/{ID}\n{OTHER}\n"
    assert read(tmp_path, name, text, encoding) == LinkFile(2, (ID, OTHER), 0, (), ())


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_both_orders_of_bytes(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(mark + json.dumps({"url": VIDEO}).encode("utf-16-le" if mark == b"\xff\xfe" else "utf-16-be"))
    assert read_links(path).ids == (ID,)


def test_the_ending_of_a_workbook_may_be_in_capitals(tmp_path: Path) -> None:
    assert read_links(write_workbook(tmp_path / "LINKS.XLSX", f"<row r='1'>{cell('A1', VIDEO)}</row>")).ids == (ID,)


def test_other_endings_are_named_with_those_that_are_read(tmp_path: Path) -> None:
    with pytest.raises(
        CsmvError, match=r"'a\.xls': .* ends in \.xlsx, \.csv, \.tsv, \.txt, \.json, \.jsonl, \.ndjson; found '\.xls'"
    ):
        read(tmp_path, "a.xls", ID)
    with pytest.raises(CsmvError, match="found ''"):
        read(tmp_path, "links", ID)
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(CsmvError, match="no file"):
        read_links(tmp_path / "folder.txt")


def test_a_file_at_the_limit_of_its_size_is_read_and_a_larger_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_FILE_BYTES == 256 * 1024 * 1024
    monkeypatch.setattr(link_files, "MAX_FILE_BYTES", 1 << 20)
    text = (ID + "\n").ljust(1 << 20)
    assert read(tmp_path, "a.txt", text).ids == (ID,)
    with pytest.raises(CsmvError, match=r"'a\.txt' is larger than 1 MiB"):
        read(tmp_path, "a.txt", text + " ")


# ---------------------------------------------------------------------- csv


@pytest.mark.parametrize(
    "text",
    [
        f"a;b\n1,5;{VIDEO}\n",  # the first line decides
        f"a,b\n1;5,{VIDEO}\n",
        f"a\tb\n1,5;6\t{VIDEO}\n",
        f'No.,"a note\nin two lines",{VIDEO}',
        f"{VIDEO}",
        f"{VIDEO}\r\n",
    ],
)
def test_the_first_line_tells_what_parts_the_cells(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "a.csv", text).ids == (ID,)


def test_rows_of_csv_are_numbered_by_the_line_that_they_end_on(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", f'a,b\n1,{VIDEO}\n2,"two\nlines"\n3,{OTHER}\n4,nothing\n')
    assert [reject.row for reject in found.rejects] == [4, 6]


def test_where_csv_breaks_off_the_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(CsmvError, match=r"'a\.csv' is not CSV from line 3 on"):
        read(tmp_path, "a.csv", f"a,b\n1,{VIDEO}\n2," + "x" * 200_000)


# ---------------------------------------------------------------------- jsonl


@pytest.mark.parametrize("key", ["url", "link", "video_url", "share_url", "webVideoUrl", "video_id", "id", "URL", "Id"])
def test_keys_that_hold_links(tmp_path: Path, key: str) -> None:
    value = int(ID) if key.lower().endswith("id") else VIDEO
    assert read(tmp_path, "a.jsonl", json.dumps({"n": 7, key: value})).ids == (ID,)


def test_keys_are_tried_in_order_and_other_values_passed_over(tmp_path: Path) -> None:
    found = read(tmp_path, "a.jsonl", json.dumps({"id": OTHER, "link": SHORT, "url": VIDEO}))
    assert found == LinkFile(1, (ID,), 0, (), (), id_differs=1)
    assert read(tmp_path, "a.jsonl", json.dumps({"url": None, "video_url": [VIDEO], "id": ID})).ids == (ID,)
    assert read(tmp_path, "a.jsonl", json.dumps(int(ID))).ids == (ID,)


@pytest.mark.parametrize("value", [{"title": ID}, {}, [], None, 1.5, {"url": {"a": 1}}, {"author": {"id": ID}}])
def test_a_line_without_a_link_is_a_reject(tmp_path: Path, value: object) -> None:
    found = read(tmp_path, "a.jsonl", json.dumps(ID) + "\n\n" + json.dumps(value))
    assert (found.rows, found.ids, [reject.row for reject in found.rejects]) == (2, (ID,), [3])


# ---------------------------------------------------------------------- creators


def test_creators_are_read_from_addresses_of_videos_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [
        f"1,https://www.tiktok.com/@kayla.rose/video/{ID}?x=1",
        f"2, m.tiktok.com/%40имя/photo/{OTHER}/ ,https://www.tiktok.com/@second/video/7111111111111111111",
        "3,https://www.tiktok.com/@/video/7222222222222222222",
        "4,https://evil.example/@mallory/video/7333333333333333333",
        f"5,https://www.tiktok.com/@x/live/{ID}",
        f"6,{ID},not an address,https://[::1/",
    ]
    path.write_text("\n".join(rows))
    assert creators_in(path) == {ID: "kayla.rose", OTHER: "имя", "7111111111111111111": "second"}
    path.write_text(f"https://www.tiktok.com/@long/video/{ID}?{'x' * 5000}\n")
    assert creators_in(str(path)) == {ID: "long"}


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
        ("a.txt", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not text"),
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
