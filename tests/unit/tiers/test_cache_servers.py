"""What the cache's settings become: nothing on rung 1, a unit a server as soon as it has some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from millions import stack
from millions.directory import CachePlace, Endpoint
from millions.errors import StackFileError
from millions.settings.toml import literal
from millions.tiers.kind import Engine, Places

if TYPE_CHECKING:
    from millions.model import Unit

APP = 'rung = 1\n[app]\nname = "photos"\nweb = "photos.web:app"\n'
PLACES = Places(
    network=7,
    python="/venv/bin/python",
    path="/venv/bin:/usr/bin",
    release="r1-00000000",
    release_folder="/state/releases/r1-00000000",
    secrets_folder="/state/secrets",
    files_folder="/state/files",
    engines=(
        Engine(name="postgresql", folder="/pg/bin", major=18),
        Engine(name="valkey", folder="/valkey/bin", major=9),
    ),
)


def read(**settings: Any) -> stack.Stack:
    table = "".join(f"{key} = {literal(value)}\n" for key, value in settings.items())
    return stack.parse(f"{APP}[cache]\n{table}")


def servers(**settings: Any) -> list[Unit]:
    return [each for each in stack.units(read(**settings), PLACES) if each.tier == "cache"]


def place(**settings: Any) -> CachePlace:
    return stack.directory(read(**settings), PLACES, epoch=1).cache


def web_revision(**settings: Any) -> str:
    return next(e for e in stack.units(read(**settings), PLACES) if e.name == "web.1").revision


def test_on_rung_1_it_has_no_server_no_program_and_no_secret_of_its_own() -> None:
    assert servers() == servers(servers=0) == []
    assert place().servers == ()
    assert "valkey" not in {need.name for need, _ in read().needs}
    assert "cache" not in read().secrets


def test_servers_are_had_alone_each_at_an_address_of_its_own() -> None:
    found = servers(servers=3)
    assert [(each.name, str(each.address)) for each in found] == [
        ("cache.1", "127.7.4.1:6379"),
        ("cache.2", "127.7.4.2:6379"),
        ("cache.3", "127.7.4.3:6379"),
    ]
    assert {each.group for each in found} == {"cache"}
    assert not any(each.holds_data for each in found)
    assert place(servers=3).servers == tuple(
        Endpoint(host=f"127.7.4.{n}", port=6379) for n in (1, 2, 3)
    )
    assert place(servers=3).password_file == "/state/secrets/cache"
    assert "cache" in read(servers=3).secrets
    assert "valkey" in {need.name for need, _ in read(servers=3).needs}


def test_servers_that_come_and_go_restart_no_web_process() -> None:
    assert web_revision() == web_revision(servers=1) == web_revision(servers=4)
    assert web_revision() != web_revision(memory_mib=65)


def test_the_password_is_in_no_argument_and_no_file_of_the_unit() -> None:
    (unit,) = servers(servers=1)
    assert unit.command[-2:] == ("{secrets}/cache", "{folder}/valkey-running.conf")
    assert "umask 077" in unit.command[2]
    assert "requirepass" not in unit.files[0].content


def lines(**settings: Any) -> set[str]:
    return set(servers(servers=1, **settings)[0].files[0].content.splitlines())


def test_nothing_is_written_to_a_disk_and_room_is_left() -> None:
    assert {'save ""', "appendonly no", "maxmemory-policy allkeys-lfu"} <= lines()
    assert "maxmemory 209715kb" in lines()
    assert "maxmemory 196608kb" in lines(headroom_percent=25)
    assert "maxmemory 52428kb" in lines(server_memory_mib=64)
    assert "maxmemory-policy allkeys-lru" in lines(eviction="lru")


def test_more_memory_raises_the_bound_that_the_kernel_holds() -> None:
    small, large = servers(servers=1, server_memory_mib=16), servers(servers=1)
    assert (small[0].limits.memory_mib or 0) < (large[0].limits.memory_mib or 0)


@pytest.mark.parametrize(
    "wrong",
    [{"servers": 17}, {"server_memory_mib": 1}, {"headroom_percent": 90}, {"eviction": "fifo"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_it_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(StackFileError):
        read(**wrong)
