"""`csmv zeroshot` and its stage, typed as a person would, against a loopback server."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))  # for the server that tests of the pipeline ask, too

from vision_server import MODEL, VisionServer, make_film_root

from csmv.pipeline.store import Store

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_command_that_would_send_pictures_elsewhere_is_a_wrong_one(csmv_inside: Run, tmp_path: Path) -> None:
    make_film_root(tmp_path, videos=3, comments=4)
    asked = ("zeroshot", "--root", tmp_path / "root", "--model", MODEL, "--base-url")

    refused = csmv_inside(*asked, "https://api.example.org/v1")
    assert refused.returncode == 2 and "3 pictures" not in refused.stderr and "--send-media" in refused.stderr
    assert csmv_inside(*asked, "https://me:secret@x.org/v1").returncode == 2
    unnamed = csmv_inside("zeroshot", "--root", tmp_path / "root")
    assert unnamed.returncode == 2 and "Name a model" in unnamed.stderr


@pytest.mark.slow
def test_a_run_stops_at_its_limit_goes_on_and_stands_beside_others(csmv_inside: Run, csmv: Run, tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_film_root(tmp_path)
    with VisionServer() as server:
        asked = ("zeroshot", "--root", root, "--model", MODEL, "--base-url", server.url, "--frames", "2")
        first = csmv_inside(*asked, "--max-tokens", "1000")
        assert first.returncode == 3 and "comments have no answer yet" in first.stderr
        assert "2 pictures of each video" in first.stdout and "loopback" in first.stdout
        limit = ("--set", "max_tokens=2000")
        ran = csmv("run", "zeroshot", "--root", root, *limit, CSMV_ZEROSHOT_KEY="sk-very-secret")
        assert ran.returncode == 3, ran.stderr
        assert "Bearer sk-very-secret" in server.asked[-1].headers.values() and len(server.asked) == 18
        assert list(tmp_path.rglob("prefect.db"))
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert b"sk-very-secret" not in kept + (ran.stdout + ran.stderr).encode()
        second = csmv_inside(*asked, "--json")
        assert second.returncode == 0, second.stderr
        [told] = json.loads(second.stdout)
        assert told["usage"]["requests"] == len(server.asked) == 27
        [entry] = yaml.safe_load((root / "dataset.recorded.yaml").read_text())["zeroshot"]
        assert (entry["model"], entry["frames"], entry["max_tokens"]) == (MODEL, 2, None)

        again = csmv("run", "zeroshot", "--root", root)
        assert again.returncode == 0, again.stderr
        csmv_inside("train", "--root", root, "--model", "majority", "--run", "floor")
        judged = csmv_inside("evaluate", told["run"], "--against", "floor", "--root", root, "--resamples", "20")
        assert judged.returncode == 0, judged.stderr
        assert csmv_inside("errors", told["run"], "--against", "floor", "--root", root).returncode == 0
        refused = csmv_inside("attribution", told["run"], "--root", root)
        assert refused.returncode == 1 and "keeps no weights" in refused.stderr
        assert len(server.asked) == 27
    assert Store.open(str(root)).exists(f"models/{told['run']}/evaluation/test.json")
