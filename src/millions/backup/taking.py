"""Taking one base backup: copied by pg_basebackup, verified by pg_verifybackup, then listed.

What is half made lies under another name and is erased by the next one.
Source: the PostgreSQL 18 manual, "Continuous Archiving and Point-in-Time Recovery".
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from millions import directory as directories
from millions.backup import catalog
from millions.backup.catalog import Backup
from millions.backup.place import ROLE
from millions.errors import BackupError

if TYPE_CHECKING:
    from millions.backup.place import Place

HALF = ".half"
MIB_PER_S_LEAST = 2
"""A copy that is slower than this is given up."""

WITHIN_S = 600.0
"""The least that a copy is given, whatever its size."""

BYTES_PER_MIB = 1_048_576
NO_SUMMARIES = ("summar", "incremental", "manifest")
"""What pg_basebackup says when it cannot make an incremental backup of this parent."""


def connection(place: Place, name: str) -> str:
    """How PostgreSQL's programs find the server that takes writes, whichever it is now."""
    members = directories.read(place.directory).database.shards[0]
    ends = (members.primary, *members.replicas)
    hosts, ports = ",".join(each.host for each in ends), ",".join(str(each.port) for each in ends)
    return (
        f"host={hosts} port={ports} user={ROLE} application_name={name} "
        "target_session_attrs=primary connect_timeout=5"
    )


def environment(place: Place) -> dict[str, str]:
    """What PostgreSQL's programs are run with; no secret in it."""
    return {
        "PATH": f"{place.programs}:/usr/bin:/bin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "PGPASSFILE": str(place.passwords),
    }


def take(place: Place, *, full: bool = False) -> Backup:
    """Take a backup (blocking). Hold the place alone meanwhile. Raise BackupError."""
    backups = catalog.listed(place.base)
    if full or catalog.is_full_due(backups, place.full_every):
        return _taken(place, parent="")
    try:
        return _taken(place, parent=backups[-1].name)
    except BackupError as error:
        if not any(word in error.because for word in NO_SUMMARIES):
            raise
        return _taken(place, parent="")  # the server does not know any more what has changed


def _taken(place: Place, *, parent: str) -> Backup:
    began_s = time.time()
    _erase_half(place)
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began_s))
    half = place.base / f"{name}{HALF}"
    half.mkdir(mode=0o700)
    _copy(place, half / catalog.DATA, parent=parent)
    run(place, "pg_verifybackup", "--quiet", str(half / catalog.DATA), within_s=_bound_s(half))
    backup = Backup(
        name=name,
        parent=parent,
        began_s=began_s,
        ended_s=time.time(),
        bytes=_size(half),
        first_wal=_first_wal(half / catalog.DATA),
    )
    os.sync()
    half.rename(place.base / name)
    catalog.write(place.base, backup)
    return backup


def _copy(place: Place, target: Path, *, parent: str) -> None:
    arguments = [
        *("-d", connection(place, "millions-backup"), "-D", str(target), "--no-password"),
        *("--wal-method=stream", "--checkpoint=fast", f"--max-rate={place.mib_s}M"),
        "--manifest-checksums=CRC32C",
    ]
    if parent:
        manifest = place.base / parent / catalog.DATA / "backup_manifest"
        arguments += ["--incremental", str(manifest)]
    known = [each.bytes for each in catalog.listed(place.base)]
    within_s = WITHIN_S + max(known, default=0) / BYTES_PER_MIB / MIB_PER_S_LEAST
    run(place, "pg_basebackup", *arguments, within_s=within_s)


def run(place: Place, program: str, *arguments: str, within_s: float) -> str:
    """Run one of PostgreSQL's programs (blocking); answer what it said. Raise BackupError."""
    try:
        ran = subprocess.run(
            [place.program(program), *arguments],
            env=environment(place),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise BackupError(
            cannot=f"take a backup with {program}",
            because=str(said).strip(),
            try_="millions logs --unit backup.1, df -h",
        ) from error
    return ran.stdout + ran.stderr


def _erase_half(place: Place) -> None:
    for path in place.base.glob(f"*{HALF}"):
        shutil.rmtree(path, ignore_errors=True)


def _first_wal(data: Path) -> str:
    """The segment named by the backup's label: START WAL LOCATION: 0/2000028 (file 0000…)."""
    first = (data / "backup_label").read_text(encoding="utf-8").splitlines()[0]
    return first.rpartition("(file ")[2].rstrip(")")


def _size(folder: Path) -> int:
    return sum(
        (Path(at) / name).lstat().st_size for at, _, names in os.walk(folder) for name in names
    )


def _bound_s(folder: Path) -> float:
    return WITHIN_S + _size(folder) / BYTES_PER_MIB / MIB_PER_S_LEAST
