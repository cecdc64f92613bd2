"""A web process without a stack: the draining server on an inherited socket, one small application.

Paths: /pid answers this process's id; /slow?ms=N answers after N ms; /stream?ms=N sends its head at
once and its last byte after N ms; /read answers how many bytes the body had.
"""

import asyncio
import os
import sys
from typing import Any

import uvicorn
import uvloop

from millions.sdk import handover
from millions.sdk.drain import DrainingProtocol, DrainingServer


def say(word: str) -> None:
    print(word, flush=True)  # noqa: T201  # what the test waits for


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            say("ready" if message["type"] == "lifespan.startup" else "shutdown")
            if message["type"] == "lifespan.shutdown":
                return
    wait_s = int((scope["query_string"] or b"ms=0").partition(b"=")[2]) / 1000
    body = str(os.getpid()).encode()
    if scope["path"] == "/read":
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        body = str(size).encode()
    if scope["path"] != "/stream":
        await asyncio.sleep(wait_s)
    length = str(len(body)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    )
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": body[:1], "more_body": True})
        await asyncio.sleep(wait_s)
        body = body[1:]
    await send({"type": "http.response.body", "body": body})


async def serve() -> int:
    listener = handover.inherited()
    assert listener is not None
    config = uvicorn.Config(
        application, http=DrainingProtocol, log_config=None, lifespan="on", timeout_keep_alive=65
    )
    server = DrainingServer(config, lambda: say("draining"))
    door = handover.Handover(os.environ[handover.HANDOVER_VARIABLE], listener.dup())
    door.open()
    await server.serve([listener])
    door.close()
    return server.status


if __name__ == "__main__":
    sys.exit(uvloop.run(serve()))
