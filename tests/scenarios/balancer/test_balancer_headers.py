"""What web servers hear about a client must be the balancer's word, not the client's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from rig import SOURCE, Balancer, get, once

if TYPE_CHECKING:
    from rig import Asked


async def seen(balancer: Balancer, *headers: str, source: str = "127.0.0.1") -> Asked:
    """What a server was asked, for a request with these headers."""
    assert (await once(balancer.port, get("/seen", *headers), source)).status == 200
    return next(asked for each in balancer.backends for asked in each.of("/seen"))


async def test_the_clients_address_is_what_the_kernel_says(balancer: Balancer) -> None:
    asked = await seen(balancer, "X-Forwarded-For: 9.9.9.9", source="127.66.1.1")
    assert asked.headers["x-forwarded-for"] == "127.66.1.1"
    assert asked.headers["x-forwarded-proto"] == "http"
    assert b"9.9.9.9" not in asked.head
    assert asked.peer == SOURCE, "so that servers know whom to believe"


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.test",
        "X-Forwarded-Port: 1",
        "X-Forwarded-Prefix: /evil",
        "X_Forwarded_For: 9.9.9.9",
        "X-Forwarded_For: 9.9.9.9",
        "Forwarded: for=9.9.9.9",
        "X-Real-IP: 9.9.9.9",
        "Proxy: http://evil.test",
    ],
)
async def test_what_only_a_proxy_may_say_is_dropped(balancer: Balancer, header: str) -> None:
    asked = await seen(balancer, header)
    name, _, value = header.partition(": ")
    assert asked.headers.get(name.lower()) != value


async def test_naming_our_headers_in_connection_does_not_remove_them(balancer: Balancer) -> None:
    asked = await seen(balancer, "Connection: close, X-Forwarded-For", source="127.66.1.2")
    assert asked.headers["x-forwarded-for"] == "127.66.1.2"


@pytest.mark.parametrize(
    ("given", "taken_over"),
    [
        pytest.param("req-12345678.A_b", True, id="as the SDK takes it"),
        pytest.param("short", False, id="too short"),
        pytest.param("a" * 65, False, id="too long"),
        pytest.param('12345678"}{', False, id="what could forge a line of a log"),
    ],
)
async def test_the_name_of_a_request_is_taken_over_when_it_is_one(
    balancer: Balancer, given: str, *, taken_over: bool
) -> None:
    name = (await seen(balancer, f"X-Request-Id: {given}")).headers["x-request-id"]
    assert (name == given) is taken_over
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", name)


async def test_a_request_without_a_name_gets_one_of_its_own(balancer: Balancer) -> None:
    names = set()
    for number in range(20):
        await once(balancer.port, get(f"/{number}"))
    for each in balancer.backends:
        names |= {asked.headers["x-request-id"] for asked in each.asked}
    assert len(names) == 20


async def test_no_other_protocol_than_websockets_is_spoken_through_it(balancer: Balancer) -> None:
    asked = await seen(
        balancer, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"
    )
    assert "upgrade" not in asked.headers
