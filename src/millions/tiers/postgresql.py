"""What PostgreSQL is told: its configuration, and who may connect. Pure.

Source: the PostgreSQL 18 manual, "Resource Consumption"; the memory rules of pgtune and
timescaledb-tune; the settings that Patroni compares before it takes a running server over.
"""

from __future__ import annotations

import hashlib
import math
import struct

from millions.model import REVISION_HEX_DIGITS, File

PROTOCOL_3_0 = 196_608
OPEN_FILES = 65_536
"""A backend opens each relation it reads; PostgreSQL closes what it does not need at this bound."""

BUFFERS_SHARE = 0.25
"""Of memory_mib: the rule of the field; the file cache of the system does the rest."""

FILE_CACHE_SHARE = 0.75
MAINTENANCE_SHARE = 1 / 16
MAINTENANCE_MIB_MAX = 2048
WORK_SHARE = 0.25
"""Of memory_mib, over all connections: each may use several times its work_mem at once."""

WORK_MIB = (2, 256)
WAL_MIB = (256, 16_384)
WAL_BUFFERS_MIB_MAX = 16
RESERVED_CONNECTIONS = 5
"""For administration, above what the stack file grants to applications."""

PARALLEL = (1, 24)
"""All parallel workers together; the rest of max_worker_processes is for replication."""

PARALLEL_BESIDE = (1, 4)
"""For one query or one index: more than four seldom help, and take cores from other requests."""

VACUUM_WORKERS = (3, 10)
"""PostgreSQL's default, and that of timescaledb-tune."""

READERS = (2, 32)
"""Processes that read ahead (io_method = worker): a quarter of the cores, PostgreSQL's most."""

SLOW_STATEMENT_MS = 1_000

FROM_THE_FIRST_DAY = {
    "wal_level": "logical",  # rung 11 moves buckets, rung 2 upgrades by logical replication
    "summarize_wal": "on",  # incremental backups
    "wal_log_hints": "on",  # pg_rewind of a former primary
    "track_commit_timestamp": "on",  # conflicts of a move are told apart by time
    "max_wal_senders": "20",
    "max_replication_slots": "40",
    "max_worker_processes": "32",  # a standby may not have fewer than its primary
    "max_logical_replication_workers": "8",
    "max_prepared_transactions": "0",
    "max_locks_per_transaction": "256",  # a partitioned table locks each of its 64 buckets
    "hot_standby": "on",
}

SLOT_WAL_SHARE = 4
"""Times max_wal_size: what is kept for a replica that is away. One that missed more is made anew,
because a full disk would stop the primary."""

REPLICATION = {
    "hot_standby_feedback": "on",  # a long read on a replica is not cancelled by a vacuum
    "max_standby_streaming_delay": "5s",  # nor does it hold up what others wait to read for longer
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "10s",
}

CONNECTIONS = {
    "password_encryption": "scram-sha-256",
    "authentication_timeout": "10s",
    "tcp_keepalives_idle": "30s",
    "tcp_keepalives_interval": "10s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15s",
    "idle_in_transaction_session_timeout": "5min",
    "client_connection_check_interval": "5s",  # a query whose client is gone ends
}
"""`tcp_user_timeout`: a server process that has to end tells its client first. One that is frozen
takes nothing, and a checkpoint that ends the sender of a frozen replica waits until it is told."""

LOGGING = {
    "log_destination": "stderr",
    "logging_collector": "off",  # the supervisor keeps the log
    "log_line_prefix": "%m [%p] ",
    "log_min_duration_statement": f"{SLOW_STATEMENT_MS}ms",
    "log_parameter_max_length": "0",  # values are people's, not the log's
    "log_parameter_max_length_on_error": "0",
    "log_lock_waits": "on",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
}

DISK = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",  # solid state; every page costs about the same
    "timezone": "UTC",
    "lc_messages": "C",
    "jit": "off",  # compiling costs more than the short queries of a web page
}

RULES = (
    "host all all 127.0.0.0/8 scram-sha-256",
    "host replication millions_replication,millions_admin 127.0.0.0/8 scram-sha-256",
)
"""Who may connect: a password for everybody, on this machine's own addresses only."""

PRELOAD = "include_if_exists = '{data}/postgresql/preload.conf'\n"
"""What was found when the data folder was made: whether there is pg_stat_statements."""


def settings(
    *, memory_mib: int, connections: int, cores: int, host: str, port: int, cluster: str
) -> dict[str, str]:
    """Answer the settings of one server, in the order in which they are written."""
    return {
        "listen_addresses": host,
        "port": str(port),
        "cluster_name": cluster,
        **parameters(memory_mib=memory_mib, connections=connections, cores=cores),
    }


def parameters(*, memory_mib: int, connections: int, cores: int) -> dict[str, str]:
    """Answer what is told to every server, on its own or in a cluster."""
    work_mib = _within(WORK_MIB, memory_mib * WORK_SHARE / connections)
    wal_mib = _within(WAL_MIB, memory_mib * 4)
    buffers_mib = int(memory_mib * BUFFERS_SHARE)
    return {
        "unix_socket_directories": "",  # two servers of one stack may share a machine
        "max_connections": str(connections + RESERVED_CONNECTIONS),
        "superuser_reserved_connections": str(RESERVED_CONNECTIONS),
        **CONNECTIONS,
        "shared_buffers": f"{buffers_mib}MB",
        "effective_cache_size": f"{int(memory_mib * FILE_CACHE_SHARE)}MB",
        "work_mem": f"{work_mib}MB",
        "maintenance_work_mem": f"{_maintenance_mib(memory_mib)}MB",
        **_by_cores(cores),
        "wal_buffers": f"{min(WAL_BUFFERS_MIB_MAX, max(1, buffers_mib // 32))}MB",
        "max_wal_size": f"{wal_mib}MB",
        "min_wal_size": f"{max(80, wal_mib // 4)}MB",
        "max_slot_wal_keep_size": f"{SLOT_WAL_SHARE * wal_mib}MB",
        **FROM_THE_FIRST_DAY,
        **REPLICATION,
        **DISK,
        **LOGGING,
    }


def configuration(settings: dict[str, str]) -> str:
    """Answer the text of postgresql.conf."""
    lines = ["# Written by Millions from [database] of the stack file."]
    lines += [f"{name} = '{value}'" for name, value in settings.items()]
    return "\n".join(lines) + "\n" + PRELOAD


def authentication() -> str:
    """Answer the text of pg_hba.conf."""
    return "\n".join(RULES) + "\n"


def beginning(settings: dict[str, str]) -> tuple[File, ...]:
    """Answer the files with which a server begins. It reads copies of them in its data folder.

    Patroni writes the same there later, and a server goes on from one to the other.
    """
    return (
        File(path="first.conf", content=configuration(settings)),
        File(path="pg_hba.conf", content=authentication()),
    )


def keep(programs: str, settings: dict[str, str]) -> str:
    """Answer with what a server runs (`Unit.keep`): while it is the same, the server goes on."""
    said = repr((programs, sorted(settings.items())))
    return hashlib.sha256(said.encode()).hexdigest()[:REVISION_HEX_DIGITS]


def startup_message(*, user: str, database: str) -> bytes:
    """Answer the first bytes of a connection; a server that is ready asks for a password (`R`)."""
    pairs = f"user\0{user}\0database\0{database}\0\0".encode()
    body = struct.pack("!I", PROTOCOL_3_0) + pairs
    return struct.pack("!I", len(body) + 4) + body


def _within(bounds: tuple[int, int], value: float) -> int:
    lowest, highest = bounds
    return int(min(highest, max(lowest, value)))


def _by_cores(cores: int) -> dict[str, str]:
    """Workers by the number of cores: pgtune's rules; for vacuum and reading, shares of them."""
    beside = _within(PARALLEL_BESIDE, math.ceil(cores / 2))
    return {
        "max_parallel_workers": str(_within(PARALLEL, cores)),
        "max_parallel_workers_per_gather": str(beside),
        "max_parallel_maintenance_workers": str(beside),
        "autovacuum_max_workers": str(_within(VACUUM_WORKERS, cores / 2)),
        "io_workers": str(_within(READERS, cores / 4)),
    }


def _maintenance_mib(memory_mib: int) -> int:
    return min(MAINTENANCE_MIB_MAX, max(16, int(memory_mib * MAINTENANCE_SHARE)))
