"""The web process: `python -m millions.sdk.server module:attribute`.

Serves the application on the listening socket that the supervisor passed, and on a private address
what probes and scrapers ask. It drains on SIGTERM (`drain.py`), hands the listening socket to the
next supervisor (`handover.py`), and never forks or restarts anything.

Exit status: 0 stopped, 1 something of the stack is missing, 3 the application does not import or
start, 143 stopped before everything was answered.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import TYPE_CHECKING, Any

import click
import uvicorn
import uvloop

from millions.errors import MillionsError
from millions.sdk import application, handover, log, nouns
from millions.sdk.application import ApplicationError
from millions.sdk.asgi import Millions, health, probe
from millions.sdk.drain import IN_FLIGHT_S, DrainingProtocol, DrainingServer
from millions.sdk.private import TEXT, VARIABLE, Page, Private

if TYPE_CHECKING:
    import socket

KEEP_ALIVE_S = 75
"""Longer than the 60 s of usual balancers, so that they close idle connections, not we."""

TASKS_VARIABLE = "MILLIONS_TASKS"
"""Names the modules that declare tasks, separated by commas."""

DRAIN_VARIABLE = "MILLIONS_DRAIN_S"

FORWARDED_VARIABLE = "FORWARDED_ALLOW_IPS"
"""Addresses of proxies whose X-Forwarded-For is believed; nobody's when it is not set."""

MISSING = 1

_leaving: list[asyncio.Future[None]] = []
"""What began with the drain; the shutdown of the lifespan waits for it."""


async def serve(app: Any, listener: socket.socket) -> int:
    """Serve `app` until a signal; answer the exit status. Raise MillionsError when it cannot."""
    private = Private({"/metrics": _metrics, "/readyz": _ready, "/healthz": _alive})
    if os.environ.get(VARIABLE):
        await private.open(os.environ[VARIABLE])
    door: handover.Handover | None = None
    if os.environ.get(handover.HANDOVER_VARIABLE):
        door = handover.Handover(os.environ[handover.HANDOVER_VARIABLE], listener.dup())
        door.open()
    server = _server(app)
    try:
        await server.serve([listener])
    finally:
        if door is not None:
            door.close()
        await private.close()
    return server.status


def _server(app: Any) -> DrainingServer:
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=DrainingProtocol,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(os.environ.get(FORWARDED_VARIABLE)),
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=handover.BACKLOG,
    )
    return DrainingServer(
        config, _drain, in_flight_s=float(os.environ.get(DRAIN_VARIABLE) or IN_FLIGHT_S)
    )


def _drain() -> None:
    """Say that this process is no longer ready; leave tasks to others from now on."""
    health.draining = True
    _leaving.append(asyncio.ensure_future(nouns.stop_tasks()))


async def _metrics() -> Page:
    kind, text = await nouns.metrics.text()
    return 200, kind, text


async def _ready() -> Page:
    status, words = await probe("/readyz")
    return status, TEXT, words.encode()


async def _alive() -> Page:
    status, words = await probe("/healthz")
    return status, TEXT, words.encode()


def load(target: str) -> Any:
    """Import the application and the modules that declare tasks; wrap it when it is not wrapped."""
    app = application.load(target)
    for module in filter(None, os.environ.get(TASKS_VARIABLE, "").split(",")):
        application.load_module(module.strip())
    return app if isinstance(app, Millions) else Millions(app)


def run(target: str, bind: str) -> int:
    """Load, listen, serve; answer the exit status."""
    try:
        listener = handover.inherited() or handover.bind(bind)
        app = load(target)
        gc.collect()
        gc.freeze()  # what was imported stays; no collection needs to look at it again
        return uvloop.run(serve(app, listener))
    except ApplicationError as error:
        sys.stderr.write(error.text)
        return application.STATUS
    except MillionsError as error:
        sys.stderr.write(f"{error}\n")
        return MISSING
    finally:
        log.lines.flush()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("target", metavar="MODULE:ATTRIBUTE")
@click.option(
    "--bind",
    default="127.0.0.1:8000",
    show_default=True,
    help="Where to listen when no socket was inherited.",
)
def main(target: str, bind: str) -> None:
    """Serve the ASGI application ATTRIBUTE of MODULE."""
    log.configure()
    if "" not in sys.path and os.getcwd() not in sys.path:  # noqa: PTH109  # as Python itself says it
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    status = run(target, bind)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # nothing is left to end in order; threads of libraries may not be ended


if __name__ == "__main__":
    main()
