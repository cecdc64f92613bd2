"""A process that runs tasks for a worker, one after the other; `processes` starts it.

It imports the module of a task when it is first asked for it. It holds no connection to anything
but its worker, and ends with it.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

from millions.sdk import log as logging
from millions.sdk.tasks import codec, current
from millions.sdk.tasks.claim import Claim
from millions.sdk.tasks.task import Task

PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that this process gets when its parent dies, even inside of C."""

ERROR_MAX = 4000
Line = dict[str, Any]


def main(descriptor: int) -> None:
    """Answer what is asked on the inherited socket until its other end is closed."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    logging.configure()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)  # the worker decides when this one ends
    connection = socket.socket(fileno=descriptor)
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(connection, asked), daemon=True).start()
    while True:
        _say(connection, _run(connection, orjson.loads(asked.get())))


def _read(connection: socket.socket, asked: queue.SimpleQueue[bytes]) -> None:
    """Hand each line on; end the process when nobody will read its answer."""
    with connection.makefile("rb") as lines:
        for line in lines:
            asked.put(line)
    logging.lines.flush()
    os._exit(0)


def _run(connection: socket.socket, asked: Line) -> Line:
    number, name, attempt, key, request_id = asked["claim"]
    now = datetime.now(UTC)
    claim = Claim(number, 0, attempt, "", name, "", key, request_id, now, now, None)

    def report(_task: int, fraction: float, words: str) -> None:
        _say(connection, {"progress": fraction, "words": words})

    try:
        function = _function(asked["module"], asked["name"])
        arguments, keywords = codec.decode(asked["arguments"])
        current.enter(current.Current(claim, worker=0, shard=None, report=report))
        result = function(*arguments, **keywords)
        return {"result": codec.encode([result], {})}
    except BaseException as error:  # noqa: BLE001  # it is the task's answer
        text = "".join(traceback.format_exception(error))[-ERROR_MAX:]
        return {"error": text, "kind": type(error).__name__}
    finally:
        logging.lines.flush()


def _function(module: str, name: str) -> Any:
    """The function of a task, found where it was declared."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found.function if isinstance(found, Task) else found


def _say(connection: socket.socket, line: Line) -> None:
    try:
        connection.sendall(orjson.dumps(line) + b"\n")
    except OSError:
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
