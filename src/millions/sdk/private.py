"""The private address of a web process: /metrics, /readyz and /healthz, and nothing else.

It runs in the same event loop as the application, so that a blocked loop is a failed probe. It
never answers on the public address and never touches the application.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from millions.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

VARIABLE = "MILLIONS_PRIVATE"
"""Names the private address, HOST:PORT."""

CONNECTIONS = 64
"""Bound on connections at once: probes and one or two scrapers."""

Page = tuple[int, bytes, bytes]
"""Status, content type, content."""

TEXT = b"text/plain; charset=utf-8"


class Private:
    """Serves pages, given as coroutines by path, on an address of its own."""

    def __init__(self, pages: dict[str, Callable[[], Awaitable[Page]]]) -> None:
        self._pages = pages
        self._server: asyncio.AbstractServer | None = None
        self._state = ServerState()

    async def open(self, address: str) -> None:
        """Listen on `address`, HOST:PORT. Raise MachineError when that fails."""
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=CONNECTIONS,
            proxy_headers=False,
        )
        config.load()
        host, _, port = address.rpartition(":")
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: HttpToolsProtocol(config, self._state, {}), host, int(port)
            )
        except (ValueError, OverflowError, OSError) as error:
            raise MachineError(
                cannot=f"listen on the private address {address}",
                because=getattr(error, "strerror", None) or str(error),
                try_="stop the program that has it (ss -ltnp), or give another address",
            ) from error

    async def close(self) -> None:
        """Stop listening and close what is connected."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._state.connections):
            connection.shutdown()

    async def _answer(self, scope: Any, _receive: Any, send: Any) -> None:
        page = self._pages.get(scope["path"])
        if page is None:
            status, kind, content = 404, TEXT, b"not here: /metrics /readyz /healthz\n"
        elif scope["method"] not in {"GET", "HEAD"}:
            status, kind, content = 405, TEXT, b"GET only\n"
        else:
            status, kind, content = await page()
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(content)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
