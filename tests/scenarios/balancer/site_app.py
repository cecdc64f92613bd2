"""An application that tells which web server and which release answered, and stores orders."""

import asyncio
import os
import time
from pathlib import Path

from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from millions import Millions, db, edge, files

UNIT = os.environ.get("MILLIONS_UNIT", "")
BEHAVIOUR = Path(__file__).with_name("behaviour").read_text().strip()
"""good, slow or failing: what this release does."""


async def who(request: Request) -> Response:
    if BEHAVIOUR == "failing":
        return PlainTextResponse("broken\n", status_code=500)
    if BEHAVIOUR == "slow":
        await asyncio.sleep(0.75)
    return JSONResponse(
        {
            "unit": UNIT,
            "release": BEHAVIOUR,
            "client": request.client.host if request.client else "",
            "scheme": request.url.scheme,
        }
    )


async def order(request: Request) -> Response:
    body = await request.json()
    async with db.write("orders") as session:
        await session.execute(
            text("INSERT INTO orders (what) VALUES (:what)"), {"what": body["what"]}
        )
        session.invalidates(f"orders of {body['what']}")
    await asyncio.sleep(body.get("after_s", 0))
    return JSONResponse({"what": body["what"]}, status_code=201)


async def orders(_request: Request) -> Response:
    async with db.read("orders") as session:
        rows = await session.execute(text("SELECT what, count(*) FROM orders GROUP BY what"))
        return JSONResponse(dict(map(tuple, rows.all())))


async def migrations(_request: Request) -> Response:
    async with db.read("orders") as session:
        rows = await session.execute(text("SELECT release FROM migrations ORDER BY at"))
        return JSONResponse([release for (release,) in rows.all()])


async def slow(request: Request) -> Response:
    await asyncio.sleep(float(request.query_params["s"]))
    return PlainTextResponse(UNIT)


async def public(request: Request) -> Response:
    """What is the same for everybody, for as long as the query says."""
    keep = {"cache-control": f"public, max-age={request.query_params.get('s', '60')}"}
    return PlainTextResponse(f"{UNIT} {time.time_ns()}", headers=keep)


async def counted(request: Request) -> Response:
    """How many orders of one kind there are, kept until one comes in."""
    what = request.path_params["what"]
    async with db.read("orders") as session:
        rows = await session.execute(
            text("SELECT count(*) FROM orders WHERE what = :what"), {"what": what}
        )
        response = PlainTextResponse(str(rows.scalar_one()))
    if mark := request.query_params.get("mark"):  # read before, answered a while later
        await asyncio.to_thread(Path(mark).touch)
        await asyncio.sleep(1)
    return edge.cache(response, ttl_s=3600, tags=[f"orders of {what}"])


async def stored(request: Request) -> Response:
    """Store a file and answer its URL."""
    about = await files.put("a/b.txt", b"what a file holds", content_type="text/plain")
    return PlainTextResponse(files.url(about.name))


async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return JSONResponse({"size": size})


async def events(_request: Request) -> Response:
    async def numbers():
        for number in range(5):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(numbers(), media_type="text/event-stream")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for message in socket.iter_text():
        await socket.send_text(f"{UNIT}: {message}")


app = Millions(
    Starlette(
        routes=[
            Route("/who", who),
            Route("/orders", order, methods=["POST"]),
            Route("/orders", orders),
            Route("/migrations", migrations),
            Route("/slow", slow),
            Route("/public/{name:path}", public),
            Route("/counted/{what}", counted),
            Route("/stored", stored),
            Route("/upload", upload, methods=["POST"]),
            Route("/events", events),
            WebSocketRoute("/echo", echo),
        ]
    ),
    access_log=False,
)
