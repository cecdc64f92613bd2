"""An application that enqueues tasks, each of which writes down where it ran."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from millions import Millions, db, events, tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from millions.sdk.events import Subscription

UNIT = os.environ.get("MILLIONS_UNIT", "")
RELEASE = Path.cwd().name
BLOCK = 8 << 20
HEARD: list[Any] = []
MISSED: list[Any] = []
RAN = text("INSERT INTO runs (value, unit, pid, release) VALUES (:value, :unit, :pid, :release)")


async def ran(value: int) -> None:
    async with db.write("runs") as session:
        here = {"value": value, "unit": UNIT, "pid": os.getpid(), "release": RELEASE}
        await session.execute(RAN, here)
        await events.publish("job.done", value, session=session)


@tasks.task(name="note")
async def note(value: int) -> None:
    await ran(value)


@tasks.task(name="slowly")
async def slowly(value: int) -> None:
    await asyncio.sleep(0.2)
    await ran(value)


@tasks.task(name="eat")
async def eat(value: int) -> None:
    """Take all memory the first time, as a picture that is too large does."""
    async with db.read("runs", primary=True) as session:
        found = await session.execute(text("SELECT 1 FROM runs WHERE value = :v"), {"v": value})
    await ran(value)
    if found.first() is None:
        eaten = []
        while True:
            eaten.append(bytearray(b"x") * BLOCK)
            await asyncio.sleep(0.005)


@tasks.task(name="compute", process=True, keep_s=600)
def compute(number: int) -> list[int]:
    return [number * number, os.getpid()]


@tasks.task(name="poison", retries=0)
async def poison(value: int) -> None:
    raise ValueError(f"no {value}")


KINDS = {each.bounds.name: each for each in (note, slowly, eat, compute, poison)}


async def enqueue(request: Request) -> Response:
    """Enqueue tasks in the transaction of an order; every seventh transaction is undone."""
    asked = await request.json()
    values: list[int] = asked["values"]
    task = KINDS[asked["task"]]
    ids = []
    try:
        async with db.write("runs") as session:
            ids += [await task.enqueue(value, session=session) for value in values]
            if asked.get("undo"):
                raise LookupError
    except LookupError:
        return JSONResponse([], status_code=201)
    return JSONResponse(ids, status_code=201)


async def runs(_request: Request) -> Response:
    async with db.read("runs", primary=True) as session:
        rows = await session.execute(text("SELECT value, unit, pid, release FROM runs ORDER BY at"))
        return JSONResponse([list(row) for row in rows.all()])


async def left(_request: Request) -> Response:
    counted = await tasks.statistics()
    return JSONResponse(
        {
            "left": counted.ready + counted.running + counted.waiting,
            "workers": counted.workers,
            "dead": counted.dead,
        }
    )


async def heard(_request: Request) -> Response:
    """What this process heard of the tasks' events: values, and how often some were missed."""
    return JSONResponse({"values": HEARD, "missed": len(MISSED)})


@contextlib.asynccontextmanager
async def hearing(_app: Starlette) -> AsyncIterator[None]:
    async def read(done: Subscription) -> None:
        async for event in done:
            (MISSED if event.missed else HEARD).append(event.data)

    async with events.subscribe("job.*") as done:
        reading = asyncio.create_task(read(done))
        yield
        reading.cancel()


async def outcome(request: Request) -> Response:
    found = await tasks.outcome(int(request.query_params["id"]))
    return JSONResponse({"state": found.state, "result": found.result})


app = Millions(
    Starlette(
        routes=[
            Route("/tasks", enqueue, methods=["POST"]),
            Route("/runs", runs),
            Route("/left", left),
            Route("/outcome", outcome),
            Route("/heard", heard),
        ],
        lifespan=hearing,
    ),
    access_log=False,
    csrf=False,
)
