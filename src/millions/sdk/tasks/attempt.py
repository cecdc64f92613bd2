"""One attempt of a task that is under way in this process. Data, and the words about it."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from millions.sdk import requests
from millions.sdk.tasks import current
from millions.sdk.tasks.processes import RaisedInProcessError
from millions.sdk.texts import storable

if TYPE_CHECKING:
    import asyncio

    from millions.sdk.tasks.claim import Claim
    from millions.sdk.tasks.registry import AnyTask
    from millions.sdk.tasks.threads import Job

ERROR_MAX = 4000
"""Characters of a traceback that are kept: its end, which says what happened."""


@dataclass(slots=True, eq=False)
class Run:
    """One attempt under way."""

    claim: Claim
    task: AnyTask
    attempt: current.Current
    began_s: float
    deadline_s: float
    asyncio_task: asyncio.Task[None] | None = None
    job: Job | None = None
    cancelled: str = ""
    cancels: int = 0
    settled: bool = False


def enter(run: Run) -> None:
    """Fill the empty context of a task: who asked for it, and which attempt it is."""
    claim = run.claim
    current.enter(run.attempt)
    if claim.request_id is not None:
        scope: dict[str, Any] = {"type": "task", "headers": []}
        requests.enter(requests.Request(claim.request_id, scope, time.perf_counter()))
    structlog.contextvars.bind_contextvars(task=claim.name, task_id=claim.id, attempt=claim.attempt)


def named(claim: Claim) -> dict[str, Any]:
    """What a log line says of a task, where the context does not."""
    return {"task": claim.name, "task_id": claim.id}


def over_time(run: Run) -> TimeoutError:
    """What a task failed of that ran for too long."""
    return TimeoutError(f"it ran longer than its limit of {run.task.bounds.time_limit_s:g} s")


def words_of(error: BaseException) -> str:
    """The end of the traceback, as PostgreSQL can keep it."""
    lines = [str(error)] if isinstance(error, RaisedInProcessError) else None
    return storable("".join(lines or traceback.format_exception(error))[-ERROR_MAX:])


def kind_of(error: BaseException) -> str:
    """The name of what it failed of."""
    return error.kind if isinstance(error, RaisedInProcessError) else type(error).__name__
