"""What the tests of bounded memory measure with."""

from collections.abc import Callable

STARTS_A_CHILD_SLOWLY = """
import subprocess, sys, time
held = b"x" * 300_000_000
child = [sys.executable, "-c", "import time; time.sleep(0.5)"]
subprocess.run(child, check=True, preexec_fn=lambda: time.sleep(0.5))
"""


def test_a_child_does_not_count_its_parents_memory_as_its_own(
    peak_memory: Callable[..., tuple[int, str]],
) -> None:
    # On a busy machine a child may be seen between fork and exec, when it still has all that its parent holds.
    held, _ = peak_memory("-c", STARTS_A_CHILD_SLOWLY)
    assert 300e6 < held < 400e6


def test_what_a_child_holds_is_counted(peak_memory: Callable[..., tuple[int, str]]) -> None:
    child = "import time; held = bytes(range(250)) * 1_000_000; del held; time.sleep(0.3)"
    held, _ = peak_memory(
        "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    assert 250e6 < held < 350e6
