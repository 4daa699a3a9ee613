"""Models that are asked as they are, against a loopback server that speaks the API and does what servers do wrong."""

import io
import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_models import llava_folder
from vision_server import MODEL, Asked, VisionServer, answer_text, class_of, make_film_root

from csmv.pipeline.dataset import Dataset
from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.failures import failures_of
from csmv.pipeline.labels import TASKS
from csmv.pipeline.report import write_report
from csmv.pipeline.root import media_path
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.evaluation import evaluate, read_predictions
from csmv.pipeline.vccsa.experiments.comparison import compare
from csmv.pipeline.vccsa.experiments.results_page import write_results
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import train
from csmv.pipeline.zeroshot.endpoint import KEY_FILE_VARIABLE, KEY_VARIABLE, api_key
from csmv.pipeline.zeroshot.local_model import LocalModel
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig, zeroshot_run_name
from csmv.pipeline.zeroshot.zeroshot_run import zero_shot

SCORED = 27
"""Dev and test comments of the films."""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of films, to copy."""
    folder = tmp_path_factory.mktemp("films")
    make_film_root(folder)
    return folder / "root"


@pytest.fixture(scope="module")
def whole(films: Path) -> Iterator[tuple[Store, VisionServer]]:
    """A root in which a run ended undisturbed, one question after the other, and the server that it asked."""
    place = films.parent / "whole"
    shutil.copytree(films, place)
    store = Store.open(str(place))
    with VisionServer() as server:
        result = zero_shot(store, config_for(server, concurrency=1))
        assert (result.stopped, result.asked) == ("", SCORED)
        yield store, server


@pytest.fixture
def store(films: Path, tmp_path: Path) -> Store:
    shutil.copytree(films, tmp_path / "root")
    return Store.open(str(tmp_path / "root"))


@pytest.fixture
def serve() -> Iterator[Callable[..., VisionServer]]:
    servers: list[VisionServer] = []

    def start(*arguments: Any, **more: Any) -> VisionServer:
        servers.append(VisionServer(*arguments, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__()


def config_for(server: VisionServer, **more: Any) -> ZeroShotConfig:
    settings = {"model": MODEL, "base_url": server.url, "frames": 3, "frame_side": 48, "backoff_s": 0.01}
    return ZeroShotConfig.model_validate(settings | more)


def files_of_run(store: Store, config: ZeroShotConfig) -> dict[str, bytes]:
    folder = f"models/{zeroshot_run_name(config)}"
    return {name: store.read_file(name) for name in store.files(folder)}


def rows(store: Store, config: ZeroShotConfig) -> list[dict[str, Any]]:
    data = store.read_file(f"models/{zeroshot_run_name(config)}/predictions.parquet")
    return pq.read_table(io.BytesIO(data)).to_pylist()


def scored_texts(store: Store) -> dict[str, str]:
    table = store.read_all("comments", ["comment_id", "text"])
    return dict(zip(table["comment_id"].to_pylist(), table["text"].to_pylist(), strict=True))


# ---------------------------------------------------------------- a run like any other


def test_a_model_is_shown_the_video_and_judged_beside_trained_ones(whole: tuple[Store, VisionServer]) -> None:
    store, server = whole
    config = config_for(server)
    run = zeroshot_run_name(config)
    train(store, TrainConfig(model="majority", split="comment"), "floor")

    texts = scored_texts(store)
    for row in rows(store, config):
        for task in TASKS:
            assert row[f"predicted_{task}"] == class_of(task, texts[row["comment_id"]])
    assert set(server.answered.values()) == {1} and len(server.answered) == SCORED
    first = server.asked[0]
    shades = [max(image.getpixel((20, 20))) for image in first.images()]
    assert len(shades) == 3 and shades == sorted(shades) and shades[2] - shades[0] > 50, "the whole film, in order"
    assert {max(image.size) for image in first.images()} == {48}
    assert first.body["response_format"]["json_schema"]["schema"]["properties"]["answers"]["minItems"] == 1

    judged = evaluate(store, run, "test", resamples=20)
    assert judged["model"] == MODEL and judged["metrics"]["opinion"]["unanswered"] == 0
    assert judged["metrics"]["opinion"]["micro_f1"] > 0.5
    assert compare(store, "floor", run, "test", resamples=20)["tasks"]["emotion"]["micro_f1"]["difference"] > 0
    assert MODEL in store.read_file(_report(store)).decode()
    write_results(store, resamples=20, draw=False)
    page = store.read_file("reports/results.md").decode()
    assert MODEL in page and "56.53" in page and "27.16" in page, "the paper's zero-shot models beside one's own"


def _report(store: Store) -> str:
    write_report(store)
    return "reports/index.html"


@pytest.mark.slow
def test_what_is_there_is_not_asked_again_and_what_changed_is(store: Store, serve: Callable[..., VisionServer]) -> None:
    server = serve()
    config = config_for(server)
    zero_shot(store, config)
    before = len(server.asked)
    assert zero_shot(store, config).asked == 0 and len(server.asked) == before

    comments = store.read("comments", 0)
    assert comments is not None
    changed = next(row for row in rows(store, config) if row["comment_id"] in comments["comment_id"].to_pylist())
    texts = [
        f"{text}!" if comment == changed["comment_id"] else text
        for comment, text in zip(comments["comment_id"].to_pylist(), comments["text"].to_pylist(), strict=True)
    ]
    at = comments.column_names.index("text")
    store.write("comments", 0, comments.set_column(at, comments.schema.field(at), [texts]))

    assert zero_shot(store, config).asked == 1
    assert len(server.asked) == before + 1


def test_the_bytes_are_the_same_at_any_concurrency_and_with_faults_on_the_way(
    store: Store, whole: tuple[Store, VisionServer], serve: Callable[..., VisionServer]
) -> None:
    tries: Counter[str] = Counter()

    def troubled(asked: Asked) -> Any:
        tries.update(asked.comments)
        if tries[asked.comments[0]] > 1:
            return None
        return [
            (429, {"error": {"message": "slow down", "code": "rate_limit"}, "headers": {"retry-after": "0"}}),
            (500, {"error": {"message": "oops"}}),
            (200, server.completion("{}") | {"cut": True}),
            (200, {"choices": []}),
            None,
        ][asked.number % 5]

    server = serve(troubled, slow_s=0.002)
    config = config_for(server, concurrency=7)

    assert zero_shot(store, config).stopped == ""

    assert files_of_run(store, config) == files_of_run(whole[0], config)
    assert len(files_of_run(store, config)) == 3
    assert server.most_at_once > 1
    assert set(server.answered.values()) == {1}


KILLED = """
    import os, signal, sys
    import openai  # once, for all that are forked
    from csmv.pipeline.store import Store
    from csmv.pipeline.zeroshot import zeroshot_run, answer_journal
    from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig

    store, config = Store.open(sys.argv[1]), ZeroShotConfig.model_validate_json(sys.argv[2])
    for kill_after in map(int, sys.argv[3:]):
        child = os.fork()
        if child:
            ended = os.waitpid(child, 0)[1]
            print(os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else "ended", flush=True)
            continue
        kept, add = 0, answer_journal.AnswerJournal.add
        def counted(self, key, answered):
            global kept
            if kept >= kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            add(self, key, answered)
            kept += 1
        answer_journal.AnswerJournal.add = counted
        zeroshot_run.zero_shot(store, config)
        os._exit(0)
"""


def _assert_killed_run_is_whole(store: Store, whole: Store, server: VisionServer, kills: list[int]) -> None:
    config = config_for(server, concurrency=3)
    command = [sys.executable, "-c", textwrap.dedent(KILLED), store.root, config.model_dump_json()]
    done = subprocess.run([*command, *map(str, kills), "1000"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*(str(int(signal.SIGKILL)) for _ in kills), "ended"], done.stderr
    # What had left the server when a process was killed, and was not yet on the disk: what is under way at once.
    assert server.answered.total() - SCORED <= 3 * len(kills)
    assert files_of_run(store, config) == files_of_run(whole, config)


def test_a_killed_run_goes_on_to_the_same_bytes(
    store: Store, whole: tuple[Store, VisionServer], serve: Callable[..., VisionServer]
) -> None:
    _assert_killed_run_is_whole(store, whole[0], serve(slow_s=0.005), [5])


@pytest.mark.slow
def test_a_run_killed_ten_times_goes_on_to_the_same_bytes(
    store: Store, whole: tuple[Store, VisionServer], serve: Callable[..., VisionServer]
) -> None:
    _assert_killed_run_is_whole(store, whole[0], serve(slow_s=0.01), [0, 1, 2, 3, 0, 4, 1, 2, 5, 1])


@pytest.mark.slow
def test_a_root_on_s3_gives_the_same_bytes_and_asks_nothing_twice_either(
    s3_bucket: str, whole: tuple[Store, VisionServer], serve: Callable[..., VisionServer], tmp_path: Path
) -> None:
    store, server = make_film_root(tmp_path, root=f"{s3_bucket}/films"), serve()
    first = zero_shot(store, config_for(server, max_tokens=1000, concurrency=3))
    config = config_for(server, concurrency=3)

    result = zero_shot(store, config)

    assert first.left == SCORED - 9 == result.asked and len(server.asked) == SCORED
    assert len(store.files("private/zeroshot")) == SCORED
    for name in ("predictions.parquet", "metrics.json"):
        path = f"models/{result.run}/{name}"
        assert store.read_file(path) == whole[0].read_file(path)


# ---------------------------------------------------------------- answers that are none


def test_what_names_no_class_or_several_counts_as_wrong_and_is_never_guessed(
    store: Store, serve: Callable[..., VisionServer]
) -> None:
    texts = {text: comment for comment, text in scored_texts(store).items()}
    says: dict[str, Any] = {
        "comment 1 on film 0": "I'm sorry, but I can't judge people.",
        "comment 2 on film 0": '{"answers": [{"comment": 1, "opinion": "happy", "emotion": "joy"}]}',
        "comment 3 on film 0": "opinion: positive\nemotion: joy or trust",
        "comment 0 on film 1": "Opinion: **negative**\nEmotion: anger",
        "comment 1 on film 1": '```json\n{"opinion": "positive", "opinion": "negative", "emotion": "fear"}\n```',
        "comment 2 on film 1": '<think>opinion: neutral</think>{"answers": [{"comment": 1, "opinion": "Neutral ',
    }

    def odd(asked: Asked) -> Any:
        text = next((says[start] for start in says if asked.comments[0].startswith(start)), None)
        if asked.comments[0].startswith("comment 4 on film 1"):
            return 400, {"error": {"message": "too large", "code": "bad"}}
        if asked.comments[0].startswith("comment 4 on film 0"):
            return 200, server.completion(None, finish_reason="content_filter")
        return text

    server = serve(odd)
    config = config_for(server)
    result = zero_shot(store, config)
    by_id = {row["comment_id"]: (row["predicted_opinion"], row["predicted_emotion"]) for row in rows(store, config)}

    def predicted(start: str) -> tuple[str | None, str | None]:
        return by_id.get(next(comment for text, comment in texts.items() if text.startswith(start)), ("-", "-"))

    assert result.stopped == ""
    wanted = {
        "comment 1 on film 0": (None, None),
        "comment 2 on film 0": (None, "joy"),
        "comment 3 on film 0": ("positive", None),
        "comment 0 on film 1": ("negative", "anger"),
        "comment 1 on film 1": (None, "fear"),
        "comment 2 on film 1": ("neutral", None),
        "comment 4 on film 0": (None, None),
        "comment 4 on film 1": (None, None),
    }
    assert {start: came for start in wanted if (came := predicted(start)) != ("-", "-")} == {
        start: classes for start, classes in wanted.items() if predicted(start) != ("-", "-")
    }
    counted = Counter[str]()
    for tasks in result.unanswered.values():
        counted.update(tasks["opinion"])
    # Whole predictions and counts say the same, and an unanswered comment is wrong in accuracy and recall alike.
    assert counted.total() == sum(opinion is None for opinion, _ in by_id.values()) > 3
    assert {"refused", "unparsed"} <= set(counted)
    judged = evaluate(store, result.run, "test", resamples=20)["metrics"]["opinion"]
    answers = read_predictions(store, result.run, "test")
    right = sum(row["predicted_opinion"] == row["opinion"] for row in rows(store, config) if row["split"] == "test")
    assert judged["micro_f1"] == pytest.approx(right / judged["n"]) and judged["unanswered"] > 0
    assert sum(map(sum, judged["confusion"])) == judged["n"] - judged["unanswered"]
    assert answers.probabilities["opinion"].shape[1] == 4
    assert "no answer" in store.read_file(_report(store)).decode()


@pytest.mark.slow
def test_several_comments_of_a_video_go_together_and_a_missing_one_costs_itself(
    store: Store, serve: Callable[..., VisionServer]
) -> None:
    def lacks_the_second(asked: Asked) -> str | None:
        if len(asked.comments) < 2 or asked.number != 1:
            return None
        whole = json.loads(answer_text(asked.comments))
        return json.dumps({"answers": whole["answers"][:1] + whole["answers"][2:]})

    server = serve(lacks_the_second)
    config = config_for(server, comments_per_request=4)
    result = zero_shot(store, config)

    texts = scored_texts(store)
    unanswered = [row for row in rows(store, config) if row["predicted_opinion"] is None]
    assert len(server.asked) < SCORED / 2 and len(unanswered) == 1
    assert texts[unanswered[0]["comment_id"]] == server.asked[0].comments[1]
    assert result.usage.requests == len(server.asked)
    for row in rows(store, config):
        assert row["predicted_emotion"] in (class_of("emotion", texts[row["comment_id"]]), None)


@pytest.mark.slow
def test_an_endpoint_without_schemas_is_asked_without(store: Store, serve: Callable[..., VisionServer]) -> None:
    server = serve(takes_schema=False)
    config = config_for(server)

    assert zero_shot(store, config).asked == SCORED
    assert ["response_format" in one.body for one in server.asked] == [True] + [False] * SCORED
    assert (
        json.loads(files_of_run(store, config)[f"models/{zeroshot_run_name(config)}/run.json"])["structured"] is False
    )


@pytest.mark.slow
def test_a_bad_video_costs_itself_only(store: Store, serve: Callable[..., VisionServer]) -> None:
    bad, absent = "7000000000000000001", "7000000000000000002"
    store.write_file(media_path(store.shard_of(bad), bad), b"no film at all, but some bytes")
    store.remove(media_path(store.shard_of(absent), absent))
    config = config_for(serve(), most_missing_scored=0.5)

    result = zero_shot(store, config)

    without = {row["video_id"] for row in rows(store, config) if row["predicted_opinion"] is None}
    assert without == {bad, absent} and result.stopped == ""
    [(table, failed)] = failures_of(store).items()
    assert table == f"zeroshot/{result.run}"
    assert dict(zip(failed["key"].to_pylist(), failed["reason"].to_pylist(), strict=True)) == {
        bad: "not_a_video",
        absent: "missing_media",
    }
    with pytest.raises(CsmvError, match="most_missing_scored allows"):
        zero_shot(store, config_for(serve(), seed=1))


# ---------------------------------------------------------------- limits, keys, and where things are sent


@pytest.mark.slow
def test_limits_stop_a_run_in_order_and_higher_ones_let_it_go_on(
    store: Store, serve: Callable[..., VisionServer]
) -> None:
    server = serve(slow_s=0.002)
    prices = {"price_in": 1000.0, "price_out": 2000.0, "concurrency": 5}  # 0.12 a request

    first = zero_shot(store, config_for(server, max_cost=1.0, **prices))
    assert "limit" in first.stopped and first.cost == pytest.approx(0.96) and len(server.asked) == 8
    again = zero_shot(store, config_for(server, max_cost=1.0, **prices))
    assert len(server.asked) == 8 and again.left == SCORED - 8
    tokens = zero_shot(store, config_for(server, max_tokens=10 * 110 + 50, concurrency=5))
    assert "limit" in tokens.stopped and tokens.usage.requests == 10 == len(server.asked)
    whole = zero_shot(store, config_for(server, max_cost=100, **prices))
    assert whole.stopped == "" and whole.cost == pytest.approx(SCORED * 0.12) and len(server.asked) == SCORED

    server.reports_usage = False
    with pytest.raises(CsmvError, match="does not say how many tokens"):
        zero_shot(store, config_for(server, seed=2, max_tokens=1000))
    with pytest.raises(ValueError, match="price_in"):
        config_for(server, max_cost=1)


@pytest.mark.slow
def test_what_got_no_answer_is_left_for_a_later_run_unless_it_is_given_up(
    store: Store, serve: Callable[..., VisionServer]
) -> None:
    def hangs(asked: Asked) -> Any:
        if asked.comments[0].startswith("comment 2 on film 3"):
            time.sleep(1)
            return 500, {}
        return None

    server = serve(hangs)
    settings = {"timeout_s": 0.3, "retries": 1}
    result = zero_shot(store, config_for(server, **settings))
    assert (result.left, result.asked) == (1, SCORED - 1) and "no answer within 0.3 s" in result.stopped
    assert not store.exists(f"models/{result.run}/run.json")

    given_up = zero_shot(store, config_for(server, give_up=True, **settings))
    assert given_up.stopped == ""
    assert sum(tasks["opinion"].get("unanswered", 0) for tasks in given_up.unanswered.values()) == 1


@pytest.mark.slow
def test_a_server_that_is_down_ends_the_run_soon(store: Store, serve: Callable[..., VisionServer]) -> None:
    server = serve(lambda _asked: (503, {}))
    result = zero_shot(store, config_for(server, retries=1, concurrency=2))
    assert "after one another got no answer (HTTP 503)" in result.stopped and len(server.asked) < SCORED


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        pytest.param(401, {"error": {"message": "sk-secret"}}, "refuses the key", marks=pytest.mark.slow),
        pytest.param(404, {}, "has no model", marks=pytest.mark.slow),
        pytest.param(
            *(307, {"headers": {"location": "http://127.0.0.1:9/v1"}}, "sends requests on to another address"),
            marks=pytest.mark.slow,
        ),
        pytest.param(429, {"error": {"code": "insufficient_quota"}}, "quota is used up", marks=pytest.mark.slow),
        pytest.param(422, {"error": {"message": "at most 1 image"}}, "rejects every request", marks=pytest.mark.slow),
    ],
)
def test_what_a_person_has_to_see_to_is_a_sentence(
    store: Store, serve: Callable[..., VisionServer], status: int, body: dict[str, Any], sentence: str
) -> None:
    server = serve(lambda _asked: (status, dict(body)))
    with pytest.raises(CsmvError, match=sentence) as raised:
        zero_shot(store, config_for(server))
    assert "sk-secret" not in str(raised.value)


def test_a_key_is_sent_and_stands_nowhere(
    store: Store, serve: Callable[..., VisionServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-alone")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-openai-alone")
    monkeypatch.setenv(KEY_VARIABLE, "sk-very-secret")
    server = serve()
    zero_shot(store, config_for(server, sample=1))
    headers = {name.lower(): value for name, value in server.asked[0].headers.items()}
    assert headers["authorization"] == "Bearer sk-very-secret"
    assert "openai-alone" not in str(headers), "an organization at OpenAI is for OpenAI alone"
    assert len(rows(store, config_for(server, sample=1))) == 2
    assert next((Path(store.root) / "private" / "zeroshot").rglob("*.jsonl")).stat().st_mode & 0o077 == 0
    everything = b"".join(path.read_bytes() for path in Path(store.root).rglob("*") if path.is_file())
    assert b"sk-very-secret" not in everything

    file = tmp_path / "key"
    file.write_text("sk-of-a-file\n")
    monkeypatch.delenv(KEY_VARIABLE)
    assert api_key(config_for(server)) is None, "a key of OpenAI's goes to OpenAI alone"
    assert api_key(config_for(server, base_url="https://api.openai.com/v1")) == "sk-openai-alone"
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(file))
    with pytest.raises(CsmvError, match="others may read it"):
        api_key(config_for(server))
    file.chmod(0o600)
    assert api_key(config_for(server)) == "sk-of-a-file"


def test_nothing_is_sent_elsewhere_without_leave(store: Store) -> None:
    elsewhere = {"model": MODEL, "base_url": "https://api.example.org/v1"}
    with pytest.raises(UsageError, match="--send-media"):
        zero_shot(store, ZeroShotConfig.model_validate(elsewhere))
    plain = elsewhere | {"base_url": "http://api.example.org/v1", "send_media": True}
    with pytest.raises(UsageError, match="without encryption"):
        zero_shot(store, ZeroShotConfig.model_validate(plain))
    with pytest.raises(UsageError, match="Nothing says where"):
        zero_shot(store, ZeroShotConfig(model=MODEL))
    for url in ("https://me:secret@api.example.org/v1", "https://api.example.org/v1?key=secret", "ftp://x", "x"):
        with pytest.raises(ValueError, match="address"):
            ZeroShotConfig(model=MODEL, base_url=url)
    assert not ZeroShotConfig(model=MODEL, base_url="http://127.0.0.1.example.org/v1").is_loopback
    assert ZeroShotConfig(model=MODEL, base_url="http://[::1]:8000/v1").is_loopback


# ---------------------------------------------------------------- the stage


def test_the_stage_does_what_dataset_yaml_lists_and_sees_what_is_stale(
    store: Store, serve: Callable[..., VisionServer]
) -> None:
    server = serve()
    entry = {"model": MODEL, "base_url": server.url, "frames": 2, "max_tokens": 1000}
    path = Path(store.root) / "dataset.yaml"
    path.write_text(path.read_text() + f"zeroshot: [{json.dumps(entry)}]\n")

    def stage() -> Any:
        return next(row for row in Dataset.open(store.root).status() if row.name == "zeroshot")

    assert (stage().units, stage().missing) == (1, 1)
    report = Dataset.open(store.root).run("zeroshot")
    assert "limit" in report.stopped and stage().missing == 1
    with_more = Dataset.open(store.root, changes={"max_tokens": 100_000}, changed="zeroshot")
    assert with_more.run("zeroshot").stopped == ""
    assert stage().done == 1 and len(server.asked) == SCORED
    labels = store.read("labels", 0)
    assert labels is not None
    store.write("labels", 0, labels.slice(1))
    assert list(stage().stale) == [zeroshot_run_name(ZeroShotConfig.model_validate(entry))]


# ---------------------------------------------------------------- models on this machine


@pytest.mark.slow
def test_a_model_on_this_machine_is_asked_and_its_files_are_recorded(store: Store, tmp_path: Path) -> None:
    """A random network names no class, so what it shows is the road: pictures and words in, an answer out, a run."""
    folder = llava_folder(tmp_path / "tiny llava")
    config = ZeroShotConfig(local=str(folder), frames=2, frame_side=32, answer_tokens=5, sample=2)

    result = zero_shot(store, config)

    assert (config.model, result.asked, result.stopped) == ("tiny-llava", 4, "")
    assert result.usage.tokens_in > 4 * 500 and 0 < result.usage.tokens_out <= 4 * 5
    document = json.loads(store.read_file(f"models/{result.run}/run.json"))
    assert len(document["files_sha256"]) == 64 and str(folder.parent) not in json.dumps(document)
    assert zero_shot(store, config).asked == 0
    (folder / "generation_config.json").write_text(json.dumps({"max_length": 50}))
    assert zero_shot(store, config).asked == 4, "other files are another model"

    for weights in folder.glob("*.safetensors"):
        weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(CsmvError, match="may hold code and are not read"):
        zero_shot(store, config)
    with pytest.raises(CsmvError, match="neither a folder nor a model that the hub gives"):
        zero_shot(store, ZeroShotConfig(local="nobody/nothing"))


@pytest.mark.slow
def test_what_a_local_model_answers_depends_on_the_pictures_and_the_words(tmp_path: Path) -> None:
    config = ZeroShotConfig(local=str(llava_folder(tmp_path / "llava")), answer_tokens=12, dtype="float32")
    pictures = [_jpeg(shade) for shade in (0, 255)]
    model = LocalModel(config)

    first = model.ask("one text", pictures, 1)

    assert first == model.ask("one text", pictures, 1)
    others = [model.ask("one text", pictures[::-1], 1), model.ask("another text", pictures, 1)]
    assert all(one.text != first.text for one in others)
    drawn = LocalModel(config.model_copy(update={"temperature": 5.0}))
    assert drawn.ask("one text", pictures, 1) == drawn.ask("one text", pictures, 1) != first


def _jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), (shade, shade // 2, 99)).save(buffer, "JPEG")
    return buffer.getvalue()
