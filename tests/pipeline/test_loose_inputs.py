"""Which files `csmv features` takes of files, folders and lists, and the keys that their features go under."""

import os
from pathlib import Path

import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.loose_inputs import (
    HIDDEN,
    NO_VIDEOS,
    NOT_A_FILE,
    NOT_MEDIA,
    NOT_THERE,
    LooseFile,
    find,
    keys_of,
    text_of,
)


def touch(folder: Path, *names: str | bytes) -> list[Path]:
    paths = [Path(os.fsdecode(os.path.join(os.fsencode(folder), os.fsencode(name)))) for name in names]  # noqa: PTH118
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths


def keys(files: list[LooseFile]) -> list[str]:
    return keys_of(files, {}, lambda _key, _file: False)


def test_a_folder_gives_every_container_below_it_in_order_and_counts_the_rest(tmp_path: Path) -> None:
    touch(tmp_path, "b.TS", "a/z.flv", "a/c.mp4", ".hidden.mp4", ".git/x.mp4", "notes.txt", "song.wav", "c.mkv")
    found = find([tmp_path])
    assert [str(file.path.relative_to(tmp_path)) for file in found.files] == ["a/c.mp4", "a/z.flv", "b.TS", "c.mkv"]
    assert found.left_out == {HIDDEN: 2, NOT_MEDIA: 2}
    assert len(find([tmp_path], with_sound=True).files) == 5


def test_a_wrong_path_costs_itself(tmp_path: Path) -> None:
    (good,) = touch(tmp_path, "good.mp4")
    empty = tmp_path / "empty"
    empty.mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "broken.mp4").symlink_to("nowhere")
    wrong = {
        tmp_path / "gone.mp4": NOT_THERE,
        good / "below.mp4": NOT_THERE,
        tmp_path / ("n" * 300): "unreadable",
        tmp_path / "pipe.mp4": NOT_A_FILE,
        tmp_path / "broken.mp4": NOT_THERE,
        empty: NO_VIDEOS,
    }
    found = find([*wrong, good])
    assert [file.path for file in found.files] == [good]
    assert {path: reason for path, (reason, _) in found.wrong.items()} == {str(k): v for k, v in wrong.items()}


def test_a_list_is_one_path_a_line_and_what_is_given_twice_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "one.mp4", "sub/two.mp4", b"caf\xe9.mp4", " spaced .mp4")
    monkeypatch.chdir(tmp_path)
    paths = tmp_path / "list.txt"
    paths.write_bytes(b"\xef\xbb\xbfone.mp4\r\n\nsub\ncaf\xe9.mp4\n spaced .mp4\nsub/../one.mp4")
    found = find([Path("sub/two.mp4")], [paths])
    assert [os.fsencode(file.path) for file in found.files] == [
        b"sub/two.mp4",
        b"one.mp4",
        b"caf\xe9.mp4",
        b" spaced .mp4",
    ]
    assert found.repeated == ["sub/two.mp4", "sub/../one.mp4"]
    with pytest.raises(CsmvError, match=r"gone\.txt' is not there: it should hold one path a line"):
        find([], [Path("gone.txt")])


def test_links_are_files_of_their_own_and_a_circle_of_folders_ends(tmp_path: Path) -> None:
    touch(tmp_path, "real/one.mp4")
    (tmp_path / "real" / "again").symlink_to(tmp_path / "real")
    (tmp_path / "alias.mp4").symlink_to("real/one.mp4")
    (tmp_path / "other").symlink_to("real")
    found = find([tmp_path])
    assert keys(found.files) == ["alias", "other/one"]
    assert found.repeated == [str(tmp_path / "real/one.mp4")]


def test_keys_are_short_where_they_can_be_and_never_the_same(tmp_path: Path) -> None:
    names: list[str | bytes] = ["file.mp4", "a:b.mp4", "Case.mp4", "case.mp4", "x.mp4", "x.npy.mp4", "x.start.mp4"]
    names += [
        b"caf\xe9.mp4",
        "caf%E9.mp4",
        "new\nline.mp4",
        "back\\slash.mp4",
        "\u00e9.mp4",
        "e\u0301.mp4",
        "l" * 240 + ".mp4",
    ]
    names += ["same.mp4", "same.mov", "one/clip.mp4", "two/clip.mp4", "x/start.mp4"]
    touch(tmp_path, *names)
    files = find([tmp_path]).files
    given = keys(files)
    assert len(set(given)) == len(names)
    for key in given:
        key.encode()
        assert not set(key) & {"\n", "\\"}
        assert max(len(part.encode()) for part in key.split("/")) <= 200
    by_name = dict(zip((text_of(file.path.relative_to(tmp_path)) for file in files), given, strict=True))
    assert by_name["file.mp4"] == "file"
    assert by_name["a:b.mp4"] == "a:b"
    assert by_name["one/clip.mp4"] == "one/clip"
    assert {by_name["same.mp4"], by_name["same.mov"]} == {"same.mp4", "same.mov"}
    assert {by_name["Case.mp4"], by_name["case.mp4"]} != {"Case", "case"}
    alone = find([tmp_path / "one/clip.mp4", tmp_path / "two/clip.mp4", tmp_path / "same.mov"]).files
    whole = str(tmp_path).lstrip("/")
    assert keys(alone) == [f"{whole}/one/clip.mp4", f"{whole}/two/clip.mp4", "same"]


def test_a_key_stays_when_a_file_of_its_name_comes(tmp_path: Path) -> None:
    one, two = (LooseFile(path, (path.name,)) for path in touch(tmp_path, "a/clip.mp4", "b/clip.mov"))
    assert keys_of([one, two], {one.identity: "clip"}, lambda _key, _file: False) == ["clip", "clip.mov"]
    assert keys_of([two], {one.identity: "clip"}, lambda _key, _file: False) == ["clip.mov"]
    assert keys_of([two], {one.identity: "clip"}, lambda _key, _file: True) == ["clip"]
