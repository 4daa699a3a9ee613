"""Weights come from where they are said to come from, checked, or not at all."""

import hashlib
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from csmv.extractors import create, names
from csmv.extractors.extractor_errors import ExtractorError
from csmv.extractors.registry import extractor_class
from csmv.extractors.weights import Weights, cache_dir, fetch, random_state, state_sha256, without_initialisation


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CSMV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """(address, folder, requests) of a web server on loopback."""
    folder = tmp_path / "served"
    folder.mkdir()
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            requests.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder, requests
    server.shutdown()
    server.server_close()


def published(address: str, data: bytes, sha256: str | None = None) -> Weights:
    digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
    return Weights(f"{address}/w.pt", "MIT", "here", digest)


def test_a_file_is_fetched_once_and_checked(served: tuple[str, Path, list[str]], cache: Path) -> None:
    address, folder, requests = served
    (folder / "w.pt").write_bytes(b"weights")
    path = fetch(published(address, b"weights"))
    assert path == cache / "weights" / "w.pt"
    assert path.read_bytes() == b"weights"
    fetch(published(address, b"weights"))
    assert len(requests) == 1
    assert [p.name for p in path.parent.iterdir()] == ["w.pt"]


def test_a_file_that_is_not_what_it_should_be_is_refused(served: tuple[str, Path, list[str]]) -> None:
    address, folder, _ = served
    (folder / "w.pt").write_bytes(b"changed")
    with pytest.raises(ExtractorError, match="should have"):
        fetch(published(address, b"weights"))


def test_leading_digits_are_checked_where_no_more_is_published(served: tuple[str, Path, list[str]]) -> None:
    address, folder, _ = served
    (folder / "w.pt").write_bytes(b"weights")
    fetch(published(address, b"", hashlib.sha256(b"weights").hexdigest()[:8]))
    with pytest.raises(ExtractorError):
        fetch(published(address, b"", "00000000"))


def test_without_a_network_the_error_says_which_url_to_put_where(cache: Path) -> None:
    weights = Weights("http://127.0.0.1:9/r.pth", "MIT", "here")
    with pytest.raises(ExtractorError) as caught:
        fetch(weights)
    assert weights.url in str(caught.value)
    assert str(cache / "weights" / "r.pth") in str(caught.value)
    assert list((cache / "weights").iterdir()) == []


def test_a_url_is_as_good_as_a_path(served: tuple[str, Path, list[str]]) -> None:
    address, folder, _ = served
    made = create("r2plus1d_18", "random", seed=7)
    state = random_state(made.build(400), made.random_rule, 7)
    torch.save(state, folder / "w.pt")
    digest = hashlib.sha256((folder / "w.pt").read_bytes()).hexdigest()
    from_url = create("r2plus1d_18", f"{address}/w.pt", sha256=digest)
    assert from_url.weights_sha256 == digest
    with pytest.raises(ExtractorError, match="should have"):
        create("r2plus1d_18", f"{address}/w.pt", sha256="00")
    with pytest.raises(ExtractorError, match="asked for"):
        create("r2plus1d_18", folder / "w.pt", sha256="00")


@pytest.mark.timeout(60)
def test_parameters_that_are_about_to_be_loaded_are_left_alone() -> None:
    """Truncated normal numbers, too, whatever lies in the memory: torch draws them again and again until they fit."""
    there = torch.full((8, 8), 7.0)
    with without_initialisation():
        torch.nn.init.trunc_normal_(there, std=0.02)
        there.normal_()
    assert torch.equal(there, torch.full((8, 8), 7.0))
    torch.nn.init.trunc_normal_(there, std=0.02)
    assert there.abs().max() < 2


def test_random_weights_only_by_name_seeded_and_recorded() -> None:
    first, again = create("r2plus1d_18", "random"), create("r2plus1d_18", "random")
    other = create("r2plus1d_18", "random", seed=1)
    assert first.weights_origin == "random"
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256


class Runs:
    """Would run code when unpickled."""

    def __reduce__(self) -> object:
        return (Path.touch, (Path("ran"),))


def test_code_in_a_checkpoint_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Runs()}, tmp_path / "evil.pt")
    with pytest.raises(ExtractorError, match="plain tensors"):
        create("r2plus1d_18", tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("asked", ["no/such/file.pt", "rgb_imagnet"])
def test_a_file_that_is_not_there(asked: str) -> None:
    with pytest.raises(ExtractorError, match="no weights file"):
        create("i3d", asked)


def test_every_extractor_says_where_its_weights_come_from() -> None:
    for name in names():
        if name.endswith(":NAME"):
            continue
        found = extractor_class(name)
        assert found.weightless or found.weights, name
        for weights in found.weights.values():
            assert weights.url.startswith("https://")
            assert weights.licence
            assert weights.source
            assert weights.filename
        assert found.dim > 0
        assert found.card()["about"]


def test_the_hash_is_over_sorted_keys_and_bytes() -> None:
    state = {"b": torch.tensor([1.0]), "a": torch.tensor([2], dtype=torch.int64)}
    wanted = hashlib.sha256(b"a" + (2).to_bytes(8, "little") + b"b" + b"\x00\x00\x80\x3f").hexdigest()
    assert state_sha256(state) == wanted
    assert cache_dir().name == "weights"


def test_the_package_imports_neither_torch_nor_the_pipeline() -> None:
    code = "import sys, csmv.extractors.reasons, csmv.extractors.extractor_errors; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "av", "numpy", "prefect", "pipeline", "flows"} & set(loaded)


def test_extractors_know_nothing_of_the_layers_above() -> None:
    import ast

    folder = Path(__file__).resolve().parents[2] / "extractors"
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                top = module.split(".")[0]
                assert top not in {"prefect", "presidio_analyzer", "pipeline", "flows"}, (path.name, module)


@pytest.mark.parametrize(("name", "classes"), [("r2plus1d_18", 400), ("r2plus1d_18", 0), ("r2plus1d_18", 7)])
def test_the_residual_network_is_torchvisions(name: str, classes: int) -> None:
    from torchvision.models.video import r2plus1d_18

    from csmv.extractors.video_resnet import BLOCKS_18, VideoResNet

    with torch.device("meta"):
        theirs, ours = r2plus1d_18(num_classes=max(classes, 1)), VideoResNet(BLOCKS_18, classes)
    if not classes:
        theirs.fc = torch.nn.Identity()

    def described(network: torch.nn.Module) -> list[str]:
        leaves = [(key, module) for key, module in network.named_modules() if not list(module.children())]
        parts = [f"{key} {module.extra_repr()}" for key, module in leaves if key != "avgpool"]
        return [*parts, *(f"{key} {tuple(value.shape)}" for key, value in network.state_dict().items())]

    assert described(ours) == described(theirs)


def test_random_filling_is_skipped_where_weights_are_about_to_be_loaded() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    with without_initialisation():
        layers = [torch.nn.Linear(9, 9), torch.nn.Conv3d(3, 5, 3), torch.nn.LSTM(4, 4), torch.nn.Embedding(5, 4)]
        torch.nn.init.kaiming_normal_(tensor=layers[0].weight)
        torch.nn.init.trunc_normal_(layers[0].weight)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(torch.nn.BatchNorm2d(3).weight, torch.ones(3))
