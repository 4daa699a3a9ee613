"""Windows packed to batches of one fixed shape, and run on a device while the next ones are being filled.

The last batch is padded, never shrunk: kernels choose their order of summation by shape, so with a fixed shape a
window's numbers do not depend on what shared its batch. Knows windows and networks, not files.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csmv.extractors.base import Extractor
from csmv.extractors.contract import check_vectors
from csmv.extractors.cutting import Plan, Window


@dataclass(frozen=True)
class Ticket:
    """Whose window stands at a place of a batch."""

    job: int
    number: int


@dataclass
class Batch:
    """`size` windows of one plan, filled from the front; `tensor` has the full shape always."""

    plan: int
    tensor: Tensor
    tickets: list[Ticket] = field(default_factory=list)


class Packer:
    """Fills batches of one plan out of windows as they come."""

    def __init__(self, number: int, plan: Plan, size: int, *, pinned: bool) -> None:
        self._number, self._plan, self._size, self._pinned = number, plan, size, pinned
        self._spare: deque[Tensor] = deque()
        self._batch: Batch | None = None

    def add(self, ticket: Ticket, window: Window) -> Batch | None:
        """Copy the window in; the batch, once it is full."""
        if self._batch is None:
            self._batch = Batch(self._number, self._buffer())
        at = len(self._batch.tickets)
        self._batch.tensor[at].numpy()[...] = window
        self._batch.tickets.append(ticket)
        return self.flush() if at + 1 == self._size else None

    def flush(self) -> Batch | None:
        """The unfinished batch, the places behind its windows set to zero; None if there is none."""
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.tensor[len(batch.tickets) :] = 0
        return batch

    def give_back(self, tensor: Tensor) -> None:
        """A batch's memory is free to be filled again."""
        self._spare.append(tensor)

    def _buffer(self) -> Tensor:
        if self._spare:
            return self._spare.popleft()
        kind = torch.uint8 if self._plan.dtype == "uint8" else torch.float32
        return torch.empty((self._size, *self._plan.shape), dtype=kind, pin_memory=self._pinned)


@dataclass
class Pending:
    """A batch whose vectors are being computed."""

    batch: Batch
    vectors: dict[str, Tensor]
    ready: Any


class Runner:
    """Runs batches through the extractors of their plan; on a GPU up to two are under way at once."""

    def __init__(self, extractors: dict[int, list[tuple[str, Extractor]]], device: torch.device) -> None:
        self._extractors, self._device = extractors, device
        self._cuda = device.type == "cuda"
        self._copies: Any = torch.cuda.Stream(device) if self._cuda else None  # type: ignore[no-untyped-call]
        self._under_way: deque[Pending] = deque()
        self._parts: dict[str, int] = {}

    def submit(self, batch: Batch) -> Iterator[tuple[Batch, dict[str, NDArray[np.float32]]]]:
        """Start a batch; yields (batch, vectors by extractor) of batches that are finished, in order."""
        self._under_way.append(self._start(batch))
        while len(self._under_way) > (2 if self._cuda else 0):
            yield self._finish()

    def drain(self) -> Iterator[tuple[Batch, dict[str, NDArray[np.float32]]]]:
        """Finish whatever is under way."""
        while self._under_way:
            yield self._finish()

    def _start(self, batch: Batch) -> Pending:
        on_device = self._moved(batch.tensor)
        vectors = {name: self._embed(name, one, on_device) for name, one in self._extractors[batch.plan]}
        if not self._cuda:
            return Pending(batch, {name: value.cpu() for name, value in vectors.items()}, None)
        inputs = {}
        for name, value in vectors.items():
            inputs[name] = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
            inputs[name].copy_(value, non_blocking=True)
        ready: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record()
        return Pending(batch, inputs, ready)

    def _moved(self, tensor: Tensor) -> Tensor:
        if not self._cuda:
            return tensor.to(self._device)
        with torch.cuda.stream(self._copies):
            moved = tensor.to(self._device, non_blocking=True)
        torch.cuda.current_stream(self._device).wait_stream(self._copies)
        moved.record_stream(torch.cuda.current_stream(self._device))
        return moved

    def _embed(self, name: str, extractor: Extractor, windows: Tensor) -> Tensor:
        """`embed_device`, in halves of halves once the device's memory did not suffice."""
        while True:
            parts = self._parts.get(name, 1)
            try:
                pieces = [extractor.embed_device(piece) for piece in windows.chunk(parts)]
                for piece, vectors in zip(windows.chunk(parts), pieces, strict=True):
                    check_vectors(name, vectors, len(piece), extractor.vectors_per_window, extractor.dim)
                return torch.cat(pieces) if parts > 1 else pieces[0]
            except torch.OutOfMemoryError:
                if parts >= len(windows):
                    raise
            self._parts[name] = parts * 2
            if self._cuda:
                torch.cuda.empty_cache()

    def _finish(self) -> tuple[Batch, dict[str, NDArray[np.float32]]]:
        pending = self._under_way.popleft()
        if pending.ready is not None:
            pending.ready.synchronize()
        return pending.batch, {name: value.numpy() for name, value in pending.vectors.items()}
