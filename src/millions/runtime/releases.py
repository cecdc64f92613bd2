"""Releases: copies of the application's folder, named by their content.

A release is written whole or not at all and never changed afterwards. One that runs is never
pruned. Symbolic links that leave the folder are refused: the copy would not be whole.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from millions.errors import MachineError, StackFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.runtime.state import StateFolder

EXCLUDED = (
    *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", "*.pyc", ".millions"),
    *(
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
        ".idea",
        ".vscode",
        ".DS_Store",
    ),
)
"""Names that are never part of a release, wherever they stand."""

SIZE_MIB_MAX = 512
"""Bound of one release: a folder with data or pictures in it is a mistake that fills the disk."""

KEPT = 5
"""Releases that pruning leaves, newest first: enough to go back a few deploys."""

_NAME = re.compile(r"^r(\d+)-([0-9a-f]{8})$")
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release: its name (r12-0a1b2c3d), its number, its folder, when it was made."""

    name: str
    number: int
    path: Path
    made_at_s: float


def named(state: StateFolder, source: Path, *, exclude: Iterable[str] = ()) -> str:
    """Answer the name of the release that `snapshot` would make (blocking); make nothing."""
    files = _files(source, (*EXCLUDED, *exclude), SIZE_MIB_MAX * _MIB)
    return _named(state, _digest(source, files))


def _named(state: StateFolder, digest: str) -> str:
    """The name of the newest release where it has this digest, else of the one that follows."""
    newest = next(iter(listed(state)), None)
    if newest is not None and newest.name.endswith(digest):
        return newest.name
    return f"r{newest.number + 1 if newest is not None else 1}-{digest}"


def snapshot(
    state: StateFolder,
    source: Path,
    *,
    exclude: Iterable[str] = (),
    size_mib_max: int = SIZE_MIB_MAX,
) -> Release:
    """Copy `source` into a release (blocking). The newest one comes back when nothing changed.

    `exclude` are further names or patterns, of a file or folder or of its path below `source`.
    """
    files = _files(source, (*EXCLUDED, *exclude), size_mib_max * _MIB)
    digest = _digest(source, files)
    target = state.releases / _named(state, digest)
    if target.is_dir() and _is_whole(target, files, digest):
        return _release(target)
    temporary = state.releases / f".{target.name}.{os.getpid()}"
    try:
        _copy(source, temporary, files)
        if target.is_dir():
            target.rename(temporary.with_name(f"{temporary.name}.broken"))
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise MachineError(
            cannot=f"copy {source} into a release",
            because=f"{error.strerror or error}: {error.filename or target}",
            try_="room on the disk, and files that may be read",
        ) from error
    return _release(target)


def _is_whole(target: Path, files: tuple[str, ...], digest: str) -> bool:
    """Whether a release is what its name says: a power cut may have left files of it empty."""
    try:
        return _digest(target, files) == digest
    except OSError:
        return False


def listed(state: StateFolder) -> tuple[Release, ...]:
    """All releases, newest first."""
    if not state.releases.is_dir():
        return ()
    found = [_release(path) for path in state.releases.iterdir() if _NAME.match(path.name)]
    return tuple(sorted(found, key=lambda each: each.number, reverse=True))


def prune(state: StateFolder, *, running: Iterable[str] = (), keep: int = KEPT) -> tuple[str, ...]:
    """Erase old releases (blocking), never one of `running`; the names of those erased."""
    spared = set(running)
    erased: list[str] = []
    for release in listed(state)[keep:]:
        if release.name not in spared:
            shutil.rmtree(release.path)
            erased.append(release.name)
    for path in state.releases.glob(".r*"):  # copies that were broken off
        shutil.rmtree(path, ignore_errors=True)
    return tuple(erased)


def _release(path: Path) -> Release:
    found = _NAME.match(path.name)
    number = int(found[1]) if found else 0
    return Release(name=path.name, number=number, path=path, made_at_s=path.stat().st_mtime)


def _files(source: Path, excluded: tuple[str, ...], bytes_max: int) -> tuple[str, ...]:
    """The files and links below `source` that belong into a release, sorted, as relative paths."""
    if not source.is_dir():
        raise StackFileError(
            cannot=f"make a release of {source}",
            because="there is no such folder",
            try_="the folder that holds millions.toml",
        )
    found: list[str] = []
    size = 0
    for folder, folders, names in os.walk(source):
        inside = os.path.relpath(folder, source)
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = sorted(
            name for name in folders if name not in linked and not _excluded(inside, name, excluded)
        )
        for name in sorted((*names, *linked)):
            path = Path(folder) / name
            if _excluded(inside, name, excluded):
                continue
            size += _checked(source, path)
            if size > bytes_max:
                raise _too_large(source, bytes_max, path)
            found.append(os.path.normpath(f"{inside}/{name}"))
    return tuple(found)


def _excluded(folder: str, name: str, excluded: tuple[str, ...]) -> bool:
    path = os.path.normpath(f"{folder}/{name}")
    return any(
        fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(path, pattern.rstrip("/"))
        for pattern in excluded
    )


def _checked(source: Path, path: Path) -> int:
    """The size of a file in bytes; refuse what cannot be copied truly."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        if not path.resolve().is_relative_to(source.resolve()):
            raise StackFileError(
                cannot=f"make a release of {source}",
                because=f"{path.relative_to(source)} is a link to {path.readlink()}, outside of it",
                try_="a copy in its place, or exclude it",
            )
        return 0
    if not stat.S_ISREG(status.st_mode):
        raise StackFileError(
            cannot=f"make a release of {source}",
            because=f"{path.relative_to(source)} is neither a file nor a folder",
            try_="remove it, or exclude it",
        )
    return status.st_size


def _too_large(source: Path, bytes_max: int, path: Path) -> StackFileError:
    return StackFileError(
        cannot=f"make a release of {source}",
        because=f"it holds more than {bytes_max // _MIB} MiB (reached at {path})",
        try_="exclude folders that are not part of the application",
    )


def _digest(source: Path, files: tuple[str, ...]) -> str:
    """Eight hex digits of the paths, contents and executable bits of all files."""
    whole = hashlib.sha256()
    for name in files:
        path = source / name
        if path.is_symlink():
            kind, content = b"link", hashlib.sha256(os.fsencode(path.readlink())).digest()
        else:
            kind = b"program" if path.stat().st_mode & stat.S_IXUSR else b"file"
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        whole.update(b"\0".join((os.fsencode(name), kind, content)) + b"\n")
    return whole.hexdigest()[:8]


def _copy(source: Path, target: Path, files: tuple[str, ...]) -> None:
    """Copy the files, readable by all who may enter the folder, writable by nobody else."""
    target.mkdir(mode=0o755)
    target.chmod(0o755)
    for name in files:
        from_, to = source / name, target / name
        _make_folders(target, to.parent)
        if from_.is_symlink():
            to.symlink_to(from_.readlink())
            continue
        shutil.copyfile(from_, to)
        to.chmod(0o755 if from_.stat().st_mode & stat.S_IXUSR else 0o644)


def _make_folders(root: Path, folder: Path) -> None:
    if folder.is_dir():
        return
    if folder != root:
        _make_folders(root, folder.parent)
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
