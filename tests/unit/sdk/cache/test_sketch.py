"""What is asked for most is found in bounded memory; what memory would bring is estimated."""

import math
import random
from collections import Counter, OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from millions.sdk.cache import reuse
from millions.sdk.cache.sketch import Sketch


@given(st.lists(st.integers(0, 40), min_size=1, max_size=400))
def test_a_name_above_its_share_is_never_missed(asked):
    sketch = Sketch(room=8)
    for each in asked:
        sketch.add(str(each))
    found = dict(sketch.top(8))
    assert sketch.total == len(asked)
    for name, count in Counter(map(str, asked)).items():
        if count > len(asked) / 8:
            assert found[name] >= count / len(asked)


def test_what_was_hot_long_ago_fades():
    sketch = Sketch(room=4)
    for _ in range(1000):
        sketch.add("long ago")
    for _ in range(12):
        sketch.fade()
        for _ in range(10):
            sketch.add("now")
    assert sketch.top(2)[0][0] == "now"
    for _ in range(20):
        sketch.fade()
    assert sketch.top(2) == []


def test_about_one_key_in_so_many_is_sampled_and_the_same_everywhere():
    sampled = [n for n in range(64_000) if reuse.is_sampled(f"user:{n}")]
    assert 700 < len(sampled) < 1300
    assert sampled == [n for n in range(64_000) if reuse.is_sampled(f"user:{n}")]


def test_nothing_asked_is_nothing_known():
    assert reuse.share({}, 1000) is None
    assert reuse.share({"new": 10}, 1000) == 0


def test_the_estimate_is_near_to_what_a_memory_of_that_size_answers():
    chance = random.Random(7)
    asked = [f"k{int(chance.random() ** 3 * 30_000)}" for _ in range(60_000)]
    counted, last = Counter(), []
    for name in filter(reuse.is_sampled, asked):
        if name in last:
            distance = len(last) - 1 - last.index(name)
            counted[str(int(math.log2(distance + 1) * reuse.STEPS))] += 1
            last.remove(name)
        else:
            counted[reuse.NEW] += 1
        last.append(name)
    assert counted.total() > 300
    for keys in (1_000, 5_000, 20_000):
        assert abs(reuse.share(counted, keys) - answered(asked, keys)) < 0.15


def answered(asked, keys):
    """What share of `asked` a memory of that many keys answers, the least recently used going."""
    memory, found = OrderedDict(), 0
    for name in asked:
        found += name in memory
        memory[name] = None
        memory.move_to_end(name)
        if len(memory) > keys:
            memory.popitem(last=False)
    return found / len(asked)
