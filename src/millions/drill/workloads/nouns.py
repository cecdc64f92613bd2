"""Cached values, lists and counters of the store, sessions, tasks: what the higher tiers keep.

Runs against `millions.drill.target`, on every rung. Each user has a session, and reads its value
after every write of it. At the end it waits until no task is left, and looks at everything.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import orjson

from millions.drill.workloads.user import Deed
from millions.drill.workloads.workload import Site, zipf

if TYPE_CHECKING:
    from millions.drill.connection import Answer
    from millions.drill.workloads.user import User

CACHED, LISTS, COUNTERS = 24, 4, 4
LOOK_EVERY_S = 0.5
"""How often somebody looks at a whole list and a counter."""

UNDONE = 0.25
"""The share of tasks whose transaction is rolled back."""

AGAIN = 0.25
"""The share of tasks that are enqueued a second time under the same key."""

TASKS_WITHIN_S = 60.0
"""How long tasks may be left once all is well and nobody enqueues any more."""

MIX = {"look": 45, "change": 15, "remember": 10, "append": 10, "count": 5, "task": 15}


class Nouns:
    """The workload."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._random = site.random
        self._tag = secrets.token_hex(3)  # a second drill on the same stack meets nothing of this
        self._cached = [f"{self._tag}-c{number}" for number in range(CACHED)]
        self._lists = [f"{self._tag}-l{number}" for number in range(LISTS)]
        self._counters = [f"{self._tag}-n{number}" for number in range(COUNTERS)]
        self._tasks = f"{self._tag}-t"
        self._weights = zipf(CACHED)
        self._number = 0
        self._users: list[User] = []

    async def prepare(self) -> None:
        """Log everybody in."""
        for number in range(self._site.clients):
            user = self._site.user(f"{self._tag}-u{number}")
            await user.do(Deed(kind="login", method="POST", path=f"/session/{user.name}"))
            self._users.append(user)

    async def run(self) -> None:
        """Let users act until the site is stopping."""
        async with asyncio.TaskGroup() as group:
            for user in self._users:
                group.create_task(self._client(user))
            group.create_task(self._auditor())

    async def finish(self) -> None:
        """Wait for the tasks; then look at everything once more."""
        auditor = self._site.user("auditor")
        for _ in range(int(TASKS_WITHIN_S / LOOK_EVERY_S)):
            if not await self._left(auditor):
                break
            await asyncio.sleep(LOOK_EVERY_S)
        await auditor.do(_whole("ran", f"/task/{self._tasks}", self._tasks))
        for name in self._lists:
            await auditor.do(_whole("members", f"/list/{name}", name))
        for name in self._counters:
            await auditor.do(_whole("total", f"/count/{name}", name))
        for key in self._cached:
            await auditor.do(_look(key))
        for user in self._users:
            await user.do(_recall(user))
            await user.close()
        await auditor.close()

    async def _client(self, user: User) -> None:
        deeds = {
            "change": self._change,
            "remember": self._remember,
            "append": self._append,
            "count": self._count,
            "task": self._task,
        }
        kinds, weights = list(MIX), list(MIX.values())

        async def act() -> None:
            (kind,) = self._random.choices(kinds, weights)
            if kind == "look":
                await user.do(_look(self._key()))
            else:
                await deeds[kind](user)

        await self._site.act(act)

    async def _auditor(self) -> None:
        auditor, turn = self._site.user("auditor"), 0
        while not self._site.stopping:
            name, counter = self._lists[turn % LISTS], self._counters[turn % COUNTERS]
            await auditor.do(_whole("members", f"/list/{name}", name, level="session"))
            await auditor.do(_whole("total", f"/count/{counter}", counter))
            await auditor.do(_whole("ran", f"/task/{self._tasks}", self._tasks, level="session"))
            turn += 1
            await asyncio.sleep(LOOK_EVERY_S)
        await auditor.close()

    async def _left(self, auditor: User) -> bool:
        """Whether any task is not done; also when nobody says so."""
        answer = await auditor.do(Deed(kind="left", method="GET", path="/left/tasks"))
        return answer is None or bool(_json(answer)["left"])

    async def _change(self, user: User) -> None:
        key, value = self._key(), self._new(user)
        deed = self._deed("change", "PUT", f"/cached/{key}", key, value)
        deed.model = "write"
        deed.found = lambda answer: (value, _json(answer).get("version"))
        await user.do(deed)
        await user.do(_look(key))

    async def _remember(self, user: User) -> None:
        value = self._new(user)
        deed = self._deed("remember", "PUT", f"/session/{user.name}", user.name, value)
        deed.model = "write"
        await user.do(deed)
        await user.do(_recall(user))

    async def _append(self, user: User) -> None:
        name, value = self._random.choice(self._lists), self._new(user)
        deed = self._deed("append", "POST", f"/list/{name}", name, value)
        deed.model = "add"
        deed.body = orjson.dumps({"value": value, "score": self._number})
        await user.do(deed)

    async def _count(self, user: User) -> None:
        name, amount = self._random.choice(self._counters), self._random.randint(1, 9)
        deed = self._deed("count", "POST", f"/count/{name}", name, amount)
        deed.body, deed.idempotency = orjson.dumps({"amount": amount}), ""
        await user.do(deed)

    async def _task(self, user: User) -> None:
        value, path = self._new(user), f"/task/{self._tasks}"
        if self._random.random() < UNDONE:
            deed = self._deed("undone", "POST", path, self._tasks, value)
            deed.body = orjson.dumps({"value": value, "undo": True})
            await user.do(deed)
            return
        await user.do(self._deed("enqueue", "POST", path, self._tasks, value))
        if self._random.random() < AGAIN:
            again = self._deed("enqueue", "POST", path, self._tasks, value)
            again.idempotency += "-again"
            await user.do(again)

    def _deed(self, kind: str, method: str, path: str, key: str, value: Any) -> Deed:
        return Deed(
            kind=kind,
            method=method,
            path=path,
            key=key,
            value=value,
            body=orjson.dumps({"value": value}),
            idempotency=f"{self._tag}-{value}",
        )

    def _key(self) -> str:
        return self._random.choices(self._cached, self._weights)[0]

    def _new(self, user: User) -> str:
        self._number += 1
        return f"{user.name}.{self._number}"


def _look(key: str) -> Deed:
    return Deed(
        kind="cached",
        method="GET",
        path=f"/cached/{key}",
        key=key,
        found=lambda answer: (_json(answer)["value"], _json(answer)["version"]),
    )


def _recall(user: User) -> Deed:
    return Deed(
        kind="recall",
        model="read",
        method="GET",
        path=f"/session/{user.name}",
        key=user.name,
        found=lambda answer: (_json(answer)["value"], None),
    )


def _whole(kind: str, path: str, key: str, *, level: str = "linear") -> Deed:
    """A reading of everything under a key; each kind names the field of its answer."""
    return Deed(
        kind=kind,
        method="GET",
        path=path,
        key=key,
        level=level,
        found=lambda answer: (_json(answer)[kind], None),
    )


def _json(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(answer.body)
    return found
