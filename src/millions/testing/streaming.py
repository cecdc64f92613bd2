"""A primary and its standbys for tests: real PostgreSQL servers that may be frozen and killed.

It decides nothing: who becomes primary, and when, is the test's to say. Its methods block.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from millions.directory import DatabasePlace, Endpoint, Shard
from millions.errors import MachineError
from millions.testing.postgres import HOST, EmbeddedPostgres

WITHIN_S = 30.0
NAMES = ("one", "two", "three", "four", "five")

SETTINGS = {
    "hot_standby_feedback": "on",
    "max_connections": "60",
    "max_wal_senders": "8",
    "shared_buffers": "16MB",
    "wal_level": "replica",
    "wal_log_hints": "on",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
    "wal_sender_timeout": "5s",
}


@dataclass(slots=True)
class StreamingPostgres:
    """Servers below `folder`, the first of which is the primary at the start."""

    folder: Path
    standbys: int = 2
    members: list[EmbeddedPostgres] = field(default_factory=list[EmbeddedPostgres])
    primary: EmbeddedPostgres = field(init=False)
    _frozen: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    def start(self) -> StreamingPostgres:
        """Start the primary, copy it, start the copies, wait until they stream."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        for name in NAMES[: self.standbys + 1]:
            self.members.append(EmbeddedPostgres(self.folder / name, settings=dict(SETTINGS)))
        self.primary = self.members[0].start()
        for member in self.members[1:]:
            member.copy_of(self.primary)
            member.start()
        self.wait_streaming()
        return self

    def place(self, name: str) -> DatabasePlace:
        """Answer the directory's entry for database `name`: the primary first, then the others."""
        others = tuple(
            Endpoint(host=HOST, port=member.port)
            for member in self.members
            if member is not self.primary
        )
        shard = Shard(
            name="s0", primary=Endpoint(host=HOST, port=self.primary.port), replicas=others
        )
        return DatabasePlace(
            shards=(shard,),
            name=name,
            user="app",
            password_file=str(self.members[0].password_file),
        )

    def replicas(self) -> list[EmbeddedPostgres]:
        """Answer the members that run, and answer, and are not the primary."""
        return [
            each
            for each in self.members
            if each is not self.primary and each.process and each.process.pid not in self._frozen
        ]

    def create_database(self, name: str) -> DatabasePlace:
        """Create a database and wait until every standby has it."""
        self.primary.create_database(name)
        self.wait_replayed()
        return self.place(name)

    def promote(self, member: EmbeddedPostgres) -> None:
        """Make `member` the primary; the former one is left as it is."""
        member.sql("SELECT pg_promote(true, 20)")
        self.primary = member

    def synchronous(self, names: str = "ANY 1 (*)") -> None:
        """Have commits on the primary wait for standbys; for none, when `names` is empty."""
        self.primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.primary.sql("SELECT pg_reload_conf()")
        shown = "SHOW synchronous_standby_names"
        _until(lambda: self.primary.sql(shown) == names, "the setting is read")

    def fail_over(self) -> EmbeddedPostgres:
        """Promote the standby that has received most; have the others follow. Answer it."""
        received = "SELECT pg_last_wal_receive_lsn() - '0/0'"
        standbys = [
            each for each in self.replicas() if each.sql("SELECT pg_is_in_recovery()") == "t"
        ]
        best = max(standbys, key=lambda each: int(each.sql(received)))
        self.promote(best)
        for member in self.replicas():
            if member.sql("SELECT pg_is_in_recovery()") == "t":
                self.follow(member)
        return best

    def follow(self, member: EmbeddedPostgres) -> None:
        """Have a running standby follow the present primary."""
        source = member.source(self.primary)
        member.sql(f"ALTER SYSTEM SET primary_conninfo = '{source}'")
        member.sql("SELECT pg_reload_conf()")

    def rejoin(self, member: EmbeddedPostgres) -> None:
        """Make a member anew as a standby of the present primary, at its former port."""
        if member.process is not None:
            self.kill(member)
        member.copy_of(self.primary)
        member.start()

    def restore(self) -> None:
        """Bring every member back as a standby of the primary, whatever a test left."""
        for member in self.members:
            self.thaw(member)
        if self.primary.process is None:
            self.primary.start()
        self.synchronous("")
        for member in self.members:
            if member is self.primary:
                continue
            if self._streams(member):
                self.resume(member)
            else:
                self.rejoin(member)
        self.wait_streaming()

    def _streams(self, member: EmbeddedPostgres) -> bool:
        """Whether a member follows the present primary."""
        if member.process is None or member.process.poll() is not None:
            return False
        try:
            port = member.sql(
                "SELECT sender_port FROM pg_stat_wal_receiver WHERE status = 'streaming'"
            )
            timeline = "SELECT received_tli FROM pg_stat_wal_receiver"
            name = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"
            same = int(member.sql(timeline) or 0) == int(self.primary.sql(name), 16)
        except MachineError:
            return False
        return same and port == str(self.primary.port)

    def kill(self, member: EmbeddedPostgres) -> None:
        """SIGKILL a member with all its processes, as a power cut would."""
        process = member.process
        if process is None:
            return
        family = self.freeze(member)
        for pid in reversed(family):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._frozen.pop(process.pid, None)
        member.process = None
        process.wait(WITHIN_S)
        _until(lambda: not any(_runs(pid) for pid in family), "the killed server is gone")

    def freeze(self, member: EmbeddedPostgres) -> list[int]:
        """Stop all processes of a member where they are; connections stay open, unanswered."""
        assert member.process is not None  # noqa: S101  # a test's mistake
        pid = member.process.pid
        os.kill(pid, signal.SIGSTOP)
        family = [pid, *_children(pid)]
        for each in family:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
        self._frozen[pid] = family
        return family

    def thaw(self, member: EmbeddedPostgres) -> None:
        """Let a frozen member go on."""
        pid = member.process.pid if member.process is not None else 0
        for each in reversed(self._frozen.pop(pid, [])):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)

    def pause(self, member: EmbeddedPostgres) -> None:
        """Have a standby receive, but show nothing new."""
        member.sql("SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state()"
        _until(lambda: member.sql(state) == "paused", "replay is paused")

    def resume(self, member: EmbeddedPostgres) -> None:
        """Have a paused standby show what it received."""
        member.sql("SELECT pg_wal_replay_resume()")

    def wait_streaming(self) -> None:
        """Wait until every running standby streams from the primary."""
        wanted = len(self.replicas())
        count = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        _until(lambda: int(self.primary.sql(count)) >= wanted, "the standbys stream")

    def wait_replayed(self) -> None:
        """Wait until every running standby shows what the primary has now."""
        for member in self.replicas():
            self.wait_shown(member)

    def wait_shown(self, member: EmbeddedPostgres) -> None:
        """Wait until one standby shows what the primary has now."""
        position = self.primary.sql("SELECT pg_current_wal_flush_lsn()")
        reached = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        _until(lambda: member.sql(reached) == "t", "the standby caught up")

    def remove(self) -> None:
        """Kill every member and erase the folder."""
        for member in self.members:
            self.kill(member)
            member.remove()


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(each) for each in text.split()]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def _until(check: object, what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        with suppress(MachineError):
            if callable(check) and check():
                return
        time.sleep(0.02)
    raise MachineError(cannot="go on with the test", because=f"not in time: {what}")
