"""What PostgreSQL is told: its configuration, who may connect, how its data folder is made. Pure.

Source: the PostgreSQL 18 manual, "Resource Consumption"; the memory rules of pgtune and
timescaledb-tune; the settings that Patroni compares before it takes a running server over.
"""

from __future__ import annotations

import struct

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

SLOW_STATEMENT_MS = 1_000

FROM_THE_FIRST_DAY = {
    "wal_level": "logical",  # rung 11 moves buckets, rung 2 upgrades by logical replication
    "wal_log_hints": "on",  # pg_rewind of a former primary
    "track_commit_timestamp": "on",  # conflicts of a move are told apart by time
    "max_wal_senders": "20",
    "max_replication_slots": "40",
    "max_worker_processes": "16",
    "max_logical_replication_workers": "8",
    "max_prepared_transactions": "0",
    "max_locks_per_transaction": "256",  # a partitioned table locks each of its 64 buckets
    "hot_standby": "on",
}

CONNECTIONS = {
    "password_encryption": "scram-sha-256",
    "authentication_timeout": "10s",
    "tcp_keepalives_idle": "30s",
    "tcp_keepalives_interval": "10s",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "5min",
    "client_connection_check_interval": "5s",  # a query whose client is gone ends
}

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

HOST_BASED_AUTHENTICATION = """\
# A password for everybody, on this machine's own addresses only.
host all all 127.0.0.0/8 scram-sha-256
host replication millions_admin 127.0.0.0/8 scram-sha-256
"""

PREPARE = r"""#!/bin/sh
# Makes the data folder once: roles, the database, password files. Passwords travel by files and
# standard input only. What is half made lies in a folder of its own and is made anew.
set -eu
umask 077
bin=$1 data=$2 folder=$3 secrets=$4 major=$5
made=$data/postgresql
half=$data/postgresql.incomplete
if [ -f "$made/PG_VERSION" ]; then
    found=$(cat "$made/PG_VERSION")
    [ "$found" = "$major" ] && exit 0
    echo "cannot start PostgreSQL $major on the data folder $made" >&2
    echo "  because: it was made by PostgreSQL $found" >&2
    echo "  try: [database] bin = the programs of PostgreSQL $found, or pg_upgrade" >&2
    exit 1
fi
rm -rf "$half"
"$bin/initdb" -D "$half" --username=millions_admin --pwfile="$secrets/database-admin" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C --locale-provider=builtin \
    --builtin-locale=C.UTF-8 --data-checksums --no-instructions \
    >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 1; }
single() {
    "$bin/postgres" --single -j -D "$half" -c log_min_error_statement=panic \
        -c log_min_messages=error -c exit_on_error=on "$@" >"$folder/single.log" 2>&1
}
password=$(tr -d '\n' <"$secrets/database")
case $password in
    *[!A-Za-z0-9_-]*) echo "the secret 'database' holds odd characters" >&2; exit 1 ;;
esac
single postgres <<SQL || { cat "$folder/single.log" >&2; exit 1; }
CREATE ROLE app LOGIN PASSWORD '$password' NOSUPERUSER NOCREATEDB NOCREATEROLE;

CREATE DATABASE app OWNER app;

REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;

REVOKE CONNECT, TEMPORARY ON DATABASE app FROM PUBLIC;

GRANT pg_read_all_stats TO app;

SQL
if single -c shared_preload_libraries=pg_stat_statements app <<SQL
CREATE EXTENSION pg_stat_statements;

SQL
then echo "shared_preload_libraries = 'pg_stat_statements'" >"$half/preload.conf"
else echo "# pg_stat_statements is not part of this PostgreSQL" >"$half/preload.conf"
fi
mv "$half" "$made"
sync "$data"  # else a power cut could undo the rename, and with it all that is written from now on
"""


def settings(
    *, memory_mib: int, connections: int, host: str, port: int, cluster: str
) -> dict[str, str]:
    """Answer the settings of one server, in the order in which they are written."""
    work_mib = _within(WORK_MIB, memory_mib * WORK_SHARE / connections)
    wal_mib = _within(WAL_MIB, memory_mib * 4)
    buffers_mib = int(memory_mib * BUFFERS_SHARE)
    return {
        "listen_addresses": host,
        "port": str(port),
        "unix_socket_directories": "",  # two servers of one stack may share a machine
        "hba_file": "{folder}/pg_hba.conf",
        "cluster_name": cluster,
        "max_connections": str(connections + RESERVED_CONNECTIONS),
        "superuser_reserved_connections": str(RESERVED_CONNECTIONS),
        **CONNECTIONS,
        "shared_buffers": f"{buffers_mib}MB",
        "effective_cache_size": f"{int(memory_mib * FILE_CACHE_SHARE)}MB",
        "work_mem": f"{work_mib}MB",
        "maintenance_work_mem": f"{_maintenance_mib(memory_mib)}MB",
        "wal_buffers": f"{min(WAL_BUFFERS_MIB_MAX, max(1, buffers_mib // 32))}MB",
        "max_wal_size": f"{wal_mib}MB",
        "min_wal_size": f"{max(80, wal_mib // 4)}MB",
        **FROM_THE_FIRST_DAY,
        **DISK,
        **LOGGING,
    }


def configuration(settings: dict[str, str]) -> str:
    """Answer the text of postgresql.conf."""
    lines = ["# Written by Millions from [database] of the stack file."]
    lines += [f"{name} = '{value}'" for name, value in settings.items()]
    lines.append("include_if_exists = '{data}/postgresql/preload.conf'")
    return "\n".join(lines) + "\n"


def startup_message(*, user: str, database: str) -> bytes:
    """Answer the first bytes of a connection; a server that is ready asks for a password (`R`)."""
    pairs = f"user\0{user}\0database\0{database}\0\0".encode()
    body = struct.pack("!I", PROTOCOL_3_0) + pairs
    return struct.pack("!I", len(body) + 4) + body


def _within(bounds: tuple[int, int], value: float) -> int:
    lowest, highest = bounds
    return int(min(highest, max(lowest, value)))


def _maintenance_mib(memory_mib: int) -> int:
    return min(MAINTENANCE_MIB_MAX, max(16, int(memory_mib * MAINTENANCE_SHARE)))
