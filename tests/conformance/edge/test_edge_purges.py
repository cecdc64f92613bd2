"""A purge takes out what it names, and nothing without the secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from millions.sdk.edge_purging import ALL, path_key

if TYPE_CHECKING:
    from edge_rig import Origin, Varnish

PUBLIC = "public, max-age=60"


async def test_a_tag_takes_out_all_that_have_it(edge: Varnish, origin: Origin) -> None:
    for path, tags in (("/a", "user:7 feed"), ("/b", "feed user:8"), ("/c", "user:70")):
        origin.told(path, cache_control=PUBLIC, surrogate_key=tags)
        await edge.get(path)
    answer = await edge.purge("user:7", "unknown")
    assert (answer.status, answer.body) == (200, "1\n")
    assert [(await edge.get(path)).kept for path in ("/a", "/b", "/c")] == [False, True, True]
    assert (await edge.purge("feed")).body == "2\n"
    assert [(await edge.get(path)).kept for path in ("/a", "/b", "/c")] == [False, False, True]


@pytest.mark.parametrize("path", ["/p", "/p/q,r", "/%C3%A9", "/p;x=1:2", "/p'(1)", "/" + "l" * 900])
async def test_a_path_takes_out_every_host_query_and_encoding(
    edge: Varnish, origin: Origin, path: str
) -> None:
    origin.told(path, cache_control=PUBLIC, vary="accept-encoding")
    other = origin.told(f"{path}x", cache_control=PUBLIC)
    asked = (
        (path, {}),
        (f"{path}?page=2", {}),
        (path, {"host": "b.test"}),
        (path, {"accept_encoding": "br"}),
    )
    for target, headers in asked:
        await edge.get(target, **headers)
    await edge.get(other)
    answer = await edge.purge(path_key(path).replace(",", "%2C"))
    assert answer.body == "4\n"
    assert [(await edge.get(target, **headers)).kept for target, headers in asked] == [False] * 4
    assert (await edge.get(other)).kept


async def test_all_takes_out_everything(edge: Varnish, origin: Origin) -> None:
    for path in ("/x", "/y"):
        await edge.get(origin.told(path, cache_control=PUBLIC))
    assert int((await edge.purge(ALL)).body) >= 2
    assert not (await edge.get("/x")).kept


@pytest.mark.parametrize("secret", ["", "another", " "])
async def test_a_purge_without_the_secret_is_refused(
    edge: Varnish, origin: Origin, secret: str
) -> None:
    path = origin.told("/guarded", cache_control=PUBLIC, surrogate_key="guarded")
    await edge.get(path)
    assert (await edge.purge("guarded", secret=secret)).status == 403
    assert (await edge.get(path)).kept


async def test_a_purge_that_names_nothing_is_refused(edge: Varnish) -> None:
    assert (await edge.ask("PURGE", "/")).status == 400


async def test_an_answer_with_many_tags_is_kept_and_found(edge: Varnish, origin: Origin) -> None:
    tags = [f"photo:{number:06}" for number in range(600)]
    path = origin.told("/many", cache_control=PUBLIC, surrogate_key=" ".join(tags))
    await edge.get(path)
    assert (await edge.get(path)).kept
    assert (await edge.purge(tags[-1])).body == "1\n"
