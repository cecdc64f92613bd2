"""Commands on a stack that runs must say what is, and change only what they are asked to."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from commandline import Application


def release(notes: Application) -> str:
    return str(notes.millions("status", "--json").json["release"])


def test_status_says_that_all_is_well(notes: Application) -> None:
    status = notes.millions("status", "--json").json
    assert status["well"] is True
    assert {unit["name"]: unit["phase"] for unit in status["units"]} == {
        "database.1": "ready",
        "web.1": "ready",
    }
    assert f"http://127.0.0.1:{notes.port}/" in notes.millions("status").out


def test_up_again_has_nothing_to_do(notes: Application) -> None:
    before = notes.millions("status", "--json").json["units"]
    assert notes.millions("plan").out.startswith("nothing to do")
    notes.millions("up", "--detach")
    after = notes.millions("status", "--json").json["units"]
    assert [unit["pid"] for unit in after] == [unit["pid"] for unit in before]


def test_a_release_takes_over_and_goes_back(notes: Application) -> None:
    first = release(notes)
    notes.edit("notes/web.py", "<h1>notes</h1>", "<h1>Noted</h1>")
    causes = {each["subject"]: each["why"] for each in notes.millions("plan", "--json").json}
    assert f"replaces {first}" in causes.values()
    assert release(notes) == first

    answer = notes.millions("deploy", "--json").json
    assert answer["before"] == first
    assert "<h1>Noted</h1>" in notes.page()

    assert "has taken over from" in notes.millions("deploy", "--rollback").out
    assert (release(notes), "<h1>notes</h1>" in notes.page()) == (first, True)
    notes.millions("deploy", "--to", answer["release"])
    assert "<h1>Noted</h1>" in notes.page()


def test_a_deploy_takes_over_what_the_stack_file_says_too(notes: Application) -> None:
    before = notes.millions("status", "--json").json["units"]
    notes.edit("millions.toml", f':{notes.port}"\n', f':{notes.port}"\ndrain_s = 7\n')
    assert "runs as the stack file says" in notes.millions("deploy").out
    after = {unit["name"]: unit["pid"] for unit in notes.millions("status", "--json").json["units"]}
    assert {each["name"] for each in before if after[each["name"]] != each["pid"]} == {"web.1"}
    assert "nothing to do" in notes.millions("apply", "--plan").out
    assert "runs already" in notes.millions("deploy").out
    assert Path(notes.millions("status", "--json").json["folder"]) == notes.state


def test_a_release_that_does_not_import_changes_nothing_and_shows_its_own_traceback(
    notes: Application,
) -> None:
    before, page = release(notes), notes.page()
    notes.edit("notes/web.py", "import escape", "import escape, unescaped")
    ran = notes.millions("deploy", status=4)
    notes.edit("notes/web.py", "import escape, unescaped", "import escape")
    assert "cannot import name 'unescaped'" in ran.err
    assert "/notes/web.py" in ran.err
    assert (release(notes), notes.page()) == (before, page)
    assert notes.millions("status", "--json").json["well"] is True


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        pytest.param("memory_mib = 64\n", "memory_mib = 1\n", "from 64 to", id="out of bounds"),
        pytest.param("[cache]", "[cahce]", "did you mean cache?", id="unknown table"),
        pytest.param("rung = 1", "rung = 11", "not yet: this version has", id="a rung to come"),
        pytest.param(
            '# bin = "/usr/lib/postgresql/18/bin"', 'bin = "/nowhere"', "/nowhere", id="no server"
        ),
        pytest.param(
            '# secrets = { STRIPE_KEY = { file = "stripe.key" } }',
            'secrets = { STRIPE_KEY = { file = "stripe.key" } }',
            "cannot read the secret STRIPE_KEY",
            id="a missing secret",
        ),
        pytest.param('static = "static"', 'static = "statics"', "is not a folder", id="no assets"),
        pytest.param('name = "notes"', 'name = "other"', "has run as 'notes'", id="another name"),
    ],
)
def test_a_wrong_file_changes_nothing_that_runs(
    notes: Application, before: str, after: str, says: str
) -> None:
    running = notes.millions("status", "--json").json["units"]
    notes.edit("millions.toml", before, after)
    try:
        ran = notes.millions("up", "--detach", status=None)
    finally:
        notes.edit("millions.toml", after, before)
    assert ran.status in (2, 3)
    assert says in ran.err
    now = notes.millions("status", "--json").json
    assert [unit["pid"] for unit in now["units"]] == [unit["pid"] for unit in running]


def test_a_port_that_is_taken_is_said_before_anything_changes(notes: Application) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        notes.edit("millions.toml", f"127.0.0.1:{notes.port}", f"127.0.0.1:{port}")
        ran = notes.millions("up", "--detach", status=3)
        notes.edit("millions.toml", f"127.0.0.1:{port}", f"127.0.0.1:{notes.port}")
    assert f"port {port} is taken by another program" in ran.err
    assert "listen = " in ran.err
    assert notes.page()


def test_run_is_inside_the_stack_and_exits_as_the_command_does(notes: Application) -> None:
    program = "import os; print(os.getcwd(), os.environ['MILLIONS_STACK'], os.geteuid())"
    folder, stack, user = notes.millions("run", "python", "-c", program).out.split()
    assert folder == f"{notes.state}/releases/{release(notes)}"
    assert stack == notes.state.name
    assert (int(user) == 0) is False
    assert notes.millions("run", "sh", "-c", "exit 7", status=7).out == ""
    assert "no such program" in notes.millions("run", "no-such-program", status=3).err
    assert notes.millions("run", "alembic", "current").out.startswith("0001")


def test_run_here_writes_into_the_folder_that_is_edited(notes: Application) -> None:
    notes.millions("run", "--here", "alembic", "revision", "-m", "nothing")
    (made,) = notes.folder.glob("migrations/versions/*_nothing.py")
    made.unlink()


def test_sql_asks_as_the_application_and_shows_no_password(notes: Application) -> None:
    assert notes.millions("sql", "--csv", "select current_user").out == "current_user\napp\n"
    assert notes.millions("sql", "select nothing", status=1).err.startswith("ERROR")
    password = (notes.state / "secrets" / "database").read_text().strip()
    program = "select count(*) from pg_sleep(1.5)"
    running = notes.begin("sql", program, out=subprocess.DEVNULL)
    seen: set[str] = set()
    while running.poll() is None:
        seen |= shown_by_children(running.pid)
    assert running.returncode == 0
    assert any("psql" in each for each in seen)
    assert [each for each in seen if password in each] == []


def shown_by_children(pid: int) -> set[str]:
    """Command lines and environments of a process and its children, as /proc shows them."""
    shown = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            if pid in (parent, int(path.parent.name)):
                for name in ("cmdline", "environ"):
                    shown.add((path.parent / name).read_bytes().decode(errors="replace"))
        except (OSError, ValueError):
            continue
    return shown


def test_logs_are_found_by_unit_level_and_words(notes: Application) -> None:
    notes.page("/?wanted=1")
    ran = notes.millions("logs", "--unit", "web.1", "--level", "info", "--json")
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert {record["unit"] for record in records} == {"web.1"}
    assert "request" in {record["event"] for record in records}
    assert notes.millions("logs", "--grep", "no such words anywhere").out == ""
    assert notes.millions("logs", "--since", "0s").out == ""
    assert "not a regular expression" in notes.millions("logs", "--grep", "(", status=2).err


async def test_followed_logs_show_what_comes(notes: Application, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as out:
        following = notes.begin("logs", "-f", "--unit", "web.1", "--grep", "followed", out=out)
        try:

            def seen() -> bool:
                notes.page("/followed")
                return "followed" in (tmp_path / "log").read_text()

            await eventually(seen, within_s=20)
        finally:
            following.terminate()
            following.wait(10)


def test_only_one_command_changes_a_stack_at_a_time(notes: Application) -> None:
    lock = os.open(notes.state / "command.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        ran = notes.millions("deploy", status=5)
    finally:
        os.close(lock)
    assert "another command is changing it" in ran.err


def test_secret_files_and_state_are_closed_to_others(notes: Application) -> None:
    for path in (notes.state / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert (notes.state / "secrets").stat().st_mode & 0o777 == 0o700
    for name in ("desired.json", "directory.json"):
        assert (notes.state / name).stat().st_mode & 0o077 == 0


def test_two_stacks_do_not_know_each_other(
    notes: Application, new: Callable[[str], Application]
) -> None:
    other = new("beside")
    other.millions("up", "--detach")
    places = [
        {
            unit["address"].rpartition(":")[0]
            for unit in each.millions("status", "--json").json["units"]
        }
        for each in (notes, other)
    ]
    assert not places[0] & places[1]
    other.millions("down")
    assert other.pids() == []
    assert notes.millions("status", "--json").json["well"] is True
    assert "<h1>" in notes.page()
