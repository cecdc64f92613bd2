"""A database that falls silent is no failure of the application: the request may come again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import httpx
from proxy import Relay

from millions.directory import Endpoint
from millions.sdk import nouns
from millions.sdk.asgi import Millions

if TYPE_CHECKING:
    from millions.directory import Directory


async def test_a_key_that_cannot_be_looked_up_is_answered_with_503_and_nothing_has_begun(
    millions_directory: Directory,
) -> None:
    begun: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        await receive()
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    async with Relay(millions_directory.database.shards[0].primary) as relay:
        place = millions_directory.database
        near = Endpoint(host="127.0.0.1", port=relay.port)
        shard = dataclasses.replace(place.shards[0], primary=near)
        through = dataclasses.replace(place, shards=(shard,))
        await nouns.open_all(dataclasses.replace(millions_directory, database=through))
        try:
            app = Millions(application, sessions=False, csrf=False, access_log=False)
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://site") as user:
                relay.stall = b"pg_try_advisory_lock"
                answer = await user.post("/", headers={"idempotency-key": "k"}, timeout=30)
                assert relay.stalled
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "1"
                assert answer.text.startswith("cannot look the Idempotency-Key up\n  because: ")
                assert begun == []
                relay.stall = b""
                again = await user.post("/", headers={"idempotency-key": "k"}, timeout=30)
                assert (again.status_code, begun) == (201, ["/"])
        finally:
            await nouns.close_all()
