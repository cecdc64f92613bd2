from hypothesis import given
from hypothesis import strategies as st

from millions.sdk.cache.memory import ENTRY_OVERHEAD_BYTES, Entry, Memory
from millions.sdk.cache.observing import Observing


def entry(key, *tags):
    return Entry(kept=key, thaw=None, names=(key, *tags))


def test_the_least_recently_used_goes_first():
    memory = Memory(10 * (ENTRY_OVERHEAD_BYTES + 101))
    for n in range(10):
        assert memory.store(entry(str(n)), 100)
    memory.entries.move_to_end("0")
    memory.store(entry("x"), 100)
    assert list(memory.entries) == ["2", "3", "4", "5", "6", "7", "8", "9", "0", "x"]
    assert memory.evictions == 1


SIZE = ENTRY_OVERHEAD_BYTES + 105


def asked(memory, observing, *keys):
    """Have each of these looked at, as the last one of ten that were asked for."""
    for key in keys:
        if key not in memory.entries:
            memory.store(entry(key), SIZE - ENTRY_OVERHEAD_BYTES - len(key))
        memory.entries.move_to_end(key)
        observing.look(observing._asked + 10)


def observed(entries):
    memory = Memory(entries * SIZE)
    return memory, Observing(None, memory, None, name="here")


def scan(memory, entries):
    for n in range(entries):
        memory.store(entry(f"cold {n}"), SIZE - ENTRY_OVERHEAD_BYTES - len(f"cold {n}"))


def test_a_hot_key_survives_a_scan_of_cold_ones_and_a_cold_one_does_not():
    memory, observing = observed(100)
    asked(memory, observing, *["hot"] * 8, *(f"seldom {n}" for n in range(60)))
    scan(memory, 1000)
    assert "hot" in memory.entries
    assert not [key for key in memory.entries if key.startswith("seldom")]
    assert next(reversed(memory.entries)) == "cold 999"
    assert (len(memory.entries), memory.evictions) == (100, 1061 - 100)


def test_what_was_hot_long_ago_goes():
    memory, observing = observed(100)
    asked(memory, observing, *["hot"] * 8)
    for _ in range(8):
        observing.hottest.fade()
        asked(memory, observing, *(f"now {n}" for n in range(30)))
    scan(memory, 1000)
    assert "hot" not in memory.entries


def test_hot_keys_take_a_quarter_of_the_room_at_most():
    memory, observing = observed(80)
    asked(memory, observing, *(f"hot {n}" for n in range(40)))
    assert len(memory.hot) == 40
    scan(memory, 1000)
    assert len([key for key in memory.entries if key in memory.hot]) == 20
    memory.resize(0)
    assert not memory.entries


def test_a_value_larger_than_an_eighth_is_not_kept_and_drops_what_it_replaces():
    memory = Memory(80_000)
    assert memory.store(entry("a"), 100)
    assert not memory.store(entry("a"), 10_000)
    assert not memory.entries
    assert memory.used_bytes == 0
    assert memory.too_large == 1


def test_a_tag_drops_all_that_carry_it():
    memory = Memory(1 << 20)
    memory.store(entry("a", "red", "round"), 1)
    memory.store(entry("b", "red"), 1)
    memory.store(entry("red"), 1)
    memory.store(entry("c", "blue"), 1)
    assert memory.drop(["red"]) == 3
    assert list(memory.entries) == ["c"]


def test_what_is_held_comes_back_unless_it_is_pending_or_replaced():
    memory = Memory(1 << 20)
    for key in ("a", "b", "c"):
        memory.store(entry(key, "all"), 1)
    memory.hold(["all"])
    assert not memory.entries
    memory.store(entry("a"), 2)
    memory.put_back(["all"], pending={"b"})
    assert sorted(memory.entries) == ["a", "c"]
    assert memory.entries["a"].names == ("a",)


def test_what_was_dropped_while_held_does_not_come_back():
    memory = Memory(1 << 20)
    memory.store(entry("a", "all"), 1)
    memory.hold(["a"])
    memory.drop_held(["all"])
    memory.put_back(["a"], pending=())
    assert not memory.entries


KEYS = st.sampled_from(["a", "b", "c", "d"])
TAGS = st.sets(st.sampled_from(["s", "t", "a"]), max_size=2)
STEPS = st.one_of(
    st.tuples(st.just("store"), KEYS, TAGS, st.integers(0, 900)),
    st.tuples(st.just("drop"), KEYS | st.sampled_from(["s", "t"])),
    st.tuples(st.just("hold"), KEYS | st.sampled_from(["s", "t"])),
    st.tuples(st.just("back"), KEYS | st.sampled_from(["s", "t"])),
    st.tuples(st.just("hot"), st.frozensets(KEYS)),
    st.tuples(st.just("clear")),
)


@given(steps=st.lists(STEPS, max_size=60))
def test_the_books_balance_and_the_bound_holds_whatever_happens(steps):
    memory = Memory(8 * 1000)
    for step in steps:
        match step:
            case ("store", key, tags, size):
                memory.store(entry(key, *sorted(tags)), size)
            case ("drop", name):
                memory.drop([name])
                assert all(name not in each.names for each in memory.entries.values())
            case ("hold", name):
                memory.hold([name])
                assert all(name not in each.names for each in memory.entries.values())
            case ("back", name):
                memory.put_back([name], ())
            case ("hot", names):
                memory.hot = names
            case _:
                memory.clear()
        assert memory.used_bytes == sum(each.size_bytes for each in memory.entries.values())
        assert memory.used_bytes <= memory.capacity_bytes
        indexed = {(t, k) for t, keys in memory._keys_by_tag.items() for k in keys}
        assert indexed == {(t, k) for k, each in memory.entries.items() for t in each.names[1:]}
