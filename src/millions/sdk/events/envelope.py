"""What travels: one event as bytes, and which subscriptions it is for. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from millions.errors import EventError, TaskError
from millions.sdk.tasks import codec

BYTES_MAX = 7_000
"""PostgreSQL carries 8,000 bytes; what is larger belongs into a row, the event names it."""

NAME_MAX = 200
NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
PATTERN = re.compile(r"(([A-Za-z0-9_-]+|\*)\.)*([A-Za-z0-9_-]+|\*|>)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: its `name`, its `data`, and when it was published (unix seconds).

    One that is `missed` has no name: others may have been lost before it. Look at the truth.
    """

    name: str = ""
    data: Any = None
    id: str = ""
    published_at_s: float = 0.0
    missed: bool = False


MISSED = Event(missed=True)


def encode(event: Event) -> bytes:
    """Answer the bytes that travel. Raise EventError for a name or data that cannot."""
    if event.name and not (len(event.name) <= NAME_MAX and NAME.fullmatch(event.name)):
        raise _refusal(event, f"the name is {event.name!r:.80}", "words joined by dots")
    try:
        data = codec.encode([event.data], {})
    except TaskError as error:
        raise _refusal(event, error.because, error.try_) from error
    text = orjson.dumps([event.id, event.name, event.published_at_s, data])
    if len(text) > BYTES_MAX:
        because = f"it takes {len(text)} bytes, the bound is {BYTES_MAX}"
        raise _refusal(event, because, "the number of a row or the name of a file, not its content")
    return text


def decode(text: bytes | str) -> Event:
    """Answer the event; what nobody of ours wrote is an event that was missed."""
    try:
        number, name, published_at_s, data = orjson.loads(text)
        (value,), _ = codec.decode(data)
    except (ValueError, TypeError, TaskError):
        return MISSED
    return Event(id=number, name=name, published_at_s=published_at_s, data=value, missed=not name)


def checked(pattern: str) -> str:
    """Answer `pattern`. Raise EventError when it is none."""
    if len(pattern) > NAME_MAX or not PATTERN.fullmatch(pattern):
        raise EventError(
            cannot=f"subscribe to {pattern!r:.80}",
            because="it is not words joined by dots, where * stands for one and a last > for more",
            try_='"photo.uploaded", "photo.*" or "photo.>"',
        )
    return pattern


def matches(pattern: str, name: str) -> bool:
    """Whether an event of this name is for a subscription to `pattern`."""
    wanted, found = pattern.split("."), name.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(found) <= len(wanted):
            return False
        found = found[: len(wanted)]
    return len(wanted) == len(found) and all(
        one in ("*", other) for one, other in zip(wanted, found, strict=True)
    )


def _refusal(event: Event, because: str, try_: str) -> EventError:
    return EventError(cannot=f"publish event {event.name!r:.80}", because=because, try_=try_)
