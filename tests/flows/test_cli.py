"""The command line: quick to answer, short and clear about what goes wrong, and never a traceback unasked."""

import inspect
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from csmv.flows import cli
from csmv.flows.options import Fields, fields_of
from csmv.pipeline.config import DatasetConfig, FolderSource
from csmv.pipeline.errors import CsmvError
from csmv.pipeline.media.media_shard import MediaReport
from csmv.pipeline.root import media_path
from csmv.pipeline.schemas import COMMENTS, LABELS, VIDEOS
from csmv.pipeline.sources.collect_settings import WebSource
from csmv.pipeline.sources.web_visits import Report
from csmv.pipeline.split_config import SplitConfig
from csmv.pipeline.splits import build_split
from csmv.pipeline.stage import UnitReport
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.train_config import TrainConfig
from csmv.pipeline.vccsa.training import train

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run_main(monkeypatch: pytest.MonkeyPatch, command: Callable[[], None], *arguments: str) -> None:
    """`main()` of an application that has one command beside the common options."""

    def build() -> typer.Typer:
        app = typer.Typer(pretty_exceptions_enable=False)
        app.callback()(cli._common)
        app.command("work")(command)
        return app

    monkeypatch.setattr(cli, "build_app", build)
    monkeypatch.setattr(sys, "argv", ["csmv", *arguments])
    monkeypatch.setenv(cli.DEBUG, "0")
    cli.main()


def test_help_imports_nothing_heavy(environment: dict[str, str]) -> None:
    script = (
        "import sys; from csmv.flows.cli import build_app; build_app();"
        "print([name for name in ('torch', 'prefect', 'presidio_analyzer', 'pyarrow', 'numpy') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True, env=environment).strip() == "[]"


def test_every_command_has_help() -> None:
    app = cli.build_app()
    commands = get_command(app).commands  # type: ignore[attr-defined]

    assert {"demo", "doctor", "deploy", "import", "split", "report", "scrub", "extract", "train"} <= set(commands)
    for name, command in commands.items():
        assert command.help, name
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0, name


def options_of(command: Any) -> list[Any]:
    """What a command takes: options and arguments."""
    return list(command.get_params(typer.Context(command, info_name=command.name)))


def all_commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it, those of groups after the group."""
    for name, command in group.commands.items():
        yield f"{above}{name}", command
        if hasattr(command, "commands"):
            yield from all_commands(command, f"{above}{name} ")


def test_names_of_commands_and_options_are_as_promised() -> None:
    """`commands.txt` may get longer; what stands in it was promised to those who use it."""
    listing = []
    for name, command in sorted(all_commands(get_command(cli.build_app()))):
        words = [
            "|".join([*param.opts, *param.secondary_opts]) if param.param_type_name == "option" else param.name.upper()
            for param in options_of(command)
        ]
        listing.append(" ".join([name, *sorted(words)]))

    assert listing == (Path(__file__).with_name("commands.txt")).read_text().splitlines()


def commands_with_fields() -> dict[str, dict[str, Fields]]:
    """Command -> parameter -> the fields that it has options for."""
    functions = [
        function
        for group in cli.GROUPS
        for function in vars(import_module(f"csmv.flows.commands.{group}")).values()
        if inspect.isfunction(function) and function.__module__ == f"csmv.flows.commands.{group}"
    ]
    marked = {function.__name__: fields_of(function) for function in functions}
    return {
        name.removesuffix("_command").strip("_").replace("annotate_", "annotate "): fields
        for name, fields in marked.items()
        if fields
    }


COMMANDS_WITH_FIELDS = commands_with_fields()


def test_commands_that_set_fields_are_seen_by_the_next_test() -> None:
    assert sorted(COMMANDS_WITH_FIELDS) == [
        *(
            "ablate",
            "annotate export",
            "build",
            "collect",
            "download",
            "extract",
            "features",
            "import",
            "release",
            "run",
            "sandbox",
            "scrub",
            "split",
        ),
        *("sweep", "train", "zeroshot"),
    ]


@pytest.mark.parametrize("command", COMMANDS_WITH_FIELDS)
def test_help_of_an_option_is_its_fields_description_and_default(
    csmv_inside: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    # The help page is made for a terminal's width, which rich reads once.
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 400)

    page = csmv_inside(*command.split(), "--help").stdout.splitlines()

    for fields in COMMANDS_WITH_FIELDS[command].values():
        module, _, section = fields.section.partition(":")
        for option, name in fields.fields.items():
            field = getattr(import_module(module), section).model_fields[name]
            [line] = [line for line in page if line.lstrip("│* ").startswith(f"--{option.replace('_', '-')} ")]
            assert field.description and field.description[1:] in line
            if isinstance(field.default, str | int | float) and field.default is not False:
                shown = "yes" if field.default is True else str(field.default)
                assert f"default: {shown}]" in line or f"else {shown})]" in line


def test_version(csmv: Run) -> None:
    assert csmv("--version").stdout.strip() == f"csmv {metadata.version('csmv')}"


def test_an_error_of_ours_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise CsmvError("The folder 'x' is not there.")

    with pytest.raises(SystemExit) as stopped:
        run_main(monkeypatch, work, "work")

    assert stopped.value.code == 1
    assert capsys.readouterr().err == "csmv: The folder 'x' is not there.\n"


def test_an_unexpected_error_says_no_more_than_its_kind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise ZeroDivisionError("call me at +1 212 555 0123")

    with pytest.raises(SystemExit) as stopped:
        run_main(monkeypatch, work, "work")

    said = capsys.readouterr().err
    assert stopped.value.code == 1
    assert said.count("\n") == 1
    assert "ZeroDivisionError" in said and "--debug" in said
    assert "555" not in said


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        raise ZeroDivisionError("why")

    with pytest.raises(ZeroDivisionError, match="why"):
        run_main(monkeypatch, work, "--debug", "work")


def test_an_interrupt_ends_with_130(environment: dict[str, str]) -> None:
    script = (
        "import sys, typer; from csmv.flows import cli; app = typer.Typer(); app.callback()(cli._common)\n"
        "@app.command()\n"
        "def work():\n"
        "    import time; print('working', flush=True); time.sleep(60)\n"
        "cli.build_app = lambda: app; sys.argv = ['csmv', 'work']; cli.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "working\n"

    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)

    assert process.returncode == 130
    assert "Traceback" not in stderr


def test_a_reader_that_leaves_is_no_error(environment: dict[str, str]) -> None:
    command = f"{sys.executable} -m csmv.flows.cli --help | head -c 1"

    found = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)

    assert found.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["report", "--root", "{tmp}/none"], "is not a dataset root"),
        (["split", "--root", "{tmp}/none"], "is not a dataset root"),
        (["split", "--root", "{tmp}/other"], "format version '99'"),
        (["split", "--root", "{tmp}/typo"], "did you mean 'n_shards'"),
        (["split", "--root", "{tmp}/broken"], "not YAML"),
        (["split", "--root", "nosuch://place"], "can't be used"),
        (["import", "{tmp}/none.json", "--links", "{tmp}/none.xlsx", "--root", "{tmp}/r"], "is not there"),
        (["deploy", "--config", "{tmp}/none.yaml", "--root", "r"], "is not there"),
        (["deploy", "--root", "r"], "PREFECT_API_URL is not set"),
        (["demo", "--root", "{tmp}/broken/dataset.yaml"], "name another root"),
    ],
)
def test_what_a_person_gets_wrong_is_told_in_a_sentence(
    csmv_inside: Run, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    source = "source: {kind: folder, path: x}\n"
    for name, text in {
        "other": "format_version: 99\nname: x\n" + source,
        "typo": "name: x\nn_shard: 4\n" + source,
        "broken": "name: [x\n",
    }.items():
        if name != "other":  # a root that a csmv of another format made has no header
            Store.create(str(tmp_path / name), DatasetConfig(name="x", source=FolderSource(path="x")))
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "dataset.yaml").write_text(text)

    found = csmv_inside(*(argument.format(tmp=tmp_path) for argument in arguments))

    assert found.returncode == 1
    assert found.stderr.startswith("csmv: ") and found.stderr.count("\n") == 1
    assert expected in found.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["collect"], "Say with --root"),
        (["collect", "--dry-run"], "--links"),
        (["collect", "--root", "r"], "Say what to collect"),
        (["collect", "--root", "r", "--hashtag", "x", "--proxy", "http://u:p@h:1"], "--proxy"),
        (["collect", "--root", "r", "--hashtag", "x", "--proxy", "ftp://x"], "expected a proxy, http://HOST:PORT"),
        (["collect", "--root", "r", "--hashtag", "x", "--since", "yesterday"], "--since"),
        (["collect", "--root", "r", "--hashtag", "x", "--locale", "?"], "such as en or pt-BR"),
        (["download", "--root", "r", "--retention", "forever"], "'keep'"),
        (["download", "--root", "r", "--quota-gb", "-1"], "--quota-gb"),
        (["run", "nothing", "--root", "r"], "no stage 'nothing'"),
        (["run", "tables", "--root", "r", "--shards", "x"], "--shards takes numbers"),
        (["run", "tables", "--root", "r", "--set", "threshold"], "field=value"),
        (["split", "--root", "r", "--kind", "person"], "'video'"),
        (["split", "--root", "r", "--ratios", "7:1"], "--ratios"),
        (["split", "--root", "r", "--ratios", "0:1:1"], "train above 0"),
        (["extract", "--root", "r", "-e", "i3e"], "did you mean 'i3d'"),
        (["extract", "--root", "r", "-e", "mfcc", "--weights", "i3d=x.pt"], "none of the extractors"),
        (["extractors", "i3e"], "did you mean 'i3d'"),
        (["train", "--root", "r", "--model", "vcca"], "'majority'"),
        (["train", "--root", "r", "--paper", "c3d"], "feature sets are"),
        (["evaluate", "x", "--root", "r", "--part", "train"], "'dev'"),
        (["sweep", "--root", "r", "--name", "x", "--set", "epochs"], "field=value"),
        (["forget", "--root", "r"], "Say what to forget"),
        (["scrub", "--format", "csv"], "'jsonl'"),
        (["deploy", "--config", "x.yaml"], "--root"),
        (["verify"], "root"),
        (["verfy"], "verfy"),
    ],
)
def test_a_wrong_command_ends_with_2(
    csmv_inside: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)

    found = csmv_inside(*arguments)

    assert (found.returncode, found.stdout) == (2, "")
    assert expected in found.stderr
    assert "u:p" not in found.stderr
    assert not list(tmp_path.iterdir()), "nothing was begun"


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A root whose one video is in place and has no features yet."""
    store = Store.create(str(tmp_path / "root"), DatasetConfig(name="x", n_shards=1, source=WebSource(hashtags=("x",))))
    store.write("videos", 0, pa.Table.from_pylist([{"video_id": "v", "media_status": "ok"}], schema=VIDEOS.schema))
    store.write_file(media_path(0, "v"), b"never decoded here")
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("arguments", "place", "came_of_it", "code", "says"),
    [
        ("collect --hashtag x", "commands.collect._collect_here", Report(), 0, ""),
        ("collect --hashtag x", "commands.collect._collect_here", Report(left=2), 3, "2 may succeed later. Run the"),
        ("collect --hashtag x", "commands.collect._collect_here", Report(stopped="a wall"), 3, "a wall. Run the same"),
        ("download", "here.download_here", MediaReport(done=1), 0, ""),
        ("download", "here.download_here", MediaReport(left=2), 3, "2 may succeed later. Run the same"),
        ("run media", "here.stage_here", UnitReport(), 0, ""),
        ("run media", "here.stage_here", UnitReport(stopped="2 videos are left"), 3, "2 videos are left. Run the same"),
        ("extract -e mfcc", "commands.features._extract_shards", None, 3, "1 may succeed later: run the same command"),
        ("status ROOT", "", None, 0, ""),
        ("verify --no-media ROOT", "", None, 0, ""),
        ("evaluate nobody", "", None, 1, "no finished run 'nobody'"),
    ],
)
def test_what_may_succeed_later_ends_with_3_and_says_how(
    csmv_inside: Run,
    monkeypatch: pytest.MonkeyPatch,
    films: Path,
    arguments: str,
    place: str,
    came_of_it: Any,
    code: int,
    says: str,
) -> None:
    """What the command says of the end of its work; the work itself is left out."""
    if place:
        monkeypatch.setattr(f"csmv.flows.{place}", lambda *_, **__: came_of_it)
    command = arguments.replace("ROOT", str(films)).split()

    done = csmv_inside(*command, *(() if "ROOT" in arguments else ("--root", films)))

    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert says in done.stderr


HEAVY = ("torch", "transformers", "sklearn", "prefect", "presidio_analyzer")


@pytest.fixture(scope="module")
def root_with_a_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The root of a few labelled comments, split and learnt from."""
    config = DatasetConfig(name="x", n_shards=1, source=WebSource(hashtags=("nba",)))
    store = Store.create(str(tmp_path_factory.mktemp("light") / "root"), config)
    videos = [{"video_id": f"7{k}", "url": f"https://a/{k}", "media_status": "pending"} for k in range(9)]
    store.write("videos", 0, pa.Table.from_pylist(videos, schema=VIDEOS.schema))
    comments = [{"comment_id": f"c{k}", "video_id": f"7{k}", "text": "so good"} for k in range(9)]
    store.write("comments", 0, pa.Table.from_pylist(comments, schema=COMMENTS.schema))
    labels = [{"comment_id": f"c{k}", "opinion": "positive", "emotion": "joy", "source": "published"} for k in range(9)]
    store.write("labels", 0, pa.Table.from_pylist(labels, schema=LABELS.schema))
    build_split(store, SplitConfig(kind="video"))
    train(store, TrainConfig(model="majority", split="video"), "plain")
    return store.root


@pytest.mark.parametrize(
    ("arguments", "code", "absent"),
    [
        (("extractors",), 0, (*HEAVY, "pyarrow")),
        (("report", "--root", "{root}"), 0, HEAVY),
        (("evaluate", "plain", "--root", "{root}", "--no-figures"), 0, HEAVY),
        (("extract", "--nonsense"), 2, (*HEAVY, "pyarrow", "numpy", "fsspec")),
        (("split", "--nonsense"), 2, (*HEAVY, "pyarrow", "numpy", "fsspec")),
        (("collect", "--nonsense"), 2, (*HEAVY, "pyarrow", "numpy", "fsspec", "httpx")),
    ],
    ids=["extractors", "report", "evaluate", "a wrong extract", "a wrong split", "a wrong collect"],
)
def test_a_command_loads_only_what_it_needs(
    environment: dict[str, str], root_with_a_run: str, arguments: tuple[str, ...], code: int, absent: tuple[str, ...]
) -> None:
    script = (
        "import sys\n"
        "from csmv.flows.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    print('ended', end.code or 0, *(name for name in sys.modules if '.' not in name))\n"
    )
    command = [sys.executable, "-c", script, *(one.format(root=root_with_a_run) for one in arguments)]

    done = subprocess.run(command, env=environment, capture_output=True, text=True)

    word, ended, *loaded = done.stdout.splitlines()[-1].split()
    assert (word, ended) == ("ended", str(code)), done.stderr
    assert not set(absent) & set(loaded)
