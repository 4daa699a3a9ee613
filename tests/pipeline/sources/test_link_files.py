"""Files of links as people have them: the cases of each kind, and 200 made variants without a lost or a false id."""

import csv
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csmv.pipeline.sources.link_files import ROUNDED, LinkFile, read_links
from csmv.pipeline.sources.links_in_text import bare_ids_in, videos_in

FIRST = 7300000000000000001


def ids(*numbers: int) -> tuple[str, ...]:
    return tuple(str(FIRST - 1 + number) for number in numbers)


def accounted(links: LinkFile) -> LinkFile:
    """Every row is an id, a repeat, a short link or a reject."""
    found = len(links.ids) + links.repeats + len(links.short_links) + len(links.rejects)
    assert links.rows + links.more == found, links
    return links


# ---------------------------------------------------------------------- the cases that people met


def case(shared: Path, name: str) -> LinkFile:
    return accounted(read_links(shared / "cases" / "links" / name))


def test_the_column_that_holds_links_of_videos_wins(shared: Path) -> None:
    found = case(shared, "4cat.csv")
    assert (found.rows, found.ids, found.rejects) == (3, ids(1, 2, 3), ())


@pytest.mark.parametrize("name", ["zee.ndjson", "zee.jsonl"])
def test_a_record_of_an_add_on_is_one_id_and_no_heading(shared: Path, name: str) -> None:
    found = case(shared, name)
    assert (found.rows, found.ids) == (1, ids(1))


def test_every_id_of_a_row_and_a_cell_counts(shared: Path) -> None:
    assert case(shared, "twolinks.csv").ids == ids(1, 2)
    assert case(shared, "multi_in_cell.csv").ids == ids(1, 2)
    assert case(shared, "captions_with_links.csv").ids == ids(1)


def test_numbers_that_a_spreadsheet_rounded_are_told(shared: Path) -> None:
    found = case(shared, "numeric_ids.xlsx")
    assert (found.rows, found.ids) == (3, ids(5))
    assert [(reject.row, reject.reason) for reject in found.rejects] == [(2, ROUNDED), (3, ROUNDED)]


def test_a_second_sheet_is_read_and_named(shared: Path) -> None:
    found = case(shared, "second_sheet.xlsx")
    assert (found.ids, found.sheets) == (ids(1), ("links",))


def test_every_shape_of_a_record(shared: Path) -> None:
    found = case(shared, "shapes.jsonl")
    assert found.ids == ids(*range(1, 17))
    assert [(reject.row, reject.reason) for reject in found.rejects] == [(10, ROUNDED)]


def test_every_form_of_an_address(shared: Path) -> None:
    found = case(shared, "forms.txt")
    assert set(found.ids) == set(ids(*range(1, 46))) - set(ids(42))
    assert len(found.short_links) == 5
    assert {reject.row: reject.reason for reject in found.rejects} == {
        18: "a live page, not a video",
        45: "a sound, not a video",
        46: "not an address of a TikTok video",
        47: "an id of 2 digits, where a video's has 15 to 20",
        51: "not an address of a TikTok video",
    }


# ---------------------------------------------------------------------- more of each kind

ADDRESSES: tuple[Callable[[str], str], ...] = (
    lambda video: f"https://www.tiktok.com/@some.user/video/{video}",
    lambda video: f"http://m.tiktok.com/@ünï/photo/{video}?lang=de&x=1#top",
    lambda video: f"WWW.TikTok.com/@u/VIDEO/{video}/",
    lambda video: f"https://www.tiktokv.com/share/video/{video}/",
    lambda video: f"https://t.tiktok.com/i18n/share/video/{video}/?_d=x",
    lambda video: f"https://www.tiktok.com/embed/v2/{video}",
    lambda video: f"https://www.tiktok.com/foryou?item_id={video}",
    lambda video: f"https://www.tiktok.com/de-DE/@u/video/{video}",
    lambda video: f"snssdk1180://aweme/detail/{video}?refer=web",
)
WRAPPERS: tuple[Callable[[str], str], ...] = (
    lambda address: address,
    lambda address: f"<{address}>",
    lambda address: f"[clip]({address})",
    lambda address: f"“{address}”",
    lambda address: f"\u200b{address}\u00a0",
    lambda address: f"https://www.google.com/url?q={quote(address, safe='')}&sa=D",
    lambda address: f"https://l.facebook.com/l.php?u={quote(quote(address, safe=''), safe='')}&h=x",
    lambda address: f"https://web.archive.org/web/20240101000000*/{address}",
    lambda address: f"https://www.tiktok.com/login?redirect_url={quote(address, safe='')}",
    lambda address: address.replace("&", "&amp;"),
)
DECOYS = (
    "https://www.tiktok.com/@someone",
    "https://www.tiktok.com/music/original-sound-7000000000000000077",
    "https://p16-sign-va.tiktokcdn.com/obj/7000000000000000078.jpeg",
    "https://www.douyin.com/video/7000000000000000079",
    "https://www.tiktok.com/tag/x?id=7000000000000000080",
    "https://www.tiktok.com.evil.example/@a/video/7000000000000000081",
    "https://www.tiktok.com@evil.example/@a/video/7000000000000000082",
    "6900000000000000083",
    "",
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252")


def made_links(draw: random.Random, video: str) -> str:
    wrap = draw.choice(WRAPPERS)
    return wrap(draw.choice(ADDRESSES)(video).replace("ünï", "u" if draw.random() < 0.5 else "ünï"))


def table_of(draw: random.Random, videos: list[str]) -> list[list[str]]:
    """A table with a column of links among others that hold no video's, though they look like it."""
    names = ["nr", "author_id", "music_url", draw.choice(["url", "URL ", "share_url", "Video-Link", "x"]), "caption"]
    rows = [
        [
            str(n),
            "6900000000000000001",
            draw.choice(DECOYS[:7]),
            made_links(draw, video),
            draw.choice(["", "nice", "see tiktok.com/@b"]),
        ]
        for n, video in enumerate(videos)
    ]
    return [names, *rows]


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def relations(*lines: str) -> str:
    return f"<Relationships xmlns='{PACKAGE}'>{''.join(lines)}</Relationships>"


def relation(name: str, kind: str, target: str, more: str = "") -> str:
    return f"<Relationship Id='{name}' Type='{OFFICE}/{kind}' Target={quoteattr(target)}{more}/>"


def xlsx(path: Path, sheets: dict[str, list[list[str]]], behind: bool) -> None:
    """A workbook by hand; with `behind`, links stand behind the words of their cells."""
    numbered = list(enumerate(sheets.items(), 1))
    listed = "".join(f"<sheet name='{name}' sheetId='{n}' r:id='r{n}'/>" for n, (name, _) in numbered)
    parts = {
        "[Content_Types].xml": "<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'/>",
        "_rels/.rels": relations(relation("r1", "officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f"<workbook xmlns='{MAIN}' xmlns:r='{OFFICE}'><sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": relations(
            *(relation(f"r{n}", "worksheet", f"worksheets/sheet{n}.xml") for n, _ in numbered)
        ),
    }
    for n, (_, rows) in numbered:
        lines, links, targets = [], [], []
        for row, values in enumerate(rows, 1):
            cells = dict(zip("ABCDEFGH", values, strict=False))
            if behind and row > 1 and "tiktok" in cells.get("D", ""):
                links.append(f"<hyperlink ref='D{row}' r:id='h{row}'/>")
                targets.append(relation(f"h{row}", "hyperlink", cells["D"], " TargetMode='External'"))
                cells["D"] = "clip"
            texts = (f"<c r='{at}{row}' t='inlineStr'><is><t>{escape(text)}</t></is></c>" for at, text in cells.items())
            lines.append(f"<row r='{row}'>{''.join(texts)}</row>")
        hidden = f"<hyperlinks>{''.join(links)}</hyperlinks>" if links else ""
        data = f"<sheetData>{''.join(lines)}</sheetData>{hidden}"
        parts[f"xl/worksheets/sheet{n}.xml"] = f"<worksheet xmlns='{MAIN}' xmlns:r='{OFFICE}'>{data}</worksheet>"
        parts[f"xl/worksheets/_rels/sheet{n}.xml.rels"] = relations(*targets)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)


def write_variant(folder: Path, seed: int) -> tuple[Path, list[str]]:
    """A file of ten videos in some shape, encoding and wrapping; gives it and their ids."""
    draw = random.Random(seed)
    videos = [str(draw.randrange(6_800_000_000_000_000_000, 7_600_000_000_000_000_000)) for _ in range(10)]
    kind = ("txt", "csv", "tsv", "jsonl", "ndjson", "json", "xlsx", "prose", "bare", "cells")[seed % 10]
    path = folder / f"a.{ {'prose': 'txt', 'bare': 'csv', 'cells': 'csv'}.get(kind, kind) }"
    if kind == "xlsx":
        xlsx(path, {"readme": [["About this workbook"]], "links": table_of(draw, videos)}, behind=draw.random() < 0.5)
        return path, videos
    if kind == "txt":
        lines = [made_links(draw, video) for video in videos]
        text = "\n".join(line for pair in zip(lines, draw.choices(DECOYS[:7], k=10), strict=True) for line in pair)
    elif kind == "prose":
        text = "".join(
            f"Look at {draw.choice(ADDRESSES[:4])(video)}{draw.choice([',', '.', ')', ';', '!'])} it is great\n"
            for video in videos
        )
    elif kind in ("jsonl", "ndjson", "json"):
        shapes: list[Callable[[str], object]] = [
            lambda video: {
                "author": {"id": "6900000000000000001"},
                "id": video,
                "music": {"id": "7000000000000000002"},
            },
            lambda video: {"webVideoUrl": made_links(draw, video), "text": "x", "id": int(video)},
            lambda video: {"data": {"aweme_id": video, "author": {"uid": "6900000000000000001"}}, "nr": 1},
            lambda video: {"cid": "7100000000000000003", "aweme_id": video, "user": {"uid": "6900000000000000001"}},
            lambda video: made_links(draw, video),
        ]
        records = [draw.choice(shapes)(video) for video in videos]
        text = json.dumps(records) if kind == "json" else "\n".join(json.dumps(record) for record in records)
    else:
        if kind == "bare":
            rows = [["author_id", draw.choice(["id", "video_id", "Item ID", "awemeId"])]]
            rows += [["6900000000000000001", draw.choice(["", "'"]) + video] for video in videos]
        elif kind == "cells":
            rows = [["urls"]] + [
                ["\n".join(made_links(draw, video) for video in pair)] for pair in (videos[:5], videos[5:])
            ]
        else:
            rows = table_of(draw, videos)
        written = io.StringIO()
        csv.writer(written, delimiter="\t" if kind == "tsv" else draw.choice(",;|\t")).writerows(rows)
        text = written.getvalue()
    path.write_bytes(text.encode(draw.choice(ENCODINGS), "replace"))
    return path, videos


@pytest.mark.parametrize("seed", range(200))
def test_two_hundred_variants_lose_no_id_and_make_none_up(tmp_path: Path, seed: int) -> None:
    path, videos = write_variant(tmp_path, seed)
    found = accounted(read_links(path))
    assert list(found.ids) == videos, (found, path.read_bytes()[:2000])


def test_ids_that_lost_their_last_digits_are_told_and_real_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n7300123456789010000\n7300123456789020000\n7.30012345678903E+18\n7300123456789040000.0\n")
    assert [reject.reason for reject in accounted(read_links(path)).rejects] == [ROUNDED] * 4
    path.write_text("id\n7300123456789010000\n7300123456789020001\n")
    assert len(read_links(path).ids) == 2, "one in ten thousand ends in four zeros"


def test_a_bare_number_counts_only_where_its_column_says_video(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("author_id,plays\n6900000000000000001,5\n")
    [reject] = accounted(read_links(path)).rejects
    assert "does not say that it holds ids" in reject.reason


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'id\n"=""{0}"""\n"=""{1}"""\n'),
        ("a.txt", "tiktok {0}\ntiktok {1}\n"),
        ("a.txt", "https:\\/\\/www.tiktok.com\\/@a\\/video\\/{0}\nhttps:\\/\\/www.tiktok.com\\/@a\\/video\\/{1}\n"),
        ("a.csv", "url\rhttps://www.tiktok.com/@a/video/{0}\rhttps://www.tiktok.com/@a/video/{1}\r"),
        ("a.jsonl", '{{"desc": "one\u2028two", "id": "{0}"}}\n{{"desc": "x", "id": "{1}"}}\n'),
        ("a.jsonl", '{{"itemList": [{{"id": "{0}"}}, {{"id": "{1}"}}]}}\n'),
        ("a.json", '{{"video_ids": [{0}, {1}]}}'),
        ("a.json", '{{"{0}": {{"desc": "x"}}, "{1}": {{"desc": "y"}}}}'),
    ],
)
def test_shapes_that_programs_write(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text.format(*ids(1, 2)), encoding="utf-8")
    assert read_links(path).ids == ids(1, 2)


def test_the_number_of_an_account_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "6900000000000000001", "uniqueId": "x", "nickname": "y"}\n')
    assert read_links(path).ids == ()


@given(st.text(max_size=400))
def test_no_text_breaks_the_reading(text: str) -> None:
    named = videos_in(text)
    assert all(video.isascii() and video.isdigit() for video in (*named.ids, *bare_ids_in(text)))
    assert named or named.why
