"""Tasks may come late, twice, or after what they were for is gone: the outcome must be the same."""

from uuid import UUID

import pytest_asyncio
from photos_stage import CELEBRITY_FOLLOWERS, a_handle, a_picture

from millions import directory, files, store, uuid7
from millions.errors import FileRefusedError
from millions.sdk import nouns
from millions.testing import eventually
from photos import accounts, darkroom, follows, library, people, spreading
from photos.entries import Entry, entry, feed_key, feed_of


@pytest_asyncio.fixture(loop_scope="session")
async def on_the_stack(photos_environment, photos_site):
    """The nouns, open in this process beside the web server; it runs the tasks."""
    async with nouns.running(directory.read(photos_environment["MILLIONS_DIRECTORY"])):
        yield


async def a_person() -> UUID:
    return await accounts.register(
        name="Somebody", handle=a_handle(), password_hash="-", user_id=uuid7()
    )


async def followers(user_id: UUID) -> int:
    found = await people.person.__wrapped__(user_id)
    return found.followers


async def test_a_task_of_an_older_change_of_mind_changes_nothing(on_the_stack):
    fan, owner = await a_person(), await a_person()
    await follows.mirror(fan, owner, 2, active=False)
    await follows.mirror(fan, owner, 1, active=True)
    assert await followers(owner) == 0
    await follows.mirror(fan, owner, 3, active=True)
    await follows.mirror(fan, owner, 3, active=True)
    await follows.mirror(fan, owner, 2, active=False)
    assert await followers(owner) == 1
    assert await follows.followers_of(owner, after=None, limit=9) == [fan]


async def test_a_photo_that_is_spread_twice_is_in_a_feed_once(on_the_stack):
    fan, owner = await a_person(), await a_person()
    await follows.mirror(fan, owner, 1, active=True)
    photo = await darkroom.publish(owner, a_picture(), "")
    await eventually(lambda: ready(owner, photo), within_s=60)
    for _ in range(2):
        await spreading.spread_batch(owner, photo, UUID(int=0), spreading.ALL)
    assert [entry(each.member).photo_id for each in await feed_of(fan).range(9)] == [photo]


async def ready(owner: UUID, photo: UUID) -> bool:
    found = await library.photo(owner, photo)
    return found is not None and found.ready


async def test_a_celebritys_photo_is_written_to_no_followers_feed(on_the_stack):
    star = await a_person()
    fans = [await a_person() for _ in range(CELEBRITY_FOLLOWERS)]
    for fan in fans:
        await follows.follow(fan, star)

    async def famous() -> bool:
        return await followers(star) == len(fans)

    assert await eventually(famous, within_s=60)
    photo = await darkroom.publish(star, a_picture(), "")
    this = Entry(owner_id=star, photo_id=photo)
    assert await eventually(lambda: feed_of(star).score(this.member), within_s=60)
    await spreading.spread(star, photo)  # once more, so that the first one is surely over
    assert [await store.sorted(feed_key(fan)).size() for fan in fans] == [0] * len(fans)


async def test_developing_a_photo_that_is_gone_leaves_no_file(on_the_stack):
    owner = await a_person()
    photo = await darkroom.publish(owner, a_picture(), "")
    await eventually(lambda: ready(owner, photo), within_s=60)
    assert await library.remove(owner, photo)
    await darkroom.develop(owner, photo)

    async def gone() -> bool:
        for size in ("upload", "small", "large"):
            try:
                await files.about(library.file_name(owner, photo, size))
            except FileRefusedError:
                continue
            return False
        return True

    assert await eventually(gone, within_s=60)


async def test_an_upload_is_kept_no_longer_than_until_its_sizes_are_made(on_the_stack):
    owner = await a_person()
    photo = await darkroom.publish(owner, a_picture(), "")

    async def discarded() -> bool:
        try:
            await files.about(library.file_name(owner, photo, "upload"))
        except FileRefusedError:
            return await ready(owner, photo)
        return False

    assert await eventually(discarded, within_s=60)


async def test_a_handle_without_a_user_is_given_back_and_one_with_a_user_is_not(on_the_stack):
    lost, kept = a_handle(), a_handle()
    owner = await accounts.register(name="K", handle=kept, password_hash="-", user_id=uuid7())
    nobody = uuid7()
    await accounts.claim(lost, nobody)
    for handle, user_id in ((lost, nobody), (kept, owner)):
        await accounts.give_back(handle, user_id)
    assert await people.id_of.__wrapped__(lost) is None
    assert await people.id_of.__wrapped__(kept) == owner
