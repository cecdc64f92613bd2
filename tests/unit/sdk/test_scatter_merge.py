"""Answers of several shards are merged into what one server would have answered."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData

from millions.errors import NotRoutableError
from millions.sdk.scatter import question

METADATA = sa.MetaData()
PHOTOS = sa.Table(
    "photos",
    METADATA,
    sa.Column("owner_id", sa.Uuid),
    sa.Column("title", sa.Text),
    sa.Column("views", sa.BigInteger),
    sa.Column("data", sa.JSON),
)
VIEWS, TITLE = PHOTOS.c.views, PHOTOS.c.title
ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(-3, 3)), st.text(max_size=3), st.integers(0, 3)),
    max_size=30,
)


def answers(names, rows):
    return IteratorResult(SimpleResultMetaData(names), iter(rows)).freeze()


def ordered(rows, *, descending, nulls_last):
    """The order by views as PostgreSQL defines it, then by title's bytes, ascending."""
    by_title = sorted(rows, key=lambda row: row[1].encode())
    sign = -1 if descending else 1
    known = sorted((r for r in by_title if r[0] is not None), key=lambda row: sign * row[0])
    unknown = [row for row in by_title if row[0] is None]
    return [*known, *unknown] if nulls_last else [*unknown, *known]


@pytest.mark.parametrize(
    ("order", "descending", "nulls_last"),
    [
        (VIEWS, False, True),
        (VIEWS.asc(), False, True),
        (VIEWS.desc(), True, False),
        (VIEWS.desc().nulls_last(), True, True),
        (VIEWS.asc().nulls_first(), False, False),
        (sa.desc(VIEWS), True, False),
        (VIEWS.label("n").desc(), True, False),
    ],
    ids=str,
)
@settings(max_examples=25)
@given(rows=ROWS, limit=st.one_of(st.none(), st.integers(0, 40)))
def test_three_shards_in_order_are_one_in_order(order, descending, nulls_last, rows, limit):
    asked = question(sa.select(VIEWS, TITLE), order_by=[order, TITLE.collate("C")], limit=limit)
    whole = ordered(rows, descending=descending, nulls_last=nulls_last)
    parts = [
        answers(["views", "title", "k1", "k2"], [(v, t, v, t) for v, t, at in whole if at == shard])
        for shard in range(4)
    ]
    assert [tuple(row) for row in asked.answer(parts)] == [(v, t) for v, t, _ in whole][:limit]


@settings(max_examples=25)
@given(rows=ROWS)
def test_aggregates_of_parts_are_those_of_the_whole(rows):
    def aggregated(some):
        known = [views for views, _, _ in some if views is not None]
        return (len(some), sum(known) if known else None, min(known, default=None),
                max(known, default=None))  # fmt: skip

    statement = sa.select(
        sa.func.count(), sa.func.sum(VIEWS), sa.func.min(VIEWS), sa.func.max(VIEWS)
    )
    parts = [
        answers(["a", "b", "c", "d"], [aggregated([row for row in rows if row[2] == shard])])
        for shard in range(4)
    ]
    (row,) = question(statement).answer(parts)
    assert tuple(row) == aggregated(rows)


@settings(max_examples=25)
@given(rows=ROWS)
def test_groups_that_are_on_several_shards_are_one_group(rows):
    statement = sa.select(TITLE, sa.func.count().label("n")).group_by(TITLE)

    def grouped(some):
        counts = {}
        for _, title, _ in some:
            counts[title] = counts.get(title, 0) + 1
        return counts

    parts = [
        answers(["title", "n"], grouped([row for row in rows if row[2] == shard]).items())
        for shard in range(4)
    ]
    asked = question(statement, order_by=sa.desc(sa.func.count()))
    found = asked.answer(parts)
    assert {row.title: row.n for row in found} == grouped(rows)
    assert [row.n for row in found] == sorted((row.n for row in found), reverse=True)


def test_a_group_without_aggregates_is_distinct_over_all_shards():
    asked = question(sa.select(TITLE).group_by(TITLE))
    rows = asked.answer([answers(["title"], [("a",), ("b",)]), answers(["title"], [("b",)])])
    assert [tuple(row) for row in rows] == [("a",), ("b",)]


def test_the_order_and_the_limit_are_sent_to_every_shard():
    text = str(question(sa.select(TITLE), order_by=VIEWS.desc(), limit=5).statement)
    assert "ORDER BY photos.views DESC" in text
    assert "LIMIT" in text


def test_a_limit_is_not_sent_with_aggregates():
    statement = sa.select(TITLE, sa.func.count()).group_by(TITLE)
    assert "LIMIT" not in str(question(statement, limit=5).statement)


@pytest.mark.parametrize(
    ("statement", "order", "why"),
    [
        (sa.select(TITLE).limit(3), (), "a LIMIT"),
        (sa.select(TITLE).offset(3), (), "an OFFSET"),
        (sa.select(TITLE).fetch(3), (), "a FETCH"),
        (sa.select(TITLE).order_by(VIEWS), (), "an ORDER BY"),
        (sa.select(TITLE).distinct(), (), "DISTINCT"),
        (sa.select(TITLE).group_by(TITLE).having(sa.func.count() > 1), (), "HAVING"),
        (sa.select(TITLE, sa.func.count()), (), "not grouped"),
        (sa.select(sa.func.avg(VIEWS)), (), "avg do not make the whole"),
        (sa.select(sa.func.array_agg(VIEWS)), (), "array_agg"),
        (sa.select(sa.func.count(sa.distinct(VIEWS))), (), "DISTINCT values"),
        (sa.select(sa.func.count(VIEWS.distinct())), (), "DISTINCT values"),
        (sa.select(sa.func.sum(VIEWS) / sa.func.count()), (), "computes with the aggregate"),
        (sa.select(sa.func.max(TITLE)), (), "server's language"),
        (sa.select(sa.func.row_number().over()), (), "window"),
        (sa.select(sa.func.mode().within_group(VIEWS)), (), "an ordered aggregate"),
        (sa.select(TITLE), TITLE, "server's language"),
        (sa.select(TITLE), PHOTOS.c.data, "no order outside"),
        (sa.select(TITLE).group_by(TITLE), VIEWS, "not one of its columns"),
        (sa.union(sa.select(TITLE), sa.select(TITLE)), (), "CompoundSelect"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_could_not_be_merged_is_refused(statement, order, why):
    with pytest.raises(NotRoutableError, match=why):
        question(statement, order_by=order)


def test_ids_are_in_order_as_postgresql_has_it():
    rows = sorted(uuid.uuid4() for _ in range(20))
    asked = question(sa.select(PHOTOS.c.owner_id), order_by=PHOTOS.c.owner_id)
    parts = [answers(["a", "k"], [(row, row) for row in rows[at::3]]) for at in range(3)]
    assert [row.a for row in asked.answer(parts)] == rows
