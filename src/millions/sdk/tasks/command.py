"""`python -m millions.sdk.tasks photos.tasks`: a process that only works on tasks.

It imports the application, so that its tasks are declared, and works until SIGTERM or SIGINT; then
it lets its tasks finish. It serves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import uvloop

from millions.errors import MillionsError
from millions.sdk import log as logging
from millions.sdk.log import log
from millions.sdk.tasks.worker import DRAIN_S

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Work on tasks. Answer the exit code: 0 after a stop, 1 when it could not begin."""
    parser = argparse.ArgumentParser(prog="python -m millions.sdk.tasks", description=__doc__)
    parser.add_argument("module", nargs="+", help="imported so that its tasks are declared")
    parser.add_argument("--queue", action="append", help="work on this queue only; repeatable")
    parser.add_argument("--concurrency", type=int, help="tasks at once; default: the directory's")
    parser.add_argument("--drain-s", type=float, default=DRAIN_S, help="bound of a graceful stop")
    chosen = parser.parse_args(arguments)
    logging.configure()
    for module in chosen.module:
        import_module(module.partition(":")[0])  # its own traceback says what is wrong with it
    try:
        uvloop.run(_work(chosen))
    except MillionsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _work(chosen: argparse.Namespace) -> None:
    from millions.sdk import nouns  # noqa: PLC0415  # makes every noun: not when this is imported

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopped.set)
    await nouns.open_all(run_tasks=False)
    try:
        worker = nouns.tasks.worker(
            concurrency=chosen.concurrency,
            queues=chosen.queue,
            drain_s=chosen.drain_s,
            exits_when_blocked=True,
        )
        async with worker:
            log.info("tasks: working", queues=chosen.queue or "all")
            await stopped.wait()
            log.info("tasks: stopping", held=worker.held)
    finally:
        await nouns.close_all()
