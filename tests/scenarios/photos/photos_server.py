"""The application as a process: its folder, tables and assets, its start and its stop."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from photos_stage import (
    CELEBRITY_FOLLOWERS,
    FOLDER,
    SPREAD_BATCH,
    STARTS_WITHIN_S,
    STOPS_WITHIN_S,
)

from millions.directory import DatabasePlace
from millions.sdk.assets import build
from millions.testing import directory_for


def prepared(place: DatabasePlace, folder: Path) -> dict[str, str]:
    """The environment of a stack on an empty database, with its tables and assets made."""
    directory = directory_for(place, folder, run_tasks=True)
    document = folder / "directory.json"
    document.write_text(directory.text())
    build(FOLDER / "static", Path(directory.assets.folder))
    environment = {
        **os.environ,
        "MILLIONS_DIRECTORY": str(document),
        "PYTHONPATH": os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")]),
        "PHOTOS_CELEBRITY_FOLLOWERS": str(CELEBRITY_FOLLOWERS),
        "PHOTOS_SPREAD_BATCH": str(SPREAD_BATCH),
        "PHOTOS_ATTEMPTS_PER_ADDRESS": "10000",
    }
    migrate = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(migrate, cwd=FOLDER, env=environment, check=True, capture_output=True)
    return environment


@contextmanager
def serving(environment: dict[str, str], log: Path) -> Iterator[str]:
    """Serve the application as a unit would; answer its address. Stops it at the end."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener, log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "millions.sdk.server", "photos.web:app"],
            cwd=FOLDER,
            env={**environment, "MILLIONS_LISTEN_FD": str(listener.fileno())},
            pass_fds=[listener.fileno()],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            wait_until_ready(url, log)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(STOPS_WITHIN_S)
            finally:
                server.kill()
                server.wait()


def wait_until_ready(url: str, log: Path) -> None:
    """Ask for readiness; the connection waits in the backlog until the server takes it."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=STARTS_WITHIN_S)
    except httpx.HTTPError:
        answer = None
    if answer is None or answer.status_code != 200:
        raise AssertionError(f"the application did not start:\n{log.read_text()[-4000:]}")
