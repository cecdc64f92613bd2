"""A declared task: a function with a name, a queue and its bounds.

Calling it runs the function at once, as if it were not decorated; `enqueue` writes a row.
"""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from millions.errors import TaskError
from millions.sdk.tasks import codec

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from millions.sdk.session import Session
    from millions.sdk.tasks.outbox import Outbox

P = ParamSpec("P")
R = TypeVar("R")

PRIORITIES = range(-2, 3)
"""From the lowest to the highest. Few, because each claim asks for each of them apart."""

RETRIES_MAX = 100
TIME_LIMIT_MAX_S = 86_400.0
KEEP_MAX_S = 30 * 86_400.0
NAME_MAX = 200
QUEUE = re.compile(r"[a-z0-9_.-]{1,64}")
OURS = ("session", "delay_s", "at", "key")
"""Keywords of `enqueue` itself: a task's own parameters have other names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Where a task runs and how often, how long and how urgently."""

    name: str
    queue: str = "default"
    retries: int = 8
    time_limit_s: float = 60.0
    priority: int = 0
    process: bool = False
    keep_s: float = 0.0

    def __post_init__(self) -> None:
        """Raise TaskError for what is out of bounds."""
        checks = (
            (0 < len(self.name) <= NAME_MAX, "name", f"1 to {NAME_MAX} characters"),
            (QUEUE.fullmatch(self.queue), "queue", "lower-case letters, digits, '_', '.', '-'"),
            (0 <= self.retries <= RETRIES_MAX, "retries", f"0 to {RETRIES_MAX}"),
            (0 < self.time_limit_s <= TIME_LIMIT_MAX_S, "time_limit_s", f"≤ {TIME_LIMIT_MAX_S:g}"),
            (self.priority in PRIORITIES, "priority", f"{PRIORITIES[0]} to {PRIORITIES[-1]}"),
            (0 <= self.keep_s <= KEEP_MAX_S, "keep_s", f"0 to {KEEP_MAX_S:g} seconds"),
        )
        for good, field, allowed in checks:
            if not good:
                raise TaskError(
                    cannot=f"declare task {self.name!r}",
                    because=f"{field} is {getattr(self, field)!r}",
                    try_=f"{field}: {allowed}",
                )


class Task(Generic[P, R]):
    """What `@tasks.task()` makes of a function."""

    def __init__(self, function: Callable[P, R], bounds: Bounds, outbox: Outbox) -> None:
        self.function = function
        self.bounds = bounds
        self.is_async = _is_async(function, bounds.name)
        self.place = place_of(function)
        """Its module, and its name in there."""
        if bounds.process:
            self._check_process()
        self._signature = _signature(function, bounds.name)
        self._fewest, self._most = _positional(self._signature)
        self._outbox = outbox
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: P.args, **keywords: P.kwargs) -> R:
        """Run the function here and now."""
        return self.function(*arguments, **keywords)

    def __repr__(self) -> str:
        return f"<task {self.bounds.name}>"

    async def enqueue(
        self,
        *arguments: Any,
        session: Session | None = None,
        delay_s: float = 0.0,
        at: datetime | None = None,
        key: str | None = None,
        **keywords: Any,
    ) -> int:
        """Write a row that a worker will run, and answer its number.

        With `session` the task exists when its transaction commits, and never otherwise; without
        one it is committed when this returns. It runs `delay_s` seconds after `at` (or now). With
        `key`, a second task of this name and key is not written: the number of the first is
        answered. Raise TaskError for arguments that the function does not take or that cannot be
        written.
        """
        text = self.encode(arguments, keywords)
        return await self._outbox.put_one(
            self.bounds, text, session=session, delay_s=delay_s, at=at, key=key
        )

    def encode(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str:
        """Answer the arguments as a row holds them. Raise TaskError when they do not fit."""
        if not self.accepts(arguments, keywords):
            raise TaskError(
                cannot=f"enqueue task {self.bounds.name}",
                because=f"{arguments!r:.80} {keywords or ''!r:.80} do not fit {self._signature}",
                try_="the arguments that the function itself takes",
            )
        return codec.encode(arguments, keywords)

    def misfit(self, arguments: Any, keywords: dict[str, Any]) -> str:
        """Why the function cannot be called so, for people."""
        try:
            self._signature.bind(*arguments, **keywords)
        except TypeError as error:
            given = f"{arguments!r:.100}{f' {keywords!r:.100}' if keywords else ''}"
            name = self.place[1]
            return f"this release has {name}{self._signature}, the task {given}: {error}"
        return ""

    def _check_process(self) -> None:
        """Raise TaskError for a function that another process would not find or could not run."""
        if self.is_async:
            because, try_ = "it is async, and would compute all the same", "a plain function"
        elif "<" in ".".join(self.place) or self.place[0] == "__main__":
            because = f"another process could not import {'.'.join(self.place)}"
            try_ = "a function at the top of a module"
        else:
            return
        raise TaskError(
            cannot=f"declare task {self.bounds.name!r} with process=True",
            because=because,
            try_=try_,
        )

    def accepts(self, arguments: Any, keywords: dict[str, Any]) -> bool:
        """Whether the function can be called so."""
        if not keywords and self._fewest <= len(arguments) <= self._most:
            return True  # nearly always; `bind` costs 10 µs
        try:
            self._signature.bind(*arguments, **keywords)
        except TypeError:
            return False
        return True


def name_of(function: Callable[..., Any]) -> str:
    """The default name: where the function stands, `photos.tasks.thumbnail`."""
    return ".".join(place_of(function))


def place_of(function: Callable[..., Any]) -> tuple[str, str]:
    """The module of a function, and its name in there."""
    function = _innermost(function)
    place = getattr(function, "__module__", "")
    spec = getattr(inspect.getmodule(function), "__spec__", None)
    if place == "__main__" and spec is not None:
        place = str(spec.name)  # started with python -m
    return place, str(getattr(function, "__qualname__", function))


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _is_async(function: Callable[..., Any], name: str) -> bool:
    inner = _innermost(function)
    if inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner):
        raise TaskError(
            cannot=f"declare task {name}",
            because="it is a generator: nobody would iterate over it",
            try_="an async function, or a plain one",
        )
    return inspect.iscoroutinefunction(inner)


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    signature = inspect.signature(function)
    taken = [each for each in OURS if each in signature.parameters]
    if taken:
        raise TaskError(
            cannot=f"declare task {name}",
            because=f"its parameter {taken[0]!r} is a keyword of enqueue()",
            try_=f"another name for the parameter {taken[0]!r}",
        )
    return signature


def _positional(signature: inspect.Signature) -> tuple[int, int]:
    """How many positional arguments do without any keyword; an empty range when in doubt."""
    parameters = signature.parameters.values()
    if any(each.kind is not each.POSITIONAL_OR_KEYWORD for each in parameters):
        return 1, 0
    needed = sum(each.default is each.empty for each in parameters)
    return needed, len(parameters)
