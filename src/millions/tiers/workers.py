"""Workers: processes that only run tasks, apart from the web servers that enqueue them.

Runs: `python -m millions.sdk.tasks`, one process a server, of the web tier's release or an own one.
Gives: nothing itself; with workers in the stack the tier `tasks` tells web servers to run none.
Source: the worker processes of Celery and Sidekiq; what a task is, is said in `sdk/tasks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from millions.errors import StackFileError
from millions.model import Limits, Probe, StopStep, Unit
from millions.reconcile.scaling import Rule
from millions.settings import Table, setting
from millions.tiers import addresses, numbers, web
from millions.tiers.kind import Context, ReadData, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.tiers.numbers import Numbers

INDEX = 19
GROUP = "workers"
SERVERS_MAX = 200
"""Their addresses end in 1 to 200."""

PRIVATE_PORT = 9000
"""For /metrics and /readyz; the next port is for the revision that takes over."""

BESIDE_POOL = 4
"""Connections of a worker to the database beside its pool: its own, a listener, a vacuum."""

AFTER_DRAIN_S = 10.0
"""What giving back its tasks and closing connections may take."""

KILLED_WITHIN_S = 5.0
THREAD_MIB = 10
"""Address space that the stack of one thread may take; the kernel counts it whole."""

WORK_PAGE = "/tasks"
"""Where each says what there is to do, at its private address."""

ASK_READINESS = b"GET /readyz HTTP/1.1\r\nHost: millions\r\nConnection: close\r\n\r\n"


class Workers(Table):
    """Workers of their own, which run the tasks instead of the web servers."""

    servers: int = setting(
        2,
        "How many workers there are; at first, where their number follows the tasks.",
        unit="workers",
        bounds=(1, SERVERS_MAX),
    )
    servers_min: int = setting(
        1,
        "The fewest workers that there may be, where their number follows the tasks.",
        unit="workers",
        bounds=(1, SERVERS_MAX),
    )
    servers_max: int = setting(
        0,
        "The most workers that there may be; their number follows the tasks then. 0: it does not.",
        unit="workers",
        bounds=(0, SERVERS_MAX),
    )
    servers_idle_s: int = setting(
        60,
        "How long fewer workers would have been enough before one is taken away.",
        unit="seconds",
        bounds=(5, 86_400),
    )
    oldest_task_s: int = setting(
        5,
        "How long the oldest task that could run may wait. One that waits longer brings more "
        "workers, where their number follows the tasks.",
        unit="seconds",
        bounds=(1, 86_400),
    )
    concurrency: int = setting(16, "How many tasks run at once in each.", bounds=(1, 1_024))
    processes: int = setting(
        1,
        "How many tasks that are declared with process=True run at once in each, every one in a "
        "process of its own.",
        unit="processes",
        bounds=(1, 256),
    )
    queues: list[str] = setting(
        [], "Names of the only queues that they work on; all when there is none.", example=["mail"]
    )
    limits: dict[str, int] = setting(
        {},
        "How many tasks of a queue run at once in each worker, where that is less than all.",
        example={"video": 2},
    )
    memory_mib: int = setting(
        512,
        "A worker that takes more memory is ended and started anew; its tasks go to others.",
        unit="MiB",
        bounds=(64, 1_048_576),
    )
    drain_s: int = setting(
        25,
        "How long tasks under way may go on when a worker is stopped; then they are given back.",
        unit="seconds",
        bounds=(1, 3_600),
    )
    start_within_s: int = setting(
        60,
        "How long a new release may take until it is ready; one that takes longer has failed.",
        unit="seconds",
        bounds=(1, 3_600),
    )
    log_mib: int = setting(
        64, "How much of the log of each is kept on the disk.", unit="MiB", bounds=(1, 10_240)
    )

    @field_validator("limits")
    @classmethod
    def _limits(cls, value: dict[str, int]) -> dict[str, int]:
        for queue, most in value.items():
            if most < 1:
                raise ValueError(f"at least 1 for each queue, which {queue} = {most} is not")
        return value


def units(context: Context) -> tuple[Unit, ...]:
    """One unit for each worker that there may be."""
    most = counted(context).most
    return tuple(_unit(context, number) for number in range(1, most + 1))


def counted(context: Context) -> Numbers:
    """Answer how many workers there are to be."""
    return numbers.numbers(context, "workers", context.table("workers", Workers))


def scaling(context: Context) -> Rule | None:
    """Their number follows the age of the oldest task, where it may."""
    workers, found = context.table("workers", Workers), counted(context)
    if not found.follows:
        return None
    return Rule(
        group=GROUP,
        least=found.least,
        most=found.most,
        first=found.first,
        target=float(workers.oldest_task_s),
        idle_s=float(workers.servers_idle_s),
        release=context.places.released("workers")[0],
        asks=WORK_PAGE,
    )


def check(context: Context, read: ReadData) -> None:  # noqa: ARG001  # the shape of Check
    """Refuse more workers than the database has connections for, beside the web servers."""
    numbers.check("workers", context.table("workers", Workers))
    workers, database = counted(context).most, context.tables.get("database")
    pool: int = getattr(database, "pool_connections", 0)
    most: int = getattr(database, "connections", 0)
    servers = web.counted(context).most if "balancer" in context.tables else 1
    needed = (servers + 1) * (pool + web.BESIDE_POOL) + (workers + 1) * (pool + BESIDE_POOL)
    if database is not None and needed > most:
        raise StackFileError(
            cannot=f"run {workers} workers",
            because=f"with {servers} web servers, and one more of each during a deploy, they may "
            f"open {needed} connections, and the database accepts {most}",
            try_=f"[database] connections = {needed}, or a smaller pool_connections",
        )


def _unit(context: Context, number: int) -> Unit:
    workers, places = context.table("workers", Workers), context.places
    private = addresses.private(places.network, INDEX, number, PRIVATE_PORT)
    release, folder = places.released("workers")
    return Unit(
        name=f"workers.{number}",
        tier="workers",
        server=f"workers-{number}",
        group=GROUP,
        command=(places.python, "-m", "millions.sdk.tasks", *_arguments(context)),
        environment=_environment(context, folder),
        secret_environment=places.secret_files,
        working_folder=folder,
        address=private,
        probe=Probe(
            address=private,
            send=ASK_READINESS,
            expect=b"HTTP/1.1 200",
            within_s=float(workers.start_within_s),
        ),
        stop=(
            StopStep(signal="SIGTERM", wait_s=workers.drain_s + AFTER_DRAIN_S),
            StopStep(signal="SIGKILL", wait_s=KILLED_WITHIN_S),
        ),
        needs=("database", "web"),
        handover=True,
        release=release,
        limits=Limits(memory_mib=_most_mib(workers), log_mib=workers.log_mib),
    )


def _most_mib(workers: Workers) -> int:
    """What the kernel refuses to go beyond, for what is taken faster than it is looked at."""
    return 2 * workers.memory_mib + THREAD_MIB * (workers.concurrency + 16)


def _arguments(context: Context) -> tuple[str, ...]:
    workers, app = context.table("workers", Workers), context.app
    modules = (app.web, *(each.strip() for each in app.tasks.split(",") if each.strip()))
    return (
        *modules,
        *(f"--queue={each}" for each in workers.queues),
        *(f"--limit={queue}={most}" for queue, most in sorted(workers.limits.items())),
        f"--concurrency={workers.concurrency}",
        f"--processes={workers.processes}",
        f"--drain-s={workers.drain_s}",
        f"--memory-mib={workers.memory_mib}",
    )


def _environment(context: Context, folder: str) -> tuple[tuple[str, str], ...]:
    app, places = context.app, context.places
    own = {
        "PATH": places.path,
        "PYTHONPATH": folder,
        "PYTHONUNBUFFERED": "1",
        "MILLIONS_STARTED_WITH": context.started_with,
    }
    return tuple({**own, **app.environment}.items())


def gives(context: Context) -> Mapping[str, Any]:  # noqa: ARG001  # the shape of Gives
    """Nothing: the tier `tasks` says who runs them."""
    return {}


TIER = Tier(
    name="workers",
    index=INDEX,
    rung=9,
    settings=Workers,
    units=units,
    check=check,
    gives=gives,
    scaling=scaling,
)
