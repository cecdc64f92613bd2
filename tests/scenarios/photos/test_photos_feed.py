"""A feed must hold what those one follows shared: each photo once, newest first, nothing else."""

import asyncio

from photos_stage import CELEBRITY_FOLLOWERS, Member

from millions.testing import eventually


async def shows(member: Member, wanted: list[str]) -> None:
    """Wait until the feed of `member` is exactly `wanted`."""

    async def equal() -> bool:
        return await member.feed() == wanted

    try:
        assert await eventually(equal, within_s=60)
    except AssertionError:
        assert await member.feed() == wanted
        raise


async def test_a_photo_reaches_every_follower_in_batches_once_and_nobody_else(new_member):
    owner, stranger = await new_member(), await new_member()
    # one fewer than makes a celebrity, and more than one batch
    fans = [await new_member() for _ in range(CELEBRITY_FOLLOWERS - 1)]
    await asyncio.gather(*(fan.follow(owner) for fan in fans))
    await eventually_followers(owner, len(fans))
    ids = [(await owner.upload())["id"] for _ in range(3)]
    for each in (owner, *fans):
        await shows(each, ids[::-1])
    assert await stranger.feed() == []


async def eventually_followers(member: Member, count: int) -> None:
    async def counted() -> bool:
        return (await member.profile())["followers"] == count

    assert await eventually(counted, within_s=60)


async def test_who_follows_later_sees_what_was_shared_before(new_member):
    owner, fan = await new_member(), await new_member()
    first = await owner.upload()
    await shows(owner, [first["id"]])
    await fan.follow(owner)
    await shows(fan, [first["id"]])


async def test_an_unfollow_empties_the_feed_at_once(new_member):
    owner, fan = await new_member(), await new_member()
    await fan.follow(owner)
    photo = await owner.upload()
    await shows(fan, [photo["id"]])
    await fan.unfollow(owner)
    assert await fan.feed() == []
    await fan.follow(owner)
    await shows(fan, [photo["id"]])


async def test_a_celebritys_photos_are_merged_in_with_those_of_others(new_member):
    star, friend = await new_member(), await new_member()
    fans = [await new_member() for _ in range(CELEBRITY_FOLLOWERS)]
    before = await star.upload()
    await shows(star, [before["id"]])
    await asyncio.gather(*(fan.follow(star) for fan in fans), fans[0].follow(friend))
    await eventually_followers(star, CELEBRITY_FOLLOWERS)
    wanted = [before["id"]]
    for sharer in (star, friend, star, friend):
        wanted.insert(0, (await sharer.upload())["id"])
    await shows(fans[0], wanted)
    await fans[0].unfollow(star)
    assert await fans[0].feed() == [wanted[0], wanted[2]]


async def test_pages_of_a_feed_neither_skip_nor_repeat(new_member):
    owner, fan = await new_member(), await new_member()
    await fan.follow(owner)
    photos = [await owner.upload() for _ in range(30)]
    await shows(fan, [each["id"] for each in photos[::-1]])
    first = (await fan.client.get("/api/feed")).json()
    assert len(first["photos"]) == 12
    page = await fan.client.get("/")
    assert page.text.count('<article class="card"') == 12
    assert "Show older" in page.text


async def test_a_deleted_photo_leaves_every_feed(new_member):
    owner, fan = await new_member(), await new_member()
    await fan.follow(owner)
    kept, gone = await owner.upload(), await owner.upload()
    await shows(fan, [gone["id"], kept["id"]])
    await owner.client.delete(f"/api/photos/{owner.id}/{gone['id']}")
    assert await fan.feed() == [kept["id"]]


async def test_a_deleted_account_leaves_nothing_with_others(new_member, visitor):
    leaver, friend = await new_member("Leaver Lastname"), await new_member()
    await friend.follow(leaver)
    await leaver.follow(friend)
    photo, theirs = await leaver.upload(), await friend.upload()
    await shows(friend, [theirs["id"], photo["id"]])
    path = f"/api/photos/{friend.id}/{theirs['id']}"
    await leaver.client.put(f"{path}/like")
    await leaver.client.post(f"{path}/comments", json={"text": "bye"})
    token = leaver.client.headers["X-CSRF-Token"]
    form = {"csrf_token": token, "confirm": "a long enough password"}
    assert (await leaver.client.post("/account/delete", data=form)).status_code == 303
    assert (await visitor.get(f"/@{leaver.handle}")).status_code == 404
    assert await friend.feed() == [theirs["id"]]

    async def erased() -> bool:
        seen, profile = (await friend.client.get(path)).json(), await friend.profile()
        counts = (seen["likes"], seen["comments"], profile["followers"], profile["following"])
        return counts == (0, 0, 0, 0)

    assert await eventually(erased, within_s=60)
    found = await visitor.get("/api/people", params={"q": "leaver lastname"})
    assert leaver.handle not in found.text

    async def free_again() -> bool:
        given = {"name": "New", "handle": leaver.handle, "password": "a long enough password"}
        return (await visitor.post("/api/people", json=given)).status_code == 201

    assert await eventually(free_again, within_s=60)
