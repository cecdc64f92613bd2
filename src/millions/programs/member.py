"""One member of the database: sees that it may start, then becomes Patroni. Run as a unit.

    python -m millions.programs.member FOLDER

Never makes a data folder, and never starts one beside which a newer one could exist: when etcd
knows nothing of the database, or knows it from before its data was written outside of a cluster,
only the one member that has the newest data may begin; the others are copied from it. Its server
leads alone until then, so it is started at once, and Patroni finds it running.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millions.errors import ConsensusError, DataRefusedError
from millions.model import Address
from millions.programs import mending
from millions.runtime import etcd, files, processes

if TYPE_CHECKING:
    from collections.abc import Mapping

WAIT_S = 300.0
"""How long a member waits to be allowed; the supervisor starts it again after that."""

LOOK_S = 0.2
EPOCH = "epoch"
"""The key, and the file beside a member's data, that tell one beginning of the cluster from others.
"""

COPY, ASIDE = "postgresql", "postgresql.former"
"""The data of a member, and what is kept of it until the next start when it is made anew."""

STANDALONE = "standalone"
"""The mark that a server on its own leaves in its data folder at each start."""

CONTROL_FILE = "global/pg_control"
PRIMARY_STATES = ("in production", "shut down")
"""What pg_controldata says of the data of a primary; a replica's is in archive recovery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What `member.json` says. `folders` are the data folders of all members by name."""

    name: str
    founder: str
    prefix: str
    service: etcd.Service
    programs: str
    folders: dict[str, Path]
    agreed: dict[str, Any]

    @property
    def mark(self) -> Path:
        """The mark of the founder's data that it was written outside of a cluster."""
        return self.folders[self.founder] / STANDALONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the control file of a data folder says: its timeline, and whether it was a primary's."""

    timeline: int
    primary: bool


def main(folder: Path) -> None:
    """Wait until this member may start, then become Patroni."""
    member = read(folder / "member.json")
    tidy(member)
    if leads_alone(member) and not runs(member):
        lead(member, folder)
    wait(member)
    mending.begin(_place(folder / "patroni.yml"))
    sys.argv = ["patroni", str(folder / "patroni.yml")]
    import_module("patroni.__main__").main()


def read(path: Path) -> Member:
    """Read `member.json`."""
    said = json.loads(path.read_text(encoding="utf-8"))
    servers = (each.rpartition(":") for each in said["servers"])
    return Member(
        name=said["name"],
        founder=said["founder"],
        prefix=said["prefix"],
        service=etcd.Service(
            servers=tuple(Address(host=host, port=int(port)) for host, _, port in servers),
            ca=said["ca"],
            certificate=said["certificate"],
            key_file=said["key_file"],
        ),
        programs=said["programs"],
        folders={name: Path(each) for name, each in said["folders"].items()},
        agreed=said["agreed"],
    )


def _place(path: Path) -> mending.Place:
    """Where Patroni will answer; the password is in the environment until Patroni takes it out."""
    listens = json.loads(path.read_text(encoding="utf-8"))["restapi"]["listen"]
    host, _, port = str(listens).rpartition(":")
    return mending.Place(
        host=host,
        port=int(port),
        user=os.environ["PATRONI_RESTAPI_USERNAME"],
        password=os.environ["PATRONI_RESTAPI_PASSWORD"],
    )


def tidy(member: Member) -> None:
    """Erase what was set aside, once there is something better; set a half-made copy aside.

    Of a copy the control file comes last.
    """
    if not _has_data(member):
        _set_aside(member)
    elif _epoch(member):
        shutil.rmtree(member.folders[member.name] / ASIDE, ignore_errors=True)


def leads_alone(member: Member) -> bool:
    """Whether the data of this member was written outside of a cluster, and by a primary.

    Nobody else may begin while that is so (`may_start`), whatever etcd knows.
    """
    standby = member.folders[member.name] / COPY / "standby.signal"
    is_newest = member.name == member.founder and member.mark.exists()
    return is_newest and _has_data(member) and not standby.exists()


def runs(member: Member) -> bool:
    """Whether the server of this member runs: it goes on, and Patroni finds it.

    A number that another program has by now is told apart by its working folder.
    """
    data = (member.folders[member.name] / COPY).resolve()
    try:
        pid = (data / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0].strip()
    except OSError:
        return False
    return pid.isdigit() and processes.working_folder(int(pid)) == str(data)


def lead(member: Member, folder: Path) -> None:
    """Start the server as the primary that it was: writes wait for it, not for Patroni's start.

    Patroni's own settings follow with its first look; that which cannot change while a server runs
    is the same.
    """
    data = member.folders[member.name] / COPY
    shutil.copyfile(folder / "first.conf", data / "postgresql.conf")
    shutil.copyfile(folder / "pg_hba.conf", data / "pg_hba.conf")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PATRONI_")}
    _start_apart((f"{member.programs}/postgres", "-D", str(data)), kept)


def _start_apart(command: tuple[str, ...], environment: dict[str, str]) -> None:
    """Start a process in a session of its own that is not this one's child, as Patroni does."""
    between = os.fork()
    if not between:
        try:
            os.setsid()
            if not os.fork():
                os.execve(command[0], command, environment)  # noqa: S606  # no shell is meant
        finally:
            os._exit(0)
    os.waitpid(between, 0)


def wait(member: Member) -> None:
    """Wait until `may_start`, saying once what for (blocking, bounded)."""
    deadline = time.monotonic() + WAIT_S
    said = ""
    while True:
        try:
            waits = may_start(member)
        except ConsensusError as error:
            waits = error.because
        if not waits:
            return
        if waits != said:
            said = waits
            warm()
            print(f"waits: {waits}", flush=True)  # noqa: T201  # its output is its log
        if time.monotonic() > deadline:
            raise DataRefusedError(
                cannot=f"start {member.name}", because=waits, try_="millions status"
            )
        time.sleep(LOOK_S)


def warm() -> None:
    """Import what Patroni will, while there is time."""
    for name in ("__main__", "api", "config", "ha", "dcs.etcd3", "postgresql"):
        import_module(f"patroni.{name}")


def may_start(member: Member) -> str:
    """Look whether this member may start now, and prepare etcd for it; else what it waits for.

    Each beginning of a cluster has an epoch of its own. Data of another one is older, or has gone
    another way, even where its timeline has the same number: it is set aside and copied anew.
    """
    service, key = member.service, f"{member.prefix}{EPOCH}"
    if member.mark.exists() and member.name != member.founder:
        return f"{member.founder} has newer data and begins"
    epoch = None if member.mark.exists() else etcd.get(service, key)
    if epoch is None:
        first = _first(member)
        if first != member.name:
            return f"{first} has the data and begins" if first else "whose data is newest?"
        epoch = _begin(member)
    if _epoch(member) != epoch or not _has_data(member):
        known = (etcd.get(service, f"{member.prefix}{each}") for each in ("sync", "leader"))
        if not all(known):
            return "nobody leads yet who can be copied"
        _set_aside(member)
        _remember(member, epoch)
    _agree(member)
    return ""


def _first(member: Member) -> str:
    """Who begins when etcd knows nothing, or only of an older cluster; '' when nobody can say."""
    if member.mark.exists():
        return member.founder
    return founder(member.founder, controls(member.programs, member.folders))


def _begin(member: Member) -> str:
    """Begin a cluster with the data of this member; its epoch."""
    epoch = secrets.token_hex(8)
    etcd.delete_below(member.service, member.prefix)  # what it knows is from before
    _remember(member, epoch)
    etcd.put(member.service, f"{member.prefix}{EPOCH}", epoch)
    member.mark.unlink(missing_ok=True)
    return epoch


def _epoch(member: Member) -> str:
    try:
        return (member.folders[member.name] / EPOCH).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _remember(member: Member, epoch: str) -> None:
    files.write(member.folders[member.name] / EPOCH, epoch + "\n")  # after a power cut too


def _has_data(member: Member) -> bool:
    return (member.folders[member.name] / COPY / CONTROL_FILE).exists()


def _set_aside(member: Member) -> None:
    """Set the data aside; what was set aside before is erased."""
    copy, aside = (member.folders[member.name] / name for name in (COPY, ASIDE))
    if copy.exists():
        shutil.rmtree(aside, ignore_errors=True)
        copy.rename(aside)


def founder(configured: str, found: Mapping[str, Control]) -> str:
    """Whose data the cluster begins with when etcd knows nothing; '' when that is not certain."""
    if not found:
        return configured
    best = max((each.timeline, each.primary) for each in found.values())
    names = [name for name, each in found.items() if (each.timeline, each.primary) == best]
    return names[0] if len(names) == 1 else ""


def controls(programs: str, folders: Mapping[str, Path]) -> dict[str, Control]:
    """What the control files of those data folders say that hold data (blocking)."""
    found: dict[str, Control] = {}
    for name, folder in folders.items():
        data = folder / COPY
        if not (data / CONTROL_FILE).exists():
            continue
        asked = subprocess.run(
            [f"{programs}/pg_controldata", str(data)],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env={"LC_ALL": "C"},
        )
        pairs = (line.split(":", 1) for line in asked.stdout.splitlines() if ":" in line)
        said = {key.strip(): value.strip() for key, value in pairs}
        found[name] = Control(
            timeline=int(said["Latest checkpoint's TimeLineID"]),
            primary=said["Database cluster state"] in PRIMARY_STATES,
        )
    return found


def _agree(member: Member) -> None:
    """Write what all members agree on, where it says something else."""
    key = f"{member.prefix}config"
    known = etcd.get(member.service, key)
    if known is None or json.loads(known) != member.agreed:
        etcd.put(member.service, key, json.dumps(member.agreed, separators=(",", ":")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
