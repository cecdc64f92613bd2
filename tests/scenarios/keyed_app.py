"""An application whose requests carry idempotency keys: each stores a row, answers its number."""

import asyncio

from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from millions import Millions, db


async def order(request: Request) -> Response:
    body = await request.json()
    await asyncio.sleep(body.get("before_s", 0))
    async with db.write(body["user"]) as session:
        found = await session.execute(
            text("INSERT INTO orders (what) VALUES (:what) RETURNING id"), {"what": body["what"]}
        )
        number = found.scalar_one()
    await asyncio.sleep(body.get("after_s", 0))
    return JSONResponse({"number": number}, status_code=201)


app = Millions(Starlette(routes=[Route("/orders", order, methods=["POST"])]), access_log=False)
