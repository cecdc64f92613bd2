"""Tasks: work done after the answer was given.

Runs: nothing of its own; the web processes run them, or the tier `workers` where the stack has it.
Gives: `tasks` of the directory.
Source: the embedded form of `sdk/tasks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.directory import TasksPlace
from millions.settings import Table, setting
from millions.tiers.kind import Context, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping


class Tasks(Table):
    """Background tasks."""

    concurrency: int = setting(
        16,
        "How many tasks run at once in each web process, where the stack has no workers.",
        bounds=(1, 1_024),
    )


def gives(context: Context) -> Mapping[str, Any]:
    """Who runs them, and how many at once."""
    concurrency = context.table("tasks", Tasks).concurrency
    embedded = "workers" not in context.tables
    return {"tasks": TasksPlace(embedded=embedded, concurrency=concurrency)}


TIER = Tier(name="tasks", index=6, rung=1, settings=Tasks, gives=gives)
