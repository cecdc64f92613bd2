"""An application whose users have sessions, each with a number that only grows, and a feed."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from millions import Millions, sessions, store
from millions.errors import CommitUnknownError


async def login(request: Request) -> Response:
    user = request.query_params["user"]
    session = await sessions.login(request, user)
    session["last"] = 0
    return JSONResponse({"user": user})


async def counted(key: str) -> int | None:
    """Count up; None when a server died before it said whether it has counted."""
    try:
        return await store.increment(key)
    except CommitUnknownError:
        return None


async def step(request: Request) -> Response:
    """Say what the session held, and let it hold n: to be asked for it again does no harm."""
    session = await sessions.of(request)
    answer = {
        "user": session.user,
        "last": session.get("last"),
        "pid": os.getpid(),
        "count": await counted(f"steps:{session.user}"),
    }
    feed = store.sorted(f"feed:{session.user}")
    await feed.add(request.query_params["n"], int(request.query_params["n"]))
    answer["feed"] = await feed.size()
    session["last"] = int(request.query_params["n"])
    return JSONResponse(answer)


app = Millions(Starlette(routes=[Route("/login", login), Route("/step", step)]))
