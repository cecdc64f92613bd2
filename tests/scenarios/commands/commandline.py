"""The command `millions` as a person runs it: another process, its output, its exit status."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from millions.runtime.ports import free_port
from millions.testing import command_line

if TYPE_CHECKING:
    from millions.testing.command_line import Ran

Running = subprocess.Popen[str]
ANSWERED_WITHIN_S = 10


@dataclass(slots=True, kw_only=True)
class Application:
    """An application made by `millions new`, with state of its own."""

    folder: Path
    home: Path
    port: int

    def millions(self, *arguments: str, status: int | None = 0, **variables: str) -> Ran:
        """Run a command in the application's folder; it must exit with `status`."""
        ran = command_line.run(
            *arguments, folder=self.folder, home=self.home, status=status, **variables
        )
        assert 'Traceback (most recent call last):\n  File "' + _OURS not in ran.err
        return ran

    def begin(self, *arguments: str, out: IO[str] | int = subprocess.PIPE) -> Running:
        """Start a command that goes on; whoever starts it stops it."""
        return command_line.begin(
            *arguments, folder=self.folder, home=self.home, out=out, err=subprocess.DEVNULL
        )

    def edit(self, name: str, before: str, after: str) -> None:
        """Replace a text that must stand in a file, where it stands first."""
        path = self.folder / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))

    def page(self, path: str = "/", *, form: bytes | None = None) -> str:
        """Ask for a page, or send a form; an error page is answered as well."""
        address = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(address, form, timeout=ANSWERED_WITHIN_S) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.read().decode())

    @property
    def state(self) -> Path:
        """The one state folder below the home."""
        (found,) = self.home.glob(f"{self.folder.name}-*")
        return found

    def pids(self) -> list[int]:
        """Every process of this application's stack."""
        return command_line.processes_of(self.home, self.folder.name)


_OURS = str(Path(sys.executable).parents[1])


def make(root: Path, name: str) -> Application:
    """Make an application by `millions new`, on a free port."""
    home = root / "home"
    application = Application(folder=root / name, home=home, port=free_port())
    subprocess.run(
        [command_line.MILLIONS, "new", name],
        cwd=root,
        capture_output=True,
        timeout=command_line.DONE_WITHIN_S,
        check=True,
    )
    listens = f'listen = "127.0.0.1:{application.port}"'
    application.edit("millions.toml", '# listen = "127.0.0.1:8000"', listens)
    application.edit("millions.toml", "# memory_mib = 256", "memory_mib = 64")
    return application
