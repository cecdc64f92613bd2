"""What the balancer's settings become: a unit, its file, its pool, its certificate."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from millions import stack
from millions.errors import StackFileError
from millions.settings.toml import literal
from millions.tiers import balancer
from millions.tiers.kind import Engine, Places

if TYPE_CHECKING:
    from millions.model import Unit

APP = 'rung = 3\n[app]\nname = "photos"\nweb = "photos.web:app"\nmigrate = "true"\n'
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


def text(**tables: dict[str, Any]) -> str:
    lines = [APP]
    for name, values in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {literal(value)}" for key, value in values.items()]
    return "\n".join(lines)


def units(**tables: dict[str, Any]) -> dict[str, Unit]:
    return {each.name: each for each in stack.units(stack.parse(text(**tables)), PLACES)}


def file_of(unit: Unit) -> str:
    return unit.files[0].content


def refused(**tables: dict[str, Any]) -> StackFileError:
    with pytest.raises(StackFileError) as caught:
        stack.check(stack.parse(text(**tables)), PLACES, lambda _unit, _name: None)
    return caught.value


def test_two_web_servers_are_behind_one_balancer() -> None:
    found = units()
    assert [name for name in found if name != "database.1"] == ["web.1", "web.2", "balancer.1"]
    pool = found["balancer.1"].pool
    assert pool is not None
    assert [(each.unit, str(each.address)) for each in pool.servers] == [
        ("web.1", "127.7.1.1:8000"),
        ("web.2", "127.7.1.2:8000"),
    ]
    assert [str(found[each.unit].public[0]) for each in pool.servers] == [
        str(each.address) for each in pool.servers
    ]


def test_the_address_of_the_web_server_becomes_the_balancers() -> None:
    found = units(web={"listen": "0.0.0.0:80", "servers": 1})
    assert [str(each) for each in found["balancer.1"].public] == ["0.0.0.0:80"]
    assert [str(each) for each in found["web.1"].public] == ["127.7.1.1:8000"]


def test_web_servers_prepare_together_and_are_replaced_one_at_a_time() -> None:
    web = [each for name, each in units(web={"servers": 3}).items() if name.startswith("web")]
    assert {each.group for each in web} == {"web"}
    assert all(each.prepare[0].shared for each in web)
    assert len({each.prepare[0].key for each in web}) == 1


def test_more_web_servers_than_one_need_a_balancer() -> None:
    alone = text(web={"servers": 3}).replace("rung = 3", "rung = 2")
    with pytest.raises(StackFileError) as caught:
        stack.check(stack.parse(alone), PLACES, lambda _unit, _name: None)
    assert caught.value.cannot == "run 3 web servers"
    assert caught.value.try_ == "rung = 3, or servers = 1"


def test_more_than_the_database_accepts_are_refused_with_the_number_it_needs() -> None:
    stack.check(stack.parse(text(web={"servers": 7})), PLACES, lambda _unit, _name: None)
    error = refused(web={"servers": 8})
    assert "9 times 18 connections, and the database accepts 160" in error.because
    assert error.try_.startswith("[database] connections = 162")


def test_none_at_all_is_out_of_bounds() -> None:
    with pytest.raises(StackFileError, match="from 1 to 200"):
        stack.parse(text(web={"servers": 0}))


def test_more_servers_leave_the_file_of_the_balancer_as_it_is() -> None:
    two, four = units(web={"servers": 2}), units(web={"servers": 4})
    assert two["balancer.1"].files == four["balancer.1"].files
    assert two["balancer.1"].revision == four["balancer.1"].revision
    assert two["balancer.1"].pool != four["balancer.1"].pool


def test_a_changed_setting_reloads_and_does_not_restart() -> None:
    one, other = units(), units(balancer={"max_url_bytes": 300})
    assert one["balancer.1"].revision == other["balancer.1"].revision
    assert one["balancer.1"].files != other["balancer.1"].files


def test_the_directory_says_whom_to_believe() -> None:
    read = stack.parse(text())
    assert stack.directory(read, PLACES, epoch=1).web.trusted == "127.7.3.1"
    alone = stack.parse(text().replace("rung = 3", "rung = 1"))
    assert stack.directory(alone, PLACES, epoch=1).web.trusted == ""


@pytest.mark.parametrize(
    ("settings", "secure"),
    [
        pytest.param({}, False, id="HTTP"),
        pytest.param({"https": "0.0.0.0:443"}, True, id="HTTPS"),
        pytest.param({"https": "0.0.0.0:443", "redirect": False}, False, id="both"),
    ],
)
def test_cookies_are_secure_where_everybody_comes_by_https(
    settings: dict[str, Any], *, secure: bool
) -> None:
    read = stack.parse(text(balancer=settings))
    assert stack.directory(read, PLACES, epoch=1).web.secure is secure


def test_a_certificate_is_made_where_none_is_named() -> None:
    read = stack.parse(text(balancer={"https": "0.0.0.0:443", "hosts": ["photos.test"]}))
    (made,) = stack.certificates(read, PLACES)
    assert (made.name, made.hosts) == ("balancer", ("photos.test",))
    shown = file_of(units(balancer={"https": "0.0.0.0:443"})["balancer.1"])
    assert "bind fd@4 ssl crt /state/secrets/balancer.bundle.pem alpn h2,http/1.1" in shown
    assert "Strict-Transport-Security" not in shown, "browsers would lock people out"


def test_a_certificate_of_yours_is_shown_with_hsts() -> None:
    settings = {"https": "0.0.0.0:443", "certificate": "fullchain.pem"}
    places = dataclasses.replace(PLACES, certificates=(("balancer", "/state/secrets/b.1.pem"),))
    read = stack.parse(text(balancer=settings))
    assert stack.certificates(read, places) == ()
    shown = file_of(next(each for each in stack.units(read, places) if each.name == "balancer.1"))
    assert "crt /state/secrets/b.1.pem" in shown
    assert "max-age=31536000" in shown


def test_http_and_https_on_one_port_are_refused() -> None:
    error = refused(balancer={"listen": "0.0.0.0:8443", "https": "127.0.0.1:8443"})
    assert error.because == "both are port 8443"


def test_a_key_without_its_certificate_is_refused() -> None:
    assert "names no certificate" in refused(balancer={"key": "privkey.pem"}).because


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        pytest.param("https", "443", "an IPv4 address and a port", id="a port alone"),
        pytest.param("exempt", ["::1"], "IPv4 addresses or networks", id="IPv6"),
        pytest.param("exempt", ["10.0.0.1/8"], "IPv4 addresses or networks", id="host bits"),
        pytest.param("hosts", [], "names or addresses of hosts", id="no host"),
        pytest.param("hosts", ["a b"], "names or addresses of hosts", id="a blank"),
        pytest.param("balance", "random", '"leastconn" or "roundrobin"', id="another balance"),
        pytest.param("bin", "sbin", "the absolute path", id="a relative folder"),
        pytest.param("idle_s", 0, "from 1 to 300", id="no time"),
    ],
)
def test_what_a_setting_cannot_be_is_said(key: str, value: object, says: str) -> None:
    with pytest.raises(StackFileError) as caught:
        stack.parse(text(balancer={key: value}))
    assert says in caught.value.because


def test_no_setting_can_write_a_line_of_the_configuration() -> None:
    for key in ("listen", "https", "challenges"):
        with pytest.raises(StackFileError):
            stack.parse(text(balancer={key: "127.0.0.1:80\n  bind :81"}))


@pytest.mark.parametrize(
    ("servers", "percent", "share"),
    [(2, 10, 0.10), (4, 10, 0.10), (20, 10, 0.05), (2, 50, 0.50), (2, 1, 0.01), (200, 1, 0.005)],
)
def test_a_canary_gets_its_share_and_never_more_than_an_even_one(
    servers: int, percent: int, share: float
) -> None:
    unit = balancer.shared(units(web={"servers": servers})["balancer.1"], "web.1", percent)
    assert unit.pool is not None
    weights = {each.unit: each.weight for each in unit.pool.servers}
    assert weights["web.1"] / sum(weights.values()) == pytest.approx(share, rel=0.06)
    assert all(1 <= each <= 256 for each in weights.values())
    assert "balance roundrobin" in file_of(unit)


def test_without_others_nothing_is_shared() -> None:
    unit = units(web={"servers": 1})["balancer.1"]
    assert balancer.shared(unit, "web.1", 10) is unit


def test_a_canary_needs_others_and_time() -> None:
    def canary(**web: int) -> object:
        return stack.canary(stack.parse(text(web=web)), PLACES)

    assert canary() is not None
    assert canary(servers=1) is None
    assert canary(canary_s=0) is None


def test_a_full_house_leaves_room_for_probes_and_edges() -> None:
    lines = file_of(units(balancer={"connections": 100})["balancer.1"]).splitlines()
    whole, public = (int(each.split()[1]) for each in lines if each.startswith("    maxconn "))
    assert public == 100
    assert whole > public + 500
