"""The laws' application on Starlette."""

import contextlib
from collections.abc import AsyncIterator

import deeds
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from millions import Millions


async def hello(request: Request) -> Response:
    return JSONResponse(await deeds.hello(request.path_params["name"]))


async def notes(request: Request) -> Response:
    words = (await request.json())["words"]
    return JSONResponse(await deeds.add_note(words), status_code=201)


async def deed(request: Request) -> Response:
    found = getattr(deeds, request.path_params["deed"])
    return JSONResponse(await found((await request.body()).decode()))


async def count(request: Request) -> Response:
    return JSONResponse(await deeds.count(request.query_params["words"]))


async def upload(request: Request) -> Response:
    return JSONResponse(await deeds.upload(request.query_params["name"], request.stream()))


async def size(request: Request) -> Response:
    return JSONResponse({"size": len(await request.body())})


async def login(request: Request) -> Response:
    return JSONResponse(await deeds.login(request, request.query_params["user"]))


async def me(request: Request) -> Response:
    return JSONResponse(await deeds.me(request))


async def asset(request: Request) -> Response:
    return JSONResponse(deeds.asset())


async def fail(request: Request) -> Response:
    raise RuntimeError("as it was asked to")


async def injected(request: Request) -> Response:
    return Response("", headers={"x-value": deeds.INJECTED})


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    deeds.started.append("starlette")
    yield


app = Millions(
    Starlette(
        lifespan=lifespan,
        routes=[
            Route("/hello/{name}", hello),
            Route("/notes", notes, methods=["POST"]),
            Route("/deeds/{deed}", deed, methods=["POST"]),
            Route("/count", count),
            Route("/upload", upload, methods=["POST"]),
            Route("/size", size, methods=["POST"]),
            Route("/login", login, methods=["POST"]),
            Route("/me", me),
            Route("/asset", asset),
            Route("/fail", fail),
            Route("/injected", injected),
        ],
    )
)
