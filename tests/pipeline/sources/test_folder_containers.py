"""A folder's videos may be of every container that extraction takes, by whatever name it goes."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from csmv.extractors.containers import VIDEO_SUFFIXES
from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.store import Store

KINDS = {
    ".mp4": ("mp4", "mpeg4"),
    ".qt": ("mov", "mpeg4"),
    ".MKV": ("matroska", "mpeg4"),
    ".avi": ("avi", "mpeg4"),
    ".3gp": ("3gp", "mpeg4"),
    ".flv": ("flv", "flv"),
    ".ts": ("mpegts", "mpeg2video"),
    ".mpg": ("mpeg", "mpeg2video"),
    ".wmv": ("asf", "wmv2"),
    ".gif": ("gif", "gif"),
    ".h264": ("h264", "libx264"),
    ".mjpg": ("mjpeg", "mjpeg"),
    ".nut": ("nut", "mpeg4"),
    ".ivf": ("ivf", "libvpx"),
    ".m2v": ("mpeg2video", "mpeg2video"),
}
"""Suffix -> format and codec."""


def write(path: Path, form: str, codec: str) -> None:
    with av.open(str(path), "w", format=form) as out:
        picture: Any = out.add_stream(codec, rate=25)
        picture.width, picture.height = 64, 48
        picture.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 8, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(picture.encode(frame.reformat(format=picture.pix_fmt)))
        out.mux(picture.encode(None))


def test_each_becomes_a_video_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSMV_PSEUDONYM_KEY", "one key for all roots of these tests")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "comments.jsonl").write_text("")
    for suffix, (form, codec) in KINDS.items():
        write(folder / f"v{suffix.strip('.').lower()}{suffix}", form, codec)
        assert suffix.lower() in VIDEO_SUFFIXES
    Store.create(str(tmp_path / "root"), DatasetConfig(name="t", n_shards=1, source=FolderSource(path=str(folder))))
    dataset = Dataset.open(str(tmp_path / "root"))
    for stage in ("collect", "tables", "media"):
        dataset.run(stage)
    rows = dataset.store.read_all("videos").to_pylist()
    assert {row["video_id"] for row in rows} == {f"v{suffix.strip('.').lower()}" for suffix in KINDS}
    assert {row["video_id"]: row["media_status"] for row in rows} == dict.fromkeys(
        (row["video_id"] for row in rows), "ok"
    )
    assert {row["width"] for row in rows} == {64}
