"""`tasks`: declares tasks, enqueues them with the caller's transaction, and makes workers.

It never runs a task outside of a worker, except when a task is called like the function it is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from millions.errors import TaskError, UnavailableError
from millions.sdk.tasks import current, statements
from millions.sdk.tasks import outcome as outcomes
from millions.sdk.tasks.dead import DeadTask, TaskStatistics, by_queue
from millions.sdk.tasks.outbox import Outbox
from millions.sdk.tasks.registry import Registry
from millions.sdk.tasks.schedule import Schedule
from millions.sdk.tasks.task import Bounds, Task, name_of
from millions.sdk.tasks.wake import Hints
from millions.sdk.tasks.worker import Options, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import asyncpg

    from millions.directory import Directory
    from millions.sdk.database import Database
    from millions.sdk.session import Session
    from millions.sdk.tasks.outcome import Outcome
    from millions.sdk.tasks.wake import Wake

P = ParamSpec("P")
R = TypeVar("R")

CONCURRENCY_MAX = 10_000
QUEUE, PROCESS_QUEUE = "default", "processes"
"""Where tasks are that are declared without a queue."""


class Tasks:
    """The noun. Made without I/O; tasks may be declared before it is open."""

    def __init__(self, db: Database, wake: Wake | None = None) -> None:
        self._db = db
        self._directory: Directory | None = None
        self._registry = Registry()
        self._wake: Wake = wake if wake is not None else Hints(db.pool)
        self._outbox = Outbox(db, self._wake)

    async def open(self, directory: Directory) -> None:
        """Be ready to enqueue. `db` is open already, and the tables are there.

        Opened again, it follows `directory`: hints are carried by the message queue that it names.
        """
        self._directory = directory
        await self._wake.use(directory.queue, f"{directory.stack} {os.getpid()}")

    async def close(self) -> None:
        """Write and announce what is under way. Workers are stopped by who started them."""
        await self._outbox.close()
        await self._wake.close()
        self._directory = None

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        retries: int = 8,
        time_limit_s: float = 60.0,
        priority: int = 0,
        process: bool = False,
        keep_s: float = 0.0,
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        retries: int = 8,
        time_limit_s: float = 60.0,
        priority: int = 0,
        process: bool = False,
        keep_s: float = 0.0,
    ) -> Any:
        """Declare a function, async or not, as a task.

        `retries` after the first attempt, with growing waits; `priority` -2 to 2 orders tasks
        within and across queues. `process`: a plain function that computes, which runs in a process
        of its own, with no noun open; its queue is "processes", that of others "default". `keep_s`:
        how long `outcome` tells its result and progress. Raise TaskError for what is out of bounds.
        """

        def declare(found: Callable[..., Any]) -> Task[..., Any]:
            bounds = Bounds(
                name=name or name_of(found),
                queue=queue if queue is not None else (PROCESS_QUEUE if process else QUEUE),
                retries=retries,
                time_limit_s=time_limit_s,
                priority=priority,
                process=process,
                keep_s=keep_s,
            )
            task = Task(found, bounds, self._outbox)
            self._registry.add(task)
            return task

        return declare if function is None else declare(function)

    def cron(
        self, expression: str, *, timezone: str = "UTC"
    ) -> Callable[[Callable[P, R] | Task[P, R]], Task[P, R]]:
        """Enqueue a function (or a task) without arguments at each tick, once over all processes.

        `expression` has five fields, or six with seconds first. Ticks that pass while no worker
        runs are made up for by one.
        """

        def declare(found: Callable[P, R] | Task[P, R]) -> Task[P, R]:
            task = cast("Task[P, R]", found) if isinstance(found, Task) else self.task(found)
            schedule = Schedule(name=task.bounds.name, expression=expression, timezone=timezone)
            self._registry.schedule(task, schedule)
            return task

        return declare

    current = staticmethod(current.current)

    async def enqueue_many(
        self,
        task: Task[..., Any],
        arguments: Iterable[Sequence[Any]],
        *,
        session: Session | None = None,
    ) -> list[int]:
        """Enqueue `task` once for each tuple of positional arguments; answer their numbers."""
        rows = [task.encode(tuple(each), {}) for each in arguments]
        return await self._outbox.put_many(task.bounds, rows, session=session)

    def worker(
        self, *, concurrency: int | None = None, options: Options | None = None, **chosen: Any
    ) -> Worker:
        """Make a worker: `async with tasks.worker(): …`.

        `concurrency` tasks at once (the directory's when None); what else may be chosen, such as
        `queues`, are the fields of `Options`.
        """
        directory = self._open()
        concurrency = concurrency if concurrency is not None else directory.tasks.concurrency
        if not 0 < concurrency <= CONCURRENCY_MAX:
            raise TaskError(
                cannot="make a worker",
                because=f"concurrency is {concurrency}",
                try_=f"1 to {CONCURRENCY_MAX}",
            )
        shard = directory.database.shards[0].name

        async def connect() -> asyncpg.Connection[Any]:
            return await self._db.listener(shard)

        return Worker(
            connect=connect,
            registry=self._registry,
            wake=self._wake,
            concurrency=concurrency,
            shard=shard,
            options=options if options is not None else Options(**chosen),
        )

    async def outcome(self, task_id: int) -> Outcome:
        """Answer how a task stands: its state, its progress, and its result where it is kept."""
        self._open()
        return await outcomes.ask(self._db.pool(), task_id)

    async def dead(self, *, limit: int = 100) -> list[DeadTask]:
        """Answer dead letters, the latest first."""
        self._open()
        rows = await self._db.pool().fetch(statements.DEAD, limit)
        return [DeadTask(**row) for row in rows]

    async def retry_dead(self, task_id: int) -> bool:
        """Make a dead letter a task again, with all of its attempts. False: there is none."""
        self._open()
        queue = await self._db.pool().fetchval(statements.REVIVE, task_id)
        if queue is None:
            return False
        self._wake.announce_again()
        self._wake.announce(queue, 1)
        return True

    async def statistics(self) -> TaskStatistics:
        """Count tasks by queue and state. Reads every row that is not done yet."""
        self._open()
        pool = self._db.pool()
        counts = await pool.fetch(statements.COUNTS)
        others = await pool.fetchrow(statements.WORKERS)
        return TaskStatistics(
            queues=by_queue(counts),
            workers=others["workers"] if others else 0,
            dead=others["dead"] if others else 0,
        )

    def _open(self) -> Directory:
        if self._directory is None:
            raise UnavailableError(
                cannot="use tasks",
                because="it is not open in this process",
                try_="wrap the application in Millions(app), or millions.sdk.nouns.running()",
            )
        return self._directory
