"""`python -m millions.sdk.tasks photos.tasks`: a process that only works on tasks.

It imports the application, so that its tasks are declared, and works until SIGTERM or SIGINT; then
it lets its tasks finish. It serves nothing but probes and metrics, on its private address.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import uvloop

from millions.errors import MillionsError, UnavailableError
from millions.sdk import log as logging
from millions.sdk.log import log
from millions.sdk.tasks.backlog import Backlog
from millions.sdk.tasks.lane import LOST
from millions.sdk.tasks.memory import Memory
from millions.sdk.tasks.worker import DRAIN_S, Options

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from millions.sdk.tasks.worker import Worker

JSON = b"application/json"
PRIVATE_VARIABLE = "MILLIONS_PRIVATE"
"""Names the private address, HOST:PORT; without it nothing is served."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Work on tasks. Answer the exit code: 0 after a stop, 1 when it could not begin."""
    chosen = _parser().parse_args(arguments)
    logging.configure()
    for module in chosen.module:
        import_module(module.partition(":")[0])  # its own traceback says what is wrong with it
    try:
        uvloop.run(_work(chosen))
    except MillionsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m millions.sdk.tasks", description=__doc__)
    parser.add_argument("module", nargs="+", help="imported so that its tasks are declared")
    parser.add_argument("--queue", action="append", help="work on this queue only; repeatable")
    parser.add_argument(
        "--limit",
        action="append",
        type=_limit,
        default=[],
        metavar="QUEUE=NUMBER",
        help="at most so many tasks of this queue at once; repeatable",
    )
    parser.add_argument("--concurrency", type=int, help="tasks at once; default: the directory's")
    parser.add_argument("--processes", type=int, default=1, help="tasks at once with process=True")
    parser.add_argument("--drain-s", type=float, default=DRAIN_S, help="bound of a graceful stop")
    parser.add_argument(
        "--memory-mib", type=int, default=0, help="end when it takes more; 0: never"
    )
    return parser


def _limit(text: str) -> tuple[str, int]:
    queue, _, number = text.partition("=")
    if not queue or not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"QUEUE=NUMBER, such as video=2, not {text!r}")
    return queue, int(number)


async def _work(chosen: argparse.Namespace) -> None:
    from millions.sdk import nouns  # noqa: PLC0415  # makes every noun: not when this is imported

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopped.set)
    await nouns.open_all(run_tasks=False)
    try:
        options = Options(
            queues=chosen.queue,
            limits=dict(chosen.limit),
            processes=chosen.processes,
            drain_s=chosen.drain_s,
            exits_when_blocked=True,
        )
        worker = nouns.tasks.worker(concurrency=chosen.concurrency, options=options)
        async with worker, _told(worker):
            memory = Memory(chosen.memory_mib, worker.held_names)
            memory.start()
            log.info("tasks: working", queues=chosen.queue or "all")
            await stopped.wait()
            log.info("tasks: stopping", held=worker.held)
            await worker.stop()
            memory.stop()
    finally:
        await nouns.close_all()


@asynccontextmanager
async def _told(worker: Worker) -> AsyncGenerator[None]:
    """Answer probes and scrapers on the private address, where there is one."""
    address = os.environ.get(PRIVATE_VARIABLE)
    if not address:
        yield
        return
    from millions.sdk import nouns  # noqa: PLC0415  # as above
    from millions.sdk.private import TEXT, Page, Private  # noqa: PLC0415  # brings a web server

    async def ready() -> Page:
        if worker.connected:
            return 200, TEXT, b"ready\n"
        return 503, TEXT, b"not ready\n  because: the database does not answer\n"

    async def alive() -> Page:
        return 200, TEXT, b"alive\n"

    async def metrics() -> Page:
        kind, text = await nouns.metrics.text()
        return 200, kind, text

    backlog = Backlog(worker, nouns.db.pool)

    async def work() -> Page:
        try:
            return 200, JSON, await backlog.text()
        except (*LOST, TimeoutError, UnavailableError):
            return 503, TEXT, b"not known\n  because: the database does not answer\n"

    private = Private({"/readyz": ready, "/healthz": alive, "/metrics": metrics, "/tasks": work})
    await private.open(address)
    try:
        yield
    finally:
        await private.close()
