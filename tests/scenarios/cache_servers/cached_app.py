"""An application whose one noun is cached: a number that grows."""

import os

from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from millions import Millions, cache, db

GROW = text(
    "INSERT INTO numbers VALUES (:name, 1) "
    "ON CONFLICT (name) DO UPDATE SET value = numbers.value + 1 RETURNING value"
)


@cache.through(key="number:{name}", tags=["numbers"], ttl_s=600)
async def number(name: str) -> int:
    query = text("SELECT value FROM numbers WHERE name = :name")
    async with db.read(name) as s:
        return (await s.execute(query, {"name": name})).scalar_one_or_none() or 0


async def read(request: Request) -> Response:
    return JSONResponse(await number(request.path_params["name"]))


async def grow(request: Request) -> Response:
    name = request.path_params["name"]
    async with db.write(name) as s:
        value = (await s.execute(GROW, {"name": name})).scalar_one()
        s.invalidates(number.key(name))
    return JSONResponse(value)


async def about(_request: Request) -> Response:
    found = cache.statistics()
    return JSONResponse(
        {
            "pid": os.getpid(),
            "servers": found.servers,
            "used": found.servers_used,
            "server_hits": found.server_hits,
        }
    )


app = Millions(
    Starlette(
        routes=[
            Route("/numbers/{name}", read, methods=["GET"]),
            Route("/numbers/{name}", grow, methods=["POST"]),
            Route("/about", about),
        ]
    )
)
