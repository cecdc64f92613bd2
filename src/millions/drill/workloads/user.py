"""A user: one request after the other, cookies kept, every attempt recorded with its outcome.

It never hides a failure: what may be repeated is repeated and each attempt is a line of its own.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from millions.drill.connection import Connection, NotSentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.drill.connection import Answer
    from millions.drill.history import Writer
    from millions.model import Address

ANSWER_WITHIN_S = 15.0
"""The SDK holds a transaction for 10 s; what takes longer is not going to come."""

REPEAT_WITHIN_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.5
SERVER_ERROR = 500


@dataclass(slots=True, kw_only=True)
class Deed:
    """One thing that a user wants done: the request, and what the history shall say of it.

    `found` reads value and version out of a good answer. A deed with an `idempotency` key, and any
    that only reads, may be repeated.
    """

    kind: str
    method: str
    path: str
    key: str = ""
    value: Any = None
    body: bytes = b""
    content_type: str = "application/json"
    level: str = "linear"
    model: str = ""
    idempotency: str = ""
    headers: tuple[str, ...] = ()
    found: Callable[[Answer], tuple[Any, int | None]] | None = None
    repeats: bool = True

    @property
    def repeatable(self) -> bool:
        """Whether asking again can do no harm."""
        return self.method in ("GET", "HEAD") or bool(self.idempotency)


@dataclass(slots=True, kw_only=True)
class Clock:
    """The history's clock: seconds since the drill began."""

    origin: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Seconds since the drill began."""
        return time.monotonic() - self.origin


@dataclass(slots=True, kw_only=True)
class Count:
    """What was recorded so far, for whoever shows the progress."""

    good: int = 0
    bad: int = 0


class User:
    """One user of the application at `address`."""

    def __init__(
        self, name: str, address: Address, *, writer: Writer, clock: Clock, count: Count
    ) -> None:
        self.name = name
        self.address = address
        self.clock = clock
        self._connection = Connection(address.host, address.port)
        self._writer = writer
        self._count = count
        self._cookies: dict[str, str] = {}

    async def do(self, deed: Deed) -> Answer | None:
        """Ask, and repeat what may be repeated; the good answer, or None."""
        until = self.clock.now() + REPEAT_WITHIN_S
        pause_s, attempt = FIRST_PAUSE_S, 0
        while True:
            attempt += 1
            answer, good = await self._attempt(deed, attempt)
            if good:
                return answer
            if not (deed.repeatable and deed.repeats) or self.clock.now() > until:
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _attempt(self, deed: Deed, attempt: int) -> tuple[Answer | None, bool]:
        at = self.clock.now()
        answer: Answer | None = None
        done: float | None = None
        status: int | str
        try:
            answer = await self._connection.ask(self._bytes(deed), within_s=ANSWER_WITHIN_S)
            outcome, status = _outcome(deed, answer), answer.status
            done = self.clock.now()
        except NotSentError as error:
            outcome, status, done = "failed", f"not sent: {error}", self.clock.now()
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            outcome = "failed" if deed.method == "GET" else "unknown"
            status, done = _words(error), self.clock.now()
        value, version = deed.value, None
        if answer is not None and outcome == "ok":
            self._keep_cookies(answer)
            if deed.found is not None:
                value, version = deed.found(answer)
        self._count.good += outcome == "ok"
        self._count.bad += outcome != "ok"
        self._record(deed, (at, done), (outcome, status, attempt), (value, version), answer)
        return answer, outcome == "ok"

    def _record(
        self,
        deed: Deed,
        times: tuple[float, float | None],
        how: tuple[str, int | str, int],
        found: tuple[Any, int | None],
        answer: Answer | None,
    ) -> None:
        fields: dict[str, Any] = {
            "at": times[0],
            "done": times[1],
            "user": self.name,
            "kind": deed.kind,
            "key": deed.key,
            "value": found[0],
            "outcome": how[0],
            "status": how[1],
            "repeatable": deed.repeatable,
        }
        optional = {
            "attempt": how[2] if how[2] > 1 else None,
            "version": found[1],
            "idempotency": deed.idempotency or None,
            "level": deed.level if deed.level != "linear" else None,
            "model": deed.model or None,
            "server": answer.headers.get("x-unit") if answer is not None else None,
        }
        fields |= {name: value for name, value in optional.items() if value is not None}
        self._writer.operation(**fields)

    def _bytes(self, deed: Deed) -> bytes:
        lines = [f"{deed.method} {deed.path} HTTP/1.1", f"host: {self.address}"]
        if self._cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            lines.append(f"cookie: {pairs}")
        if deed.idempotency:
            lines.append(f"idempotency-key: {deed.idempotency}")
        if deed.body:
            lines.append(f"content-type: {deed.content_type}")
        if deed.body or deed.method not in ("GET", "HEAD"):
            lines.append(f"content-length: {len(deed.body)}")
        lines += deed.headers
        return "\r\n".join([*lines, "", ""]).encode() + deed.body

    def _keep_cookies(self, answer: Answer) -> None:
        for each in answer.cookies:
            name, _, value = each.partition(";")[0].partition("=")
            if "max-age=0" in each.lower():
                self._cookies.pop(name.strip(), None)
            else:
                self._cookies[name.strip()] = value.strip()


def _outcome(deed: Deed, answer: Answer) -> str:
    """What an answer says about the deed: an error of the server leaves a write unknown."""
    if 200 <= answer.status < 300:  # noqa: PLR2004  # what HTTP calls a success
        return "ok"
    if deed.method in ("GET", "HEAD") or answer.status < SERVER_ERROR:
        return "failed"
    return "failed" if answer.headers.get("x-outcome") == "failed" else "unknown"


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_WITHIN_S:.0f} s"
    if isinstance(error, EOFError | ValueError):
        return str(error)
    return type(error).__name__
