"""What is foreseeable is said in a sentence: each failure here is a real one, of the real library or system call."""

import errno
import json
import os
import resource
import socket
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from csmv.pipeline.errors import CsmvError, how_to_install, naming, parsed_json, sentence_for, shown
from csmv.pipeline.store import Store

PHONE = "+1 212 555 0123"
NOBODY = 65534


def sentence_of(do: Callable[[], object], where: str = "") -> str:
    """The sentence for what `do` raises; holds to the form that all sentences have."""
    with pytest.raises(Exception) as raised:
        do()
    sentence = sentence_for(raised.value, where)
    assert sentence is not None, repr(raised.value)
    assert "\n" not in sentence and sentence.endswith(".")
    assert sentence[0].isupper() or sentence[0] == "'"
    assert PHONE not in sentence
    return sentence


def as_nobody(script: str, *arguments: object) -> str:
    """Run Python as a user without rights, as the tests may run as root; gives what it printed."""
    become_nobody = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    program = "import os, sys; from csmv.pipeline.errors import sentence_for\n" + become_nobody + script
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# ---------------------------------------------------------------------- disks


def test_a_full_disk() -> None:
    def write() -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    assert "The disk is full" in sentence_of(write)
    assert "'/data/root'" in sentence_of(write, "/data/root")


def test_a_full_disk_below_parquet() -> None:
    table = pa.table({"text": ["x" * 100_000]})

    def write() -> None:
        # An open file and no path: Arrow removes the path that it could not write to, and that would be the device.
        with Path("/dev/full").open("wb", buffering=0) as file:
            pq.write_table(table, file, compression="none")

    assert "The disk is full" in sentence_of(write)
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_file_that_may_not_grow_any_more_is_like_a_full_disk(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        sentence = sentence_of(lambda: store.write_file("big", b"x" * 5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "The disk is full" in sentence and "ulimit -f" in sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_refused_permission(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir(mode=0o700)
    script = "try: open(sys.argv[1], 'wb')\nexcept OSError as error: print(sentence_for(error))"
    for folder in (tmp_path, *tmp_path.parents):  # pytest's own folders let nobody in
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith("pytest"):
            folder.chmod(0o755)

    said = as_nobody(script, tmp_path / "root" / "x")

    assert said.startswith(f"Permission was refused for '{tmp_path}/root/x': give the user")


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "0000.parquet").mkdir()

    assert f"'{tmp_path}/0000.parquet' is a folder" in sentence_of((tmp_path / "0000.parquet").read_bytes)


def test_a_folder_where_a_shard_is_to_be_written(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (tmp_path / "videos" / "0000.parquet").mkdir(parents=True)

    sentence = sentence_of(lambda: store.write_file("videos/0000.parquet", b"x"))

    assert f"'{tmp_path}/videos/0000.parquet' is a folder" in sentence


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "videos").write_text("x")

    sentence = sentence_of(lambda: Store(str(tmp_path)).write_file("videos/0000.parquet", b"x"))

    assert str(tmp_path / "videos") in sentence and "move it away" in sentence


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "was expected and is not there" in sentence_of((tmp_path / "none").read_bytes)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE])
def test_what_no_test_can_bring_about_without_a_disk_of_its_own(number: int) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), "/data/root/x")

    assert ("'/data/root/x'" in sentence_of(fail)) == (number != errno.EMFILE)


# ---------------------------------------------------------------------- damaged files


def test_damaged_json() -> None:
    sentence = sentence_of(lambda: json.loads(f'{{"text": "{PHONE}"'), "models/x/run.json")

    assert sentence.startswith("'models/x/run.json' is damaged or no JSON (line 1, column")


def test_damaged_yaml() -> None:
    assert "no YAML (line 2)" in sentence_of(lambda: yaml.safe_load(f"a: [1,\nb: {PHONE}: c"), "dataset.yaml")


def test_text_that_is_no_utf_8() -> None:
    data = f"name: {PHONE}é".encode("latin-1")

    assert sentence_of(data.decode, "dataset.yaml").startswith(
        f"'dataset.yaml' is no UTF-8 text (at byte {len(data) - 1})"
    )


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "links.xlsx"
    path.write_bytes(b"PK\x03\x04" + PHONE.encode())

    assert "is no whole zip file" in sentence_of(lambda: zipfile.ZipFile(path), str(path))


def test_damaged_weights(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    whole = tmp_path / "whole.safetensors"
    save_file({"a": torch.zeros(100)}, whole)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole.read_bytes()[:200])
    torch.save({"a": torch.zeros(100)}, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:700])
    (tmp_path / "other.pt").write_bytes(b"<html>not found</html>")

    assert "is no whole safetensors file" in sentence_of(lambda: load_file(cut), "cut.safetensors")
    for name in ("cut.pt", "other.pt"):
        assert f"'{name}' is no" in sentence_of(lambda name=name: torch.load(tmp_path / name), name)  # type: ignore[misc]


def test_wrong_columns_and_a_damaged_table(tmp_path: Path) -> None:
    table = pa.table({"text": [PHONE]})

    for cast in (
        lambda: table.cast(pa.schema([("text", pa.int64())])),
        lambda: table.cast(pa.schema([("text", pa.list_(pa.int64()))])),
        lambda: pa.array([PHONE, 1]),
        lambda: table.group_by("other").aggregate([]),
    ):
        assert "'comments/0000.parquet'" in sentence_of(cast, "comments/0000.parquet")
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + PHONE.encode() + b"PAR1")
    assert "is no whole Parquet file" in sentence_of(lambda: pq.read_table(tmp_path / "x.parquet"), "x.parquet")


def test_a_block_can_name_the_file_that_it_reads() -> None:
    def read() -> None:
        with naming("private/landing/quota.json"):
            json.loads("{")

    assert sentence_of(read, "/data/root").startswith("'private/landing/quota.json' is damaged")


def test_json_that_is_read_with_its_name() -> None:
    assert parsed_json(b'{"a": 1}', "x.json") == {"a": 1}
    for data in (f'{{"{PHONE}'.encode(), b"\xff\xff"):
        with pytest.raises(CsmvError, match=r"^'x\.json' is") as raised:
            parsed_json(data, "x.json")
        assert raised.value.__context__ is None, "the library's exception quotes the file"


# ---------------------------------------------------------------------- networks, chains and what is unexpected


def test_a_server_that_is_not_there() -> None:
    import httpx

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://user:geheim@127.0.0.1:{probe.getsockname()[1]}/x?token=geheim"

    sentence = sentence_of(lambda: httpx.get(url))

    assert "could not be reached" in sentence and "127.0.0.1" in sentence
    assert "geheim" not in sentence


def test_the_cause_counts_and_what_merely_happened_before_does_not() -> None:
    def wrapped() -> None:
        try:
            raise PermissionError(errno.EACCES, "refused", "/data/x")
        except OSError as error:
            raise RuntimeError(PHONE) from error

    def beside() -> None:
        try:
            raise FileNotFoundError(errno.ENOENT, "none", "/data/x")
        except OSError:
            raise KeyError(PHONE)  # noqa: B904 - that it has a context is what is tested

    assert "Permission was refused for '/data/x'" in sentence_of(wrapped)
    with pytest.raises(KeyError) as raised:
        beside()
    assert sentence_for(raised.value) is None


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), KeyError("x"), ValueError(PHONE), RuntimeError(PHONE)])
def test_a_fault_of_ours_is_no_foreseeable_failure(error: Exception) -> None:
    assert sentence_for(error) is None


def test_a_group_of_errors_is_as_foreseeable_as_what_is_in_it() -> None:
    group = ExceptionGroup("several", [OSError(errno.ENOSPC, "full", "/data/x")])

    assert "The disk is full at '/data/x'" in (sentence_for(group) or "")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/data/a@b:c", "/data/a@b:c"),
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("s3://key:secret@host/bucket", "s3://host/bucket"),
        ("s3://key@bucket/x", "s3://bucket/x"),
        ("s3://AKIA:sec/r+et@host/bucket", "s3://host/bucket"),
        ("s3://key:se@cr@host/bucket", "s3://host/bucket"),
        ("http://host:4200/a@b", "http://host:4200/a@b"),
        (
            "https://host/x?user=a&X-Amz-Signature=abc&password=p#end",
            "https://host/x?user=a&X-Amz-Signature=...&password=...#end",
        ),
        ("simplecache::s3://key:secret@host/bucket", "simplecache::s3://host/bucket"),
        ("The root 'sftp://me:pw@host/x' is not there.", "The root 'sftp://host/x' is not there."),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, expected: str) -> None:
    assert shown(address) == expected


def test_errors_import_nothing_but_the_standard_library() -> None:
    script = (
        "import sys; import csmv.pipeline.errors; "
        "print(sorted({'pyarrow', 'fsspec', 'yaml', 'torch'} & set(sys.modules)))"
    )

    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("module", "extras"),
    [
        ("presidio_analyzer", ["scrub"]),
        ("sklearn", ["train"]),
        ("PIL", ["extract", "train", "zeroshot"]),
        ("prefect", ["flows"]),
        ("s3fs", ["s3"]),
        ("pyarrow", []),
        ("nothing_of_the_kind", []),
    ],
)
def test_a_missing_module_is_named_with_the_extra_that_brings_it(module: str, extras: list[str]) -> None:
    command = " or ".join(f"`pip install 'csmv[{extra}]'`" for extra in extras)
    assert how_to_install(module) == command
    said = sentence_for(ModuleNotFoundError(f"No module named '{module}'", name=f"{module}.inner"))
    assert said == (f"This needs '{module}', which is not installed here: {command} brings it." if extras else None)
