"""Tasks: work done after the answer was given.

Runs: nothing of its own on rung 1; the web process runs them, their rows are in the database.
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
        16, "How many tasks run at once in each web process.", bounds=(1, 1_024)
    )


def gives(context: Context) -> Mapping[str, Any]:
    """Who runs them, and how many at once."""
    concurrency = context.table("tasks", Tasks).concurrency
    return {"tasks": TasksPlace(embedded=True, concurrency=concurrency)}


TIER = Tier(name="tasks", index=6, rung=1, settings=Tasks, gives=gives)
