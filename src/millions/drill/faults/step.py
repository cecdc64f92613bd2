"""Steps: what is done, to whom, when, and for how long. Read from words or from a TOML file.

`kill primary at 10s`, `freeze web.1 at 5s for 8s`, `slow database.1 by 40 for 10s`; in a file,
tables `[[fault]]` with `do`, `aim`, `at_s`, `for_s` and `by`.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from millions.errors import StackFileError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DEFAULT_AT_S = 5.0
DEFAULT_FOR_S = 5.0
LONGEST_S = 86_400.0
TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One fault of a schedule. `by` is its amount: milliseconds of delay, units of a tier, turns.

    `for_s` is how long it lasts where it lasts: a frozen process is thawed after it.
    """

    do: str
    aim: str = ""
    at_s: float = DEFAULT_AT_S
    for_s: float = DEFAULT_FOR_S
    by: int = 0

    def __str__(self) -> str:
        return " ".join(each for each in (self.do, self.aim) if each)


def parse(words: str) -> Step:
    """Read `DO [AIM] [at TIME] [for TIME] [by NUMBER]`. Raise StackFileError."""
    rest = words.split()
    found: dict[str, object] = {}
    if rest:
        found["do"] = rest.pop(0)
    if rest and rest[0] not in ("at", "for", "by"):
        found["aim"] = rest.pop(0)
    while rest:
        name = rest.pop(0)
        if name not in ("at", "for", "by") or not rest:
            raise _wrong(words, f"{name!r} stands where at, for or by and its value should")
        value = rest.pop(0)
        if name == "by":
            found["by"] = _number(words, value)
        else:
            found[f"{name}_s"] = seconds(value, words)
    return _checked(words, found)


def schedule(path: Path) -> tuple[Step, ...]:
    """Read a TOML file of `[[fault]]` tables (blocking). Raise StackFileError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StackFileError(
            cannot=f"read {path}", because=str(error), try_="mend the file"
        ) from error
    unknown = sorted(document.keys() - {"fault"})
    tables: Any = document.get("fault", [])
    if unknown or not isinstance(tables, list) or not tables:
        raise StackFileError(
            cannot=f"read {path}",
            because=f"it has {', '.join(unknown) or 'no [[fault]] table'}",
            try_='[[fault]]\ndo = "kill"\naim = "primary"\nat_s = 10',
        )
    listed = cast("list[dict[str, object]]", tables)
    return tuple(_checked(f"fault {n} of {path}", each) for n, each in enumerate(listed, start=1))


def seconds(text: str, where: str = "") -> float:
    """Read a time: 10, 10s, 250ms, 2m. Raise StackFileError."""
    found = TIME.fullmatch(text)
    if found is None:
        raise _wrong(where or text, f"{text!r} is not a time")
    return float(found[1]) * UNITS[found[2]]


def _number(where: str, text: str) -> int:
    if not text.isdigit():
        raise _wrong(where, f"{text!r} is not a whole number")
    return int(text)


def _checked(where: str, found: dict[str, object]) -> Step:
    kinds: dict[str, type | tuple[type, ...]] = {
        "do": str,
        "aim": str,
        "at_s": (int, float),
        "for_s": (int, float),
        "by": int,
    }
    for name, value in found.items():
        if name not in kinds or isinstance(value, bool) or not isinstance(value, kinds[name]):
            raise _wrong(where, f"{name} = {value!r} is not understood")
        if isinstance(value, int | float) and not 0 <= value <= LONGEST_S:
            raise _wrong(where, f"{name} is {value}; it must be 0 to {LONGEST_S:.0f}")
    if "do" not in found:
        raise _wrong(where, "nothing says what to do")
    return Step(**cast("dict[str, Any]", found))


def last_s(steps: Iterable[Step]) -> float:
    """When the last step is over."""
    return max((each.at_s + each.for_s for each in steps), default=0.0)


def _wrong(where: str, because: str) -> StackFileError:
    return StackFileError(
        cannot=f"understand the fault {where!r}",
        because=because,
        try_="'kill primary at 10s', 'freeze web.1 at 5s for 8s'",
    )
