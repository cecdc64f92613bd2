"""`tasks`: work that is done after the answer was given, and is never lost.

The parts: `noun` declares, `outbox` writes, `worker` claims and runs, `tending` watches over all.
"""

from millions.sdk.tasks.current import Current
from millions.sdk.tasks.dead import DeadTask, QueueStatistics, TaskStatistics
from millions.sdk.tasks.noun import Tasks
from millions.sdk.tasks.outcome import Outcome
from millions.sdk.tasks.tables import SCHEMA
from millions.sdk.tasks.task import Task
from millions.sdk.tasks.threads import TimeLimitExceeded
from millions.sdk.tasks.wake import Wake
from millions.sdk.tasks.worker import Options, Worker

__all__ = [
    "SCHEMA",
    "Current",
    "DeadTask",
    "Options",
    "Outcome",
    "QueueStatistics",
    "Task",
    "TaskStatistics",
    "Tasks",
    "TimeLimitExceeded",
    "Wake",
    "Worker",
]
