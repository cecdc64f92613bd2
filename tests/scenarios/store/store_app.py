"""An application whose users have sessions, each with a number that only grows."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from millions import Millions, sessions


async def login(request: Request) -> Response:
    user = request.query_params["user"]
    session = await sessions.login(request, user)
    session["last"] = 0
    return JSONResponse({"user": user})


async def step(request: Request) -> Response:
    """Say what the session held, and let it hold n: to be asked for it again does no harm."""
    session = await sessions.of(request)
    answer = {
        "user": session.user,
        "last": session.get("last"),
        "pid": os.getpid(),
    }
    session["last"] = int(request.query_params["n"])
    return JSONResponse(answer)


app = Millions(Starlette(routes=[Route("/login", login), Route("/step", step)]))
