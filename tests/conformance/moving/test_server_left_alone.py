"""A server that leaves a cluster takes writes alone, unless another one may have newer data."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys

import pytest

from millions.programs.member import EPOCH
from millions.testing import eventually
from millions.testing.postgres import SETTINGS, binaries
from millions.testing.streaming import StreamingPostgres
from millions.tiers.postgresql_alone import SCRIPT

WITHIN_S = 30.0


@pytest.fixture
def servers(millions_folder):
    made = StreamingPostgres(millions_folder / f"alone-{secrets.token_hex(4)}", standbys=1)
    try:
        made.start()
        made.primary.sql("CREATE TABLE kept (id int)")
        made.primary.sql("INSERT INTO kept VALUES (1)")
        made.wait_replayed()
        yield made
    finally:
        made.remove()


@pytest.fixture
def folders(servers, millions_folder):
    """The folders of the units, as they are in a stack; `database.1` was the primary."""
    root = millions_folder / f"units-{secrets.token_hex(4)}"
    found = []
    for number, member in enumerate(servers.members, start=1):
        data = root / f"database.{number}" / "data"
        data.mkdir(parents=True)
        (data / "postgresql").symlink_to(member.data)
        (data / EPOCH).write_text("a5\n")
        shutil.copy(member.data / "postgresql.conf", data.parent / "first.conf")
        shutil.copy(member.data / "pg_hba.conf", data.parent / "pg_hba.conf")
        for name in ("first.conf", "pg_hba.conf"):
            member._give(data.parent / name)
        member._give(data.parent, data, data / EPOCH)
        found.append(data)
    root.chmod(0o711)
    return found


def start_alone(member, data):
    """Start the server as the unit of a server on its own does."""
    settings = [f"-c{name}={value}" for name, value in (SETTINGS | member.settings).items()]
    postgres = [str(binaries() / "postgres"), "-D", str(data / "postgresql"), *settings]
    places = [str(data), str(data.parent), sys.executable, str(binaries())]
    command = ["/bin/sh", "-c", SCRIPT, *places, *postgres]
    with (data.parent / "said").open("w") as said:
        member.process = subprocess.Popen(
            [*command, "-p", str(member.port)],
            stdout=said,
            stderr=said,
            env={**os.environ, "LC_ALL": "C"},
            **member._identity(),
        )


def wait_primary(member):
    """Wait until a server that was started has left recovery, in which it answers already."""
    member._wait_ready()
    member.sql(
        "DO $$ BEGIN WHILE pg_is_in_recovery() LOOP PERFORM pg_sleep(0.02); END LOOP; END $$"
    )


def takes_writes(member, data):
    start_alone(member, data)
    wait_primary(member)
    member.sql("INSERT INTO kept VALUES (2)")
    assert member.sql("SELECT count(*) FROM kept") == "2"
    assert (data / "standalone").exists()


def refused(member, data):
    start_alone(member, data)
    process, member.process = member.process, None
    assert process.wait(WITHIN_S) == 1
    assert not (data / "standalone").exists()
    return (data.parent / "said").read_text()


def while_it_runs(member, data):
    """Start a server on its own where it runs already; the status with which the script ends."""
    running = member.process
    start_alone(member, data)
    asked, member.process = member.process, running
    return asked.wait(WITHIN_S)


def crash_into_a_standby(member):
    """Let it die and be started again as a standby, as Patroni does."""
    member.kill()
    (member.data / "standby.signal").touch()
    member.start()


def test_a_primary_that_stopped_cleanly_goes_on(servers, folders):
    servers.primary.stop()
    takes_writes(servers.primary, folders[0])


def test_a_primary_that_crashed_goes_on(servers, folders):
    servers.primary.kill()
    takes_writes(servers.primary, folders[0])


@pytest.mark.parametrize("ends", ["kill", "stop"])
def test_a_primary_that_was_made_a_standby_goes_on_as_a_primary(servers, folders, ends):
    crash_into_a_standby(servers.primary)
    getattr(servers.primary, ends)()
    takes_writes(servers.primary, folders[0])
    servers.primary.kill()
    start_alone(servers.primary, folders[0])
    wait_primary(servers.primary)
    assert servers.primary.sql("SELECT pg_is_in_recovery()") == "f"


def test_nobody_goes_on_while_another_one_took_over(servers, folders):
    former = servers.primary
    former.kill()
    servers.fail_over()
    servers.primary.sql("INSERT INTO kept VALUES (3)")
    assert "database.2 may have data that it has not" in refused(former, folders[0])
    crash_into_a_standby(former)
    former.stop()
    assert "database.2 may have data that it has not" in refused(former, folders[0])


def test_a_standby_does_not_go_on_without_its_primary(servers, folders):
    standby = servers.replicas()[0]
    servers.primary.kill()
    standby.stop()
    assert "database.1 may have data that it has not" in refused(standby, folders[1])


def test_what_another_cluster_left_behind_does_not_count(servers, folders):
    servers.fail_over()
    former = servers.members[0]
    former.kill()
    (folders[1] / EPOCH).write_text("b6\n")
    takes_writes(former, folders[0])


async def test_a_primary_that_runs_goes_on_with_the_settings_of_one_that_is_alone(servers, folders):
    began = servers.primary.sql("SELECT pg_postmaster_start_time()")
    with (folders[0].parent / "first.conf").open("a") as settings:
        settings.write("checkpoint_flush_after = 8\n")
    assert while_it_runs(servers.primary, folders[0]) == 0
    assert (folders[0] / "standalone").exists()
    servers.primary.sql("INSERT INTO kept VALUES (2)")
    assert servers.primary.sql("SELECT pg_postmaster_start_time()") == began
    shown = "SHOW checkpoint_flush_after"
    await eventually(lambda: servers.primary.sql(shown) == "64kB", within_s=WITHIN_S)


def test_a_primary_that_runs_is_not_alone_while_another_one_took_over(servers, folders):
    former, other = servers.primary, servers.replicas()[0]
    settings = (former.data / "postgresql.conf").read_text()
    with (folders[0].parent / "first.conf").open("a") as first:
        first.write("work_mem = 9MB\n")
    servers.promote(other)
    other.sql("CHECKPOINT")
    assert while_it_runs(former, folders[0]) == 1
    assert "database.2 may have data" in (folders[0].parent / "said").read_text()
    assert former.sql("SELECT count(*) FROM kept") == "1"  # it runs on as it did
    assert (former.data / "postgresql.conf").read_text() == settings
    assert not (folders[0] / "standalone").exists()


def test_a_standby_that_runs_is_stopped_and_takes_writes_at_the_end_of_its_log(servers, folders):
    crash_into_a_standby(servers.primary)
    running = servers.primary.process
    start_alone(servers.primary, folders[0])
    assert running.wait(WITHIN_S) == 0
    wait_primary(servers.primary)
    assert servers.primary.sql("SELECT pg_is_in_recovery()") == "f"


def test_another_process_with_the_number_of_the_server_is_left_alone(servers, folders):
    servers.primary.kill()
    file = servers.primary.data / "postmaster.pid"
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            file.write_text("\n".join([str(stranger.pid), *file.read_text().splitlines()[1:]]))
            places = [str(folders[0]), str(folders[0].parent), sys.executable, str(binaries())]
            subprocess.run(["/bin/sh", "-c", SCRIPT, *places, "true"], check=True, timeout=WITHIN_S)
            assert stranger.poll() is None  # a signal to read settings anew would end it
        finally:
            stranger.kill()
