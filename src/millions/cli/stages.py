"""Steps on the way from what runs to what is wanted, where one change would not be safe. Pure.

Servers that elect a leader are not left to themselves while it is restarted: those that go leave
before it stops, so that none of them leads in between; those that come join when it leads. Whom
they ask is ready before it stops.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.directory import Directory, Endpoint, Shard
    from millions.model import Unit
    from millions.runtime.desired import Desired


def before(former: Desired | None, wanted: Desired) -> tuple[tuple[Unit, ...], ...]:
    """The units that are wanted in each step before `wanted` itself; most changes need none.

    In the first step before members go, what runs stays as it is: the directory names them no more.
    """
    if former is None:
        return ()
    leave = _without_those_that_go(former, wanted)
    return (former.units, leave) if leave else _only_the_first(former, wanted)


def directory(former: Desired | None, wanted: Desired) -> Directory | None:
    """The directory meanwhile: the former one, without the servers of shards that are to go."""
    if former is None or former.directory is None or wanted.directory is None:
        return former.directory if former else None
    database, later = former.directory.database, wanted.directory.database
    stay = {each.name: {each.primary, *each.replicas} for each in later.shards}
    shards = tuple(_left(each, stay.get(each.name, set())) for each in database.shards)
    return dataclasses.replace(
        former.directory, database=dataclasses.replace(database, shards=shards)
    )


def _left(shard: Shard, stay: set[Endpoint]) -> Shard:
    """The shard with those of its servers that stay; as it is when none does."""
    members = [each for each in (shard.primary, *shard.replicas) if each in stay]
    if not members:
        return shard
    return dataclasses.replace(shard, primary=members[0], replicas=tuple(members[1:]))


def _without_those_that_go(former: Desired, wanted: Desired) -> tuple[Unit, ...]:
    """What runs, without the members that are to go."""
    stay = {each.name for each in wanted.units}
    gone = {each.name for each in former.units if each.lease and each.name not in stay}
    return _enough(each for each in former.units if each.name not in gone) if gone else ()


def _only_the_first(former: Desired, wanted: Desired) -> tuple[tuple[Unit, ...], ...]:
    """What runs, with the server that was alone as the first member of its group."""
    alone = {each.name: each.group for each in former.units if each.group and not each.lease}
    first = [each for each in wanted.units if each.lease and each.name in alone]
    if not first:
        return ()
    needs = {need for each in first for need in each.needs}
    asked = [each for each in wanted.units if each.group in needs or each.name in needs]
    there = {each.name for each in former.units}
    beside = [each for each in asked if each.name not in there]
    new = {each.name: each for each in (*first, *asked)}
    kept = [each for each in former.units if each.name not in new]
    steps = (_enough((*kept, *new.values())),)
    return (_enough((*former.units, *beside)), *steps) if beside else steps


def _enough(units: Iterable[Unit]) -> tuple[Unit, ...]:
    """The units, in groups that are content with as many members as there are."""
    found = tuple(units)
    sizes = {each.group: sum(other.group == each.group for other in found) for each in found}
    return tuple(
        dataclasses.replace(each, group_least=min(each.group_least, sizes[each.group]))
        for each in found
    )
