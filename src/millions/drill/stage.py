"""The stage: the stack that a drill breaks. A throw-away one beside the user's, or the running one.

A throw-away stack has a state root, ports, addresses and data of its own, and is erased at the end.
Everything is done through the command line `millions`, as a person would do it. It never touches
the data of another stack.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

from millions.errors import MachineError, NotRunningError
from millions.model import Address
from millions.runtime import desired as desireds
from millions.runtime import state as states
from millions.runtime import status as statuses
from millions.runtime.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.model import Unit
    from millions.runtime.desired import Desired
    from millions.runtime.state import StateFolder
    from millions.runtime.status import Status

COMMAND_WITHIN_S = 300.0
LOOK_S = 0.05
NAME = "drill"
OWNER_FILE = "owner"
"""Holds the pid of the drill; a stage whose drill is gone can be cleared away."""

PREFIX = "millions-drill-"
APPLICATION = '''"""The application of this drill; see millions.drill.target."""

from millions.drill.target import app as app
'''
COPIED_TEXTS = frozenset({"bin", "balance"})
"""Texts among the settings of a tier that name nothing of the user's."""

SPARED = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command answered."""

    status: int
    out: str


class Stage:
    """A stack to be broken: its stack file, its state, its commands."""

    def __init__(self, file: Path, *, home: Path | None = None) -> None:
        self.file = file
        self.home = home
        self.changing = asyncio.Lock()  # one command at a time may change a stack
        self._state: StateFolder | None = None

    @property
    def folder(self) -> Path:
        """The application's folder."""
        return self.file.parent

    @property
    def state(self) -> StateFolder:
        """The state folder. Raise NotRunningError before the first `up`."""
        if self._state is None:
            root = self.home if self.home is not None else states.state_root()
            ending = states.folder_for("", self.file).name
            found = [
                each for each in sorted(root.glob(f"*{ending}")) if (each / "stack.json").exists()
            ]
            if not found:
                raise NotRunningError(
                    cannot=f"find the stack of {self.file}",
                    because="it has never run on this machine as this user",
                    try_="millions up",
                )
            self._state = states.open_folder(found[0])
        return self._state

    @property
    def rung(self) -> int:
        """The rung that the stack file says (blocking)."""
        return int(tomllib.loads(self.file.read_text(encoding="utf-8")).get("rung", 1))

    def status(self) -> Status | None:
        """What runs, as the supervisor last said."""
        return statuses.read(self.state.status)

    def desired(self) -> Desired:
        """What should run. Raise NotRunningError when nothing should."""
        found = desireds.read(self.state.desired)
        if found is None or not found.units:
            raise NotRunningError(
                cannot=f"find the stack of {self.file} running",
                because="nothing of it should run",
                try_="millions up",
            )
        return found

    @property
    def address(self) -> Address:
        """Where people connect."""
        unit = next(each for each in reversed(self.desired().units) if _public(each))
        found = _public(unit)[0]
        return Address(host=found.host.replace("0.0.0.0", "127.0.0.1"), port=found.port)  # noqa: S104

    async def millions(self, *arguments: str) -> Ran:
        """Run a command; what it printed, whatever its exit status."""
        process = await self.begin(*arguments)
        try:
            out, _ = await asyncio.wait_for(process.communicate(), COMMAND_WITHIN_S)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        return Ran(status=process.returncode or 0, out=out.decode(errors="replace"))

    async def begin(self, *arguments: str) -> asyncio.subprocess.Process:
        """Begin a command, which the caller waits for or kills."""
        environment = dict(os.environ)
        if self.home is not None:
            environment["MILLIONS_HOME"] = str(self.home)
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "millions.cli.main", "-C", str(self.file), *arguments),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for the drill, which then ends this in order
        )

    async def do(self, *arguments: str) -> str:
        """Run a command that must succeed. Raise MachineError with what it said."""
        ran = await self.millions(*arguments)
        if ran.status:
            raise MachineError(
                cannot=f"run millions {' '.join(arguments)} on the stack of the drill",
                because=ran.out.strip() or f"exit status {ran.status}",
                try_="millions doctor",
            )
        return ran.out

    async def settled(self, within_s: float) -> bool:
        """Wait until everything wanted is ready and nothing is under way; False when it is not."""
        deadline = asyncio.get_running_loop().time() + within_s
        while asyncio.get_running_loop().time() < deadline:
            status = self.status()
            if status is not None and status.settled:
                return True
            await asyncio.sleep(LOOK_S)
        return False


def _public(unit: Unit) -> tuple[Address, ...]:
    """The addresses that the supervisor binds for a unit; private ones (127.N) are not meant."""
    return tuple(each for each in unit.public if not _is_private(each.host))


def _is_private(host: str) -> bool:
    return re.match(r"127\.(?!0\.)", host) is not None


def make_root() -> Path:
    """Make the folder of a throw-away stack (blocking)."""
    return Path(tempfile.mkdtemp(prefix=PREFIX))


def erase(root: Path) -> None:
    """Erase the folder of a throw-away stack (blocking)."""
    shutil.rmtree(root, ignore_errors=True)


def make(source: Mapping[str, Any], *, rung: int, folder: Path | None, root: Path) -> Stage:
    """Make folder and stack file of a throw-away stack in `root` (blocking); nothing runs yet.

    `source` is the user's stack file as read, whose tiers it gets. `folder` is the user's
    application, which is copied; without one it runs the application of drills.
    """
    root.chmod(0o755)  # the units' user goes through it
    (root / OWNER_FILE).write_text(str(os.getpid()), encoding="utf-8")
    home, application = root / "home", root / NAME
    home.mkdir()
    home.chmod(0o755)
    if folder is not None:
        shutil.copytree(folder, application, ignore=SPARED)
    else:
        application.mkdir()
        (application / "drilled.py").write_text(APPLICATION, encoding="utf-8")
    file = application / "millions.toml"
    file.write_text(_stack_file(source, rung, own=folder is None), encoding="utf-8")
    return Stage(file, home=home)


def _stack_file(source: Mapping[str, Any], rung: int, *, own: bool) -> str:
    """The stack file: the user's tiers, on a free port, with the application of the drill."""
    document = {
        name: _copied(table)
        for name, table in source.items()
        if name != "app" and isinstance(table, dict)
    }
    app: dict[str, Any] = {"web": "drilled:app"} if own else dict(source.get("app", {}))
    app["name"] = NAME
    app["environment"] = {**app.get("environment", {}), "PHOTOS_ATTEMPTS_PER_ADDRESS": "1000000"}
    listen = {"listen": f"127.0.0.1:{free_port()}"}
    document["web"] = document.get("web", {}) | listen
    made: dict[str, Any] = {"rung": rung, "app": app, **document}
    return tomlkit.dumps(made)


def _copied(table: Any) -> dict[str, Any]:
    """Sizes and counts of a tier. Paths and addresses are the user's own and stay there."""
    settings: dict[str, Any] = table
    return {
        name: value
        for name, value in settings.items()
        if isinstance(value, int | float) or name in COPIED_TEXTS
    }
