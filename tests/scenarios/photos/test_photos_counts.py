"""Counts must agree with what was done, whoever does it at the same moment, however often."""

import asyncio
import random

import pytest

from millions.testing import eventually


async def test_a_like_counts_once_however_often_and_at_once_it_is_sent(new_member):
    owner = await new_member()
    fans = [await new_member() for _ in range(4)]
    photo = await owner.upload()
    path = f"/api/photos/{owner.id}/{photo['id']}"
    answers = await asyncio.gather(
        *(fan.client.put(f"{path}/like") for fan in fans for _ in range(8))
    )
    assert {each.status_code for each in answers} == {200}
    assert (await owner.client.get(path)).json()["likes"] == len(fans)
    await asyncio.gather(*(fans[0].client.delete(f"{path}/like") for _ in range(8)))
    assert (await owner.client.get(path)).json()["likes"] == len(fans) - 1
    assert (await fans[0].client.get(path)).json()["liked"] is False
    assert (await fans[1].client.get(path)).json()["liked"] is True


async def test_whoever_likes_sees_it_at_once(new_member):
    owner, fan = await new_member(), await new_member()
    photo = await owner.upload()
    path = f"/api/photos/{owner.id}/{photo['id']}"
    for liked in (True, False, True, False):
        await (fan.client.put if liked else fan.client.delete)(f"{path}/like")
        seen = (await fan.client.get(path)).json()
        assert (seen["liked"], seen["likes"]) == (liked, int(liked))


async def test_comments_are_counted_and_deleted_by_author_or_owner_only(new_member):
    owner, author, other = [await new_member() for _ in range(3)]
    photo = await owner.upload()
    path = f"/api/photos/{owner.id}/{photo['id']}"
    said = [
        (await author.client.post(f"{path}/comments", json={"text": text})).json()[-1]
        for text in ("one", "two")
    ]
    assert [each["text"] for each in said] == ["one", "two"]
    first, second = (f"{path}/comments/{each['id']}" for each in said)
    assert (await other.client.delete(first)).status_code == 404
    assert (await author.client.delete(first)).status_code == 204
    assert (await owner.client.delete(second)).status_code == 204
    assert (await owner.client.delete(second)).status_code == 404
    assert (await owner.client.get(path)).json()["comments"] == 0


@pytest.mark.parametrize("text", ["", "   ", "x" * 1001])
async def test_a_comment_of_no_or_too_many_words_is_refused(new_member, text):
    owner = await new_member()
    photo = await owner.upload()
    path = f"/api/photos/{owner.id}/{photo['id']}/comments"
    assert (await owner.client.post(path, json={"text": text})).status_code == 422


async def test_both_sides_of_a_follow_agree_after_many_changes_of_mind(new_member):
    ada, grace, tim = [await new_member() for _ in range(3)]
    chance = random.Random(5)
    follows = {}
    for _ in range(30):
        one, other = chance.sample([ada, grace, tim], 2)
        follows[one.handle, other.handle] = chance.random() < 0.5
        await (one.follow if follows[one.handle, other.handle] else one.unfollow)(other)

    async def settled() -> bool:
        for each in (ada, grace, tim):
            seen = await each.profile()
            out = sum(yes for (one, _), yes in follows.items() if one == each.handle)
            inwards = sum(yes for (_, other), yes in follows.items() if other == each.handle)
            assert seen["following"] == out
            if seen["followers"] != inwards:
                return False
        return True

    assert await eventually(settled, within_s=60)


async def test_nobody_follows_themselves(new_member):
    ada = await new_member()
    await ada.follow(ada)
    assert (await ada.profile())["following"] == 0


async def test_views_by_others_are_counted(new_member, visitor):
    ada, grace = await new_member(), await new_member()
    photo = await ada.upload()
    for client in (grace.client, visitor, visitor, ada.client):
        page = await client.get(photo["url"])
    assert "Views</span> 3</span>" in page.text
