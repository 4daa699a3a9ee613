"""The training loop, all of it, on Hugging Face Accelerate: one process or many, CPU or GPU.

What a step does depends on the configuration, the data and the step's number alone: batches come from (seed, epoch),
dropout from (seed, step), the learning rate from the step. So a checkpoint is weights, optimizer and a number.
"""

import contextlib
import math
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from numpy.typing import NDArray
from torch import nn

from csmv.pipeline.errors import CsmvError, UsageError
from csmv.pipeline.labels import TASKS
from csmv.pipeline.progress import track
from csmv.pipeline.store import Store
from csmv.pipeline.vccsa.batch import Batch
from csmv.pipeline.vccsa.batches import Batches, Rows
from csmv.pipeline.vccsa.checkpoints import (
    Best,
    Progress,
    load_last,
    load_weights,
    save_encoder,
    save_last,
    save_weights,
)
from csmv.pipeline.vccsa.data import Corpus
from csmv.pipeline.vccsa.metrics import METRICS, both_tasks, task_sum
from csmv.pipeline.vccsa.networks import Assembled, assemble, fit_to_data, frozen_tower, parameter_groups
from csmv.pipeline.vccsa.prefetch import ahead, most_ahead
from csmv.pipeline.vccsa.run_files import NotFiniteError, clear
from csmv.pipeline.vccsa.text_vectors import TextVectors
from csmv.pipeline.vccsa.token_cache import TokenCache
from csmv.pipeline.vccsa.train_config import OptimizerConfig, TrainConfig, as_flat

ONE_THREAD_PARAMETERS = 5_000_000
TRACKERS = ("tensorboard", "wandb", "mlflow")

_NONE = 1 << 62
_LOOK_EVERY = 50

_ONE_AT_A_TIME = threading.Lock()
"""Seeds, thread counts and Accelerate's state are the whole process's: a second run in it waits for the first."""


@dataclass(frozen=True)
class Fitted:
    """The best network's answers for the rows asked for, and how training went."""

    probabilities: dict[str, NDArray[np.float64]]
    history: list[dict[str, float]]
    parameters: int
    weights: str
    """The file of the best weights, which answered."""
    is_main: bool
    """Whether this is the process that writes, if several train together."""
    processes: int
    device: dict[str, str]
    """What kind of device it was, and which."""
    kept_files: list[dict[str, Any]]
    """The files of weights that stay: of each its epoch from 1 and its dev score, the best first."""


def fit(
    store: Store,
    config: TrainConfig,
    corpus: Corpus,
    run: str,
    fingerprint: str,
    asked: Rows,
    trackers: Sequence[str] = (),
    is_anew: bool = False,
    tokens: TokenCache | None = None,
) -> Fitted:
    """Train to the end, or from the last checkpoint to the end, and answer for `asked` with the best weights.

    is_anew: begin at the first step, whatever checkpoint is there; tokens: those of earlier runs.
    Raises NotFiniteError.
    """
    with _ONE_AT_A_TIME:
        folder = f"models/{run}"
        accelerator = _accelerator(config, store, run, trackers)
        with torch.random.fork_rng(devices=[accelerator.device] if accelerator.device.type == "cuda" else []):
            torch.manual_seed(config.seed)
            network, batches, tokenizer = prepare(config, corpus, tokens)
            with _threads(network):
                progress = _train(store, config, network, batches, accelerator, folder, fingerprint, is_anew)
                if tokenizer is not None and accelerator.is_main_process:
                    save_encoder(store, folder, network, tokenizer)
                accelerator.wait_for_everyone()
                weights = f"{folder}/{progress.best[0].file}"
                load_weights(store, weights, network)
                probabilities = answer(network, batches, asked, accelerator, "score")
                refuse_not_finite_scores(probabilities, config, progress.step, len(corpus.rows("train")))
        accelerator.end_training()
        parameters = sum(math.prod(p.shape) for p in network.parameters() if p.requires_grad)
        return Fitted(
            probabilities,
            progress.history,
            parameters,
            weights,
            accelerator.is_main_process,
            accelerator.num_processes,
            _described(accelerator.device),
            [{"file": best.file, "epoch": best.epoch, "dev_score": best.score} for best in progress.best],
        )


def _described(device: torch.device) -> dict[str, str]:
    named = {"name": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {"type": device.type, **named}


@contextlib.contextmanager
def _threads(network: nn.Module) -> Iterator[None]:
    """Small networks run on one thread: handing their little sums from core to core takes longer than they do."""
    before = torch.get_num_threads()
    if sum(parameter.numel() for parameter in network.parameters()) < ONE_THREAD_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare(config: TrainConfig, corpus: Corpus, tokens: TokenCache | None = None) -> Assembled:
    """A new network, fitted to the corpus where that is counting, and the corpus in batches for it."""
    assembled = assemble(config, corpus, tokens=tokens)
    fit_to_data(assembled.network, assembled.batches)
    return assembled


def _train(
    store: Store,
    config: TrainConfig,
    network: nn.Module,
    batches: Batches,
    accelerator: Accelerator,
    folder: str,
    fingerprint: str,
    is_anew: bool,
) -> Progress:
    optimizer = torch.optim.AdamW(
        parameter_groups(network, config), weight_decay=config.optimizer.weight_decay, fused=True
    )
    model, optimizer = accelerator.prepare(network, optimizer)
    bare = accelerator.unwrap_model(model)
    progress = None if is_anew else load_last(store, folder, fingerprint, bare, optimizer, accelerator)
    if progress is None:
        progress = Progress(fingerprint)
        if accelerator.is_main_process:
            clear(store, folder)
    if (tower := frozen_tower(bare, config)) is not None:
        batches.text_vectors = TextVectors.of(tower, batches, accelerator.device).padded
    running = torch.zeros((), dtype=torch.float64, device=accelerator.device)  # read only where a checkpoint needs it
    comments = len(batches.corpus.rows("train"))
    steps, finite = steps_an_epoch(config, comments), _Finite(accelerator)
    dev = batches.corpus.rows("dev")

    with track(f"train {config.model}", config.epochs * steps) as tick:
        tick(progress.step)
        while progress.step < config.epochs * steps and not progress.stopped:
            epoch = progress.step // steps
            groups = _groups(batches.of_epoch(epoch), config.optimizer.accumulate)
            getattr(bare, "begin_epoch", lambda _epoch: bare.train())(epoch)
            left = groups[progress.step - epoch * steps :]
            most = most_ahead(config.prefetch, accelerator.device.type)
            for group in ahead(left, lambda group: joined(batches, group, accelerator), most):
                loss = _step(config, model, optimizer, accelerator, group, steps, progress.step)
                running += loss
                finite.note(loss, progress.step)
                if finite.can_look_at(progress.step):
                    finite.refuse(config, comments)
                progress.step += 1
                tick(1)
                if config.checkpoint_every and progress.step % config.checkpoint_every == 0 and progress.step % steps:
                    finite.refuse(config, comments)
                    progress.loss += _collected(running, accelerator)
                    save_last(store, folder, progress, bare, optimizer, accelerator)
            finite.refuse(config, comments)
            progress.loss += _collected(running, accelerator)
            answers = answer(bare, batches, dev, accelerator)
            refuse_not_finite_scores(answers, config, progress.step, comments)
            scores = both_tasks(batches.corpus.labels(dev), answers)
            _close_epoch(store, config, folder, progress, bare, epoch, steps, scores, accelerator)
            save_last(store, folder, progress, bare, optimizer, accelerator)
            accelerator.log(progress.history[-1], step=progress.step)
    return progress


class _Finite:
    """Notes the first step whose loss is not finite, on the device, so that no step of a GPU waits to be looked at."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._first = torch.full((1,), _NONE, device=accelerator.device)

    def note(self, loss: torch.Tensor, step: int) -> None:
        """The loss of step `step`, from 0."""
        self._first = torch.where(loss.isfinite(), self._first, self._first.clamp(max=step))

    def can_look_at(self, step: int) -> bool:
        """Whether looking costs little: several processes have to look together, and a GPU has to be waited for."""
        alone = self._accelerator.num_processes == 1
        return alone and (self._accelerator.device.type == "cpu" or step % _LOOK_EVERY == 0)

    def refuse(self, config: TrainConfig, comments: int) -> None:
        """Raises NotFiniteError, on every process, if any has met such a loss."""
        first = int(self._accelerator.gather(self._first).min())
        if first < _NONE:
            raise _not_finite("The loss", config, first, comments)


def refuse_not_finite_scores(
    probabilities: dict[str, NDArray[np.float64]], config: TrainConfig, step: int, comments: int
) -> None:
    """Raises NotFiniteError if a network answers with NaN after `step` steps."""
    if not all(np.isfinite(values).all() for values in probabilities.values()):
        raise _not_finite("A probability by which the run is scored", config, step - 1, comments)


def _not_finite(what: str, config: TrainConfig, step: int, comments: int) -> NotFiniteError:
    steps = steps_an_epoch(config, comments)
    factor = learning_rate_factor(step, config.epochs * steps, config.optimizer)
    return NotFiniteError(what, step // steps + 1, step + 1, config.optimizer.learning_rate * factor)


def _collected(running: torch.Tensor, accelerator: Accelerator) -> float:
    """The loss summed since the last call, a mean over the processes; starts the next sum."""
    mean = float(accelerator.reduce(running, "mean"))
    running.zero_()
    return mean


class Piece(NamedTuple):
    """This process's comments of one batch of a step, and the batch's share of the step's comments."""

    batch: Batch
    share: float


def joined(batches: Batches, group: list[Rows], accelerator: Accelerator) -> list[Piece]:
    """The batches of one step, as far as they are this process's, ready for its device."""
    size = sum(len(rows) for rows in group)
    return [
        Piece(_ready(batches.join(_share(rows, accelerator), training=True), accelerator), len(rows) / size)
        for rows in group
    ]


def _ready(batch: Batch, accelerator: Accelerator) -> Batch:
    """The batch, in memory that a GPU copies from while it computes, where there is one."""
    return batch.pinned() if accelerator.device.type == "cuda" else batch


def _step(
    config: TrainConfig,
    model: nn.Module,
    optimizer: Any,
    accelerator: Accelerator,
    group: list[Piece],
    steps: int,
    step: int,
) -> torch.Tensor:
    """Optimizer step `step` of an epoch of `steps`; returns the mean loss of this process's comments, on the device."""
    torch.manual_seed((config.seed * 1_000_003 + step) * 4_099 + accelerator.process_index)
    factor = learning_rate_factor(step, config.epochs * steps, config.optimizer)
    for settings in optimizer.param_groups:
        settings["lr"] = settings["base_lr"] * factor
        if config.model == "vccsa-paper":
            # The released optimizer adds eps before bias correction, torch's after it.
            settings["eps"] = 1e-8 / math.sqrt(1 - 0.999 ** (step + 1))
    total = torch.zeros((), device=accelerator.device)
    for number, (batch, share) in enumerate(group):
        last = number == len(group) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(model), accelerator.autocast():
            loss = model(batch.to(accelerator.device)).loss * share
        accelerator.backward(loss)
        total += loss.detach()
    if config.optimizer.clip_norm is not None:
        accelerator.clip_grad_norm_(model.parameters(), config.optimizer.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def _close_epoch(
    store: Store,
    config: TrainConfig,
    folder: str,
    progress: Progress,
    network: nn.Module,
    epoch: int,
    steps: int,
    scores: dict[str, dict[str, Any]],
    accelerator: Accelerator,
) -> None:
    entry = {"epoch": epoch + 1, "loss": progress.loss / steps}
    for task, task_scores in scores.items():
        entry |= {f"dev_{task}_{name}": task_scores.get(name, 0.0) for name in (one.name for one in METRICS)}
    progress.history.append(entry)
    progress.loss = 0.0
    score = float(epoch) if config.select_by == "last" else task_sum(scores, config.select_by)
    if (file := progress.place_for(score, config.keep_best)) is not None:
        if accelerator.is_main_process:
            save_weights(store, f"{folder}/{file}", network)
        progress.best = sorted(
            [*(best for best in progress.best if best.file != file), Best(score, epoch + 1, file)],
            key=lambda best: (-best.score, best.epoch),
        )
    since = epoch + 1 - progress.best[0].epoch
    progress.stopped = config.early_stopping is not None and since >= config.early_stopping


def answer(
    network: nn.Module, batches: Batches, rows: Rows, accelerator: Accelerator, label: str | None = None
) -> dict[str, NDArray[np.float64]]:
    """Probabilities of both tasks for `rows`, in their order, on every process. Leaves the network in evaluation mode.

    Each process answers every n-th batch of those that one process would answer, so that the numbers are the same.
    """
    network.eval()
    device, place = accelerator.device, {int(row): k for k, row in enumerate(rows)}
    answers = {task: torch.zeros((len(rows), len(names)), device=device) for task, names in TASKS.items()}
    mine = batches.for_scoring(rows)[accelerator.process_index :: accelerator.num_processes]
    count = sum(len(some) for some in mine)
    with torch.inference_mode(), track(label, count) if label else contextlib.nullcontext(int) as tick:
        most = most_ahead(batches.config.prefetch, accelerator.device.type)
        ready = ahead(mine, lambda some: _ready(batches.join(some, False), accelerator), most)
        for some, batch in zip(mine, ready, strict=True):
            predicted = network(batch.to(device))
            places = torch.tensor([place[int(row)] for row in some], device=device)
            answers["opinion"][places] = predicted.opinion.float()
            answers["emotion"][places] = predicted.emotion.float()
            tick(len(some))
    # A row that is another process's is zero here.
    whole = accelerator.reduce(answers, "sum")
    return {task: values.double().cpu().numpy() for task, values in whole.items()}


def steps_an_epoch(config: TrainConfig, comments: int) -> int:
    """Optimizer steps an epoch; a short last batch and a short last group count."""
    return math.ceil(math.ceil(comments / config.batch_size) / config.optimizer.accumulate)


def learning_rate_factor(step: int, steps: int, optimizer: OptimizerConfig) -> float:
    """Share of the rate at `step` of `steps`: linear up from 0 over the first of them, then as the schedule has it."""
    rising = int(steps * optimizer.warmup)
    if step < rising:
        return step / rising
    left = (steps - step) / max(1, steps - rising)
    if optimizer.schedule == "constant":
        return 1.0
    return left if optimizer.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2


def _groups(batches: list[Rows], size: int) -> list[list[Rows]]:
    return [batches[start : start + size] for start in range(0, len(batches), size)]


def _share(rows: Rows, accelerator: Accelerator) -> Rows:
    """This process's part of a batch; every process gets at least one comment."""
    share = rows[accelerator.process_index :: accelerator.num_processes]
    return share if len(share) else rows[:1]


def _accelerator(config: TrainConfig, store: Store, run: str, trackers: Sequence[str]) -> Accelerator:
    precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[config.optimizer.precision]
    # Accelerate keeps one precision a process; another run of this process may want another.
    AcceleratorState._reset_state()
    # An encoder's pooler and the like are in no loss, which several processes must be told to expect.
    several = [DistributedDataParallelKwargs(find_unused_parameters=True)]
    if not trackers:
        return Accelerator(mixed_precision=precision, kwargs_handlers=several)
    for name in trackers:
        if name not in TRACKERS:
            raise UsageError(f"--log takes {', '.join(TRACKERS)}, and got '{name[:40]}'.")
        if find_spec(name) is None:
            raise CsmvError(f"--log {name} needs the package {name}: pip install {name}.")
    # Trackers name the machine in their files, and what is outside private/ is fit to publish.
    logs = store.path(f"private/tracking/{run}") if store.is_local else tempfile.mkdtemp(prefix="csmv-logs-")
    accelerator = Accelerator(
        mixed_precision=precision, kwargs_handlers=several, log_with=list(trackers), project_dir=logs
    )
    names = {"wandb": {"name": run}, "mlflow": {"run_name": run}}
    accelerator.init_trackers("csmv", as_flat(config.model_dump(mode="json")), init_kwargs=names)
    return accelerator
