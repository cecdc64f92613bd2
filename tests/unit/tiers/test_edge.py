"""What the edges' settings become: units, the balancer's file and pool, the directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from millions import stack
from millions.errors import StackFileError
from millions.runtime.rendering import with_servers
from millions.settings.toml import literal
from millions.tiers import balancer
from millions.tiers.kind import Engine, Places

if TYPE_CHECKING:
    from millions.model import Unit

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n'
PLACES = Places(
    network=7,
    python="/venv/bin/python",
    path="/venv/bin:/usr/bin",
    release="r1-00000000",
    release_folder="/state/releases/r1-00000000",
    secrets_folder="/state/secrets",
    files_folder="/state/files",
    assets_folder="/state/assets",
    engines=(
        Engine(name="postgresql", folder="/pg/bin", major=18),
        Engine(name="haproxy", folder="/usr/sbin", major=2),
        Engine(name="varnishd", folder="/usr/sbin", major=7),
    ),
)


def text(*, rung: int = 3, **tables: dict[str, Any]) -> str:
    lines = [f"rung = {rung}", APP]
    beside = {"edge": {"servers": 2} | tables.pop("edge", {})}
    for name, values in (beside | tables).items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {literal(value)}" for key, value in values.items()]
    return "\n".join(lines)


def units(**tables: dict[str, Any]) -> dict[str, Unit]:
    return {each.name: each for each in stack.units(stack.parse(text(**tables)), PLACES)}


def pooled(unit: Unit, backend: str) -> list[str]:
    assert unit.pool is not None
    return [f"{each.unit} {each.address}" for each in unit.pool.servers if each.backend == backend]


def test_edges_stand_in_a_pool_of_their_own_beside_the_web_servers() -> None:
    unit = units()["balancer.1"]
    assert pooled(unit, "edges") == ["edge.1 127.7.16.1:8000", "edge.2 127.7.16.2:8000"]
    assert pooled(unit, "") == ["web.1 127.7.1.1:8000", "web.2 127.7.1.2:8000"]
    shown = with_servers(unit.files[0].content, unit.pool)
    web, edges = shown.index("\nbackend web\n"), shown.index("\nbackend edges\n")
    assert web < shown.index("server web.2") < edges < shown.index("server edge.1")
    assert "{servers" not in shown


def test_the_balancer_stays_the_same_process_when_edges_come_and_go() -> None:
    bare = stack.parse("rung = 3\n" + APP)
    found = {each.name: each for each in stack.units(bare, PLACES)}
    assert "backend edges" not in found["balancer.1"].files[0].content
    assert "var(txn.edge)" not in found["balancer.1"].files[0].content
    assert found["balancer.1"].revision == units()["balancer.1"].revision
    assert "edge" in bare.secrets


def test_edges_without_a_balancer_are_refused() -> None:
    with pytest.raises(StackFileError) as caught:
        stack.check(stack.parse(text(rung=2)), PLACES, lambda _unit, _name: None)
    assert caught.value.because == (
        "the stack has no balancer, which sends requests to them and around them"
    )


def test_more_edges_leave_the_file_of_the_balancer_as_it_is() -> None:
    two, three = units()["balancer.1"], units(edge={"servers": 3})["balancer.1"]
    assert two.files == three.files
    assert two.revision == three.revision
    assert two.pool != three.pool


def test_a_canary_shares_with_web_servers_and_not_with_edges() -> None:
    unit = balancer.shared(units()["balancer.1"], "web.1", 10)
    assert unit.pool is not None
    weights = {each.unit: each.weight for each in unit.pool.servers}
    assert weights == {"web.1": 11, "web.2": 100, "edge.1": 100, "edge.2": 100}
    alone = units(web={"servers": 1})["balancer.1"]
    assert balancer.shared(alone, "web.1", 10) == alone


@pytest.mark.parametrize(
    ("key", "value", "unit"),
    [
        ("memory_mib", 512, "edge.1"),
        ("object_mib", 1, "edge.1"),
        ("revalidate_s", 0, "edge.1"),
        ("stale_s", 0, "edge.1"),
        ("missing_s", 0, "edge.1"),
        ("log_mib", 1, "edge.1"),
        ("pages", ["/explore"], "balancer.1"),
        ("pages", [], "balancer.1"),
        ("shared", ["/media/"], "balancer.1"),
        ("around", ["/api/"], "balancer.1"),
    ],
)
def test_every_setting_changes_a_unit(key: str, value: object, unit: str) -> None:
    before, after = units()[unit], units(edge={key: value})[unit]
    assert before != after
    if unit == "balancer.1":
        assert before.revision == after.revision, "it reads its file anew"


@pytest.mark.parametrize("key", ["pages", "shared", "around"])
@pytest.mark.parametrize(
    "value", ["explore", "/a b", "/a\nuse_backend x", "/{x}", '/"', "/a?b", "/%2F"]
)
def test_what_is_no_beginning_of_a_path_is_refused(key: str, value: str) -> None:
    with pytest.raises(StackFileError, match="beginnings of paths"):
        stack.parse(text(edge={key: [value]}))


def test_the_paths_of_assets_are_the_applications_own_where_it_has_no_folder_of_them() -> None:
    bare = Places(**{**_fields(PLACES), "assets_folder": ""})
    found = {each.name: each for each in stack.units(stack.parse(text()), bare)}
    assert "edge_shared path_beg /files/\n" in found["balancer.1"].files[0].content
    assert "assets" not in found["edge.1"].files[0].content
    assert "edge_shared path_beg /files/ /assets/\n" in units()["balancer.1"].files[0].content


def test_the_secret_is_named_and_never_written() -> None:
    for unit in units().values():
        if unit.tier in {"edge", "balancer"}:
            assert unit.secret_environment == (("MILLIONS_EDGE_SECRET", "edge"),)
    assert "edge" in stack.parse(text()).secrets


def test_the_directory_says_where_purges_go() -> None:
    found = stack.directory(stack.parse(text()), PLACES, epoch=1).edge
    assert [(each.host, each.port) for each in found.servers] == [
        ("127.7.16.1", 8000),
        ("127.7.16.2", 8000),
    ]
    assert found.secret_file == "/state/secrets/edge"


NETWORK = {
    "cdn": "https://cdn.photos.test/",
    "cdn_purge": "https://api.cdn.test/purge",
    "cdn_token": "CDN_TOKEN",
}


def with_network(**values: str) -> str:
    lines = [f"{key} = {literal(value)}" for key, value in (NETWORK | values).items()]
    secrets = '[app.secrets]\nCDN_TOKEN = { file = "cdn.token" }\n'
    return f"rung = 3\n{APP}{secrets}[edge]\n" + "\n".join(lines)


def test_a_network_stands_in_the_place_of_edges() -> None:
    places = Places(**{**_fields(PLACES), "secret_files": (("CDN_TOKEN", "app.CDN_TOKEN"),)})
    read = stack.parse(with_network())
    stack.check(read, places, lambda _unit, _name: None)
    assert not [each for each in stack.units(read, places) if each.tier == "edge"]
    assert "varnishd" not in {need.name for need, _ in read.needs}
    found = stack.directory(read, places, epoch=1)
    assert found.assets.base_url == "https://cdn.photos.test/assets/"
    assert found.edge.base_url == "https://cdn.photos.test"
    assert found.edge.hook == "https://api.cdn.test/purge"
    assert found.edge.token_file == "/state/secrets/app.CDN_TOKEN"


@pytest.mark.parametrize(
    ("values", "because"),
    [
        ({"cdn": ""}, "[edge] names no delivery network"),
        ({"cdn_token": "OTHER"}, "[app] secrets has no OTHER"),
    ],
)
def test_a_network_that_is_half_described_is_refused(values: dict[str, str], because: str) -> None:
    with pytest.raises(StackFileError) as caught:
        stack.check(stack.parse(with_network(**values)), PLACES, lambda _unit, _name: None)
    assert caught.value.because == because


@pytest.mark.parametrize("value", ["http://cdn.test", "cdn.test", "https://a b", "https://x/?k=1"])
def test_what_is_no_address_of_a_network_is_refused(value: str) -> None:
    with pytest.raises(StackFileError, match="https://"):
        stack.parse(with_network(cdn=value))


def test_below_their_rung_there_are_none_unless_their_number_is_said() -> None:
    bare = stack.parse(f"rung = 3\n{APP}[edge]\nmemory_mib = 64\n")
    assert not [each for each in stack.units(bare, PLACES) if each.tier == "edge"]
    assert stack.directory(bare, PLACES, epoch=1).edge.secret_file == ""


def _fields(places: Places) -> dict[str, Any]:
    return {name: getattr(places, name) for name in Places.__dataclass_fields__}
