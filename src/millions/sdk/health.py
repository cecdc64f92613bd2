"""Whether this process is alive, and whether it should be given requests.

Ready means: every noun is open, the database answered, and it is not draining. A database that is
away for less than `db` holds its transactions makes nobody unready: its requests wait, and a
balancer that found every server unready would refuse them instead. Asking costs a query a second
at most, however many ask, and never blocks the event loop.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from millions.sdk.retry import HOLD_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FRESH_S = 1.0
"""How long the database's answer counts."""

ANSWER_WITHIN_S = 2.0
"""A database that takes longer is not ready for more."""


class Health:
    """Answers probes. `is_open` says whether the nouns are open, `ask` asks the database.

    `starting` and `draining` are set by whoever starts and drains this process.
    """

    def __init__(
        self,
        is_open: Callable[[], bool],
        ask: Callable[[], Awaitable[Any]],
        *,
        within_s: float = ANSWER_WITHIN_S,
        patient_s: float = HOLD_S,
    ) -> None:
        self._within_s = within_s
        self._patient_s = patient_s
        self._is_open = is_open
        self._ask = ask
        self._asking: asyncio.Task[None] | None = None
        self._asked_at_s = self._answered_at_s = float("-inf")
        self._because = "the database was not asked yet"
        self.starting = False
        self.draining = False

    async def ready(self) -> str:
        """Answer "" when ready, else why not."""
        if self.draining:
            return "draining: another process takes the requests"
        if self.starting or not self._is_open():
            return "starting: the application is not up yet"
        if time.monotonic() - self._asked_at_s > FRESH_S:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._asked(), name="millions readiness")
            if not self._is_held():
                await asyncio.shield(self._asking)
        return "" if self._is_held() else self._because

    def _is_held(self) -> bool:
        """Whether the database answered so lately that transactions wait for it."""
        return time.monotonic() - self._answered_at_s < self._patient_s

    async def _asked(self) -> None:
        try:
            async with asyncio.timeout(self._within_s):
                await self._ask()
        except Exception as error:  # noqa: BLE001  # it is the answer
            because = f"the database does not answer: {str(error) or type(error).__name__}"
            self._because = because.replace("\n", " ")
        else:
            self._answered_at_s = time.monotonic()
        finally:
            self._asked_at_s = time.monotonic()
