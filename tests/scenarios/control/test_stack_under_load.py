"""A whole stack under full load: a deploy and the supervisor's death must fail no request."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio
from stacks import SOON_S, more

from millions.drill.load import Load
from millions.model import Address
from millions.runtime import processes
from millions.runtime.ports import free_port
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MILLIONS = str(Path(sys.executable).parent / "millions")
COMMAND_WITHIN_S = 100.0


class Shell:
    """Runs `millions` for an application that `millions new` made."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "notes"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", str(root)),
            "MILLIONS_HOME": str(root / "home"),
        }
        self.public = Address(host="127.0.0.1", port=free_port())

    async def millions(self, *arguments: str, at: Path | None = None) -> str:
        """What the command printed; it must succeed."""
        process = await asyncio.create_subprocess_exec(
            *(MILLIONS, *arguments),
            cwd=at or self.folder,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), COMMAND_WITHIN_S)
        assert process.returncode == 0, out.decode()
        return out.decode()

    async def status(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(await self.millions("status", "--json"))
        return found

    def edit(self, name: str, before: str, after: str) -> None:
        path = self.folder / name
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))


@pytest_asyncio.fixture
async def shell() -> AsyncIterator[Shell]:
    """A new application, up."""
    root = Path(tempfile.mkdtemp(prefix="millions-test-"))
    root.chmod(0o755)  # noqa: ASYNC240  # before anything runs
    made = Shell(root)
    await made.millions("new", "notes", at=root)
    made.edit("millions.toml", '# listen = "127.0.0.1:8000"', f'listen = "{made.public}"')
    try:
        await made.millions("up", "--detach")
        yield made
    finally:
        await made.millions("down")
        shutil.rmtree(root)


async def test_deploys_and_deaths_of_the_supervisor_fail_no_request(shell: Shell) -> None:
    load = Load(shell.public, clients=12, mode="both")
    await load.start()
    await more(load, 200)
    for version in (1, 2):
        (shell.folder / f"version{version}.txt").write_text("another release")
        await shell.millions("deploy")
        await more(load, 200)
        pid = (await shell.status())["supervisor_pid"]
        assert isinstance(pid, int)
        supervisor = processes.identify(pid)
        assert supervisor is not None
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda gone=supervisor: not processes.alive(gone), within_s=SOON_S)
        await more(load, 200)
        await shell.millions("up", "--detach")
        await more(load, 200)
    tally = await load.stop()
    assert tally.failed == 0, f"{tally} {tally.examples}"


async def test_those_who_come_after_a_crash_of_the_web_process_wait(shell: Shell) -> None:
    """G3: what is in flight on the dead process fails, and nothing that comes later."""
    before = next(each for each in (await shell.status())["units"] if each["tier"] == "web")  # type: ignore[attr-defined]
    os.kill(before["pid"], signal.SIGKILL)
    load = Load(shell.public, clients=8, mode="new", path="/healthz")
    await load.start()
    await more(load, 100)
    tally = await load.stop()
    assert tally.failed == 0, f"{tally} {tally.examples}"
