"""The command `millions` as a person runs it: another process, its output, its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from millions.testing.postgres import free_port

MILLIONS = str(Path(sys.executable).parent / "millions")
Running = subprocess.Popen[str]
DONE_WITHIN_S = 100
ANSWERED_WITHIN_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(slots=True, kw_only=True)
class Application:
    """An application made by `millions new`, with state of its own."""

    folder: Path
    home: Path
    port: int

    def millions(self, *arguments: str, status: int | None = 0, **variables: str) -> Ran:
        """Run a command in the application's folder; it must exit with `status`."""
        ran = subprocess.run(
            [MILLIONS, *arguments],
            cwd=self.folder,
            env=self.environment() | variables,
            capture_output=True,
            text=True,
            timeout=DONE_WITHIN_S,
            check=False,
        )
        assert 'Traceback (most recent call last):\n  File "' + _OURS not in ran.stderr
        assert status is None or ran.returncode == status, ran.stdout + ran.stderr
        return Ran(status=ran.returncode, out=ran.stdout, err=ran.stderr)

    def begin(self, *arguments: str, out: IO[str] | int = subprocess.PIPE) -> Running:
        """Start a command that goes on; whoever starts it stops it."""
        return subprocess.Popen(
            [MILLIONS, *arguments],
            cwd=self.folder,
            env=self.environment() | {"PYTHONUNBUFFERED": "1"},
            stdout=out,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {"MILLIONS_HOME": str(self.home)}

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
        mark = f"MILLIONS_DIRECTORY={self.home}/{self.folder.name}-".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found


_OURS = str(Path(sys.executable).parents[1])


def make(root: Path, name: str) -> Application:
    """Make an application by `millions new`, on a free port."""
    home = root / "home"
    application = Application(folder=root / name, home=home, port=free_port())
    subprocess.run(
        [MILLIONS, "new", name],
        cwd=root,
        capture_output=True,
        timeout=DONE_WITHIN_S,
        check=True,
    )
    listens = f'listen = "127.0.0.1:{application.port}"'
    application.edit("millions.toml", '# listen = "127.0.0.1:8000"', listens)
    application.edit("millions.toml", "# memory_mib = 256", "memory_mib = 64")
    return application
