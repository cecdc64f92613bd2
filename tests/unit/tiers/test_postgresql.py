"""What PostgreSQL is told follows the memory it is given, and is ready for the rungs to come."""

from __future__ import annotations

import struct

import pytest

from millions.tiers import postgresql, postgresql_folder


def settings(memory_mib: int, connections: int = 100, cores: int = 2) -> dict[str, str]:
    return postgresql.settings(
        memory_mib=memory_mib,
        connections=connections,
        cores=cores,
        host="127.7.2.1",
        port=5432,
        cluster="p-s0",
    )


def mib(text: str) -> int:
    assert text.endswith("MB")
    return int(text.removesuffix("MB"))


@pytest.mark.parametrize("memory_mib", [64, 256, 4096, 65_536, 4_194_304])
def test_memory_follows_the_rules_of_the_field(memory_mib: int) -> None:
    found = settings(memory_mib)
    assert mib(found["shared_buffers"]) == memory_mib // 4
    assert mib(found["effective_cache_size"]) == memory_mib * 3 // 4
    assert 2 <= mib(found["work_mem"]) <= 256
    assert mib(found["min_wal_size"]) <= mib(found["max_wal_size"])


@pytest.mark.parametrize("cores", [1, 2, 4, 16, 64, 256])
def test_workers_follow_the_cores_within_what_standbys_can_have(cores: int) -> None:
    found = {
        name: int(value)
        for name, value in settings(256, cores=cores).items()
        if "work" in name and value.isdigit()
    }
    assert (
        found["max_parallel_workers"] + found["max_logical_replication_workers"]
        <= (found["max_worker_processes"])
    )
    assert 1 <= found["max_parallel_workers_per_gather"] <= found["max_parallel_workers"]
    assert 3 <= found["autovacuum_max_workers"] <= 10
    assert 2 <= found["io_workers"] <= 32
    assert found["max_worker_processes"] == int(settings(256)["max_worker_processes"])


def test_more_connections_leave_less_memory_for_each() -> None:
    assert mib(settings(8192, 20)["work_mem"]) > mib(settings(8192, 500)["work_mem"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wal_level", "logical"),
        ("wal_log_hints", "on"),
        ("track_commit_timestamp", "on"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("cluster_name", "p-s0"),
        ("password_encryption", "scram-sha-256"),
        ("listen_addresses", "127.7.2.1"),
    ],
    ids=lambda value: value,
)
def test_what_later_rungs_and_promises_need_is_set_from_the_first_day(
    name: str, value: str
) -> None:
    assert settings(256)[name] == value


def test_nobody_connects_without_a_password_or_from_elsewhere() -> None:
    rules = [line.split() for line in postgresql.authentication().splitlines()]
    assert {rule[-1] for rule in rules} == {"scram-sha-256"}
    assert {rule[3] for rule in rules if rule[0] == "host"} == {"127.0.0.0/8"}


def test_the_probe_speaks_the_protocol() -> None:
    message = postgresql.startup_message(user="app", database="app")
    length, protocol = struct.unpack("!II", message[:8])
    assert (length, protocol) == (len(message), 3 << 16)
    assert message[8:] == b"user\0app\0database\0app\0\0"


def test_no_password_stands_in_a_command_line() -> None:
    assert "--pwfile=" in postgresql_folder.PREPARE
    assert "PGPASSWORD" not in postgresql_folder.PREPARE
