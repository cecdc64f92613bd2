"""What a server's figures say of memory: from its own keys, by the script that it runs itself."""

import itertools

import pytest

from millions.cli import cached
from millions.sdk.cache import reuse

SAMPLED = list(itertools.islice(filter(reuse.is_sampled, map("k{}".format, itertools.count())), 40))


@pytest.fixture
def form():
    return "distributed"


@pytest.fixture
def servers(all_servers):
    """One server, empty, of which nothing was counted yet."""
    server = all_servers[0]
    if server.process is None:
        server.start()
    server.ask("FLUSHALL")
    server.ask("CONFIG", "RESETSTAT")
    return [server]


async def value():
    return b"x" * 4000


async def ask(made, *names):
    """Ask the server, not the memory of the process."""
    for name in names:
        made.cache._memory.clear()
        assert await made.cache.load(name, value, tags=[f"tag of {name}"]) == await value()


async def shares(directory):
    (server,) = (await cached.report(directory)).servers
    assert not server.trouble
    return server, {each.memory: each.share for each in server.estimates}


async def test_a_server_counts_how_many_other_names_came_between(process):
    here = await process()
    names = SAMPLED[:12]
    await ask(here, *names, names[11], names[10], names[0])
    await ask(here, "k0", "k0")
    assert not reuse.is_sampled("k0")
    wire = here.cache._loading.remote.servers.wire("any")
    counted = await wire.send("HGETALL", reuse.DISTANCES)
    assert counted == {b"new": b"12", b"0": b"1", b"4": b"1", b"14": b"1"}
    assert await wire.send("ZCARD", reuse.LAST) == 12


async def test_more_memory_brings_nothing_to_a_server_that_was_never_full(process, cache_directory):
    here = await process()
    await ask(here, *SAMPLED, *SAMPLED)
    server, found = await shares(cache_directory)
    assert server.evictions == 0
    assert (found[1.0], found[2.0], found[4.0]) == (0.5, 0.5, 0.5)


async def test_a_full_server_says_what_more_memory_would_bring(process, cache_directory, servers):
    here = await process()
    servers[0].ask("CONFIG", "SET", "maxmemory", "3mb")
    try:
        await ask(here, *map("k{}".format, range(900)), *map("k{}".format, range(900)))
        server, found = await shares(cache_directory)
    finally:
        servers[0].ask("CONFIG", "SET", "maxmemory", "64mb")
    assert server.evictions > 0
    assert found[1.0] < 0.1
    assert found[4.0] > 0.4


def test_what_is_no_value_takes_no_room_and_what_is_empty_is_room():
    info = {"used_memory_startup": "1000", "used_memory": "3000", "maxmemory": "21000"}
    assert reuse.room(40, [b"e:a", b"g:t", b"l:a", b"e:b"], info) == 20 * 10
    assert reuse.room(40, [b"e:a"], info | {"maxmemory": "2000"}) == 40
    assert reuse.room(0, [], info) == 0
