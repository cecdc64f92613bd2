import asyncio

import pytest

from millions.errors import SdkError
from millions.testing import eventually


async def test_a_counter_begins_at_zero(store):
    assert await store.count("views") == 0
    assert await store.increment("views") == 1
    assert await store.increment("views", by=10) == 11
    assert await store.increment("views", by=-1) == 10
    assert await store.count("views") == 10


async def test_counts_answers_for_every_key(store):
    await store.increment("a", by=2)
    assert await store.counts(["a", "b"]) == {"a": 2, "b": 0}


async def test_no_increment_is_lost_among_many(store):
    answers = await asyncio.gather(*(store.increment("views") for _ in range(200)))
    assert sorted(answers) == list(range(1, 201))


async def test_those_who_count_together_get_the_count_after_their_own_step(store):
    steps = [3, -1, 10, 0, 5] * 10
    answers = await asyncio.gather(*(store.increment("score", by=by) for by in steps))
    count, expected = 0, []
    for by in steps:
        count += by
        expected.append(count)
    assert answers == expected
    assert await store.count("score") == count


async def test_one_who_gives_up_counting_takes_nobody_along(store):
    counting = [asyncio.create_task(store.increment("views")) for _ in range(20)]
    await asyncio.sleep(0)
    for task in counting[::2]:
        task.cancel()
    answers = await asyncio.gather(*counting, return_exceptions=True)
    counted = [answer for answer in answers if isinstance(answer, int)]
    assert len(counted) == 10
    assert len(set(counted)) == 10
    assert 10 <= await store.count("views") <= 20
    assert await store.increment("views") == await store.count("views")


async def test_a_step_too_far_among_others_fails_alone(store):
    steps = [1, 2**63 - 1, 1, 1]
    answers = await asyncio.gather(
        *(store.increment("views", by=by) for by in steps), return_exceptions=True
    )
    assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [
        1,
        SdkError,
        2,
        3,
    ]
    assert await store.count("views") == 3


async def test_the_window_of_a_counter_does_not_slide(store):
    await store.increment("tries", ttl_s=0.3)

    async def began_anew():
        return await store.increment("tries", ttl_s=60) == 1

    await eventually(began_anew, within_s=3)
    assert await store.increment("tries", ttl_s=60) == 2


async def test_a_counter_whose_window_is_over_counts_zero(store):
    await store.increment("tries", by=5, ttl_s=0.1)

    async def over():
        return await store.count("tries") == 0

    await eventually(over, within_s=3)


@pytest.mark.parametrize("by", [2**63, -(2**63)])
async def test_a_step_beyond_64_bits_is_refused(store, by):
    with pytest.raises(SdkError):
        await store.increment("views", by=by)


async def test_a_count_beyond_64_bits_is_refused_and_changes_nothing(store):
    await store.increment("views", by=2**63 - 1)
    with pytest.raises(SdkError):
        await store.increment("views")
    assert await store.count("views") == 2**63 - 1


async def test_delete_takes_document_counter_and_list_of_a_key(store):
    await store.put("key", 1)
    await store.increment("key")
    await store.sorted("key").add("member", 1)
    assert await store.delete("key") is True
    assert await store.get("key") is None
    assert await store.count("key") == 0
    assert await store.sorted("key").size() == 0
    assert await store.delete("key") is False
