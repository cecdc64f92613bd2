"""The state folder of one stack: its paths, its permissions, its identity.

Never touches what runs. A folder that is damaged or of another version is a StateError.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from millions.errors import StateError
from millions.runtime import codec, files, network
from millions.runtime.account import Account, check_entry, unit_account

FORMAT = 1
"""Version of the folder's layout; another one is refused."""

TRY = "the version of millions that made it, or another MILLIONS_HOME"

SOCKET_FOLDER_MAX = 80
"""Longest path of the folder for sockets: a unix socket's path may have 107 bytes in all."""

NAME_DIGITS = 8
"""Hex digits of the stack file's path in the folder's name: two stacks never share one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """`stack.json`, written once. `network` is N in the stack's addresses 127.N.x.y."""

    name: str
    stack_file: str
    network: int
    format: int = FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFolder:
    """The paths of one stack's state. Units run as `account` (None: as ourselves)."""

    path: Path
    identity: Identity
    account: Account | None = field(default_factory=unit_account)
    desired: Path = field(init=False)
    status: Path = field(init=False)
    scaling: Path = field(init=False)
    lock: Path = field(init=False)
    supervisor_log: Path = field(init=False)
    directory: Path = field(init=False)
    secrets: Path = field(init=False)
    releases: Path = field(init=False)
    units: Path = field(init=False)
    erased: Path = field(init=False)
    bytecode: Path = field(init=False)
    run: Path = field(init=False)

    def __post_init__(self) -> None:
        """Compute every path from the folder's own."""
        for name, file in _LAYOUT.items():
            object.__setattr__(self, name, self.path / file)
        object.__setattr__(self, "run", _socket_folder(self.path))

    @property
    def name(self) -> str:
        """The stack's name on this machine; units carry it as MILLIONS_STACK."""
        return self.path.name

    def unit(self, name: str) -> Path:
        """The folder of a unit (which may not exist)."""
        return self.units / name

    def put_aside(self, name: str) -> Path:
        """Take a unit's folder away whole, to be erased (blocking); answer where it is now.

        Erased in its place it might be left in half, by a crash, and be taken for a unit's data.
        """
        files.make_folder(self.erased)
        aside = self.erased / f"{name}.{secrets.token_hex(6)}"
        with contextlib.suppress(FileNotFoundError):
            self.unit(name).rename(aside)
        return aside

    def prepare(self) -> None:
        """Make what is missing and mend permissions (blocking). OSError when that cannot be."""
        owner = self.account
        check_entry(owner, self.path)
        files.make_folder(self.path, mode=0o711 if owner else 0o700)
        files.make_folder(self.units, mode=0o711 if owner else 0o700)
        files.make_folder(self.releases, mode=0o711 if owner else 0o700)
        for folder in (self.secrets, self.bytecode):
            files.make_folder(folder, owner=owner)
        if self.run.parent != self.path:
            _shared_run(self.run.parent, owner)
        files.make_folder(self.run, owner=owner)

    def prepare_unit(self, name: str, *, holds_data: bool) -> Path:
        """Make the folder of a unit (blocking). Its user may add files, but move none of ours."""
        owner = self.account
        folder = files.make_folder(
            self.unit(name),
            mode=0o1770 if owner else 0o700,
            owner=Account(name=owner.name, uid=0, gid=owner.gid) if owner else None,
        )
        files.make_folder(folder / "log")
        files.make_folder(folder / "prepared", owner=owner)
        if holds_data:
            files.make_folder(folder / "data", owner=owner)
        return folder


_LAYOUT = {
    "desired": "desired.json",
    "status": "status.json",
    "scaling": "scaling.json",
    "lock": "supervisor.lock",
    "supervisor_log": "supervisor.log",
    "directory": "directory.json",
    "secrets": "secrets",
    "releases": "releases",
    "units": "units",
    "erased": "erased",
    "bytecode": "bytecode",
}


def state_root() -> Path:
    """Where all stacks of this user keep their state."""
    chosen = os.environ.get("MILLIONS_HOME")
    if chosen:
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/millions")
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "millions"


def folder_for(app: str, stack_file: Path) -> Path:
    """The path of the state folder of the stack described by `stack_file`."""
    digest = hashlib.sha256(str(stack_file.absolute()).encode()).hexdigest()[:NAME_DIGITS]
    return state_root() / f"{app}-{digest}"


def create(app: str, stack_file: Path) -> StateFolder:
    """Open the state folder of a stack, made when it is missing (blocking)."""
    path = folder_for(app, stack_file)
    if not (path / "stack.json").exists():
        _make_root(path.parent)
        files.make_folder(path, mode=0o711 if os.geteuid() == 0 else 0o700)
        identity = Identity(
            name=app, stack_file=str(stack_file.absolute()), network=network.claim(path)
        )
        files.write(path / "stack.json", codec.text(identity))
    state = open_folder(path)
    state.prepare()
    return state


def find(app: str, stack_file: Path) -> StateFolder | None:
    """Open the state folder of a stack; None when it never ran here."""
    path = folder_for(app, stack_file)
    return open_folder(path) if (path / "stack.json").exists() else None


def open_folder(path: Path) -> StateFolder:
    """Open the state folder at `path`. Raise StateError when it is damaged or not ours."""
    identity = codec.read(Identity, path / "stack.json", try_=TRY)
    if identity is None:
        raise StateError(
            cannot=f"read {path / 'stack.json'}", because="there is no such file", try_=TRY
        )
    return StateFolder(path=path, identity=identity)


def _make_root(root: Path) -> None:
    mode = 0o755 if os.geteuid() == 0 else 0o700
    root.mkdir(mode=mode, parents=True, exist_ok=True)


def _socket_folder(path: Path) -> Path:
    inside = path / "run"
    if len(str(inside).encode()) <= SOCKET_FOLDER_MAX:
        return inside
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return Path(f"/tmp/millions-{os.geteuid()}") / digest  # noqa: S108  # ours alone, checked below


def _shared_run(folder: Path, owner: Account | None) -> None:
    """Make the folder of short paths, and refuse one that another user made."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.geteuid() or not folder.is_dir() or folder.is_symlink():
        raise StateError(
            cannot=f"keep sockets in {folder}",
            because=f"it belongs to user number {status.st_uid}",
            try_="MILLIONS_HOME=/a/shorter/path",
        )
    files.make_folder(folder, mode=0o711 if owner else 0o700)
