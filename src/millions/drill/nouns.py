"""The other nouns of the application that drills run: cache, store, sessions and tasks.

Beside `target`, and as small: cached registers, lists and counters of the store, a value that the
session holds, tasks that each add one element. Its tables are those of `target`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions import cache, db, sessions, store, tasks
from millions.drill.call import read_again
from millions.drill.statements import ADD, MEMBERS, READ, WRITE

if TYPE_CHECKING:
    from millions import Session
    from millions.drill.call import Answer, Call, Route

TTL_S = 600.0
PAGE = 500
PAGES_MAX = 200
QUEUE = "drill"
"""Of its own, so that it is told apart from what the stack itself has to do later."""

TASK_RETRIES = 20
"""Whatever is broken for a minute, a task outlives it."""


class UndoneError(Exception):
    """Rolls a transaction back on purpose."""


@cache.through(key="drill:{key}", ttl_s=TTL_S)
async def cached(key: str) -> tuple[str | None, int]:
    """Read a register's value and version through the cache."""
    async with db.read(key) as session:
        row = (await session.execute(READ, {"key": key})).first()
    return (row.value, row.version) if row else (None, 0)


async def change(call: Call) -> Answer:
    """Write a register, and invalidate what is cached of it."""

    async def deed(session: Session) -> int:
        values = {"key": call.key, "value": call.body["value"]}
        version = int(await session.scalar(WRITE, values) or 0)
        session.invalidates(cached.key(call.key))
        return version

    return 200, {"version": await db.run(call.key, deed)}


async def look(call: Call) -> Answer:
    """Read a register through the cache."""
    value, version = await read_again(lambda: cached(call.key))
    return 200, {"value": value, "version": version}


async def append(call: Call) -> Answer:
    """Add a member to a list of the store; twice is as good as once."""
    await store.sorted(f"drill:{call.key}").add(call.body["value"], float(call.body["score"]))
    return 201, {}


async def listed(call: Call) -> Answer:
    """Answer all members of a list, page by page."""
    found: list[str] = []
    before = None
    for _ in range(PAGES_MAX):
        page = await store.sorted(f"drill:{call.key}").range(PAGE, before=before)
        found += [each.member for each in page]
        if len(page) < PAGE:
            break
        before = page[-1]
    return 200, {"members": found}


async def count(call: Call) -> Answer:
    """Count up."""
    counted = await store.increment(f"drill:{call.key}", int(call.body["amount"]))
    return 200, {"total": counted}


async def total(call: Call) -> Answer:
    """Answer a count."""
    return 200, {"total": await store.count(f"drill:{call.key}")}


async def login(call: Call) -> Answer:
    """Begin a session."""
    await sessions.login(call.scope, call.key)
    return 201, {}


async def remember(call: Call) -> Answer:
    """Let the session hold a value; 401 when it is not this user's any more."""
    session = await sessions.of(call.scope)
    if session.user != call.key:
        return 401, {"error": "nobody is logged in"}
    session["value"] = call.body["value"]
    return 200, {}


async def recall(call: Call) -> Answer:
    """Answer what the session holds: nothing, when it is not this user's any more."""
    session = await sessions.of(call.scope)
    return 200, {"value": session.get("value") if session.user == call.key else None}


@tasks.task(name="drill.add", queue=QUEUE, retries=TASK_RETRIES)
async def add(name: str, value: str) -> None:
    """Add an element to a set, in the transaction that completes the task."""
    async with db.write(name) as session:
        await session.execute(ADD, {"name": name, "value": value})
        await tasks.current().complete_in(session)


async def enqueue(call: Call) -> Answer:
    """Enqueue a task under its value as its key; `undo` rolls the transaction back."""
    name, value = call.key, str(call.body["value"])

    async def deed(session: Session) -> None:
        await add.enqueue(name, value, session=session, key=value)
        if call.body.get("undo"):
            raise UndoneError

    try:
        await db.run(name, deed)
    except UndoneError:
        return 200, {"undone": True}
    return 201, {}


async def ran(call: Call) -> Answer:
    """Answer the elements that tasks have added."""

    async def read() -> list[Any]:
        async with db.write(call.key) as session:
            rows = await session.execute(MEMBERS, {"name": call.key})
            return [value for (value,) in rows]

    return 200, {"ran": await read_again(read)}


async def left(call: Call) -> Answer:  # noqa: ARG001  # a route
    """Answer how many of the tasks above are not done."""
    found = await read_again(tasks.statistics)
    queues = [each for each in found.queues if each.queue == QUEUE]
    return 200, {"left": sum(each.ready + each.running + each.waiting for each in queues)}


ROUTES: dict[tuple[str, str], Route] = {
    ("PUT", "cached"): change,
    ("GET", "cached"): look,
    ("POST", "list"): append,
    ("GET", "list"): listed,
    ("POST", "count"): count,
    ("GET", "count"): total,
    ("POST", "session"): login,
    ("PUT", "session"): remember,
    ("GET", "session"): recall,
    ("POST", "task"): enqueue,
    ("GET", "task"): ran,
    ("GET", "left"): left,
}
