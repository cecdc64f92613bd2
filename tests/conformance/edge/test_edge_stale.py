"""What is too old is given while a fresh one is fetched, and when there is none to be had."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest_asyncio
from edge_rig import Varnish, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edge_rig import Answer, Origin

SHORT = "public, max-age=1"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient(origin: Origin) -> AsyncIterator[Varnish]:
    """An edge that gives what is a minute too old while it fetches."""
    made = Varnish(origin, revalidate_s=60)
    try:
        await made.start()
        yield made
    finally:
        made.close()


async def until(edge: Varnish, path: str, state: str) -> Answer:
    found: list[Answer] = []

    async def seen() -> bool:
        found.append(await edge.get(path))
        return found[-1].headers.get("cache-status", "").endswith(state)

    await eventually(seen, within_s=20)
    return found[-1]


async def test_a_page_too_old_is_given_while_a_fresh_one_is_fetched(
    patient: Varnish, origin: Origin
) -> None:
    path = origin.told("/while", cache_control=SHORT)
    await patient.get(path)
    gate = origin.gates[path] = asyncio.Event()
    stale = await until(patient, path, "stale")
    assert stale.body == "/while 1"
    await eventually(lambda: origin.count(path) == 2, within_s=10)
    for _ in range(5):
        assert (await patient.get(path)).body == "/while 1"
    assert origin.count(path) == 2
    gate.set()

    async def fresh() -> bool:
        return (await patient.get(path)).body != "/while 1"

    await eventually(fresh, within_s=20)


async def test_a_page_that_says_so_is_never_given_too_old(patient: Varnish, origin: Origin) -> None:
    for path, more in (("/strict", "must-revalidate"), ("/none", "stale-while-revalidate=0")):
        origin.told(path, cache_control=f"{SHORT}, {more}")
        await patient.get(path)
        seen = {(await patient.get(path)).headers["cache-status"]}

        async def again(path: str = path, seen: set[str] = seen) -> bool:
            seen.add((await patient.get(path)).headers["cache-status"])
            return origin.count(path) >= 2

        await eventually(again, within_s=20)
        assert not any("stale" in each for each in seen)


async def test_when_the_application_fails_what_was_kept_is_given(
    edge: Varnish, origin: Origin
) -> None:
    path = origin.told("/fails", cache_control=SHORT)
    await edge.get(path)
    origin.told(path, 500)
    answer = await until(edge, path, "stale")
    assert (answer.status, answer.body) == (200, "/fails 1")
    origin.told(path, cache_control="public, max-age=60")
    mended = await until(edge, path, "; hit")
    assert mended.body != "/fails 1"


async def test_a_purged_answer_is_not_given_when_the_application_fails(
    edge: Varnish, origin: Origin
) -> None:
    path = origin.told("/gone", cache_control=SHORT, surrogate_key="gone")
    await edge.get(path)
    await edge.purge("gone")
    origin.told(path, 500)
    assert (await edge.get(path)).status == 500


async def test_when_nothing_answers_what_was_kept_is_given_and_the_rest_refused(
    edge: Varnish, origin: Origin
) -> None:
    path = origin.told("/alone", cache_control=SHORT)
    await edge.get(path)
    await origin.close()
    try:
        answer = await until(edge, path, "stale")
        assert (answer.status, answer.body) == (200, "/alone 1")
        refused = await edge.get("/never-seen")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    finally:
        await origin.open()
    await until(edge, path, "fwd=miss")
