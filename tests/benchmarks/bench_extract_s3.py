"""Features of small videos on an S3 store far away against a local root: moto's server behind a proxy that delays.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_extract_s3.py [--videos 64] [--latency 50] [--extractor r2plus1d_18]

Every answer comes `--latency` milliseconds after it was given, and so does the first of a new connection, as over a
line of that round trip; what is under way is not slowed, so that bandwidth is no part of it. Both roots have the same
videos in one shard. Local and remote take turns, after two videos to warm up, and the least time of each counts.
Asked: at most 1.3 times the local time. The bytes of the features are compared, too.
"""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "pipeline"))
sys.path.insert(0, str(Path(__file__).parent))

import boto3
from bench_decode import portrait
from counted_s3 import CountedS3

from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.feature_config import FeatureConfig
from csmv.pipeline.features import extract_shard
from csmv.pipeline.manifest import table_file
from csmv.pipeline.root import media_path
from csmv.pipeline.store import Store

ASKED = 1.3


class DelayingProxy:
    """A TCP proxy on loopback to `port`; what the server sends is handed on `seconds` later.

    A connection's first answer comes twice as late, since opening one takes a round trip of its own.
    """

    def __init__(self, port: int, seconds: float) -> None:
        self._target, self._seconds = port, seconds
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self.port = 0
        threading.Thread(target=self._serve, daemon=True).start()
        self._started.wait()

    def _serve(self) -> None:
        async def begin() -> None:
            server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._started.set()

        self._loop.run_until_complete(begin())
        self._loop.run_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._seconds)
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(_passed_on(reader, to_writer), self._passed_later(to_reader, writer))

    async def _passed_later(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand data on in order, each piece `seconds` after it came, however many are under way."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                if not data:
                    writer.close()
                    return
                writer.write(data)

        delivering = asyncio.create_task(deliver())
        data = b"begin"
        while data:
            data = await _read(reader)
            waiting.put_nowait((self._loop.time() + self._seconds, data))
        await delivering


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1 << 16)
    except OSError:
        return b""


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await _read(reader):
        writer.write(data)
    writer.close()


def filled(root: str, films: list[Path]) -> Store:
    """A root of one shard that has these videos."""
    import pyarrow as pa

    from csmv.pipeline.schemas import VIDEOS

    store = Store.create(root, DatasetConfig(name="lag", n_shards=1, source=FolderSource(path="none")))
    names = [f"v{at:03d}" for at in range(len(films))]
    columns: dict[str, Any] = {name: [None] * len(films) for name in VIDEOS.schema.names}
    columns |= {"video_id": names, "media_status": ["ok"] * len(films)}
    store.write("videos", 0, pa.table(columns, schema=VIDEOS.schema))
    for name, film in zip(names, films, strict=True):
        store.write_file(media_path(0, name), film.read_bytes())
    return store


def seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def extracted(store: Store, config: FeatureConfig) -> tuple[float, bytes]:
    """Wall seconds of the whole shard, and the bytes of its features; what was there goes before."""
    name = table_file(config.table, 0)
    for file in (*store.files(config.table), *store.files(f"manifest/{config.table}")):
        store.remove(file)
    taken = seconds(lambda: extract_shard(store, 0, config))
    return taken, store.read_file(name)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--videos", type=int, default=64)
    arguments.add_argument("--seconds", type=float, default=1)
    arguments.add_argument("--latency", type=float, default=50, help="milliseconds")
    arguments.add_argument("--extractor", default="r2plus1d_18")
    arguments.add_argument("--repeats", type=int, default=2)
    asked = arguments.parse_args()
    logging.disable(logging.WARNING)
    s3 = CountedS3()
    os.environ.update(s3.environment, CSMV_PROGRESS="0", CSMV_PSEUDONYM_KEY="a key that is long enough")
    boto3.client("s3").create_bucket(Bucket="csmv")
    config = FeatureConfig(extractor=asked.extractor, weights="random")
    with tempfile.TemporaryDirectory() as folder:
        one = portrait(Path(folder), 1, asked.seconds)[0]
        films = [one] * asked.videos
        local = filled(str(Path(folder) / "root"), films)
        filled("s3://csmv/root", films)
        proxy = DelayingProxy(int(s3.url.rsplit(":", 1)[1]), asked.latency / 1000)
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{proxy.port}"
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        remote = Store.open("s3://csmv/root")
        # Once before, so that neither pays for the first use of anything.
        extracted(filled(str(Path(folder) / "warm"), films[:2]), config)
        near, far = [], []
        for _ in range(asked.repeats):
            taken, wanted = extracted(local, config)
            near.append(taken)
            with s3.counted() as requests:
                taken, got = extracted(remote, config)
            far.append(taken)
            assert got == wanted, "the features of the two roots differ"
        ratio = min(far) / min(near)
        print(f"{asked.extractor}, {asked.videos} videos of {asked.seconds:g} s, {asked.latency:g} ms")
        print(f"    local  {min(near):7.2f} s   {', '.join(f'{one:.2f}' for one in near)}")
        print(f"    remote {min(far):7.2f} s   {', '.join(f'{one:.2f}' for one in far)}   {dict(requests)}")
        print(f"    ratio  {ratio:7.2f}     (asked: at most {ASKED})")


if __name__ == "__main__":
    main()
