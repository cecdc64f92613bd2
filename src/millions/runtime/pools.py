"""Servers join and leave a running balancer: the runtime API of HAProxy, on its control socket.

Each command is a connection of its own and bounded. Doing a thing twice is the same as doing it
once, so that a supervisor that begins in the middle may begin again. What the balancer refuses is
an error; the caller reloads it then. Never touches a file.

Source: HAProxy's management guide, sections "add server" and "del server".
"""

from __future__ import annotations

import asyncio
import csv
import io
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.errors import UnitFailedError
from millions.reconcile.signals import PoolSeen, ServerSeen

if TYPE_CHECKING:
    from millions.model import Pool, Server

COMMAND_S = 3.0
"""An answer takes a fraction of a millisecond."""

ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""The statistics of 10,000 servers."""

DRAIN_S = 30.0
"""How long requests under way may keep a server in the pool; then they are broken off."""

WAIT_S = 3.0
"""How long others that join wait meanwhile for those that leave."""

DELETE_S = 5.0
"""How long a server without requests may have idle connections."""

POLL_S = 0.02

BACKEND_AND_SERVERS = 6
SERVERS_ONLY = 4
"""The rows that `show stat` is asked for: a sum of 2 for the pool and 4 for its servers."""

TAKES = ("UP", "no check")
"""How the state of a server begins that takes requests; `UP 1/3` has failed once."""

AT_WORK = ("scur", "qcur")
"""The requests that a server has, and those that wait for it."""

ANSWERED = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The control socket of one balancer, and the pool there that is spoken of."""

    path: str
    backend: str

    async def share(self, before: Pool, after: Pool, since: dict[str, float]) -> tuple[Server, ...]:
        """Let the servers of `after` share the requests instead of those of `before`.

        Those that join do so first; those that leave finish what they have (bounded), from the time
        in `since` on. Answer those that have not yet: they get nothing new, and are to be left out
        again. Raise UnitFailedError when something of it is refused.
        """
        known = {each.unit: each for each in before.servers}
        wanted = {each.unit: each for each in after.servers}
        for each in after.servers:
            since.pop(each.unit, None)
            if each.unit in known:
                await self._change(known[each.unit], each)
            else:
                await self._join(each, each.options or after.options)
        leaving = [each for each in before.servers if each.unit not in wanted]
        left = await asyncio.gather(
            *(self._leave(each, since) for each in leaving), return_exceptions=True
        )
        for outcome in left:
            if isinstance(outcome, BaseException):
                raise outcome
        return tuple(each for each, gone in zip(leaving, left, strict=True) if not gone)

    async def seen(self) -> PoolSeen:
        """What the pool has to do now. Raise UnitFailedError when nobody says."""
        rows = await self._statistics(BACKEND_AND_SERVERS, self.backend)
        servers = {row["svname"]: row for row in rows}
        total = servers.pop("BACKEND", {})
        return PoolSeen(
            at_s=time.time(),
            servers=tuple(
                ServerSeen(
                    name=name,
                    takes=row.get("status", "").startswith(TAKES),
                    under_way=_sum(row, "scur"),
                    answered=_sum(row, *ANSWERED),
                    asked=_sum(row, "stot"),
                )
                for name, row in servers.items()
            ),
            waiting=sum(_sum(row, "qcur") for row in rows),
            asked=_sum(total, "stot"),
        )

    async def _statistics(self, kinds: int, backend: str) -> list[dict[str, str]]:
        text = await self.command(f"show stat {backend} {kinds} -1")
        return list(csv.DictReader(io.StringIO(text.lstrip("# "))))

    async def worker(self) -> int:
        """The pid of the process that answers. Raise UnitFailedError when none does."""
        for line in (await self.command("show info")).splitlines():
            name, _, value = line.partition(": ")
            if name == "Pid" and value.isdigit():
                return int(value)
        raise self._refused("show info", "it names no process")

    async def command(self, text: str) -> str:
        """Send a command and return the whole answer. Raise UnitFailedError when there is none."""
        try:
            async with asyncio.timeout(COMMAND_S):
                reader, writer = await asyncio.open_unix_connection(self.path)
                try:
                    writer.write(f"{text}\n".encode())
                    answer = b""
                    while chunk := await reader.read(65536):
                        answer += chunk
                        if len(answer) > ANSWER_BYTES_MAX:
                            raise self._refused(text, "its answer does not end")
                finally:
                    writer.close()
        except TimeoutError as error:
            raise self._refused(text, f"no answer within {COMMAND_S:g} s") from error
        except OSError as error:
            raise self._refused(text, error.strerror or str(error)) from error
        return answer.decode(errors="replace").strip()

    async def _join(self, server: Server, options: str) -> None:
        """Add a server and let it take requests."""
        name = self._name(server)
        text = f"add server {name} {server.address} {options} weight {server.weight}"
        said = await self.command(text)
        if "Already exists" in said:  # an earlier supervisor added it, or is draining it
            await self._address(server)
            await self._expect_silence(f"set server {name} weight {server.weight}")
        elif "New server registered" not in said:
            raise self._refused(text, said)
        if "check" in options.split():
            await self._expect_silence(f"enable health {name}")
        await self._expect_silence(f"set server {name} state ready")

    async def _change(self, before: Server, after: Server) -> None:
        """Tell of another address or share of a server that stays, or does so after all."""
        if after.address != before.address:
            await self._address(after)
        if after.weight != before.weight:
            name = self._name(after)
            await self._expect_silence(f"set server {name} weight {after.weight}")
        if before.draining:
            await self._expect_silence(f"set server {self._name(after)} state ready")

    async def _address(self, server: Server) -> None:
        address = server.address
        text = f"set server {self._name(server)} addr {address.host} port {address.port}"
        said = await self.command(text)
        if "changed" not in said and "no need" not in said:
            raise self._refused(text, said)

    async def _leave(self, server: Server, since: dict[str, float]) -> bool:
        """Let a server finish its requests, then delete it; False while it still has some.

        One that is not there has left.
        """
        name = self._name(server)
        ends_s = since.setdefault(server.unit, time.monotonic()) + DRAIN_S
        said = await self.command(f"set server {name} state drain")
        if "No such server" in said:
            return True
        idle = await self._drained(server)
        if not idle and time.monotonic() < ends_s:
            return False
        await self._expect_silence(f"set server {name} state maint")
        if not idle:
            await self._expect_silence(f"shutdown sessions server {name}")
        deadline = time.monotonic() + DELETE_S
        while True:
            said = await self.command(f"del server {name}")
            if "deleted" in said or "No such server" in said:
                since.pop(server.unit, None)
                return True
            if time.monotonic() > deadline:
                raise self._refused(f"del server {name}", said)
            await asyncio.sleep(POLL_S)

    async def _drained(self, server: Server) -> bool:
        """Wait until a server has no request; False when it still has one after a while."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            rows = await self._statistics(SERVERS_ONLY, server.backend or self.backend)
            busy = [row for row in rows if row.get("svname") == server.unit and _sum(row, *AT_WORK)]
            if not busy:
                return True
            await asyncio.sleep(POLL_S)
        return False

    def _name(self, server: Server) -> str:
        return f"{server.backend or self.backend}/{server.unit}"

    async def _expect_silence(self, text: str) -> None:
        """Send a command whose success has no words."""
        said = await self.command(text)
        if said:
            raise self._refused(text, said)

    def _refused(self, text: str, because: str) -> UnitFailedError:
        return UnitFailedError(
            cannot=f"change the servers of {self.backend} ({text})",
            because=because or "no reason was said",
            try_="millions logs of the balancer",
        )


def _sum(row: dict[str, str], *fields: str) -> int:
    return sum(int(row.get(field) or 0) for field in fields)
