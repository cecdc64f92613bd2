"""Readiness with hysteresis: how answers to probes move a process between phases.

Pure; it never asks a probe itself. The table is the whole machine.

Source: the rise and fall counts of HAProxy's health checks.
"""

from __future__ import annotations

from dataclasses import dataclass

from millions.model import Phase, Probe

_RISE, _FALL = "rise", "fall"

TABLE: dict[tuple[Phase, bool], tuple[Phase, str]] = {
    (Phase.STARTING, True): (Phase.READY, _RISE),
    (Phase.READY, False): (Phase.UNREADY, _FALL),
    (Phase.UNREADY, True): (Phase.READY, _RISE),
}
"""(phase, good answer) -> the phase after so many of them in a row. Elsewhere nothing changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """A phase, and how many answers in a row have spoken against it."""

    phase: Phase
    streak: int = 0


def after(readiness: Readiness, probe: Probe, *, good: bool) -> Readiness:
    """What an answer makes of `readiness`."""
    entry = TABLE.get((readiness.phase, good))
    if entry is None:
        return readiness if readiness.streak == 0 else Readiness(phase=readiness.phase)
    phase, bound = entry
    streak = readiness.streak + 1
    if streak >= (probe.rise if bound == _RISE else probe.fall):
        return Readiness(phase=phase)
    return Readiness(phase=readiness.phase, streak=streak)
