"""What a climb has done, one line of JSON an event. Pure: text and events, no file, no clock.

The lines stand in `climb.jsonl` of the state folder, oldest first; whoever shows a climb reads them
and `status.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from millions.errors import StateError

FILE = "climb.jsonl"
UNDER_WAY = "climb.json"
"""Is in the state folder while a climb is not at its end."""

Kind = Literal["climb", "step", "phase"]
"""The whole of it; one of its steps; one thing that is waited for within a step."""

State = Literal["planned", "began", "ended", "failed", "undone"]

TRY = "the version of millions that climbed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a climb or to a part of it, which `name` names.

    `at_s` is unix time. `rung_from` and `rung_to` are those of the whole climb for kind `climb`,
    else those of the step. `why` is the cause, `said` what was found, such as an error.
    """

    at_s: float
    kind: Kind
    name: str
    state: State
    rung_from: int
    rung_to: int
    why: str = ""
    said: str = ""

    def text(self) -> str:
        """The event as one line of JSON, without its end."""
        return json.dumps(asdict(self), ensure_ascii=False)


def parse(line: str) -> Event:
    """Read one line. Raise StateError when it is no event."""
    try:
        found = json.loads(line)
        event = Event(**{each.name: found[each.name] for each in fields(Event)})
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(line) from error
    if event.kind not in get_args(Kind) or event.state not in get_args(State):
        raise _refused(line)
    return event


def events(text: str) -> tuple[Event, ...]:
    """Read all whole lines; the last one may be half written. Raise StateError."""
    whole, _, _ = text.rpartition("\n")
    return tuple(parse(line) for line in whole.splitlines())


def _refused(line: str) -> StateError:
    return StateError(
        cannot=f"read {FILE}", because=f"this is not an event of a climb: {line[:80]!r}", try_=TRY
    )
