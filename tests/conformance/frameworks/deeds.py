"""What the four small applications do; each of them only translates its framework's requests."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import text

from millions import assets, db, files, log, metrics, sessions, store

ALL = "everyone"
started: list[str] = []
stored = metrics.counter("notes_stored", "Notes stored.")


async def hello(name: str) -> dict[str, Any]:
    log.info("said hello", name=name)
    metrics.active(name)
    return {"hello": name, "started": len(started)}


async def add_note(words: str) -> dict[str, Any]:
    async with db.write(ALL) as session:
        await session.execute(text("INSERT INTO notes (words) VALUES (:words)"), {"words": words})
        session.after_commit(stored.inc)
    return {"token": uuid.uuid4().hex}


async def add_slowly(words: str) -> dict[str, Any]:
    await store.increment(f"began:{words}")
    await asyncio.sleep(0.3)
    return await add_note(words)


async def add_and_fail(words: str) -> dict[str, Any]:
    await add_note(words)
    raise RuntimeError("after the commit")


async def count_and_fail(words: str) -> dict[str, Any]:
    """Its transaction holds nothing but what goes to the store."""
    async with db.write(ALL) as session:
        await store.increment(f"began:{words}", session=session)
    raise RuntimeError("after the commit")


async def add_and_undo(words: str) -> dict[str, Any]:
    async with db.write(ALL) as session:
        await session.execute(text("INSERT INTO notes (words) VALUES (:words)"), {"words": words})
        raise RuntimeError("before the commit")


async def count(words: str) -> dict[str, Any]:
    async with db.read(ALL) as session:
        found = await session.execute(
            text("SELECT count(*) FROM notes WHERE words = :words"), {"words": words}
        )
        return {"count": found.scalar_one(), "began": await store.count(f"began:{words}")}


async def upload(name: str, content: bytes | AsyncIterator[bytes]) -> dict[str, Any]:
    stored = await files.put(name, content, accept=("image/*",), max_mib=1)
    return {"url": files.url(name), "type": stored.content_type, "size": stored.size}


async def login(request: object, user: str) -> dict[str, Any]:
    await sessions.login(request, user)
    return {"user": user}


async def me(request: object) -> dict[str, Any]:
    return {"user": (await sessions.of(request)).user}


def asset() -> dict[str, Any]:
    return {"url": assets.url("app.css")}


INJECTED = "one\r\nx-injected: two"
