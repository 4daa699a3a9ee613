"""`csmv annotate` as its guide has it: from a fresh crawl to labels and a split, by files and through Label Studio."""

import csv
import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from csmv.pipeline.config import DatasetConfig
from csmv.pipeline.dataset import Dataset
from csmv.pipeline.release.annotation.label_studio import TOKEN_VARIABLE, URL_VARIABLE
from csmv.pipeline.store import Store

Run = Callable[..., Any]

GUIDE = Path(__file__).resolve().parents[2] / "pipeline" / "release" / "annotation" / "README.md"
LABEL_STUDIO = "1.23.2"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
ANSWERS = (("positive", "joy"), ("positive", "trust"), ("negative", "joy"))
"""What the three annotators say of every comment but the first, of which each says something else."""
ALL_DIFFERENT = (("positive", "joy"), ("neutral", "fear"), ("negative", "anger"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a fresh crawl of 12 comments as `csmv-root`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    rows = [{"id": f"c{k}", "video": f"7{k // 3}", "text": f"=so good {k}"} for k in range(12)]
    (tmp_path / "folder" / "comments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "folder" / "videos.jsonl").write_text("".join(json.dumps({"video": f"7{k}"}) + "\n" for k in range(4)))
    source = {"kind": "folder", "path": str(tmp_path / "folder")}
    config = DatasetConfig.model_validate({"name": "fresh", "n_shards": 2, "source": source})
    dataset = Dataset.create("csmv-root", config)
    for stage in ("collect", "tables"):
        dataset.run(stage)
    return tmp_path


def answer(comment: str, first: str, who: int) -> list[dict[str, Any]]:
    opinion, emotion = (ALL_DIFFERENT if comment == first else ANSWERS)[who]
    return [
        {"from_name": name, "to_name": "comment", "type": "choices", "value": {"choices": [value]}}
        for name, value in (("opinion", opinion), ("emotion", emotion))
    ]


def annotate_files(folder: Path) -> None:
    """What Label Studio would export of each list, beside it."""
    for who in range(3):
        tasks = json.loads((folder / "annotation" / "batch-1" / f"tasks-{who + 1}.json").read_text())
        first = min(task["data"]["comment_id"] for task in tasks)
        for task in tasks:
            result = answer(task["data"]["comment_id"], first, who)
            task["annotations"] = [{"completed_by": who + 1, "result": result, "lead_time": 9.5}]
        (folder / f"export-{who + 1}.json").write_text(json.dumps(tasks))


def fill_in(ties: Path) -> None:
    rows = list(csv.DictReader(ties.open(newline="")))
    assert [row["opinion_votes"] for row in rows] == ["positive:1 neutral:1 negative:1"]
    assert rows[0]["text"].startswith("'=so good"), "no formula for a spreadsheet"
    with ties.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"opinion": "neutral", "emotion": "surprise"} for row in rows)


def commands_of_guide() -> Iterator[list[str]]:
    for block in re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S):
        for line in block.splitlines():
            if line.startswith("csmv "):
                yield shlex.split(line)[1:]


def test_the_guide_leads_from_a_fresh_crawl_to_a_split(here: Path, csmv_inside: Run) -> None:
    assert len(GUIDE.read_text(encoding="utf-8").splitlines()) <= 100
    printed: dict[str, str] = {}
    for words in commands_of_guide():
        if words[1] in ("push", "pull"):
            continue
        if words[1] == "import":
            annotate_files(here)
        if "--decisions" in words:
            fill_in(here / "batch-1-ties.csv")
        run = csmv_inside(*words)
        assert run.returncode == 0, (words, run.stderr)
        printed[" ".join(words[:2])] = printed.get(" ".join(words[:2]), "") + run.stdout

    assert "12 comments, 0 of them gold, in lists of 12, 12, 12 tasks." in printed["annotate export"]
    assert (
        "36 labels of 12 comments" in printed["annotate agreement"]
        and "0.1 hours, 9.5 s" in printed["annotate agreement"]
    )
    assert "adjudicated: 11 opinions, 11 emotions; 0 comments by an expert" in printed["annotate adjudicate"]
    assert "adjudicated: 12 opinions, 12 emotions; 1 comments by an expert" in printed["annotate adjudicate"]
    store = Store.open("csmv-root")
    settled = [row for row in store.read_all("labels").to_pylist() if row["source"] == "adjudicated"]
    assert sorted((row["opinion"], row["emotion"]) for row in settled) == [
        ("neutral", "surprise"),
        *[("positive", "joy")] * 11,
    ]
    assert store.read_split("video").num_rows == 12


def test_what_is_asked_wrongly_is_said(here: Path, csmv_inside: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = csmv_inside("annotate", "adjudicate", "--root", "csmv-root", "--method", "dice")
    assert (wrong.returncode, "majority or dawid-skene" in wrong.stderr) == (2, True)
    assert "no batch 'batch-1'" in csmv_inside("annotate", "push", "--root", "csmv-root", "--url", "http://x").stderr
    assert csmv_inside("annotate", "export", "--root", "csmv-root", "--annotators", "2").returncode == 2
    assert csmv_inside("annotate", "export", "--root", "csmv-root").returncode == 0
    assert "Which Label Studio? Set LABEL_STUDIO_URL" in csmv_inside("annotate", "push", "--root", "csmv-root").stderr
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    refused = csmv_inside("annotate", "push", "--root", "csmv-root", "--url", address)
    assert "can't be reached (ConnectError)" in refused.stderr and TOKEN not in refused.stderr + refused.stdout
    assert "Nobody's labels" in csmv_inside("annotate", "agreement", "--root", "csmv-root").stderr


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Label Studio on loopback and SQLite, in an environment of its own that is kept from run to run."""
    environment = Path.home() / ".cache" / "csmv-tests" / f"label-studio-{LABEL_STUDIO}"
    program = environment / "bin" / "label-studio"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"label-studio=={LABEL_STUDIO}"]
        done = subprocess.run([str(environment / "bin" / "python"), *install], capture_output=True, text=True)
        if done.returncode:
            pytest.skip("Label Studio can't be installed here: no package index that has it")
    data = tmp_path_factory.mktemp("label-studio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "PATH": f"{environment / 'bin'}:/usr/bin:/bin",
        "HOME": str(data),
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_USERNAME": "expert@example.org",
        "LABEL_STUDIO_PASSWORD": "not-a-secret-here",
        "LABEL_STUDIO_USER_TOKEN": TOKEN,
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
    }
    command = [str(program), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    with (data / "log").open("w") as log:
        server = subprocess.Popen(command, env=settings, cwd=data, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert server.poll() is None, (data / "log").read_text()[-2000:]
            try:
                if httpx.get(f"{url}/api/projects", headers={"Authorization": f"Token {TOKEN}"}).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.slow
def test_a_real_label_studio_gives_the_same_tables_as_files(
    here: Path, csmv_inside: Run, label_studio: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Annotated by its interface. It has one account, so that one person has answered all three lists."""
    monkeypatch.setenv(URL_VARIABLE, label_studio)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert csmv_inside("annotate", "export", "--root", "csmv-root", "--each", "1", "--annotators", "3").returncode == 0
    pushed = csmv_inside("annotate", "push", "--root", "csmv-root", "--json")
    assert pushed.returncode == 0, pushed.stderr
    projects = json.loads(pushed.stdout)["projects"]
    again = json.loads(csmv_inside("annotate", "push", "--root", "csmv-root", "--json").stdout)
    assert (len(projects), json.loads(pushed.stdout)["tasks"]) == (3, 12)
    assert (again["projects"], again["tasks"]) == (projects, 0), "a second push adds nothing"

    web = httpx.Client(base_url=label_studio, headers={"Authorization": f"Token {TOKEN}"}, timeout=60)
    exports = []
    for who, project in enumerate(projects.values()):
        tasks = web.get(f"/api/projects/{project}/export", params={"exportType": "JSON", "download_all_tasks": "true"})
        for task in tasks.json():
            comment = task["data"]["comment_id"]
            sent = {"result": answer(comment, "", who), "lead_time": 4.5}
            assert web.post(f"/api/tasks/{task['id']}/annotations/", json=sent).status_code == 201
        exported = web.get(f"/api/projects/{project}/export", params={"exportType": "JSON"})
        exports.append(here / f"export-{who}.json")
        exports[-1].write_bytes(exported.content)
    pulled = csmv_inside("annotate", "pull", "--root", "csmv-root")
    assert pulled.returncode == 0, pulled.stderr
    by_pull = Store.open("csmv-root").read_all("labels")
    for name in Store.open("csmv-root").files("private/annotation/labels"):
        Store.open("csmv-root").remove(name)

    imported = csmv_inside("annotate", "import", *exports, "--root", "csmv-root")

    assert imported.returncode == 0, imported.stderr
    assert by_pull.num_rows == 12 and Store.open("csmv-root").read_all("labels").equals(by_pull)
    assert TOKEN not in pulled.stdout + pulled.stderr + pushed.stdout + pushed.stderr
    wrong = csmv_inside("annotate", "pull", "--root", "csmv-root", "--url", f"{label_studio}/nowhere")
    assert wrong.returncode == 1 and "HTTP 404" in wrong.stderr
    monkeypatch.setenv(TOKEN_VARIABLE, "x" * 40)
    refused = csmv_inside("annotate", "pull", "--root", "csmv-root")
    assert refused.returncode == 1 and "refuses the token" in refused.stderr and "xxxx" not in refused.stderr
