"""A page that lists the calls of the API, made from its OpenAPI document."""

from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from photos.pages.rendering import Viewer, page

router = APIRouter()


class Call(NamedTuple):
    """One line of the list."""

    verb: str
    path: str
    words: str


@router.get("/api")
async def list_calls(request: Request, me: Viewer) -> Response:
    calls = [
        Call(verb.upper(), path, operation.get("description", ""))
        for path, operations in request.app.openapi()["paths"].items()
        for verb, operation in operations.items()
    ]
    return await page(request, "api.html", me, calls=calls)
