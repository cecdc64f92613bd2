"""Invariants in their purest form: registers, sets, transfers, reading one's own writes.

Runs against `millions.drill.target`. Most writes carry an idempotency key and are repeated; some
do not, and stay unknown when their answer is lost.
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

REGISTERS, SETS, BANKS, ACCOUNTS = 48, 12, 4, 6
OPENING = 1000
LOOK_EVERY_S = 0.5
"""How often somebody looks at a whole set and a whole bank."""

WITHOUT_A_KEY = 0.2
"""The share of writes that may not be repeated."""

READ_ONES_OWN = 0.5
"""How often a user looks at once at what was written."""

MIX = {"write": 25, "read": 40, "strong": 10, "add": 20, "transfer": 5}


class Pure:
    """The workload."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._random = site.random
        self._tag = secrets.token_hex(3)  # a second drill on the same stack meets nothing of this
        self._keys = [f"{self._tag}-r{number}" for number in range(REGISTERS)]
        self._sets = [f"{self._tag}-s{number}" for number in range(SETS)]
        self._banks = [f"{self._tag}-b{number}" for number in range(BANKS)]
        self._weights = zipf(REGISTERS)
        self._number = 0

    async def prepare(self) -> None:
        """Open the banks."""
        user = self._site.user("auditor")
        for bank in self._banks:
            accounts = {f"a{number}": OPENING for number in range(ACCOUNTS)}
            await user.do(
                Deed(
                    kind="open",
                    method="PUT",
                    path=f"/bank/{bank}",
                    key=bank,
                    value=accounts,
                    body=orjson.dumps({"accounts": accounts}),
                    idempotency=f"{bank}-open",
                )
            )
        await user.close()

    async def run(self) -> None:
        """Let users act until the site is stopping."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._site.clients):
                group.create_task(self._client(f"u{number}"))
            group.create_task(self._auditor())

    async def finish(self) -> None:
        """Look at everything once more, on the primary."""
        user = self._site.user("auditor")
        for key in self._keys:
            await user.do(_read(key, strong=True))
        for name in self._sets:
            await user.do(_members(name))
        for bank in self._banks:
            await user.do(_balances(bank))
        await user.close()

    async def _client(self, name: str) -> None:
        user = self._site.user(name)
        kinds, weights = list(MIX), list(MIX.values())

        async def act() -> None:
            (kind,) = self._random.choices(kinds, weights)
            if kind == "write":
                await self._write(user)
            elif kind == "add":
                await user.do(self._add(name))
            elif kind == "transfer":
                await user.do(self._transfer(name))
            else:
                await user.do(_read(self._key(), strong=kind == "strong"))

        await self._site.act(act)
        await user.close()

    async def _auditor(self) -> None:
        user = self._site.user("auditor")
        turn = 0
        while not self._site.stopping:
            await user.do(_members(self._sets[turn % SETS]))
            await user.do(_balances(self._banks[turn % BANKS]))
            turn += 1
            await asyncio.sleep(LOOK_EVERY_S)
        await user.close()

    async def _write(self, user: User) -> None:
        key = self._key()
        value = self._new(user.name)
        deed = Deed(
            kind="write",
            method="PUT",
            path=f"/register/{key}",
            key=key,
            value=value,
            body=orjson.dumps({"value": value}),
            idempotency=self._idempotency(value),
        )
        deed.found = lambda answer: (value, _json(answer).get("version"))
        if await user.do(deed) and self._random.random() < READ_ONES_OWN:
            await user.do(_read(key, strong=False))

    def _add(self, name: str) -> Deed:
        value = self._new(name)
        place = self._random.choice(self._sets)
        return Deed(
            kind="add",
            method="POST",
            path=f"/set/{place}",
            key=place,
            value=value,
            body=orjson.dumps({"value": value}),
            idempotency=self._idempotency(value),
        )

    def _transfer(self, name: str) -> Deed:
        giver, taker = self._random.sample(range(ACCOUNTS), 2)
        bank = self._random.choice(self._banks)
        moved = {"from": f"a{giver}", "to": f"a{taker}", "amount": self._random.randint(1, 9)}
        return Deed(
            kind="transfer",
            method="POST",
            path=f"/bank/{bank}",
            key=bank,
            value=moved,
            body=orjson.dumps(moved),
            idempotency=self._idempotency(self._new(name)),
        )

    def _key(self) -> str:
        return self._random.choices(self._keys, self._weights)[0]

    def _new(self, name: str) -> str:
        self._number += 1
        return f"{name}.{self._number}"

    def _idempotency(self, value: str) -> str:
        return "" if self._random.random() < WITHOUT_A_KEY else f"{self._tag}-{value}"


def _read(key: str, *, strong: bool) -> Deed:
    return Deed(
        kind="read",
        method="GET",
        path=f"/register/{key}{'?strong=1' if strong else ''}",
        key=key,
        level="linear" if strong else "session",
        found=lambda answer: (_json(answer)["value"], _json(answer)["version"]),
    )


def _members(name: str) -> Deed:
    return Deed(
        kind="members",
        method="GET",
        path=f"/set/{name}?strong=1",
        key=name,
        found=lambda answer: (_json(answer)["members"], None),
    )


def _balances(bank: str) -> Deed:
    return Deed(
        kind="balances",
        method="GET",
        path=f"/bank/{bank}?strong=1",
        key=bank,
        found=lambda answer: (_json(answer)["balances"], None),
    )


def _json(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(answer.body)
    return found
