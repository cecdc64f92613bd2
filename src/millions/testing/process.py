"""The one process of a test's server: waited for until it answers, signalled, killed by its pid."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    import subprocess
    from collections.abc import Callable

READY_WITHIN_S = 15.0
STOP_WITHIN_S = 5.0
LOOK_EVERY_S = 0.02


class OneProcess:
    """A server that is one process, if it runs; its methods block."""

    process: subprocess.Popen[Any] | None

    def send(self, sent: signal.Signals) -> None:
        """Send a signal to the server: SIGSTOP freezes it, SIGCONT lets it go on."""
        if self.process is not None:
            os.kill(self.process.pid, sent)

    def stop(self) -> None:
        """Kill it, as a crash does, and wait until it is gone."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(STOP_WITHIN_S)


def until_ready(answers: Callable[[], bool]) -> None:
    """Wait until `answers` says so. Raise OSError (TimeoutError) when it does not in time."""
    ends_at_s = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            if answers():
                return
            last = OSError("it answers something else")
        except OSError as error:
            last = error
        if time.monotonic() > ends_at_s:
            raise TimeoutError(f"no answer of the test's server: {last}") from last
        time.sleep(LOOK_EVERY_S)
