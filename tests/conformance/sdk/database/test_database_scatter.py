"""`db.scatter` answers what one server with all the rows would answer."""

from __future__ import annotations

import pytest
from album import Photo
from sqlalchemy import func, select

from millions.errors import NotRoutableError
from millions.sdk.identifiers import uuid7


@pytest.fixture
async def album(db):
    owners = [uuid7() for _ in range(5)]
    for number, owner in enumerate(owners):
        async with db.write(owner) as session:
            session.add_all([Photo(title=f"{number}-{n}", views=10 * n + number) for n in range(4)])
    return owners


async def test_rows_come_in_the_order_asked_for_and_no_more_than_the_limit(db, album):
    rows = await db.scatter(select(Photo.title, Photo.views), order_by=Photo.views.desc(), limit=3)
    assert [tuple(row) for row in rows] == [("4-3", 34), ("3-3", 33), ("2-3", 32)]
    assert rows[0].title == "4-3"


async def test_objects_come_whole(db, album):
    rows = await db.scatter(
        select(Photo).where(Photo.views < 2), order_by=Photo.title.collate("C").desc()
    )
    assert [row.Photo.title for row in rows] == ["1-0", "0-0"]


async def test_a_filter_and_no_order(db, album):
    rows = await db.scatter(select(Photo.title).where(Photo.views.in_([0, 11])))
    assert sorted(row.title for row in rows) == ["0-0", "1-1"]


async def test_aggregates_are_one_row(db, album):
    rows = await db.scatter(
        select(
            func.count(), func.sum(Photo.views).label("views"), func.min(Photo.views),
            func.max(Photo.views),
        )
    )  # fmt: skip
    assert [tuple(row) for row in rows] == [(20, 340, 0, 34)]
    assert rows[0].views == 340


async def test_groups_are_merged_and_ordered(db, album):
    for owner in album[:2]:
        async with db.write(owner) as session:
            session.add(Photo(title="0-0", views=7))
    photos = func.count().label("photos")
    rows = await db.scatter(
        select(Photo.title, photos, func.sum(Photo.views).label("views")).group_by(Photo.title),
        order_by=[photos.desc(), Photo.title.desc()],
        limit=2,
    )
    assert [tuple(row) for row in rows] == [("0-0", 3, 14), ("4-3", 1, 34)]


async def test_what_cannot_be_merged_is_refused_on_one_shard_too(db):
    with pytest.raises(NotRoutableError, match="ORDER BY"):
        await db.scatter(select(Photo.title).order_by(Photo.title))
