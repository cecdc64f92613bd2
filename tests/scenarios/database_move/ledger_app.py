"""An application that writes one line for each request that it acknowledges, and reads them."""

import contextlib
from collections.abc import AsyncIterator

from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from millions import Millions, db
from millions.sdk.sharding import REFERENCE

MAKE = "CREATE TABLE IF NOT EXISTS lines (name text NOT NULL, at timestamptz DEFAULT now())"


async def write(request: Request) -> Response:
    async with db.write(REFERENCE) as session:
        await session.execute(
            text("INSERT INTO lines (name) VALUES (:name)"), {"name": request.path_params["name"]}
        )
        if "s" in request.query_params:
            await session.execute(
                text("SELECT pg_sleep(:s)"), {"s": float(request.query_params["s"])}
            )
    return PlainTextResponse("written", status_code=201)


async def read(request: Request) -> Response:
    async with db.read(REFERENCE) as session:
        found = await session.execute(
            text("SELECT count(*) FROM lines WHERE name = :name"),
            {"name": request.path_params["name"]},
        )
        return PlainTextResponse(str(found.scalar_one()))


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    async with db.write(REFERENCE) as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(1)"))
        await session.execute(text(MAKE))
        await session.execute(text("CREATE INDEX IF NOT EXISTS lines_name ON lines (name)"))
    yield


routes = [Route("/lines/{name}", write, methods=["POST"]), Route("/lines/{name}", read)]
app = Millions(Starlette(lifespan=lifespan, routes=routes), access_log=False)
