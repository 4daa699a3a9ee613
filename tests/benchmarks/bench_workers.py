"""How much sooner three workers finish a stage that waits for others than one does, on the same root, in one run.

The stage is `media`, and every answer of the site takes seconds (the sandbox's latency), so that no processor is what
is short. A real Prefect server, workers with `--limit 1`, one download at a time in each. The time is from the stage's
first part that begins to its last that ends.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from prefect.client.orchestration import SyncPrefectClient

from csmv.flows.server import is_healthy
from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.demo.sandbox import Sandbox, SandboxSettings
from csmv.pipeline.media.media_settings import MediaSettings
from csmv.pipeline.schemas import VIDEOS
from csmv.pipeline.sources.collect_settings import Manners
from csmv.pipeline.sources.video_links import canonical_url
from csmv.pipeline.sources.web import WebSource
from csmv.pipeline.store import Store

sys.path.insert(0, str(Path(__file__).parents[1] / "flows"))

from fleet import Fleet

VIDEOS_FETCHED = int(os.environ.get("CSMV_BENCHMARK_VIDEOS", "90"))
LATENCY_S = float(os.environ.get("CSMV_BENCHMARK_LATENCY_S", "5"))
N_SHARDS = 18
AT_LEAST = 2.5
PORT = 4391


def main() -> None:
    """Fetch the same videos by one and by three workers, compare the files, print the ratio."""
    settings = SandboxSettings(hashtags=1, videos=VIDEOS_FETCHED, comments=0, media_s=0.5, latency_s=LATENCY_S)
    with tempfile.TemporaryDirectory(prefix="csmv-bench-") as folder, Sandbox(settings) as sandbox:
        os.environ["CSMV_PSEUDONYM_KEY"] = "6b" * 32
        home = Path(folder)
        environment = dict(os.environ) | {
            "PREFECT_API_URL": f"http://127.0.0.1:{PORT}/api",
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "CSMV_MEDIA_AT_ONCE": "1",
            "CSMV_PROGRESS": "0",
        }
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(PORT), "--no-ui"]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not is_healthy(environment["PREFECT_API_URL"]):
                time.sleep(0.5)
            seconds, files = {}, {}
            for workers in (3, 1):
                root = home / f"by-{workers}"
                seconds[workers] = fetched(sandbox, root, workers, environment)
                files[workers] = Store(str(root)).read_all("videos")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)
    if not files[1].equals(files[3]) or set(files[1]["media_status"].to_pylist()) != {"ok"}:
        sys.exit("one and three workers did not bring the same files")
    times = seconds[1] / seconds[3]
    print(
        f"{VIDEOS_FETCHED} videos: three workers {seconds[3]:.0f} s, one {seconds[1]:.0f} s: {times:.2f} times sooner"
    )
    if times < AT_LEAST:
        sys.exit(f"at least {AT_LEAST} times was expected")


def fetched(sandbox: Sandbox, root: Path, workers: int, environment: dict[str, str]) -> float:
    """Seconds from the first part's beginning to the last one's end."""
    config = DatasetConfig(
        name="benchmark",
        n_shards=N_SHARDS,
        source=WebSource(hashtags=("x",)),
        media=MediaSettings(at_once=1, manners=Manners(interval_s=0)),
    )
    store = Store.create(str(root), config)
    for shard in store.shards():
        videos = sorted(video for video in sandbox.world.videos if store.shard_of(video) == shard)
        rows = [
            {"video_id": video, "url": canonical_url(video), "hashtags": [], "media_status": "pending"}
            for video in videos
        ]
        store.write("videos", shard, pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    pool = f"bench-{workers}"
    deploy = [sys.executable, "-m", "csmv.flows.cli", "deploy", "--root", str(root), "--pool", pool]
    subprocess.run(deploy, env=environment, check=True, stdout=subprocess.DEVNULL)
    with SyncPrefectClient(environment["PREFECT_API_URL"]) as client:
        fleet = Fleet(environment["PREFECT_API_URL"], environment, root, client)
        try:
            for _ in range(workers):
                fleet.start(pool)
            time.sleep(20)  # so that all are online before the stage is divided among them
            connection = {"proxy": sandbox.proxy, "ca_file": str(sandbox.ca_file)}
            run_id = fleet.submit("media/csmv", connection=connection, interval_s=0, config=None)
            run = fleet.wait(run_id)
            if run.state is None or not run.state.is_completed():
                sys.exit(f"the run ended as {run.state}")
            parts = fleet.parts(run_id)
        finally:
            for machine in fleet.machines:
                machine.stop()
    began = min(part.start_time for part in parts if part.start_time)
    return (max(part.end_time for part in parts if part.end_time) - began).total_seconds()


if __name__ == "__main__":
    main()
