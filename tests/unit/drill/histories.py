"""Histories for tests: a shorthand for operations, and the checker's word on them."""

from __future__ import annotations

from typing import Any

import orjson

from millions.drill.checker import Verdict, check
from millions.drill.history import parse


def lines(records: list[dict[str, Any]]) -> list[bytes]:
    return [orjson.dumps(each) + b"\n" for each in records]


def judged(*records: dict[str, Any], may_fail: str = "") -> Verdict:
    return check(parse(lines(list(records))), may_fail=may_fail)


def titles(verdict: Verdict) -> dict[str, int]:
    """What was found, and how often."""
    return {each.title: each.count for each in verdict.findings}


def operation(kind: str, value: Any, at: float, done: float | None, **more: Any) -> dict[str, Any]:
    """An operation on the key x that went well, unless said otherwise."""
    outcome = "unknown" if done is None else "ok"
    return {
        "kind": kind,
        "key": "x",
        "value": value,
        "at": at,
        "done": done,
        "outcome": outcome,
        "user": "u",
        **more,
    }


def write(value: Any, at: float, done: float | None, **more: Any) -> dict[str, Any]:
    return operation("write", value, at, done, **more)


def read(value: Any, at: float, done: float | None, **more: Any) -> dict[str, Any]:
    return operation("read", value, at, done, **more)


def add(value: Any, at: float, done: float | None, **more: Any) -> dict[str, Any]:
    return operation("add", value, at, done, **more)


def members(value: Any, at: float, done: float | None, **more: Any) -> dict[str, Any]:
    return operation("members", value, at, done, **more)


def transfer(value: str, at: float, done: float | None, **more: Any) -> dict[str, Any]:
    """'a>b 5': from a to b."""
    way, amount = value.split()
    giver, taker = way.split(">")
    moved = {"from": giver, "to": taker, "amount": int(amount)}
    return operation("transfer", moved, at, done, **more)


def balances(at: float, done: float | None, **accounts: int) -> dict[str, Any]:
    return operation("balances", accounts, at, done)
