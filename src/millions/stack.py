"""The stack: a stack file as read, and what follows from it: its units and its directory.

Pure: the text of the file and the places of this machine in, units and a directory out. It names no
tier; what a tier has is asked of `tiers`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from millions import rungs
from millions.directory import Directory
from millions.settings.app import App
from millions.settings.reader import Source, known, table
from millions.settings.toml import literal
from millions.tiers import tiers
from millions.tiers.kind import Canary, Context, EngineNeed, Places, ReadData, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.model import Certificate, Unit
    from millions.reconcile.scaling import Rule
    from millions.settings import Table

FILE_NAME = "millions.toml"
DEFAULT_RUNG = 1
SIGNING_SECRET = "signing"  # noqa: S105  # the name of a file
DIGEST_HEX_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack file as read. `tables` holds the settings of each tier that the stack has.

    `leaving` names tiers whose servers still run while their data goes back to where it is kept
    without them; `rungs` gives, by the names of tiers, the rung that they are on where it is
    another than the stack's. No stack file says either, a climb does.
    """

    rung: int
    app: App
    tables: Mapping[str, Table]
    leaving: frozenset[str] = frozenset()
    rungs: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def name(self) -> str:
        """The name of the stack."""
        return self.app.name

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The tiers that the stack has, in the order of their addresses."""
        return tuple(each for each in tiers() if each.name in self.tables)

    @property
    def with_servers(self) -> tuple[Tier, ...]:
        """Those of them that have servers of their own."""
        return tuple(each for each in self.tiers if self.has_servers(each))

    def rung_of(self, tier: Tier) -> int:
        """The rung that the tier is on: the stack's, except on the way from one to another."""
        return self.rungs.get(tier.name, self.rung)

    def has_servers(self, tier: Tier) -> bool:
        """Whether the stack has the tier, and with servers of its own."""
        table = self.tables.get(tier.name)
        return table is not None and tier.has_servers(table, self.rung_of(tier))

    def follows_load(self, tier: Tier) -> bool:
        """Whether its rung lets the number of its servers follow the load."""
        return bool(tier.scaled) and tier.name in self.tables and self.rung_of(tier) >= tier.scaled

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the secrets to be made once for this stack."""
        return tuple(dict.fromkeys(name for each in self.with_servers for name in each.secrets))

    @property
    def needs(self) -> tuple[tuple[EngineNeed, str], ...]:
        """The server programs it needs, each with the folder that the stack file names, or ''."""
        return tuple(
            (need, str(getattr(self.tables[each.name], need.bin_setting, "")))
            for each in self.with_servers
            for need in each.needs
        )


def parse(text: str, *, source: str = FILE_NAME, rung: int | None = None) -> Stack:
    """Read the text of a stack file. Raise StackFileError for whatever is wrong in it.

    `rung`: as if the text said this one.
    """
    origin = Source(name=source, text=text)
    document = origin.document()
    names = ["rung", "app", *(each.name for each in tiers())]
    for key in document:
        known(origin, names, (key,), "table or setting")
    number = _rung(origin, document.get("rung", DEFAULT_RUNG) if rung is None else rung)
    wanted = {*rungs.preset(number), *document} - {"rung", "app"}
    app = table(origin, App, "app", document.get("app", {}))
    tables = {
        each.name: table(origin, each.settings, each.name, document.get(each.name, {}))
        for each in tiers()
        if each.name in wanted
    }
    return Stack(rung=number, app=app, tables=tables)


def units(stack: Stack, places: Places) -> tuple[Unit, ...]:
    """Answer the units of the stack."""
    context = _context(stack, places)
    return tuple(unit for each in stack.tiers for unit in each.units(context))


def certificates(stack: Stack, places: Places) -> tuple[Certificate, ...]:
    """Answer what the stack's own authority has to sign."""
    context = _context(stack, places)
    return tuple(one for each in stack.tiers for one in each.certificates(context))


def check(stack: Stack, places: Places, read: ReadData) -> None:
    """Raise when what is on the disk already forbids to run the stack so."""
    context = _context(stack, places)
    for each in stack.tiers:
        each.check(context, read)


def canary(stack: Stack, places: Places) -> Canary | None:
    """Answer which unit gets a release first; None when all get it alike."""
    context = _context(stack, places)
    return next((found for each in stack.tiers if (found := each.canary(context))), None)


def scaling(stack: Stack, places: Places) -> tuple[Rule, ...]:
    """Answer how the number of servers of each tier follows the load; none where it is fixed."""
    context = _context(stack, places)
    rules = (each.scaling(context) for each in stack.tiers)
    return tuple(rule for rule in rules if rule is not None)


def shared(stack: Stack, units: tuple[Unit, ...], canary: Canary) -> tuple[Unit, ...]:
    """Answer the units so that the canary gets its share of the requests, and no more."""
    shares = {each.name: each.share for each in stack.tiers}
    return tuple(shares[each.tier](each, canary.unit, canary.percent) for each in units)


def directory(stack: Stack, places: Places, *, epoch: int, name: str = "") -> Directory:
    """Answer the directory document; `name` is that of the state folder, for several checkouts."""
    return Directory(
        epoch=epoch,
        stack=name or stack.name,
        release=places.release,
        secret_file=places.secret(SIGNING_SECRET),
        **_given(stack, places),
    )


def _rung(origin: Source, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        said = f"rung is {literal(value)}; it must be a whole number"
        raise origin.at(("rung",), said, "rung = 1")
    rungs.rung(value)
    return value


def _context(stack: Stack, places: Places) -> Context:
    bare = _bare(stack, places)
    return dataclasses.replace(bare, started_with=_started_with(stack, bare))


def _bare(stack: Stack, places: Places) -> Context:
    return Context(
        app=stack.app,
        tables=stack.tables,
        places=places,
        distributed=frozenset(each.name for each in stack.with_servers),
        scaled=frozenset(each.name for each in stack.tiers if stack.follows_load(each)),
        leaving=stack.leaving,
    )


def _given(stack: Stack, places: Places) -> dict[str, Any]:
    context = _bare(stack, places)
    return {key: part for each in stack.tiers for key, part in each.gives(context).items()}


def _started_with(stack: Stack, context: Context) -> str:
    """A digest of what processes read from the directory at start only: all but its endpoints.

    In the directory's data types endpoints are the tuples, settings the scalars.
    """
    scalars = [
        (field.name, getattr(part, field.name))
        for part in _given(stack, context.places).values()
        for field in dataclasses.fields(part)
        if not isinstance(getattr(part, field.name), tuple)
    ]
    return hashlib.sha256(repr(scalars).encode()).hexdigest()[:DIGEST_HEX_DIGITS]
