"""Several devices at once: a process each, which takes a share of the work, then the next, until all is done.

The processes stay until `end_device_processes`, so that what they have loaded serves the next shard as well.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.processes import Processes, may_start_processes

Result = TypeVar("Result")

SHARE = 128
"""Items of a share, at most: few enough to end together, many enough to be worth starting decoders for."""

Share = tuple[str, tuple[str, ...]]
"""The name of a device, and the items that it is to do."""

_processes: dict[tuple[int, str], Processes] = {}
_lock = threading.Lock()


class DevicesFailedError(CsmvError):
    """Some devices failed, and the others have done what they could."""


def devices_of(device: str) -> tuple[str, ...]:
    """The devices that a setting names, with commas between them."""
    return tuple(one.strip() for one in device.split(","))


def shared_out(devices: Sequence[str], items: Sequence[str], work: Callable[[Share], Result]) -> Iterator[Result]:
    """What `work`, which can be pickled, gives of each share, as they get done; a device that fails gets no more.

    Args:
        devices: their names; one name may stand twice, for two processes.
        items: what is to be done.
        work: is called in a device's process.

    Raises:
        DevicesFailedError: a device failed; raised at the end, when the others have done all or have failed too.
        CsmvError: this process may have none of its own.
    """
    if not may_start_processes():
        raise CsmvError(
            f"Each of the devices {', '.join(devices)} needs a process, and this one may start none, as on a Dask "
            "cluster: give one device, or run the units in threads (task_runner: threads)."
        )
    size = max(1, min(SHARE, -(-len(items) // len(devices))))
    waiting = deque(tuple(items[start : start + size]) for start in range(0, len(items), size))
    failures: list[str] = []
    with ThreadPoolExecutor(len(devices), "csmv-devices") as threads:
        running: dict[Future[Result], tuple[int, tuple[str, ...]]] = {}

        def begin(number: int) -> None:
            if waiting:
                share = waiting.popleft()
                running[threads.submit(_in_process, number, devices[number], work, share)] = (number, share)

        try:
            usable = list(range(len(devices)))
            for number in usable:
                begin(number)
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    number, share = running.pop(future)
                    if error := future.exception():
                        failures.append(_told(devices[number], error))
                        usable.remove(number)
                        waiting.appendleft(share)
                    else:
                        yield future.result()
                for number in usable:
                    if number not in {busy for busy, _ in running.values()}:
                        begin(number)
        except BaseException:
            end_device_processes()  # else the threads would wait for what nobody wants any more
            raise
    if failures:
        raise DevicesFailedError(f"{' '.join(failures)} What the others had done is kept.")


def end_device_processes() -> None:
    """End the processes now, with what they have loaded."""
    with _lock:
        for process in _processes.values():
            process.close()
        _processes.clear()


def _in_process(number: int, device: str, work: Callable[[Share], Result], share: tuple[str, ...]) -> Result:
    with _lock:
        process = _processes.setdefault((number, device), Processes(1, _ready))
    try:
        [(_, result)] = process.map(work, [(device, share)])
    except BaseException:
        with _lock:
            _processes.pop((number, device), None)
        process.close()
        raise
    return result


def _ready() -> None:
    """A process needs no preparation: `work` loads what it wants to keep."""


def _told(device: str, error: BaseException) -> str:
    why = str(error).rstrip(".") if isinstance(error, CsmvError) else f"it stopped with {type(error).__name__}"
    return f"The process on {device} failed: {why}."
