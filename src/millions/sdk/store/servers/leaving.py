"""Leaving: takes from the servers what they have, for the store's next home. It stores nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millions.sdk.store.servers import leaving_scripts as scripts
from millions.sdk.store.servers.route import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.sdk.store.servers.asking import Asking

NAMES_AT_ONCE = 500
"""A key waits for as many others at most, some milliseconds, when it is asked for meanwhile."""

ITEMS_AT_ONCE = 5000
KEYS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a server has under one key. `*_left_ms` None: for ever."""

    key: str
    document: str | None
    version: int
    document_left_ms: int | None
    count: int | None
    count_left_ms: int | None
    items: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A part of all keys. `cursor` '0': the last one; `term`: of the server that was asked."""

    keys: list[str]
    cursor: str
    term: int
    estimate: int


class Leaving:
    """Takes from the servers what they have."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def given(self, keys: Sequence[str]) -> list[Given]:
        """What is under each of `keys`, in their order; no time left is later than it is there."""
        given: list[Given] = []
        while len(given) < len(keys):
            began_at_s = time.monotonic()
            rest = keys[len(given) : len(given) + KEYS_AT_ONCE]
            answers = await self._asking.read(scripts.GIVE, *rest)
            for key, answer in zip(rest, answers, strict=False):
                items = await self._items(key, int(answer[4]))
                passed_ms = round((time.monotonic() - began_at_s) * 1000) + 1
                given.append(_given(key, answer, items, passed_ms))
        return given

    async def found(self, cursor: str) -> Found:
        """The next part of all keys.

        All of them were found once the cursor is '0' again, if every part has the same term.
        """
        term, after, size, names = await self._asking.read(scripts.NAMES, cursor, NAMES_AT_ONCE)
        keys = sorted({text(name)[2:] for name in names})
        return Found(keys=keys, cursor=text(after), term=int(term), estimate=int(size))

    async def forget(self, keys: Sequence[str]) -> None:
        """Remove all under `keys`; a majority of disks has done so then, and all before it."""
        await self._asking.write(scripts.FORGET, *keys, harmless=True)

    async def _items(self, key: str, size: int) -> tuple[tuple[str, float], ...]:
        items: list[tuple[str, float]] = []
        for start in range(0, size, ITEMS_AT_ONCE):
            last = start + ITEMS_AT_ONCE - 1
            answer = await self._asking.read(scripts.ITEMS, key, start, last)
            for member, score in zip(answer[::2], answer[1::2], strict=True):
                items.append((text(member), float(score)))
        return tuple(items)


def _given(key: str, answer: Any, items: tuple[tuple[str, float], ...], passed_ms: int) -> Given:
    document, document_ms, count, count_ms, _ = answer
    version, _, value = text(document).partition(":") if document is not None else ("0", "", "")
    return Given(
        key=key,
        document=None if document is None else value,
        version=int(version),
        document_left_ms=_left_ms(document_ms, passed_ms),
        count=None if count is None else int(count),
        count_left_ms=_left_ms(count_ms, passed_ms),
        items=items,
    )


def _left_ms(found_ms: int, passed_ms: int) -> int | None:
    return None if found_ms == -1 else max(0, found_ms - passed_ms)
