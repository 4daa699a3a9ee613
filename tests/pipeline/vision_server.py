"""A loopback server that speaks the chat-completions API, with faults; and a root of short films to ask it about."""

import base64
import hashlib
import io
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
import pyarrow as pa
from PIL import Image

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.labels import TASKS
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS
from csmv.pipeline.store import Store

MODEL = "test/Vision-7B"


def class_of(task: str, text: str) -> str:
    """The class that this server's model gives a comment: by its words alone, so that tests know it."""
    names = TASKS[task]
    return names[hashlib.sha256(f"{task} {text}".encode()).digest()[0] % len(names)]


def answer_text(comments: list[str]) -> str:
    rows = [
        {"comment": number, **{task: class_of(task, text) for task in TASKS}} for number, text in enumerate(comments, 1)
    ]
    return json.dumps({"answers": rows})


Fault = Callable[["Asked"], "tuple[int, dict[str, Any]] | str | None"]
"""Of a request: a status and body, a text that the model writes instead, or None for its own answer."""


class Asked:
    """A request: its number from 1, its JSON, the comments in it, and its headers."""

    def __init__(self, number: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        self.number, self.body, self.headers = number, body, headers
        *self.pictures, last = body["messages"][0]["content"]
        self.text: str = last["text"]
        [rows] = re.findall(r"^\[\{.*\}\]$", self.text, re.MULTILINE)
        self.comments: list[str] = [row["text"] for row in json.loads(rows)]

    def images(self) -> list[Image.Image]:
        return [
            Image.open(io.BytesIO(base64.b64decode(one["image_url"]["url"].partition(",")[2]))) for one in self.pictures
        ]


class VisionServer:
    """Answers on loopback until it is closed; `fault` says what goes wrong with which request."""

    def __init__(self, fault: Fault = lambda _asked: None, *, takes_schema: bool = True, slow_s: float = 0.0) -> None:
        self.fault, self.takes_schema, self.slow_s = fault, takes_schema, slow_s
        self.asked: list[Asked] = []
        self.answered: Counter[str] = Counter()
        """Comment -> how often an answer about it has left the server."""
        self.tokens = (100, 10)
        self.reports_usage = True
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server._serve(self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self.lock:
            asked = Asked(len(self.asked) + 1, body, dict(handler.headers))
            self.asked.append(asked)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            time.sleep(self.slow_s)
            status, data = self._answer(asked)
            if data.pop("cut", False):
                payload = json.dumps(data).encode()
                self._send(handler, status, {}, payload[: len(payload) // 2])
                return
            headers = data.pop("headers", {})
            if status == 200 and data.get("choices"):
                with self.lock:
                    self.answered.update(asked.comments)
            self._send(handler, status, headers, json.dumps(data).encode())
        except OSError:
            pass  # whoever asked has gone
        finally:
            with self.lock:
                self.at_once -= 1

    def _answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        if "response_format" in asked.body and not self.takes_schema:
            return 400, {"error": {"message": "response_format is not supported", "type": "invalid_request_error"}}
        came = self.fault(asked)
        if isinstance(came, tuple):
            return came
        return 200, self.completion(came if came is not None else answer_text(asked.comments))

    def completion(self, text: str | None, **more: Any) -> dict[str, Any]:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}} | more
        data: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 0, "model": MODEL}
        data |= {"choices": [choice]}
        if self.reports_usage:
            data["usage"] = {"prompt_tokens": self.tokens[0], "completion_tokens": self.tokens[1]}
        return data

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], payload: bytes) -> None:
        handler.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(payload)))
        handler.end_headers()
        handler.wfile.write(payload)


def write_film(path: Path, shade: int, frames: int = 24, size: tuple[int, int] = (96, 64)) -> None:
    """A film that gets lighter from frame to frame, a second of 24."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            picture = np.full((size[1], size[0], 3), shade + 5 * number, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def make_film_root(folder: Path, videos: int = 6, comments: int = 6, root: str = "") -> Store:
    """A root of short films, each with labelled comments in train, dev and test of the split `comment`.

    Labels are what `class_of` says, but for every third comment.
    """
    config = DatasetConfig.model_validate(
        {"name": "films", "n_shards": 2, "source": {"kind": "folder", "path": str(folder / "source")}}
    )
    store = Store.create(root or str(folder / "root"), config)
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "comments.jsonl").touch()
    tables: dict[int, dict[str, list[dict[str, Any]]]] = {
        shard: {"videos": [], "comments": [], "labels": []} for shard in store.shards()
    }
    split = []
    for v in range(videos):
        video = f"7{v:018d}"
        shard = store.shard_of(video)
        path = folder / f"{video}.mp4"
        write_film(path, shade=20 * v)
        store.write_file(media_path(shard, video), path.read_bytes())
        sha = hashlib.sha256(path.read_bytes()).hexdigest()
        row = {"video_id": video, "media_status": "ok", "media_sha256": sha, "hashtags": ["film"]}
        tables[shard]["videos"].append(row)
        for c in range(comments):
            comment, text = f"c{v:03d}x{c:03d}", f"comment {c} on film {v}, said <USER> 😂"
            tables[shard]["comments"].append({"comment_id": comment, "video_id": video, "text": text, "pii": []})
            said = text if (v + c) % 3 else text[::-1]
            labels = {task: class_of(task, said) for task in TASKS}
            tables[shard]["labels"].append({"comment_id": comment, **labels, "source": "published"})
            split.append(
                {"comment_id": comment, "video_id": video, "split": ("train", "dev", "test", "test")[(v + c) % 4]}
            )
    for shard, rows in tables.items():
        for table, spec in (("videos", VIDEOS), ("comments", COMMENTS), ("labels", LABELS)):
            store.write(table, shard, pa.Table.from_pylist(rows[table], schema=spec.schema))
    store.write_split("comment", pa.Table.from_pylist(split))
    return store
