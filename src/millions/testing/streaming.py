"""A primary and its standbys for tests: real PostgreSQL servers that may be frozen and killed.

It decides nothing: who becomes primary, and when, is the test's to say. Its methods block.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from millions.directory import DatabasePlace, Endpoint, Shard
from millions.errors import MachineError
from millions.testing.postgres import HOST, EmbeddedPostgres, binaries, children, wait_gone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
class Member(EmbeddedPostgres):
    """One server, primary or standby, which may be harmed."""

    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))
    frozen: list[int] = field(default_factory=list[int])
    """The processes that `freeze` stopped."""

    def copy_of(self, other: Member) -> None:
        """Make the data folder a copy of a running server's, which follows it when started."""
        self.password = other.password
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)
        self._write_password()
        self._passfile()
        done = subprocess.run(
            [
                *(str(binaries() / "pg_basebackup"), "-D", str(self.data), "-R", "-X", "stream"),
                *("-c", "fast", "--no-sync", "-d", self._source(other)),
            ],
            env={"PATH": os.environ.get("PATH", "")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **self._identity(),
        )
        if done.returncode:
            raise MachineError(
                cannot=f"copy {other.data}",
                because=done.stderr.strip(),
                try_=f"see {other.data.parent} and the log of its server",
            )

    def follow(self, other: Member) -> None:
        """Have a running standby follow `other`."""
        self.sql(f"ALTER SYSTEM SET primary_conninfo = '{self._source(other)}'")
        self.sql("SELECT pg_reload_conf()")

    def follows(self, other: Member) -> bool:
        """Whether this is a standby that receives what `other` writes now."""
        if self.process is None or self.process.poll() is not None:
            return False
        receives = "SELECT sender_port FROM pg_stat_wal_receiver WHERE status = 'streaming'"
        timeline = "SELECT received_tli FROM pg_stat_wal_receiver"
        name = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"
        try:
            same = int(self.sql(timeline) or 0) == int(other.sql(name), 16)
            return same and self.sql(receives) == str(other.port)
        except MachineError:
            return False

    def kill(self) -> None:
        """SIGKILL the server with all its processes, as a power cut would."""
        process = self.process
        if process is None:
            return
        self.freeze()
        for pid in reversed(self.frozen):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        family, self.frozen, self.process = self.frozen, [], None
        process.wait(WITHIN_S)
        wait_gone(family)

    def freeze(self) -> None:
        """Stop all processes where they are; connections stay open, unanswered."""
        assert self.process is not None  # noqa: S101  # a test's mistake
        if self.process.poll() is not None:
            return
        pid = self.process.pid
        os.kill(pid, signal.SIGSTOP)
        self.frozen = [pid, *children(pid)]
        for each in self.frozen:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for each in reversed(self.frozen):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)
        self.frozen = []

    def pause(self) -> None:
        """Have a standby receive, but show nothing new."""
        self.sql("SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state()"
        _until(lambda: self.sql(state) == "paused", "replay is paused")

    def resume(self) -> None:
        """Have a paused standby show what it received."""
        self.sql("SELECT pg_wal_replay_resume()")

    def _source(self, other: Member) -> str:
        return (
            f"host={HOST} port={other.port} user=app passfile={self.folder / 'passfile'} "
            f"application_name={self.folder.name}"
        )


@dataclass(slots=True)
class StreamingPostgres:
    """Servers below `folder`, the first of which is the primary at the start."""

    folder: Path
    standbys: int = 2
    members: list[Member] = field(default_factory=list[Member])
    primary: Member = field(init=False)

    def start(self) -> StreamingPostgres:
        """Start the primary, copy it, start the copies, wait until they stream."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        for name in NAMES[: self.standbys + 1]:
            self.members.append(Member(self.folder / name))
        self.primary = self.members[0]
        self.primary.start()
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

    def replicas(self) -> list[Member]:
        """Answer the members that run, and answer, and are not the primary."""
        return [
            each
            for each in self.members
            if each is not self.primary and each.process and not each.frozen
        ]

    def create_database(self, name: str) -> DatabasePlace:
        """Create a database and wait until every standby has it."""
        self.primary.create_database(name)
        self.wait_replayed()
        return self.place(name)

    def promote(self, member: Member) -> None:
        """Make `member` the primary; the former one is left as it is."""
        member.sql("SELECT pg_promote(true, 20)")
        self.primary = member

    def synchronous(self, names: str = "ANY 1 (*)") -> None:
        """Have commits on the primary wait for standbys; for none, when `names` is empty."""
        self.primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.primary.sql("SELECT pg_reload_conf()")
        shown = "SHOW synchronous_standby_names"
        _until(lambda: self.primary.sql(shown) == names, "the setting is read")
        self.primary.sql("CHECKPOINT")  # whose process reads it first; commits wait from then on

    def fail_over(self) -> Member:
        """Promote the standby that has received most; have the others follow. Answer it."""
        received = "SELECT pg_last_wal_receive_lsn() - '0/0'"
        standbys = [
            each for each in self.replicas() if each.sql("SELECT pg_is_in_recovery()") == "t"
        ]
        best = max(standbys, key=lambda each: int(each.sql(received)))
        self.promote(best)
        for member in self.replicas():
            if member.sql("SELECT pg_is_in_recovery()") == "t":
                member.follow(self.primary)
        return best

    def rejoin(self, member: Member) -> None:
        """Make a member anew as a standby of the present primary, at its former port."""
        member.kill()
        member.copy_of(self.primary)
        member.start()

    def restore(self) -> None:
        """Bring every member back as a standby of the primary, whatever a test left."""
        for member in self.members:
            member.thaw()
        if self.primary.process is None:
            self.primary.start()
        self.synchronous("")
        for member in self.members:
            if member is self.primary:
                continue
            if member.follows(self.primary):
                member.resume()
            else:
                self.rejoin(member)
        self.wait_streaming()

    def wait_streaming(self) -> None:
        """Wait until every running standby streams from the primary."""
        wanted = len(self.replicas())
        count = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        _until(lambda: int(self.primary.sql(count)) >= wanted, "the standbys stream")

    def wait_replayed(self, *members: Member) -> None:
        """Wait until `members` (every running standby) show what the primary has now."""
        position = self.primary.sql("SELECT pg_current_wal_flush_lsn()")
        reached = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        for member in members or self.replicas():
            _until(partial(_says, member, reached), "the standby caught up")

    def remove(self) -> None:
        """Kill every member and erase the folder."""
        for member in self.members:
            member.kill()
            member.remove()


def _says(member: Member, question: str) -> bool:
    return member.sql(question) == "t"


def _until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        with suppress(MachineError):
            if check():
                return
        time.sleep(0.02)
    raise MachineError(
        cannot="go on with the test",
        because=f"not within {WITHIN_S:g} s: {what}",
        try_="the same on a machine with less to do, and the logs of its servers",
    )
