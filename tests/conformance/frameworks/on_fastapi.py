"""The laws' application on FastAPI."""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import deeds
from fastapi import Body, FastAPI, Request, Response

from millions import Millions


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    deeds.started.append("fastapi")
    yield


api = FastAPI(lifespan=lifespan)


@api.get("/hello/{name}")
async def hello(name: str) -> dict[str, Any]:
    return await deeds.hello(name)


@api.post("/notes", status_code=201)
async def notes(words: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
    return await deeds.add_note(words)


@api.post("/deeds/{deed}")
async def deed(deed: str, request: Request) -> dict[str, Any]:
    return await getattr(deeds, deed)((await request.body()).decode())


@api.get("/count")
async def count(words: str) -> dict[str, Any]:
    return await deeds.count(words)


@api.post("/upload")
async def upload(name: str, request: Request) -> dict[str, Any]:
    return await deeds.upload(name, request.stream())


@api.post("/size")
async def size(request: Request) -> dict[str, Any]:
    return {"size": len(await request.body())}


@api.post("/login")
async def login(user: str, request: Request) -> dict[str, Any]:
    return await deeds.login(request, user)


@api.get("/me")
async def me(request: Request) -> dict[str, Any]:
    return await deeds.me(request)


@api.get("/asset")
async def asset() -> dict[str, Any]:
    return deeds.asset()


@api.get("/fail")
async def fail() -> None:
    raise RuntimeError("as it was asked to")


@api.get("/injected")
async def injected(response: Response) -> None:
    response.headers["x-value"] = deeds.INJECTED


app = Millions(api)
