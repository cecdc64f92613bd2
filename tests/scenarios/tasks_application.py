"""An application as a user writes it; a scenario starts `python -m millions.sdk.tasks` with it."""

import asyncio
import os

from millions import db, tasks


@tasks.task(name="note")
async def note(value):
    await db.pool().execute("INSERT INTO runs (value, pid) VALUES ($1, $2)", value, os.getpid())


@tasks.task(name="slow")
async def slow(value):
    await note(value)
    await asyncio.sleep(3)
    await note(-value)
