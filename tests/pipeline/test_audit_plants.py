"""Plants: something personal in every kind of file and place, each in a file of its own, and each is found there."""

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import zstandard

from csmv.pipeline.collect import ingest
from csmv.pipeline.config import DatasetConfig, FolderSource, read_config
from csmv.pipeline.privacy.audit import KNOWN_ID, KNOWN_NAME, Audit, audit
from csmv.pipeline.pseudonym import KEY_VARIABLE
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.store import Store

HANDLE, DOTTED, NAME = "lunarpost77", "kai.river9", "Vera Exa 🌸"
COMMENT_ID, ACCOUNT_ID = "7679404102228377857", "6800000000000000001"


def clean_root(folder: Path) -> Store:
    """A root that knows two handles, a name and two ids, and holds none of them outside private/."""
    source_folder = folder / "source"
    source_folder.mkdir()
    (source_folder / "v1.mp4").write_bytes(b"never decoded here")
    rows = [
        {"id": COMMENT_ID, "video": "v1", "text": f"hi @{HANDLE}", "author": DOTTED},
        {"id": "7679404102228377858", "video": "v1", "text": "nice", "author": HANDLE},
    ]
    (source_folder / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = FolderSource(path=str(source_folder))
    store = Store.create(str(folder / "root"), DatasetConfig(name="x", n_shards=1, source=source))
    ingest(store, source_of(source), read_config(store).scrub, store.key())
    user = {"uid": ACCOUNT_ID, "unique_id": HANDLE, "nickname": NAME}
    page = {"comments": [{"cid": COMMENT_ID, "text": "x", "user": user}]}
    store.write_file("private/landing/web/page.jsonl", json.dumps({"path": "/", "body": json.dumps(page)}).encode())
    return store


# ---------------------------------------------------------------------- files of every kind


def parquet(column: pa.Array, name: str = "x", metadata: dict[str, str] | None = None) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({name: column}).replace_schema_metadata(metadata), sink)
    return sink.getvalue()


def field_metadata() -> bytes:
    sink = io.BytesIO()
    inner = pa.field("inner", pa.int64(), metadata={"by": HANDLE})
    pq.write_table(pa.table({"x": pa.array([{"inner": 1}], pa.struct([inner]))}), sink)
    return sink.getvalue()


def arrow(column: pa.Array) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"x": column})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def arrow_stream() -> bytes:
    sink = io.BytesIO()
    table = pa.table({"x": pa.array([f"thanks {HANDLE}"])})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def feather() -> bytes:
    sink = io.BytesIO()
    pyarrow.feather.write_feather(pa.table({"x": [f"by {HANDLE}"] * 50}), sink, compression="lz4")
    return sink.getvalue()


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=allow_pickle)
    return sink.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.savez_compressed(sink, **arrays)
    return sink.getvalue()


def safetensors() -> bytes:
    header = {"__metadata__": {"author": HANDLE}, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"\0\0\0\0"


def zipped(name: str, data: bytes, comment: bytes = b"") -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
        archive.comment = comment
    return sink.getvalue()


def tarred(name: str, data: bytes, mode: str = "w") -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def database(value: object, table: str = "log", column: str = "said", encoding: str = "UTF-8") -> bytes:
    with sqlite3.connect(":memory:") as made:
        made.execute(f"pragma encoding = '{encoding}'")
        made.execute(f'create table "{table}" ("{column}")')
        made.execute(f'insert into "{table}" values (?)', [value])
        made.commit()
        return made.serialize()


def png(kind: bytes, content: bytes) -> bytes:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), (kind, content)]
    chunks += [(b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")]
    body = (
        struct.pack(">I4s", len(data), name) + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def pdf(info: bytes, stream: bytes = b"") -> bytes:
    packed = zlib.compress(stream)
    return (
        b"%%PDF-1.4\n1 0 obj << /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream endobj\n"
        b"2 0 obj << /Author %s >> endobj\ntrailer << /Info 2 0 R >>\n%%%%EOF" % (len(packed), packed, info)
    )


def page(body: str) -> bytes:
    return f"<!doctype html><html><body>{body}</body></html>".encode()


def twice(text: str) -> str:
    return "".join(f"%25{byte:02x}" for byte in text.encode())


STRUCT = pa.array([{"who": {"name": HANDLE}, "n": 1}])
MAP = pa.array([[("k", HANDLE)]], pa.map_(pa.string(), pa.string()))
MAP_KEYS = pa.array([[(HANDLE, 1)]], pa.map_(pa.string(), pa.int64()))
NESTED = pa.array([[{"a": [{"b": [HANDLE]}]}]])
BINARY = pa.array([HANDLE.encode()], pa.binary())
PACKED = pa.array([gzip.compress(f"by {HANDLE}".encode(), mtime=0)], pa.large_binary())
UNUSED_IN_DICTIONARY = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array(["a", HANDLE]))
STRUCTURED = np.array([(1, HANDLE)], dtype=[("n", "i8"), ("who", "U20")])

PLANTS: dict[str, tuple[str, Callable[[], bytes] | bytes, str]] = {
    # Tables.
    "a column of text": ("comments/x.parquet", lambda: parquet(pa.array([f"hi {HANDLE}"]), "text"), KNOWN_NAME),
    "a struct": ("a/x.parquet", lambda: parquet(STRUCT), KNOWN_NAME),
    "a map": ("a/x.parquet", lambda: parquet(MAP), KNOWN_NAME),
    "a map's keys": ("a/x.parquet", lambda: parquet(MAP_KEYS), KNOWN_NAME),
    "lists of structs of lists": ("a/x.parquet", lambda: parquet(NESTED), KNOWN_NAME),
    "a fixed list": ("a/x.parquet", lambda: parquet(pa.array([[HANDLE]], pa.list_(pa.string(), 1))), KNOWN_NAME),
    "a dictionary": ("a/x.parquet", lambda: parquet(pa.array([HANDLE] * 9).dictionary_encode()), KNOWN_NAME),
    "bytes": ("a/x.parquet", lambda: parquet(BINARY), KNOWN_NAME),
    "bytes of a fixed size": (
        "a/x.parquet",
        lambda: parquet(pa.array([HANDLE.encode()], pa.binary(len(HANDLE)))),
        KNOWN_NAME,
    ),
    "packed bytes": ("a/x.parquet", lambda: parquet(PACKED), KNOWN_NAME),
    "a large string": ("a/x.parquet", lambda: parquet(pa.array([HANDLE], pa.large_string())), KNOWN_NAME),
    "an id as a number": ("a/x.parquet", lambda: parquet(pa.array([int(ACCOUNT_ID)])), KNOWN_ID),
    "an id in a list of numbers": ("a/x.parquet", lambda: parquet(pa.array([[int(COMMENT_ID)]])), KNOWN_ID),
    "a column's name": ("a/x.parquet", lambda: parquet(pa.array([1]), f"votes_{HANDLE}"), KNOWN_NAME),
    "a nested column's name": ("a/x.parquet", lambda: parquet(pa.array([{HANDLE: 1.5}])), KNOWN_NAME),
    "a table's metadata": ("a/x.parquet", lambda: parquet(pa.array([1]), metadata={"by": NAME}), KNOWN_NAME),
    "a nested field's metadata": ("a/x.parquet", field_metadata, KNOWN_NAME),
    "JSON in metadata": (
        "a/x.parquet",
        lambda: parquet(pa.array([1]), metadata={"who": json.dumps({"id": int(ACCOUNT_ID)})}),
        KNOWN_ID,
    ),
    "a mail address in a struct": ("a/x.parquet", lambda: parquet(pa.array([{"m": "a.person@gmail.com"}])), "EMAIL"),
    "a phone number in bytes": ("a/x.parquet", lambda: parquet(pa.array([b"call +44 7911 123456"])), "PHONE"),
    "an id with a handle": ("a/x.parquet", lambda: parquet(pa.array([f"{HANDLE}_x"]), "video_id"), KNOWN_NAME),
    "a mention where an id should be": (
        "a/x.parquet",
        lambda: parquet(pa.array(["@someone_else"]), "comment_id"),
        "USERNAME",
    ),
    "a profile as a video's address": (
        "a/x.parquet",
        lambda: parquet(pa.array(["https://www.tiktok.com/@someone/video/1"]), "url"),
        "URL",
    ),
    # Arrays.
    "an Arrow file": ("a/x.arrow", lambda: arrow(STRUCT), KNOWN_NAME),
    "a value no row has": ("a/x.arrow", lambda: arrow(UNUSED_IN_DICTIONARY), KNOWN_NAME),
    "a packed Arrow stream": ("a/x.arrows", arrow_stream, KNOWN_NAME),
    "a feather file": ("a/x.feather", feather, KNOWN_NAME),
    "strings of numpy": ("a/x.npy", lambda: npy(np.array(["a", HANDLE])), KNOWN_NAME),
    "bytes of numpy": ("a/x.npy", lambda: npy(np.array([HANDLE.encode()])), KNOWN_NAME),
    "numbers of numpy": ("a/x.npy", lambda: npy(np.array([[int(ACCOUNT_ID)]])), KNOWN_ID),
    "records of numpy": ("a/x.npy", lambda: npy(STRUCTURED), KNOWN_NAME),
    "names of fields of numpy": ("a/x.npy", lambda: npy(np.zeros(1, dtype=[(HANDLE, "f4")])), KNOWN_NAME),
    "objects of numpy": (
        "a/x.npy",
        lambda: npy(np.array([{"who": HANDLE}], dtype=object), allow_pickle=True),
        KNOWN_NAME,
    ),
    "values in npz": ("a/x.npz", lambda: npz(who=np.array([HANDLE])), KNOWN_NAME),
    "a member of npz": ("a/x.npz", lambda: npz(**{f"{HANDLE}_1": np.zeros(2)}), KNOWN_NAME),
    "a pickle": ("a/x.pkl", lambda: pickle.dumps({"who": HANDLE}), KNOWN_NAME),
    "a header of safetensors": ("a/x.safetensors", safetensors, KNOWN_NAME),
    # Databases.
    "a database's text": ("a/x.db", lambda: database(f"hello {HANDLE}"), KNOWN_NAME),
    "a database's blob": ("a/x.db", lambda: database(gzip.compress(HANDLE.encode(), mtime=0)), KNOWN_NAME),
    "a database's JSON": ("a/x.db", lambda: database('{"a": "mail a.person\\u0040gmail.com"}'), "EMAIL"),
    "a database's number": ("a/x.db", lambda: database(int(ACCOUNT_ID)), KNOWN_ID),
    "a database's column": ("a/x.db", lambda: database(1, column=f"of {HANDLE}"), KNOWN_NAME),
    "a wide database": ("a/x.db", lambda: database(f"für {HANDLE}", encoding="UTF-16le"), KNOWN_NAME),
    # Texts.
    "UTF-8 with a mark": ("a/x.txt", b"\xef\xbb\xbf" + HANDLE.encode(), KNOWN_NAME),
    "UTF-16 with a mark": ("a/x.txt", f"thanks {NAME}".encode("utf-16"), KNOWN_NAME),
    "UTF-16, big end first": ("a/x.txt", b"\xfe\xff" + f"thanks {HANDLE}".encode("utf-16-be"), KNOWN_NAME),
    "UTF-16 without a mark": ("a/x.csv", f"name,n\n{HANDLE},1\n".encode("utf-16-le"), KNOWN_NAME),
    "UTF-32": ("a/x.txt", f"thanks {HANDLE}".encode("utf-32"), KNOWN_NAME),
    "Latin-1": ("a/x.txt", f"né à {HANDLE}".encode("latin-1"), KNOWN_NAME),
    "UTF-16 in bytes": ("a/x.bin", b"\0\1\2" * 30 + HANDLE.encode("utf-16-le") + b"\xff\0\1" * 30, KNOWN_NAME),
    "JSON in UTF-16": ("a/x.json", json.dumps({"who": HANDLE}).encode("utf-16"), KNOWN_NAME),
    "a key of JSON": ("a/x.json", json.dumps({f"by {HANDLE}": 1}).encode(), KNOWN_NAME),
    "a key that stands twice": ("a/x.json", f'{{"a": "{HANDLE}", "a": 1}}'.encode(), KNOWN_NAME),
    "JSON in JSON": ("a/x.json", json.dumps({"a": json.dumps({"m": "a.person\u0040gmail.com"})}).encode(), "EMAIL"),
    "escapes of JSON": ("a/x.log", b'got {"m": "a.person\\u0040gmail.com"} back', "EMAIL"),
    "escapes in an id": ("a/x.log", b"got \\u006cunarpost\\u00377 back", KNOWN_NAME),
    # Pages.
    "an attribute": ("a/x.html", page(f'<b title="by {HANDLE}">x</b>'), KNOWN_NAME),
    "a mail link": ("a/x.html", page('<a href="mailto:a.person%40gmail.com">x</a>'), "EMAIL"),
    "a profile link": ("a/x.html", page('<a href="https://www.tiktok.com/@someone.else">x</a>'), "URL"),
    "a data attribute": ("a/x.html", page('<b data-by="@someone_else">x</b>'), "USERNAME"),
    "a picture's text": ("a/x.html", page('<img alt="call +44 7911 123456">'), "PHONE"),
    "a comment": ("a/x.html", page("<!-- ask a.person@gmail.com -->"), "EMAIL"),
    "a script": ("a/x.html", page('<script>let m = "a.person@gmail.com";</script>'), "EMAIL"),
    "JSON in a script": (
        "a/x.html",
        page('<script type="application/json">{"m": "a.person\\u0040gmail.com"}</script>'),
        "EMAIL",
    ),
    "decimal entities": ("a/x.html", page("".join(f"&#{ord(char)};" for char in HANDLE)), KNOWN_NAME),
    "entities in an attribute": ("a/x.html", page('<b title="a.person&#64;gmail.com">x</b>'), "EMAIL"),
    "a name in two elements": ("a/x.html", page(f"{HANDLE[:4]}<b>{HANDLE[4:]}</b>"), KNOWN_NAME),
    "a data address": (
        "a/x.html",
        page(f'<img src="data:image/svg+xml;base64,{base64.b64encode(f"<svg>{HANDLE}</svg>".encode()).decode()}">'),
        KNOWN_NAME,
    ),
    # Encodings.
    "percent": ("a/x.txt", b"see %40lunarpost%37%37 there", KNOWN_NAME),
    "percent twice": ("a/x.txt", f"see {twice('a.person@gmail.com')} there".encode(), "EMAIL"),
    "percent and entities": ("a/x.txt", b"see a.person%26%2364%3Bgmail.com there", "EMAIL"),
    "base64": ("a/x.txt", b"token " + base64.b64encode(f"user:{HANDLE}".encode()), KNOWN_NAME),
    # Names of files.
    "a file's name": (f"a/{HANDLE}_1.mp4", b"", KNOWN_NAME),
    "a folder's name": (f"a/of-{HANDLE}/x.txt", b"", KNOWN_NAME),
    "a dotted handle with other joints": ("a/clip-kai_river9_02.txt", b"", KNOWN_NAME),
    "a handle before digits": (f"a/x{'_' + HANDLE}0005.txt", b"", KNOWN_NAME),
    "a name with hyphens": ("a/by-vera-exa-2.txt", b"", KNOWN_NAME),
    "a percent sign in a name": ("a/a.person%40gmail.com.txt", b"", "EMAIL"),
    "a mention as a name": ("a/@someone_else.txt", b"", "USERNAME"),
    "an id in a name": (f"a/comment_{COMMENT_ID}_x.txt", b"", KNOWN_ID),
    # Archives.
    "a member": ("a/x.zip", lambda: zipped("x.txt", f"by {HANDLE}".encode()), KNOWN_NAME),
    "a member's name": ("a/x.zip", lambda: zipped(f"of/{HANDLE}.txt", b""), KNOWN_NAME),
    "an archive's comment": ("a/x.zip", lambda: zipped("x", b"", f"by {HANDLE}".encode()), KNOWN_NAME),
    "an archive in an archive": ("a/x.zip", lambda: zipped("y.zip", zipped("x", HANDLE.encode())), KNOWN_NAME),
    "tar": ("a/x.tar", lambda: tarred("x", f"by {HANDLE}".encode()), KNOWN_NAME),
    "a member's name in tar": ("a/x.tar", lambda: tarred(f"{HANDLE}_2.txt", b""), KNOWN_NAME),
    "a packed tar": ("a/x.tar.gz", lambda: tarred("x.txt", HANDLE.encode(), "w:gz"), KNOWN_NAME),
    "gzip": ("a/x.txt.gz", gzip.compress(f"by {HANDLE}".encode()), KNOWN_NAME),
    "two frames of zstd": (
        "a/x.txt.zst",
        zstandard.ZstdCompressor().compress(b"x\n") + zstandard.ZstdCompressor().compress(f"by {HANDLE}".encode()),
        KNOWN_NAME,
    ),
    "bzip2": ("a/x.txt.bz2", bz2.compress(f"by {HANDLE}".encode()), KNOWN_NAME),
    "xz": ("a/x.txt.xz", lzma.compress(f"by {HANDLE}".encode()), KNOWN_NAME),
    # Pictures and documents.
    "a picture's chunk": ("a/x.png", lambda: png(b"tEXt", b"Author\0" + HANDLE.encode()), KNOWN_NAME),
    "a picture's packed chunk": (
        "a/x.png",
        lambda: png(b"zTXt", b"Author\0\0" + zlib.compress(f"by {HANDLE}, a.person@gmail.com".encode())),
        "EMAIL",
    ),
    "a document's author": ("a/x.pdf", lambda: pdf(f"({HANDLE})".encode()), KNOWN_NAME),
    "a document's wide author": (
        "a/x.pdf",
        lambda: pdf(b"(\xfe\xff" + HANDLE.encode("utf-16-be") + b")"),
        KNOWN_NAME,
    ),
    "a document's author in digits": (
        "a/x.pdf",
        lambda: pdf(b"<FEFF" + HANDLE.encode("utf-16-be").hex().encode() + b">"),
        KNOWN_NAME,
    ),
    "a document's packed text": ("a/x.pdf", lambda: pdf(b"()", b"BT [(lunar) -20 (post77)] TJ ET"), KNOWN_NAME),
    "a log beside a film": ("a/x.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0" + b"\x01\x02" * 50 + HANDLE.encode(), KNOWN_NAME),
}


def data_of(plant: str) -> bytes:
    data = PLANTS[plant][1]
    return data if isinstance(data, bytes) else data()


def file_of(number: int, plant: str) -> str:
    return f"planted/{number}/{PLANTS[plant][0]}"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(KEY_VARIABLE, raising=False)
        root = clean_root(tmp_path_factory.mktemp("plants"))
        assert audit(root).hits == ()
        for number, plant in enumerate(PLANTS):
            root.write_file(file_of(number, plant), data_of(plant))
        return audit(root)


@pytest.mark.parametrize("plant", PLANTS)
def test_every_plant_is_found(searched: Audit, plant: str) -> None:
    folder = file_of(list(PLANTS).index(plant), plant).split("a/")[0]
    kinds = {hit.kind for hit in searched.hits if hit.file.startswith(folder)}
    assert PLANTS[plant][2] in kinds


def test_what_is_found_is_not_told(searched: Audit) -> None:
    places = " ".join(hit.place for hit in searched.hits)
    assert not any(name in places for name in (HANDLE, DOTTED, "Vera", "gmail.com", COMMENT_ID, ACCOUNT_ID))


def test_all_plants_could_be_opened(searched: Audit) -> None:
    assert searched.unread == ()
