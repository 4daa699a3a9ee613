"""Checkpoints as safetensors: weights alone for the best epochs, weights with optimizer and progress for the last.

A checkpoint is one file and so appears whole or not at all; its progress is JSON in the file's own header.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.text import TextTower, Tokenizer, keep_encoder


class Best(NamedTuple):
    """One of the best epochs: its dev score, its number from 1, and the file of its weights."""

    score: float
    epoch: int
    file: str


@dataclass
class Progress:
    """How far a run is: optimizer steps done, loss summed over the running epoch, finished epochs, the best ones."""

    fingerprint: str
    step: int = 0
    loss: float = 0.0
    stopped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    best: list[Best] = field(default_factory=list)

    def place_for(self, score: float, keep: int) -> str | None:
        """The file that weights of this dev score belong in, or None if they are not among the `keep` best."""
        if len(self.best) < keep:
            return f"best-{len(self.best) + 1}.safetensors"
        worst = self.best[-1]
        return worst.file if score > worst.score else None


def save_weights(store: Store, path: str, network: nn.Module) -> None:
    """The network's weights, and nothing else."""
    store.write_file(path, save(_contiguous(network.state_dict())))


def load_weights(store: Store, path: str, network: nn.Module) -> None:
    """Put saved weights into the network."""
    network.load_state_dict(load(store.read_file(path)))


def save_encoder(store: Store, folder: str, network: nn.Module, tokenizer: Tokenizer) -> None:
    """What the text encoder is besides its weights, so that the run can be asked wherever the root is."""
    [tower] = [module for module in network.modules() if isinstance(module, TextTower)]
    with tempfile.TemporaryDirectory(prefix="csmv-") as scratch:
        keep_encoder(tower.text_encoder, tokenizer, Path(scratch))
        for file in sorted(Path(scratch).rglob("*")):
            if file.is_file():
                store.write_file(f"{folder}/encoder/{file.relative_to(scratch).as_posix()}", file.read_bytes())


@contextmanager
def kept_encoder(store: Store, folder: str) -> Iterator[Path | None]:
    """A local copy of what `save_encoder` kept; None if that was nothing."""
    files = store.files(f"{folder}/encoder")
    with tempfile.TemporaryDirectory(prefix="csmv-") as scratch:
        for file in files:
            place = Path(scratch) / file.removeprefix(f"{folder}/encoder/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(store.read_file(file))
        yield Path(scratch) if files else None


def save_last(
    store: Store, folder: str, progress: Progress, network: nn.Module, optimizer: Any, accelerator: Accelerator
) -> None:
    """All that is needed to go on as if nothing had happened, in one file."""
    if not accelerator.is_main_process:
        return
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": torch.as_tensor(value) for key, value in state.items()}
    scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else None
    header = {"progress": json.dumps(asdict(progress)), "scaler": json.dumps(scaler)}
    store.write_file(f"{folder}/last.safetensors", save(_contiguous(tensors), header))


def load_last(
    store: Store, folder: str, fingerprint: str, network: nn.Module, optimizer: Any, accelerator: Accelerator
) -> Progress | None:
    """Restore the last checkpoint; None, and nothing touched, if there is none of this very run."""
    path = f"{folder}/last.safetensors"
    if not store.exists(path):
        return None
    with store.local_file(path) as local, safe_open(str(local), framework="pt") as file:
        header = file.metadata() or {}
        data = json.loads(header.get("progress", "{}"))
        if data.get("fingerprint") != fingerprint:
            return None
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dictionary
    network.load_state_dict(_under("network.", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _under("optimizer.", tensors).items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    if accelerator.scaler is not None and json.loads(header["scaler"]):
        accelerator.scaler.load_state_dict(json.loads(header["scaler"]))
    return Progress(**{**data, "best": [Best(*best) for best in data["best"]]})


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
