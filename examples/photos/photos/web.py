"""The application: pages and API, wrapped by Millions, which opens everything they stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from millions import Millions, assets, files
from photos.api import account as api_account
from photos.api import page as api_page
from photos.api import people as api_people
from photos.api import photos as api_photos
from photos.pages import account, entrance, errors, pictures, profiles, streams

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; style-src {ours}; script-src {ours}; connect-src 'self'; "
    "img-src {ours} blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"private, no-store"),
]


def headers() -> list[tuple[bytes, bytes]]:
    """What every answer says; assets and pictures may come from the stack's delivery network."""
    elsewhere = (each.base_url for each in (assets, files) if "://" in each.base_url)
    ours = " ".join(("'self'", *elsewhere))
    return [(b"content-security-policy", POLICY.format(ours=ours).encode()), *HEADERS]


class Guard:
    """Sends headers() with every answer: nothing from others, framed by nobody, kept by nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; add to the start of an answer what it does not say itself."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                said = {name.lower() for name, _ in own}
                message["headers"] = own + [each for each in headers() if each[0] not in said]
            await send(message)

        await self.app(scope, receive, guarded)


def application() -> FastAPI:
    """Make the application; documentation pages from elsewhere are left out."""
    made = FastAPI(
        title="photos",
        version="1",
        description="A photo-sharing application: what every rung of Millions is tried with.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    for module in (api_account, api_people, api_photos):
        made.include_router(module.router)
    for module in (api_page, entrance, streams, pictures, profiles, account):
        made.include_router(module.router, include_in_schema=False)
    errors.add_to(made)
    made.add_middleware(Guard)
    return made


app = Millions(application())
