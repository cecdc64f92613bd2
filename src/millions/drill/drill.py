"""What a drill is: what is broken, what must hold, what may fail. `drills` lists them."""

from __future__ import annotations

from dataclasses import dataclass

from millions.drill.faults.step import Step

BALANCED = 3
"""From this rung on a balancer repeats what may be repeated."""

DATA = ("G1", "G4")
CRASH = ("G1", "G3", "G4")
NOUNS = ("G1", "G3", "G4", "G5", "G6")
"""What the target `nouns` can prove."""

THEIRS = ("G5", "G6")
"""What only it can prove: no fault excuses an old cached value or a lost task."""

AT_S = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One drill. `may_fail` is as in a history; `alone` counts below the rung with a balancer.

    `target` is what users do unless another one is asked for.
    `lasts_s` is how long the load goes on at least, `rung` the lowest where it makes sense.
    """

    name: str
    says: str
    steps: tuple[Step, ...]
    promises: tuple[str, ...]
    may_fail: str
    alone: str = ""
    rung: int = 1
    lasts_s: float = 20.0
    small_disk: bool = False
    target: str = "pure"

    def proves(self, target: str) -> tuple[str, ...]:
        """Which promises a run with these users is judged by: theirs too, whatever is broken."""
        more = THEIRS if target == "nouns" else ()
        return (*self.promises, *(each for each in more if each not in self.promises))

    def allowed(self, rung: int) -> str:
        """Which requests may fail on this rung."""
        return self.alone if self.alone and rung < BALANCED else self.may_fail


def one(do: str, aim: str = "", *, for_s: float = 5.0, by: int = 0) -> tuple[Step, ...]:
    """The one step of a drill, after some seconds of peace."""
    return (Step(do=do, aim=aim, at_s=AT_S, for_s=for_s, by=by),)
