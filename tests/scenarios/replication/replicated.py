"""A stack whose database has replicas, what can be done to it, and what is found in it."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from writer import TABLE, Writer

from millions.cli import members
from millions.runtime import desired, pidfiles, processes, status, supervisor
from millions.runtime.belonging import members as members_of
from millions.runtime.ports import free_port
from millions.runtime.state import StateFolder, open_folder
from millions.testing import command_line, eventually

if TYPE_CHECKING:
    from millions.model import Unit
    from millions.runtime.processes import Identity

SEGMENT_MIB = 16
READY_WITHIN_S = 60.0
STACK = """\
rung = 1

[app]
name = "rep"
web = "application:app"

[web]
listen = "127.0.0.1:{port}"

[database]
memory_mib = 64
replicas = 2

[consensus]
"""
ALONE = "# [consensus]"
APPLICATION = '''\
"""An application that answers everybody."""


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"well"})
'''


@dataclass(slots=True, kw_only=True)
class Replicated:
    """A stack in a folder of its own."""

    root: Path
    port: int = field(default_factory=free_port)

    def make(self) -> None:
        """Write its stack file and application."""
        self.folder.mkdir(parents=True)
        self.file.write_text(STACK.format(port=self.port))
        (self.folder / "application.py").write_text(APPLICATION)

    @property
    def name(self) -> str:
        return "rep"

    @property
    def folder(self) -> Path:
        return self.root / "rep"

    @property
    def file(self) -> Path:
        return self.folder / "millions.toml"

    @property
    def state(self) -> StateFolder:
        (found,) = (self.root / "home").glob(f"{self.name}-*")
        return open_folder(found)

    def millions(self, *arguments: str, status: int | None = 0) -> str:
        """Run a command; it must exit with `status`. What it said."""
        return command_line.run(
            *arguments, folder=self.folder, home=self.root / "home", status=status
        ).said

    def end(self) -> None:
        """Stop it and prove that nothing is left."""
        self.millions("down", status=None)
        assert members_of(self.state) == ()

    def unit(self, name: str) -> Unit:
        wanted = desired.read(self.state.desired)
        assert wanted is not None
        return next(each for each in wanted.units if each.name == name)

    def identity(self, name: str) -> Identity:
        """The process of a unit."""
        told = status.read(self.state.status)
        assert told is not None
        pid = next(each.pid for each in told.units if each.name == name)
        found = processes.identify(pid) if pid else None
        assert found is not None, f"{name} does not run"
        return found

    def server(self, name: str) -> Identity:
        """The PostgreSQL of a member."""
        found = pidfiles.living(self.state, self.unit(name))
        assert found is not None, f"the server of {name} does not run"
        return found

    def data(self, name: str) -> Path:
        return self.state.unit(name) / "data" / "postgresql"

    def leader(self) -> str:
        """Who leads; '' when nobody does."""
        return members.leader(members.members(desired.read(self.state.desired)))

    def replicas(self) -> list[str]:
        leader = self.leader()
        return [f"database.{n}" for n in (1, 2, 3) if f"database.{n}" != leader]

    async def settled(self) -> None:
        """Wait until everything is ready, with both replicas complete."""

        def all_ready() -> bool | str:
            told = status.read(self.state.status)
            if told is None or not told.settled:
                return False
            found = members.members(desired.read(self.state.desired))
            return sum(each.complete for each in found) == len(found) - 1

        await eventually(all_ready, within_s=READY_WITHIN_S)

    @property
    def conninfo(self) -> str:
        """All members, of which the one is asked for that can be written to."""
        wanted = desired.read(self.state.desired)
        assert wanted is not None
        assert wanted.directory is not None
        place = wanted.directory.database
        shard = place.shards[0]
        hosts = ",".join(each.host for each in (shard.primary, *shard.replicas))
        password = Path(place.password_file).read_text().strip()
        return (
            f"host={hosts} port={shard.primary.port} dbname={place.name} user={place.user} "
            f"password={password} target_session_attrs=read-write connect_timeout=2"
        )

    def writer(self, name: str) -> Writer:
        self.execute(TABLE)
        return Writer(conninfo=self.conninfo, name=name)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def write_ahead(self, *, mib: int) -> None:
        """Let the primary write WAL, and forget all that is more than `mib` behind.

        What it keeps for a replica that is away is that little meanwhile only.
        """
        password = (self.state.secrets / "database-admin").read_text().strip()
        place = self.conninfo.replace("user=app", "user=millions_admin").rpartition(" password=")[0]
        options = f"{place} password={password} target_session_attrs=read-write connect_timeout=2"
        with psycopg.connect(options, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET max_slot_wal_keep_size = '{mib}MB'".encode())
            connection.execute("SELECT pg_reload_conf()")
            for _segment in range(3 * mib // SEGMENT_MIB):
                connection.execute("SELECT pg_logical_emit_message(false, 'test', 'full')")
                connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
            connection.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            connection.execute("SELECT pg_reload_conf()")

    def faults(self, writer: Writer) -> list[str]:
        """What is wrong with what the writer wrote: on the primary now."""
        rows = self.execute(f"SELECT number FROM written WHERE writer = '{writer.name}'")
        return writer.faults([number for (number,) in rows])

    def kill_server(self, name: str) -> None:
        """SIGKILL Patroni and PostgreSQL at once, as a power cut of their server would."""
        processes.kill_tree(self.identity(name))
        processes.kill_tree(self.server(name))

    def signal(self, identity: Identity, number: signal.Signals) -> None:
        assert processes.send(identity, number)

    def kill_everything(self) -> None:
        """SIGKILL every process of the stack, and its supervisor first."""
        self.kill_supervisor()
        for member in members_of(self.state):
            processes.kill_tree(member.identity)

    def kill_supervisor(self) -> None:
        """SIGKILL the supervisor."""
        pid = supervisor.running(self.state)
        found = processes.identify(pid) if pid else None
        if found is not None:
            processes.send(found, signal.SIGKILL)
            assert processes.wait_gone((found,))

    def asked(self, name: str, path: str) -> int:
        """The status that a member's Patroni answers with; 0 when it does not."""
        probe = self.unit(name).probe
        assert probe is not None
        try:
            with urllib.request.urlopen(f"http://{probe.address}{path}", timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def consensus_leader(self) -> str:
        """The member of the consensus that leads it."""
        for number in (1, 2, 3):
            probe = self.unit(f"consensus.{number}").probe
            assert probe is not None
            with urllib.request.urlopen(f"http://{probe.address}/metrics", timeout=2) as answer:
                if b"\netcd_server_is_leader 1" in answer.read():
                    return f"consensus.{number}"
        raise AssertionError("nobody leads the consensus")

    def edit(self, before: str, after: str) -> None:
        text = self.file.read_text()
        assert before in text
        self.file.write_text(text.replace(before, after))

    def told(self, name: str) -> dict[str, Any]:
        """What `millions status` says of a unit."""
        units = json.loads(self.millions("status", "--json"))["units"]
        return next(each for each in units if each["name"] == name)
