"""The laws' application on Litestar."""

from typing import Any

import deeds
from litestar import Litestar, Request, Response, get, post

from millions import Millions


@get("/hello/{name:str}")
async def hello(name: str) -> dict[str, Any]:
    return await deeds.hello(name)


@post("/notes", status_code=201)
async def notes(data: dict[str, str]) -> dict[str, Any]:
    return await deeds.add_note(data["words"])


@post("/deeds/{deed:str}", status_code=200)
async def deed(deed: str, request: Request) -> dict[str, Any]:
    return await getattr(deeds, deed)((await request.body()).decode())


@get("/count")
async def count(words: str) -> dict[str, Any]:
    return await deeds.count(words)


@post("/upload", status_code=200)
async def upload(name: str, request: Request) -> dict[str, Any]:
    return await deeds.upload(name, request.stream())


@post("/size", status_code=200)
async def size(request: Request) -> dict[str, Any]:
    return {"size": len(await request.body())}


@post("/login", status_code=200)
async def login(user: str, request: Request) -> dict[str, Any]:
    return await deeds.login(request, user)


@get("/me")
async def me(request: Request) -> dict[str, Any]:
    return await deeds.me(request)


@get("/asset")
async def asset() -> dict[str, Any]:
    return deeds.asset()


@get("/fail")
async def fail() -> None:
    raise RuntimeError("as it was asked to")


@get("/injected")
async def injected() -> Response[str]:
    return Response("", headers={"x-value": deeds.INJECTED})


async def started(_app: Litestar) -> None:
    deeds.started.append("litestar")


app = Millions(
    Litestar(
        [hello, notes, deed, count, upload, size, login, me, asset, fail, injected],
        on_startup=[started],
        request_max_body_size=None,
        openapi_config=None,
    )
)
