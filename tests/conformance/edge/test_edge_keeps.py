"""What is the same for everybody is fetched once; what is not is never kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from edge_rig import eventually

if TYPE_CHECKING:
    from edge_rig import Origin, Varnish

PUBLIC = "public, max-age=60"


async def twice(edge: Varnish, path: str, **headers: str) -> tuple[bool, bool]:
    first, second = [await edge.get(path, **headers) for _ in range(2)]
    return first.kept, second.kept


async def test_a_hundred_who_ask_at_once_are_one_request(edge: Varnish, origin: Origin) -> None:
    path = origin.told("/herd", cache_control=PUBLIC)
    gate = origin.gates[path] = asyncio.Event()
    asking = [asyncio.create_task(edge.get(path)) for _ in range(100)]
    await eventually(lambda: origin.count(path) == 1, within_s=20)
    gate.set()
    answers = await asyncio.gather(*asking)
    assert {each.body for each in answers} == {"/herd 1"}
    assert origin.count(path) == 1


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"cache_control": PUBLIC}, id="max-age"),
        pytest.param({"cache_control": "s-maxage=60, max-age=0"}, id="s-maxage first"),
        pytest.param(
            {"cache_control": "no-cache", "cdn_cache_control": "max-age=60"}, id="for edges"
        ),
        pytest.param({"cache_control": PUBLIC, "vary": "accept-encoding"}, id="vary"),
        pytest.param({"cache_control": PUBLIC, "vary": "Cookie"}, id="for who has no cookie"),
    ],
)
async def test_what_is_said_to_be_for_all_is_kept(
    edge: Varnish, origin: Origin, said: dict[str, str], request: pytest.FixtureRequest
) -> None:
    path = origin.told(f"/kept/{id(request)}", **said)
    assert await twice(edge, path) == (False, True)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({}, id="nothing said"),
        pytest.param({"cache_control": "private, max-age=60"}, id="private"),
        pytest.param({"cache_control": "no-store"}, id="no-store"),
        pytest.param({"cache_control": "no-cache, max-age=60"}, id="no-cache"),
        pytest.param({"cache_control": "max-age=0"}, id="no time"),
        pytest.param({"cache_control": PUBLIC, "set_cookie": "a=b"}, id="a cookie"),
        pytest.param({"cache_control": PUBLIC, "vary": "*"}, id="differs by anything"),
        pytest.param({"cache_control": PUBLIC, "size": "1100000"}, id="too large"),
        pytest.param(
            {"cache_control": PUBLIC, "cdn_cache_control": "no-store"}, id="not for edges"
        ),
        pytest.param({"expires": "Thu, 01 Jan 2099 00:00:00 GMT"}, id="only expires"),
    ],
)
async def test_what_is_not_is_never_kept(
    edge: Varnish, origin: Origin, said: dict[str, str], request: pytest.FixtureRequest
) -> None:
    path = origin.told(f"/fresh/{id(request)}", **said)
    assert await twice(edge, path) == (False, False)
    assert origin.count(path) == 2


@pytest.mark.parametrize("vary", ["accept-encoding", "Cookie, Authorization"])
async def test_who_has_a_cookie_or_a_token_gets_nothing_kept_and_leaves_nothing(
    edge: Varnish, origin: Origin, vary: str
) -> None:
    path = origin.told(f"/mine/{vary[:6]}", cache_control=PUBLIC, vary=vary)
    assert await twice(edge, path, cookie="session=1") == (False, False)
    assert await twice(edge, path, authorization="Bearer x") == (False, False)
    assert (await edge.get(path)).body == f"{path} 5"
    assert (await edge.get(path, cookie="session=1")).body == f"{path} 6"
    assert (await edge.get(path)).body == f"{path} 5"


async def test_answers_that_are_not_kept_do_not_wait_for_each_other(
    edge: Varnish, origin: Origin
) -> None:
    path = origin.told("/apart", cache_control="private")
    await edge.get(path)
    gate = origin.gates[path] = asyncio.Event()
    asking = [asyncio.create_task(edge.get(path)) for _ in range(20)]
    await eventually(lambda: origin.count(path) == 21, within_s=20)
    gate.set()
    assert len({each.body for each in await asyncio.gather(*asking)}) == 20


async def test_what_is_missing_is_asked_for_once(edge: Varnish, origin: Origin) -> None:
    path = origin.told("/missing", 404)
    assert await twice(edge, path) == (False, True)
    marked = origin.told("/missing-now", 404, cache_control="no-store")
    assert await twice(edge, marked) == (False, False)


async def test_a_failure_is_one_request_for_all_and_soon_forgotten(
    edge: Varnish, origin: Origin
) -> None:
    path = origin.told("/failing", 503)
    gate = origin.gates[path] = asyncio.Event()
    asking = [asyncio.create_task(edge.get(path)) for _ in range(50)]
    await eventually(lambda: origin.count(path) == 1, within_s=20)
    gate.set()
    assert {each.status for each in await asyncio.gather(*asking)} == {503}
    assert origin.count(path) <= 3
    origin.told(path, 200, cache_control=PUBLIC)

    async def mended() -> bool:
        return (await edge.get(path)).status == 200

    await eventually(mended, within_s=20)


async def test_encodings_are_three_and_never_mixed_up(edge: Varnish, origin: Origin) -> None:
    path = origin.told("/assets/app.js", cache_control=PUBLIC, vary="accept-encoding")
    sent = ("gzip, deflate, br", "br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip", "GZIP;q=0.5", "identity")
    bodies = [(await edge.get(path, accept_encoding=each)).body[-1] for each in sent]
    assert bodies == ["1", "1", "2", "2", "3"]
    assert (await edge.get(path, accept_encoding="br;q=0, gzip")).body[-1] == "2"
    assert [each.headers.get("accept-encoding") for each in origin.asked[-3:]] == [
        "br, gzip",
        "gzip",
        None,
    ]


async def test_an_asset_has_no_query_and_a_page_one_in_order(edge: Varnish, origin: Origin) -> None:
    asset = origin.told("/assets/a-0123.css", cache_control=PUBLIC)
    assert await twice(edge, asset) == (False, True)
    assert (await edge.get(f"{asset}?x=1")).kept
    page = origin.told("/list", cache_control=PUBLIC)
    await edge.get(f"{page}?b=2&a=1")
    assert (await edge.get(f"{page}?a=1&b=2")).kept
    assert not (await edge.get(f"{page}?a=1&b=3")).kept


@pytest.mark.parametrize(
    "odd", ["/%6fdd", "//odd", "/./odd", "/x/../odd", "/odd/..", "/od%64?a=1", "/%6Fdd"]
)
async def test_another_spelling_of_a_path_is_passed_on_and_never_kept(
    edge: Varnish, origin: Origin, odd: str
) -> None:
    origin.told(odd.partition("?")[0], cache_control=PUBLIC)
    assert await twice(edge, odd) == (False, False)


async def test_hosts_and_schemes_are_kept_apart(edge: Varnish, origin: Origin) -> None:
    path = origin.told("/hosts", cache_control=PUBLIC)
    assert await twice(edge, path, host="a.test") == (False, True)
    assert (await edge.get(path, host="A.test")).kept
    assert not (await edge.get(path, host="b.test")).kept
    assert not (await edge.get(path, host="a.test", x_forwarded_proto="https")).kept


async def test_a_part_of_a_kept_answer_is_given(edge: Varnish, origin: Origin) -> None:
    path = origin.told("/part", cache_control=PUBLIC)
    part = await edge.get(path, range="bytes=1-3")
    assert (part.status, part.body) == (206, "par")
    assert (await edge.get(path)).kept
    assert origin.count(path) == 1


async def test_a_header_that_names_another_path_does_not_reach_the_application(
    edge: Varnish, origin: Origin
) -> None:
    path = origin.told("/poison", cache_control=PUBLIC)
    await edge.get(path, x_original_url="/other", x_http_method_override="POST", x_host="evil")
    assert {each for each in origin.asked[-1].headers if each.startswith("x-")} == {
        *("x-forwarded-proto", "x-forwarded-for", "x-varnish"),
        *("x-millions-edge", "x-millions-state"),  # the balancer removes them
    }


async def test_an_edge_that_is_full_forgets_and_answers(edge: Varnish, origin: Origin) -> None:
    paths = [origin.told(f"/full/{n}", cache_control=PUBLIC, size="1000000") for n in range(80)]
    assert {(await edge.get(path)).status for path in paths} == {200}
    assert not (await edge.get(paths[0])).kept
    assert (await edge.get(paths[-1])).kept


async def test_clients_see_no_word_that_was_for_edges(edge: Varnish, origin: Origin) -> None:
    path = origin.told(
        "/words",
        cache_control="no-cache",
        cdn_cache_control="max-age=60",
        surrogate_key="user:7",
        x_request_id="of-the-first",
    )
    for _ in range(2):
        answer = await edge.get(path, x_request_id="of-this-one")
        assert answer.headers["x-request-id"] == "of-this-one"
        assert answer.headers["cache-control"] == "no-cache"
        known = {"content-length", "cache-control", "x-request-id", "cache-status", "age", "date"}
        assert answer.headers.keys() <= known | {"connection", "accept-ranges"}


async def test_the_application_hears_who_asked_and_not_from_where_the_edge_was(
    edge: Varnish, origin: Origin
) -> None:
    await edge.get("/from", x_forwarded_for="203.0.113.7")
    assert origin.asked[-1].headers["x-forwarded-for"] == "203.0.113.7"


async def test_nobody_without_the_secret_is_answered(edge: Varnish, origin: Origin) -> None:
    path = origin.told("/secret", cache_control=PUBLIC)
    await edge.get(path)
    for secret in ("", "another"):
        answer = await edge.ask("GET", path, secret=secret)
        assert answer.status == 403
    assert origin.count(path) == 1
