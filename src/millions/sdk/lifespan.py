"""The lifespan of a wrapped application: nouns open around it, tasks run while it is up.

    open nouns → the application's startup → tasks → … → tasks → its shutdown → close nouns

It never hides an application's own failure: its words are passed on as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from millions.errors import MillionsError
from millions.sdk.application import theirs
from millions.sdk.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STOPPED_WITHIN_S = 5.0
"""An application's lifespan that was told to stop and cancelled gets this long."""


class StartupFailedError(Exception):
    """The application's own startup failed; the text is its words."""


class Inner:
    """The lifespan of the application inside, run in a task of its own."""

    def __init__(self, app: Callable[..., Awaitable[None]], scope: dict[str, Any]) -> None:
        self._app = app
        self._scope = scope
        self._to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Run the startup. An application that knows no lifespan is started as it is."""
        self._task = asyncio.create_task(
            self._run(self._app(self._scope, self._to_app.get, self._from_app.put)),
            name="millions lifespan",
        )
        answer = await self._asked("lifespan.startup")
        if answer.get("type") == "lifespan.startup.failed":
            raise StartupFailedError(answer.get("message", ""))
        if answer.get("type") != "lifespan.startup.complete":
            self._task = None

    async def shutdown(self) -> None:
        """Run the shutdown; log it when it fails."""
        if self._task is None:
            return
        answer = await self._asked("lifespan.shutdown")
        if answer.get("type") == "lifespan.shutdown.failed":
            log.error("the application's shutdown failed", because=answer.get("message", ""))
        self._task.cancel()
        await asyncio.wait([self._task], timeout=STOPPED_WITHIN_S)

    async def _asked(self, deed: str) -> dict[str, str]:
        """Tell the application `deed`; answer what it says, or {} when it ended without a word."""
        assert self._task is not None  # noqa: S101  # startup made it
        await self._to_app.put({"type": deed})
        answer = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait([answer, self._task], return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        return {} if self._from_app.empty() else self._from_app.get_nowait()

    async def _run(self, running: Awaitable[None]) -> None:
        with contextlib.suppress(Exception):  # what it has to say it says by messages
            await running


async def serve(
    app: Callable[..., Awaitable[None]],
    exchange: tuple[dict[str, Any], Any, Any],
    around: Callable[[], contextlib.AbstractAsyncContextManager[None]],
    tasks: Callable[[], contextlib.AbstractAsyncContextManager[None]],
) -> None:
    """Answer the server's lifespan messages. `around` opens what the application needs."""
    scope, receive, send = exchange
    await receive()
    failed = ""
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(around())
            inner = Inner(app, scope)
            await inner.startup()
            stack.push_async_callback(inner.shutdown)
            await stack.enter_async_context(tasks())
        except (StartupFailedError, MillionsError) as error:
            failed = str(error) or "the application's startup failed"
        except Exception as error:  # noqa: BLE001  # whatever it is, the server must be told
            failed = theirs(error)
        else:
            await send({"type": "lifespan.startup.complete"})
            await receive()
    if failed:
        await send({"type": "lifespan.startup.failed", "message": failed})
    else:
        await send({"type": "lifespan.shutdown.complete"})
