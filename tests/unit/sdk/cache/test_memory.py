from hypothesis import given
from hypothesis import strategies as st

from millions.sdk.cache.memory import ENTRY_OVERHEAD_BYTES, Entry, Memory


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
            case _:
                memory.clear()
        assert memory.used_bytes == sum(each.size_bytes for each in memory.entries.values())
        assert memory.used_bytes <= memory.capacity_bytes
        indexed = {(t, k) for t, keys in memory._keys_by_tag.items() for k in keys}
        assert indexed == {(t, k) for k, each in memory.entries.items() for t in each.names[1:]}
