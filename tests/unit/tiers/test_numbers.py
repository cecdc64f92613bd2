"""How many web servers there may be, and by which rule, from the stack file and its rung."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from millions import stack
from millions.errors import StackFileError
from millions.settings.toml import literal
from millions.tiers.kind import Engine, Places
from millions.tiers.numbers import MOST_AT_FIRST
from millions.tiers.web import SCALED_RUNG

if TYPE_CHECKING:
    from millions.reconcile.scaling import Rule
    from millions.stack import Stack

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
        Engine(name="haproxy", folder="/usr/sbin", major=2),
    ),
)


def parsed(rung: int = 3, **web: Any) -> Stack:
    lines = [f"{key} = {literal(value)}" for key, value in web.items()]
    text = f'rung = {min(rung, 3)}\n[app]\nname = "photos"\nweb = "photos.web:app"\n[web]\n'
    return replace(stack.parse(text + "\n".join(lines)), rung=rung)


def rule(rung: int = 3, **web: Any) -> Rule | None:
    return next(iter(stack.scaling(parsed(rung, **web), PLACES)), None)


def web_units(found: Stack) -> list[str]:
    return [each.name for each in stack.units(found, PLACES) if each.tier == "web"]


def test_the_number_is_fixed_where_nothing_says_otherwise() -> None:
    assert rule() is None
    assert rule(servers=4) is None
    assert rule(servers_max=0) is None
    assert web_units(parsed(servers=3)) == ["web.1", "web.2", "web.3"]


def test_a_most_lets_the_number_follow_the_load() -> None:
    found = rule(servers_min=1, servers_max=6, server_requests=8, servers_idle_s=30)
    assert found is not None
    assert (found.group, found.least, found.most, found.first) == ("web", 1, 6, 2)
    assert (found.target, found.idle_s, found.release) == (8.0, 30.0, "r1-00000000")
    assert len(web_units(parsed(servers_min=1, servers_max=6))) == 6


@pytest.mark.parametrize(
    ("web", "bounds"),
    [
        pytest.param({}, (2, MOST_AT_FIRST, 2), id="as it comes"),
        pytest.param({"servers": 3}, (2, MOST_AT_FIRST, 3), id="with a first number"),
        pytest.param({"servers": 6}, (2, 6, 6), id="never fewer at most than at first"),
        pytest.param({"servers_min": 5}, (5, 5, 5), id="never fewer at most than at least"),
        pytest.param({"servers_max": 9}, (2, 9, 2), id="with a most"),
        pytest.param({"servers_max": 1}, (1, 1, 1), id="one"),
    ],
)
def test_from_a_rung_on_it_follows_the_load_by_itself(
    web: dict[str, int], bounds: tuple[int, int, int]
) -> None:
    found = rule(SCALED_RUNG, **web)
    assert found is not None
    assert (found.least, found.most, found.first) == bounds


def test_it_can_be_left_out_there_too() -> None:
    assert rule(SCALED_RUNG, servers_max=0) is None
    assert rule(SCALED_RUNG, servers_max=0, servers=3) is None


def test_the_first_number_is_within_the_bounds() -> None:
    low, high = rule(servers=1, servers_min=3, servers_max=4), rule(servers=9, servers_max=4)
    assert low is not None
    assert high is not None
    assert (low.first, high.first) == (3, 4)


def check(found: Stack) -> StackFileError:
    with pytest.raises(StackFileError) as caught:
        stack.check(found, PLACES, lambda _unit, _name: None)
    return caught.value


def test_the_database_has_to_accept_all_that_there_may_be() -> None:
    stack.check(parsed(servers_max=MOST_AT_FIRST), PLACES, lambda _unit, _name: None)
    error = check(parsed(servers=1, servers_min=1, servers_max=8))
    assert error.cannot == "run 8 web servers"
    assert "9 times 18 connections, and the database accepts 160" in error.because


def test_bounds_the_wrong_way_round_are_refused() -> None:
    error = check(parsed(servers_min=4, servers_max=3))
    assert error.because == "[web] servers_min is more than servers_max"
    assert error.try_ == "servers_max = 4"


def test_without_a_balancer_nothing_follows_the_load() -> None:
    alone = parsed(2, servers_max=4)
    assert stack.scaling(alone, PLACES) == ()
    assert "the stack has no balancer" in check(alone).because
    assert check(alone).try_ == "rung = 3, or servers_max = 0"
    assert web_units(alone) == ["web.1"]


@pytest.mark.parametrize(
    ("tables", "room"),
    [
        pytest.param("[web]\nservers = 3", 500, id="a fixed number"),
        pytest.param("[web]\nservers_max = 3", 64, id="four times what is meant"),
        pytest.param("[web]\nservers_max = 3\nserver_requests = 100", 400, id="of a larger one"),
        pytest.param(
            "[web]\nservers_max = 3\n[balancer]\nserver_connections = 77", 77, id="what is said"
        ),
    ],
)
def test_a_queue_forms_at_the_balancer_where_a_server_that_joins_can_take_it(
    tables: str, room: int
) -> None:
    text = f'rung = 3\n[app]\nname = "photos"\nweb = "photos.web:app"\n{tables}\n'
    found = next(each for each in stack.units(stack.parse(text), PLACES) if each.pool is not None)
    assert found.pool is not None
    assert found.pool.options.endswith(f" maxconn {room}")


def test_a_canary_is_there_wherever_there_may_be_others() -> None:
    assert stack.canary(parsed(servers=1, servers_min=1, servers_max=4), PLACES) is not None
    assert stack.canary(parsed(servers=4, servers_min=1, servers_max=1), PLACES) is None
