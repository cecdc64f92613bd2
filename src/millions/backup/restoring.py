"""Restoring: a data folder made from base backups, brought to one moment by the archived WAL.

It works in a folder that nothing uses, with a server that nobody can reach, and stops it.
Source: the PostgreSQL 18 manual, "Recovering Using a Continuous Archive Backup", pg_combinebackup.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from millions.backup import catalog
from millions.errors import BackupError
from millions.runtime import processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.backup.catalog import Backup
    from millions.backup.place import Place
    from millions.runtime.account import Account

LOOK_S = 0.1
COMBINED_WITHIN_S = 86_400.0
REPLAYED_WITHIN_S = 7 * 86_400.0
"""Replaying days of WAL takes hours; that a server lives and works is what is watched."""

STOPPED_WITHIN_S = 600.0
SAID_LINES = 12
CONFIGURATION = "postgresql.conf"
SIGNAL = "recovery.signal"
STATE, SEGMENT = "Database cluster state", "Bytes per WAL segment"
RUNNING, STOPPED = "in production", "shut down"
NOT_REACHED = "recovery ended before configured recovery target was reached"

FETCH = """#!/bin/sh
# Fetches one segment of WAL from whichever row has it; the last one of a row may be a part. That is
# filled with zeros to its whole length before anything is received into it.
for row in {wal}/*/; do
    [ -f "$row$1" ] && exec cp "$row$1" "$2"
done
for row in {wal}/*/; do
    part="$row$1.partial"
    [ -f "$part" ] && [ "$(wc -c <"$part")" -eq {segment_bytes} ] && exec cp "$part" "$2"
done
exit 1
"""

SETTINGS = """\
# For the time of the restore only.
listen_addresses = ''
unix_socket_directories = '{work}/socket'
hot_standby = off
archive_mode = off
shared_buffers = 128MB
max_wal_size = 4GB
wal_level = logical
restore_command = '/bin/sh {work}/fetch.sh "%f" "%p"'
track_commit_timestamp = on
recovery_target_action = promote
recovery_target_timeline = latest
log_line_prefix = '%m '
"""


def restore(
    place: Place,
    *,
    backup: Backup,
    at_s: float | None,
    data: Path,
    account: Account | None,
    say: Callable[[str], None] = lambda _said: None,
) -> None:
    """Make the data folder `data` as it was at `at_s` (None: the latest) (blocking).

    Hold the place meanwhile. Raise BackupError; what was half made is in `data` then.
    """
    chain = catalog.chain(catalog.listed(place.base), backup.name)
    with tempfile.TemporaryDirectory(prefix="millions-restore-") as folder:
        work = Path(folder)
        _open_to(work, account)
        say(f"combines {len(chain)} backups" if len(chain) > 1 else f"copies {backup.name}")
        _combine(place, chain, data, account)
        say("replays what was written after it")
        _replay(place, work, data, at_s=at_s, account=account)


def _combine(place: Place, chain: tuple[Backup, ...], data: Path, account: Account | None) -> None:
    folders = [str(place.base / each.name / catalog.DATA) for each in chain]
    command = [place.program("pg_combinebackup"), "-o", str(data), *folders]
    _run(command, account=account, within_s=COMBINED_WITHIN_S)


def _replay(
    place: Place, work: Path, data: Path, *, at_s: float | None, account: Account | None
) -> None:
    """Run a server on the folder until it has reached the moment; then stop it cleanly."""
    _prepare(place, work, data, at_s=at_s, account=account)
    log = work / "log"
    configured = ("-c", f"config_file={work}/{CONFIGURATION}")
    command = [place.program("postgres"), "-D", str(data), *configured]
    with log.open("wb") as said:
        server = _popen(command, account=account, output=said.fileno())
    try:
        _await(place, data, server, log)
        server.send_signal(signal.SIGINT)  # a fast, clean stop
        server.wait(STOPPED_WITHIN_S)
    finally:
        found = processes.identify(server.pid) if server.poll() is None else None
        if found is not None:
            processes.wait_gone(processes.kill_tree(found))
            server.wait()
    if _controlled(place, data, STATE) != STOPPED:
        raise _ended(log)


def _prepare(
    place: Place, work: Path, data: Path, *, at_s: float | None, account: Account | None
) -> None:
    """Say to the server where WAL comes from and how far to go."""
    text = SETTINGS.replace("{work}", str(work))
    if at_s is not None:
        moment = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        text += f"recovery_target_time = '{moment}'\n"
    fetch = FETCH.replace("{wal}", shlex.quote(str(place.wal)))
    fetch = fetch.replace("{segment_bytes}", _controlled(place, data, SEGMENT))
    for name, content in ((CONFIGURATION, text), ("fetch.sh", fetch)):
        (work / name).write_text(content, encoding="utf-8")
        (work / name).chmod(0o644)
    (work / "socket").mkdir(mode=0o700)
    if account is not None:
        os.chown(work / "socket", account.uid, account.gid)
    for name in ("standby.signal", "postmaster.pid"):
        (data / name).unlink(missing_ok=True)
    _write(data / SIGNAL, "", account)
    _write(data / "postgresql.auto.conf", "# restored\n", account)


def _await(place: Place, data: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until recovery has ended well: its signal is gone, and the server takes writes."""
    deadline_s = time.monotonic() + REPLAYED_WITHIN_S
    while (data / SIGNAL).exists() or _controlled(place, data, STATE) != RUNNING:
        if server.poll() is not None:
            raise _ended(log)
        if time.monotonic() > deadline_s:
            raise BackupError(
                cannot="restore the database",
                because=f"its WAL was not replayed after {REPLAYED_WITHIN_S:g} s",
                try_="a later backup: millions backup --list, then --backup NAME",
            )
        time.sleep(LOOK_S)


def _ended(log: Path) -> BackupError:
    """The error for a server that ended on the way."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if any(NOT_REACHED in line for line in lines):
        return BackupError(
            cannot="restore the database to that moment",
            because="the archive ends before it: nothing is known to have been written after it",
            try_="--at latest",
        )
    return BackupError(
        cannot="restore the database",
        because="\n".join(lines[-SAID_LINES:]) or "the server ended without a word",
        try_="another backup: millions backup --list, then --backup NAME",
    )


def _controlled(place: Place, data: Path, name: str) -> str:
    """What the control file of the data says under `name`; '' when it says nothing."""
    command = [place.program("pg_controldata"), "-D", str(data)]
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env={"LC_ALL": "C"}
    ).stdout
    lines = (line.partition(":") for line in said.splitlines())
    return next((value.strip() for known, _, value in lines if known == name), "")


def _run(command: list[str], *, account: Account | None, within_s: float) -> None:
    with tempfile.TemporaryFile() as said:
        process = _popen(command, account=account, output=said.fileno())
        try:
            status = process.wait(within_s)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if status:
            said.seek(0)
            raise BackupError(
                cannot=f"run {Path(command[0]).name}",
                because=said.read()[-2_000:].decode(errors="replace").strip(),
                try_="millions backup --list, df -h",
            )


def _popen(command: list[str], *, account: Account | None, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        umask=0o077,
    )


def _write(path: Path, text: str, account: Account | None) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _open_to(folder: Path, account: Account | None) -> None:
    if account is not None:
        folder.chmod(0o755)
