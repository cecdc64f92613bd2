"""The systems of bench/tasks.py: how each enqueues and works, and the environments they live in."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTHING, SOME = "nothing", "up to 1 s"
ALL = frozenset({"backlog", "steady", "killed"})


@dataclass(slots=True, kw_only=True)
class Side:
    """One system: how it enqueues and works, on which server, and what was measured."""

    name: str
    server: str
    tasks: int
    enqueue: list[str]
    work: list[str]
    measures: frozenset[str] = ALL
    rounds_max: int = 100
    settings: dict[str, str] = field(default_factory=dict)
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def power_cut_loses(self) -> str:
        """PostgreSQL flushes each commit, Redis at `everysec` what it holds once a second."""
        return NOTHING if self.server == "postgresql" else SOME


def sides() -> list[Side]:
    """Every system, with the fastest settings that its documentation offers for one process."""
    celery = ["-A", "celery_peer", "worker", "-l", "ERROR", "--without-gossip", "--without-mingle"]
    return [
        ours("Millions", "async", 200_000),
        ours("Millions, in threads", "threads", 40_000, measures=frozenset({"backlog"})),
        ours(
            *("Millions, completing", "completing", 3_000),
            measures=frozenset({"backlog"}),
            rounds_max=3,
        ),
        peer("Dramatiq, 8 threads", 9_000, "dramatiq_peer", *_dramatiq(8)),
        peer(
            *("Dramatiq, 1 thread", 9_000, "dramatiq_peer", *_dramatiq(1)),
            measures=frozenset({"backlog"}),
            rounds_max=3,
        ),
        peer("Taskiq, stream", 6_000, "worker", "taskiq_peer:broker", "--workers", "1"),
        peer("Celery, acks_late, solo", 3_000, *celery, "-P", "solo", rounds_max=3),
        peer(
            *("Celery, acks_late, 8 threads", 3_000, *celery, "-P", "threads", "-c", "8"),
            measures=frozenset({"backlog", "steady"}),
            rounds_max=3,
        ),
        peer(
            *("Celery, acknowledging early", 3_000, *celery, "-P", "solo"),
            measures=frozenset({"killed"}),
            settings={"BENCH_EARLY": "1"},
        ),
        arq("ARQ, as it is by default", 1_500, {}),
        arq(
            *("ARQ, polling every 5 ms", 3_000, {"BENCH_POLL_S": "0.005"}),
            measures=frozenset({"backlog", "steady"}),
        ),
        peer(
            *("Procrastinate", 2_000, "--app=procrastinate_peer.app"),
            *("worker", "--concurrency=16", "--delete-jobs=always"),
            server="postgresql",
            rounds_max=3,
        ),
    ]


def ours(name: str, kind: str, tasks: int, **more: Any) -> Side:
    """Millions, in the interpreter that runs this."""
    program = [sys.executable, "millions_peer.py", kind]
    return Side(
        name=name,
        server="postgresql",
        tasks=tasks,
        enqueue=[*program, "enqueue"],
        work=[*program, "work"],
        **more,
    )


def peer(name: str, tasks: int, *work: str, server: str = "redis", **more: Any) -> Side:
    """One of the peers that share an environment."""
    program = name.partition(",")[0].lower()
    python = str(environment("requirements.txt") / "python")
    return Side(
        name=name,
        server=server,
        tasks=tasks,
        enqueue=[python, f"{program}_peer.py"],
        work=[python, "-m", program, *work],
        **more,
    )


def arq(name: str, tasks: int, settings: dict[str, str], **more: Any) -> Side:
    """ARQ, in an environment of its own."""
    programs = environment("requirements_arq.txt")
    return Side(
        name=name,
        server="redis",
        tasks=tasks,
        enqueue=[str(programs / "python"), "arq_peer.py"],
        work=[str(programs / "arq"), "arq_peer.WorkerSettings"],
        rounds_max=3,
        settings=settings,
        **more,
    )


def environment(requirements: str) -> Path:
    """The programs of a virtual environment of the peers; made when it is missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    suffix = requirements.removeprefix("requirements").removesuffix(".txt").replace("_", "-")
    folder = cache / "millions" / f"bench-tasks{suffix}"
    wanted = (HERE / requirements).read_text()
    marker = folder / "requirements.txt"
    if not marker.exists() or marker.read_text() != wanted:
        print(f"installing {requirements} into {folder} …", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "-r"]
        subprocess.run([*pip, str(HERE / requirements)], check=True, timeout=600)
        marker.write_text(wanted)
    return folder / "bin"


def _dramatiq(threads: int) -> list[str]:
    return ["--processes", "1", "--threads", str(threads)]
