"""Ring: which server keeps a key, and which is next when that one is away. Pure.

A server that joins or leaves moves its share of the keys and no other. Every process that knows the
same servers finds the same one; one that knows others is only slower, as invalidations go to all.
Source: ketama, with blake2b in place of MD5.
"""

from __future__ import annotations

import hashlib
from bisect import bisect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

POINTS = 160
"""Points of each server: the shares of two servers differ by less than a quarter."""

_BYTES = 8


class Ring:
    """Servers by name."""

    __slots__ = ("_orders", "_points")

    def __init__(self, names: Iterable[str]) -> None:
        owned = sorted((_place(f"{name} {n}"), name) for name in set(names) for n in range(POINTS))
        self._points = [place for place, _ in owned]
        self._orders = _orders([name for _, name in owned])

    def order(self, key: str) -> tuple[str, ...]:
        """Every server: the one that keeps `key` first, and who stands in for it after that."""
        if not self._points:
            return ()
        return self._orders[bisect(self._points, _place(key)) % len(self._points)]


def _place(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_BYTES).digest()


def _orders(owners: list[str]) -> list[tuple[str, ...]]:
    """For each point: the servers as they come from there on, each once."""
    order: tuple[str, ...] = tuple(dict.fromkeys(owners))
    found: list[tuple[str, ...]] = []
    for name in reversed(owners):
        order = (name, *(other for other in order if other != name))
        found.append(order)
    return found[::-1]
