"""A read through a cache that is older than a commit of more than the bound before must be found.

The judge is compared with asking each acknowledged write in turn, on random small histories.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from histories import judged, operation, titles, write
from hypothesis import given
from hypothesis import strategies as st

from millions.drill.checker import finding as f

HEADER = {"history": 1, "promises": ["G5"], "cache_behind_s": 2.0}


def cached(value: Any, at: float, **more: Any) -> dict[str, Any]:
    return operation("cached", value, at, at + 0.1, **more)


TWO = (write("one", 0, 1), write("two", 2, 3))


@pytest.mark.parametrize(
    ("read", "count"),
    [
        (cached("two", 5.5), 0),
        (cached("one", 4.9), 0),
        (cached("one", 5.1), 1),
        (cached(None, 5.1), 1),
    ],
    ids=["newest", "older, within the bound", "older, after it", "never written, after it"],
)
def test_an_old_cached_value_is_allowed_for_as_long_as_the_bound(
    read: dict[str, Any], count: int
) -> None:
    found = judged(HEADER, *TWO, read)
    assert titles(found) == ({f.OLD_CACHED: count} if count else {})
    assert found.held == {"G5": count == 0}


def test_the_bound_is_that_of_the_history() -> None:
    assert titles(judged(HEADER | {"cache_behind_s": 9}, *TWO, cached("one", 6))) == {}
    assert titles(judged(HEADER | {"cache_behind_s": 0}, *TWO, cached("one", 3.1))) != {}


def test_writes_that_overlap_are_told_apart_by_versions_only() -> None:
    side_by_side = (write("one", 0, 1), write("two", 0.5, 0.9))
    assert titles(judged(HEADER, *side_by_side, cached("one", 9), cached("two", 9))) == {}
    told = (write("one", 0, 1, version=1), write("two", 0.5, 0.9, version=2))
    found = judged(HEADER, *told, cached("one", 9, version=1))
    assert titles(found) == {f.OLD_CACHED: 1}


def test_a_write_of_unknown_outcome_accuses_no_read() -> None:
    unknown = write("two", 2, None)
    assert titles(judged(HEADER, write("one", 0, 1), unknown, cached("one", 9))) == {}
    assert titles(judged(HEADER, unknown, write("one", 5, 6), cached("two", 9))) == {}


def test_a_cached_value_that_nobody_wrote_is_a_phantom() -> None:
    found = judged(HEADER, *TWO, cached("three", 9))
    assert titles(found)[f.PHANTOM] == 1
    failed = write("bad", 0, 1, outcome="failed")
    assert titles(judged(HEADER, failed, cached("bad", 2))) == {f.PHANTOM: 1}


def test_what_a_cache_still_shows_does_not_make_a_lost_write_a_stale_one() -> None:
    lost = operation("read", "one", 4, 4.1, user="another")
    found = judged(*TWO, lost, cached("two", 4.5))
    assert titles(found) == {f.LOST_WRITE: 1}


def test_without_a_cached_read_nothing_is_claimed() -> None:
    assert judged(HEADER, *TWO).held == {"G5": None}


@given(seed=st.integers(0, 10_000), versions=st.booleans())
def test_it_agrees_with_asking_each_write(*, seed: int, versions: bool) -> None:
    chance = random.Random(seed)
    writes: list[dict[str, Any]] = []
    for number, (at, _) in enumerate(pairwise(sorted(chance.uniform(0, 20) for _ in range(8)))):
        more = {"version": number + 1} if versions else {}
        writes.append(write(f"v{number}", at, at + chance.uniform(0.1, 4), **more))
    reads = []
    for _ in range(6):
        source = chance.choice(writes)
        more = {"version": source["version"]} if versions else {}
        reads.append(cached(source["value"], source["at"] + chance.uniform(0.2, 8), **more))
    expected = sum(_is_old(read, writes) for read in reads)
    assert titles(judged(HEADER, *writes, *reads)).get(f.OLD_CACHED, 0) == expected


def _is_old(read: dict[str, Any], writes: list[dict[str, Any]]) -> bool:
    own = next(each for each in writes if each["value"] == read["value"])
    due = [each for each in writes if each["done"] < read["at"] - 2.0]
    if "version" in own:
        return any(each["version"] > own["version"] for each in due)
    return any(each["at"] > own["done"] for each in due)
