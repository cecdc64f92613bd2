"""Where a stack lives on this machine: what the pure part has to be told about it.

Finds and makes folders; decides nothing about units.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from millions.cli import own_releases
from millions.cli.engines import engines
from millions.cli.secrets import secret_files
from millions.errors import MachineError
from millions.runtime import files
from millions.runtime.account import check_entry
from millions.tiers.kind import Places

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.cli.opened import Opened

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def files_folder(opened: Opened) -> Path:
    """The folder of uploads."""
    return opened.state.path / "files"


def assets_folder(opened: Opened) -> Path:
    """The folder of built assets, of all releases together: an old page still finds its own."""
    return opened.state.path / "assets"


def places(opened: Opened, *, release: str, own: Mapping[str, str] | None = None) -> Places:
    """Find all places of the stack, making folders and secret files that are missing.

    `own` are the releases of tiers that run another one than `release`: those that were noted
    beside it, unless they are given.
    """
    state = opened.state
    if own is None:
        own = own_releases.read(state, release)
    python = Path(sys.executable)
    if state.account is not None:
        _check_python(python, opened)
    files.make_folder(files_folder(opened), owner=state.account)
    files.make_folder(assets_folder(opened), mode=0o755)
    return Places(
        network=state.identity.network,
        python=str(python),
        path=f"{python.parent}:{SYSTEM_PATH}",
        release=release,
        release_folder=str(state.releases / release),
        secrets_folder=str(state.secrets),
        files_folder=str(files_folder(opened)),
        assets_folder=str(assets_folder(opened)),
        secret_files=secret_files(opened),
        certificates=_certificates(opened),
        engines=engines(opened.stack),
        own_releases=tuple((tier, each, str(state.releases / each)) for tier, each in own.items()),
    )


def _certificates(opened: Opened) -> tuple[tuple[str, str], ...]:
    """The files of the certificates that the stack file names; checked where there is one."""
    if not any(getattr(table, "certificate", "") for table in opened.stack.tables.values()):
        return ()
    # 50 ms that a stack without certificates does not wait for
    from millions.cli.certificates import certificate_files  # noqa: PLC0415

    return certificate_files(opened)


def read_data(opened: Opened, unit: str, name: str) -> str | None:
    """Answer the text of a file in the data folder of a unit; None when there is none."""
    try:
        return (opened.state.unit(unit) / "data" / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _check_python(python: Path, opened: Opened) -> None:
    """Raise MachineError when the units' user could not run this interpreter."""
    account = opened.state.account
    for path in (python, Path(os.path.realpath(python))):
        try:
            check_entry(account, path)
        except MachineError as error:
            raise MachineError(
                cannot=f"run {python} as user {account.name if account else ''}",
                because=error.because,
                try_="scripts/setup, or a virtual environment outside of root's home",
            ) from error
