"""A process that works for another ends soon after it."""

import os
import threading
import time


def leave_with(parent: int) -> None:
    """End this process about a second after process `parent`, its own parent, even while it hangs in other code."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
