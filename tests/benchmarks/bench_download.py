"""How much faster the media stage is than yt-dlp's command line run one by one, on the same videos, in one run.

The whole size is CSMV_BENCHMARK_VIDEOS=200, of which the command line alone takes several minutes.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from csmv.pipeline.config import DatasetConfig, read_config
from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
from csmv.pipeline.media.media_settings import MediaSettings
from csmv.pipeline.media.media_shard import media_shard
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import VIDEOS
from csmv.pipeline.sources.base import Reach
from csmv.pipeline.sources.collect_settings import Connection, Manners, WebSource
from csmv.pipeline.sources.polite import format_selector
from csmv.pipeline.sources.registry import source_of
from csmv.pipeline.sources.video_links import canonical_url
from csmv.pipeline.store import Store

VIDEOS_FETCHED = int(os.environ.get("CSMV_BENCHMARK_VIDEOS", "20"))
LATENCY_S = 0.15
AT_LEAST = 4.0


def main() -> None:
    """Fetch the same videos both ways, compare the files, print the ratio."""
    settings = SandboxSettings(hashtags=1, videos=VIDEOS_FETCHED, comments=0, media_s=1.0, latency_s=LATENCY_S)
    with tempfile.TemporaryDirectory(prefix="csmv-bench-") as folder, Sandbox(settings) as sandbox:
        videos = list(sandbox.world.videos)
        by_us, seconds = fetched_by_us(sandbox, videos, Path(folder) / "root")
        by_cli, seconds_cli = fetched_by_the_command_line(sandbox, videos, Path(folder) / "cli")
    if by_us != by_cli or len(by_us) != len(videos):
        sys.exit("the two ways did not bring the same files")
    times = seconds_cli / seconds
    print(f"{len(videos)} videos: {seconds:.1f} s, yt-dlp one by one {seconds_cli:.1f} s: {times:.1f} times faster")
    if times < AT_LEAST:
        sys.exit(f"at least {AT_LEAST:.0f} times was expected")


def fetched_by_us(sandbox: Sandbox, videos: list[str], root: Path) -> tuple[dict[str, str], float]:
    """SHA-256 of each file, and the seconds that all took."""
    store = Store.create(str(root), DatasetConfig(name="benchmark", n_shards=1, source=WebSource(hashtags=("x",))))
    rows = [
        {"video_id": video, "url": canonical_url(video), "hashtags": [], "media_status": "pending"} for video in videos
    ]
    store.write("videos", 0, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    connection = Connection(proxy=sandbox.proxy, ca_file=sandbox.ca_file)
    asked = MediaSettings(at_once=8, manners=Manners(interval_s=0))
    began = time.perf_counter()
    report = media_shard(store, 0, source_of(read_config(store).source), asked, Reach(connection))
    seconds = time.perf_counter() - began
    assert (report.done, report.reasons) == (len(videos), {})
    return {video: digest(Path(store.path(media_path(0, video)))) for video in videos}, seconds


def fetched_by_the_command_line(sandbox: Sandbox, videos: list[str], folder: Path) -> tuple[dict[str, str], float]:
    """The same with yt-dlp as a person runs it, choosing the same rendition."""
    selector, order = format_selector(256)
    common = [sys.executable, "-m", "yt_dlp", "--ignore-config", "--no-cache-dir", "--quiet", "--no-warnings"]
    common += ["--proxy", sandbox.proxy, "--no-check-certificates", "--format", selector]
    common += ["--format-sort", ",".join(order), "--format-sort-force", "--output", str(folder / "%(id)s.mp4")]
    began = time.perf_counter()
    for video in videos:
        subprocess.run([*common, canonical_url(video)], check=True)
    seconds = time.perf_counter() - began
    return {video: digest(folder / f"{video}.mp4") for video in videos}, seconds


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
