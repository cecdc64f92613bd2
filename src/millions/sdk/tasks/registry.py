"""The tasks and schedules that this process knows. It runs and stores nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.errors import TaskError
from millions.sdk.tasks.task import PRIORITIES, Task

if TYPE_CHECKING:
    from millions.sdk.tasks.schedule import Schedule

AnyTask = Task[Any, Any]


class Registry:
    """Tasks by name, schedules by the name of their task."""

    def __init__(self) -> None:
        self.tasks: dict[str, AnyTask] = {}
        self.schedules: dict[str, Schedule] = {}
        self.process_queues: set[str] = set()
        """Queues of tasks that run in processes of their own; no other task is in one of them."""

    def add(self, task: AnyTask) -> None:
        """Know `task`. Raise TaskError when another function already has its name."""
        name = task.bounds.name
        known = self.tasks.get(name)
        if known is not None and _place(known) != _place(task):
            raise TaskError(
                cannot=f"declare task {name!r}",
                because=f"{_place(known)} has that name already",
                try_="another name=…",
            )
        self._check_queue(task)
        self.tasks[name] = task
        if task.bounds.process:
            self.process_queues.add(task.bounds.queue)

    def schedule(self, task: AnyTask, schedule: Schedule) -> None:
        """Enqueue `task` by `schedule`. Raise TaskError when it needs arguments."""
        if not task.accepts((), {}):
            raise TaskError(
                cannot=f"schedule task {task.bounds.name!r}",
                because="its function cannot be called without arguments",
                try_="defaults for all of its parameters",
            )
        self.schedules[task.bounds.name] = schedule

    def queues(self) -> tuple[str, ...]:
        """Every queue that a task is declared for, in order of declaration."""
        return tuple(dict.fromkeys(task.bounds.queue for task in self.tasks.values()))

    def _check_queue(self, task: AnyTask) -> None:
        """Raise TaskError for a queue whose tasks would wait for each other's processes."""
        queue, process = task.bounds.queue, task.bounds.process
        mixed = next(
            (
                each.bounds.name
                for each in self.tasks.values()
                if each.bounds.queue == queue and each.bounds.process != process
            ),
            "",
        )
        if mixed and mixed != task.bounds.name:
            raise TaskError(
                cannot=f"declare task {task.bounds.name!r} for queue {queue!r}",
                because=f"{mixed} is in it, and only one of both has process=True",
                try_="another queue=… for tasks that run in processes",
            )

    @staticmethod
    def priorities() -> tuple[int, ...]:
        """Highest first."""
        return tuple(reversed(PRIORITIES))


def _place(task: AnyTask) -> str:
    return ".".join(task.place)
