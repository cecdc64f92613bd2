"""The tables of this package as text for the documents, so that no picture can be out of date.

Pure; whoever wants the text prints it.
"""

from __future__ import annotations

from millions.reconcile import readiness, rollout
from millions.reconcile.rollout import Former, Stand


def rollout_table() -> str:
    """The rollout table in Markdown; in brackets the step with a handover, where it is another."""
    head = ["the wanted revision", *(f"others {each.value}" for each in Former)]
    lines = [_row(head), _row(["---"] * len(head))]
    lines += [_row([stand.value, *(_step(stand, each) for each in Former)]) for stand in Stand]
    return "\n".join(lines) + "\n"


def readiness_diagram() -> str:
    """The readiness table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> starting"]
    for (phase, good), (after, bound) in readiness.TABLE.items():
        answers = "good" if good else "bad"
        lines.append(f"    {phase.value} --> {after.value}: {bound} {answers} answers in a row")
    return "\n".join(lines) + "\n"


def _step(stand: Stand, former: Former) -> str:
    plain, handover = rollout.TABLE[stand, former]
    return plain.value if plain is handover else f"{plain.value} ({handover.value})"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
