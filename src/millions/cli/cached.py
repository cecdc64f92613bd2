"""What the cache of a running stack tells: its web processes, its servers. It prints nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import orjson

from millions.errors import MachineError, UnavailableError

if TYPE_CHECKING:
    from millions.directory import Directory, Endpoint
    from millions.sdk.valkey import Wire

ANSWER_WITHIN_S = 5.0
MEMORIES = (0.5, 1.0, 2.0, 4.0)
"""How many times the memory is estimated."""

LOOKED_AT = 1000
"""Keys of a server, in the order of their hashes, that tell how many of all are values."""

HOTTEST = 20

TOLD = """
SELECT document FROM millions.cache_processes
WHERE at > clock_timestamp() - interval '60 s' ORDER BY document->>'unit', process"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One web process. Ratios are None where nothing was asked."""

    unit: str
    hit_ratio: float | None
    server_ratio: float | None
    loads: int
    evictions: int
    used_bytes: int
    capacity_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What share of a server's lookups so many times its memory would answer, at most.

    More memory than one that was never full has brings nothing.
    """

    memory: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheServer:
    """One cache server; `trouble` says why it told nothing."""

    address: str
    trouble: str = ""
    used_bytes: int = 0
    capacity_bytes: int = 0
    keys: int = 0
    evictions: int = 0
    up_s: int = 0
    estimates: tuple[Estimate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hot:
    """A name, and its share of what all processes were asked for lately."""

    name: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was told."""

    processes: tuple[Process, ...]
    servers: tuple[CacheServer, ...]
    hottest: tuple[Hot, ...]


async def report(directory: Directory) -> Report:
    """Ask the database and every cache server. Raise UnavailableError when the database is away."""
    told, servers = await asyncio.gather(
        _told(directory),
        asyncio.gather(
            *(_server(each, directory.cache.password_file) for each in directory.cache.servers)
        ),
    )
    return Report(
        processes=tuple(map(_process, told)), servers=tuple(servers), hottest=_hottest(told)
    )


async def _told(directory: Directory) -> list[dict[str, Any]]:
    place = directory.database
    shard = place.shards[0]
    members = (shard.primary, *shard.replicas)
    password = Path(place.password_file).read_text(encoding="utf-8").strip()  # noqa: ASYNC240  # small
    try:
        connection = await asyncpg.connect(
            host=[each.host for each in members],
            port=[each.port for each in members],
            user=place.user,
            password=password,
            database=place.name,
            target_session_attrs=cast("Any", "read-write"),
            timeout=ANSWER_WITHIN_S,
        )
        try:
            rows = await connection.fetch(TOLD, timeout=ANSWER_WITHIN_S)
        finally:
            await connection.close(timeout=ANSWER_WITHIN_S)
    except asyncpg.UndefinedTableError:
        return []  # no process has opened the cache yet
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise UnavailableError(
            cannot="ask what the web processes told",
            because=str(error) or type(error).__name__,
            try_="millions status",
        ) from error
    return [orjson.loads(row["document"]) for row in rows]


def _process(told: dict[str, Any]) -> Process:
    found: dict[str, int] = told["statistics"]
    near = found["hits"] + found["stale_hits"]
    asked = found["server_hits"] + found["server_misses"] + found["server_away"]
    return Process(
        unit=str(told["unit"]) or "-",
        hit_ratio=_ratio(near, near + found["misses"]),
        server_ratio=_ratio(found["server_hits"], asked),
        loads=found["loads"],
        evictions=found["evictions"],
        used_bytes=found["used_bytes"],
        capacity_bytes=found["capacity_bytes"],
    )


def _hottest(told: list[dict[str, Any]]) -> tuple[Hot, ...]:
    """The names that most lookups were for, every process counting alike."""
    shares: dict[str, float] = {}
    for each in told:
        for name, share in each["hottest"]:
            shares[name] = shares.get(name, 0.0) + share / len(told)
    found = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Hot(name=name, share=share) for name, share in found[:HOTTEST])


async def _server(place: Endpoint, password_file: str) -> CacheServer:
    try:
        from millions.sdk.valkey import AwayError, Greeting, Link  # noqa: PLC0415
    except ImportError as error:
        raise MachineError(
            cannot="ask the cache servers",
            because=f"a package is not installed: {error}",
            try_="pip install 'millions[cached]'",
        ) from error
    found: list[CacheServer] = []

    async def ask(wire: Wire) -> bool:
        found.append(await _asked(link.name, wire))
        return True

    link = Link(place, Greeting(password_file=password_file), ready=ask)
    link.open()
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await link.tried.wait()
    except (TimeoutError, AwayError):
        pass  # what is known of it is its trouble
    finally:
        await link.close()
    return found[0] if found else CacheServer(address=link.name, trouble=link.trouble)


async def _asked(address: str, wire: Wire) -> CacheServer:
    from millions.sdk.cache import reuse  # noqa: PLC0415  # an extra package

    info_bytes, keys, distances, (_, some) = await asyncio.gather(
        wire.send("INFO"),
        wire.send("DBSIZE"),
        wire.send("HGETALL", reuse.DISTANCES),
        wire.send("SCAN", 0, "COUNT", LOOKED_AT),
    )
    info = _lines(info_bytes)
    counted = {step.decode(): int(count) for step, count in distances.items()}
    entries = reuse.room(keys, some, info)
    never_full = info["evicted_keys"] == "0"
    estimates = [
        (each, reuse.share(counted, entries * (min(each, 1.0) if never_full else each)))
        for each in MEMORIES
    ]
    return CacheServer(
        address=address,
        used_bytes=int(info["used_memory"]),
        capacity_bytes=int(info["maxmemory"]),
        keys=keys,
        evictions=int(info["evicted_keys"]),
        up_s=int(info["uptime_in_seconds"]),
        estimates=tuple(
            Estimate(memory=memory, share=share) for memory, share in estimates if share is not None
        ),
    )


def _lines(info: Any) -> dict[str, str]:
    text = info if isinstance(info, str) else bytes(info).decode()
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value for name, colon, value in pairs if colon}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
