"""The application of the web process's tests; what the environment says makes it misbehave."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from millions import log, store, tasks

MISBEHAVES = os.environ.get("MISBEHAVES", "")

if MISBEHAVES == "import":
    raise LookupError("no such colour: téal")


@tasks.task
async def count(name: str) -> None:
    await store.increment(name)


async def enqueue(request: Request) -> Response:
    await count.enqueue(request.query_params["name"])
    return PlainTextResponse("enqueued")


async def counted(request: Request) -> Response:
    return PlainTextResponse(str(await store.count(request.query_params["name"])))


async def slow(_request: Request) -> Response:
    await asyncio.sleep(5)
    return PlainTextResponse("slow")


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    if MISBEHAVES == "startup":
        raise LookupError("no colour at the start")
    if MISBEHAVES == "hanging":
        log.info("hanging at the start")
        await asyncio.Event().wait()
    yield


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/enqueue", enqueue, methods=["POST"]),
        Route("/counted", counted),
        Route("/slow", slow),
    ],
)
"""Not wrapped: the server does it."""
