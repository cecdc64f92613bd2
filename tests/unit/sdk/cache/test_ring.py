"""Which server keeps a key: the same for all, and few move when one joins or leaves."""

from collections import Counter

import pytest

from millions.sdk.cache.ring import Ring

NAMES = [f"127.7.4.{n}:6379" for n in range(1, 6)]
KEYS = [f"user:{n}" for n in range(5000)]


def test_no_server_keeps_nothing():
    assert Ring(()).order("k") == ()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_server_stands_in_for_every_other_in_the_end(count):
    ring = Ring(NAMES[:count])
    assert all(sorted(ring.order(key)) == NAMES[:count] for key in KEYS[:500])


def test_processes_that_know_the_same_servers_agree_whatever_their_order():
    one, other = Ring(NAMES), Ring(reversed(NAMES))
    assert all(one.order(key) == other.order(key) for key in KEYS[:500])


def test_each_keeps_its_share():
    shares = Counter(Ring(NAMES).order(key)[0] for key in KEYS)
    assert min(shares.values()) > len(KEYS) / len(NAMES) * 0.75
    assert max(shares.values()) < len(KEYS) / len(NAMES) * 1.25


def test_one_that_leaves_moves_its_own_keys_and_its_stand_ins_keep_them():
    before, after = Ring(NAMES), Ring(NAMES[:-1])
    for key in KEYS:
        order = before.order(key)
        assert after.order(key)[0] == (order[1] if order[0] == NAMES[-1] else order[0])
