"""Fill the application with people, pictures and what happens between them.

    millions run python -m photos.seed --users 1000

Everything goes the way it goes for people: the same functions, transactions and tasks. How many
follow somebody, and how much somebody shares, is skewed as on real sites (Zipf). Bounded by the
number of users; it may run again and then adds to what is there.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from millions import store, tasks, uuid7
from photos import accounts, comments, darkroom, follows, likes, names, paint, passwords, people
from photos.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

USERS_MIN, USERS_MAX = 2, 100_000
PHOTOS_A_USER_MAX = 20
AT_ONCE = 8
"""Things under way at a time: fewer than the connections that a process may have (pool_size)."""

TASKS_WITHIN_S = 600
LOOK_EVERY_S = 1.0
PHOTOS_A_USER = 2
FOLLOWS_A_USER = 10
LIKES_A_PHOTO = 4
COMMENTS_A_PHOTO = 0.8
VIEWS_A_LIKE = 9
SKEW = 0.9
"""The exponent of Zipf's law: the second is worth 1/2**0.9 of the first, and so on."""

PAST_S = 60 * 86_400
PASSWORD = "photographs"  # noqa: S105  # of people who do not exist; printed at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is made; `seed` makes it again the same way."""

    users: int
    photos: int
    seed: int


async def sow(plan: Plan) -> list[str]:
    """Make everything; answer the handles, the most followed first."""
    random = Random(plan.seed)  # noqa: S311  # for variety
    stored = await passwords.hashed(PASSWORD)
    users = await _users(plan, random, stored)
    ids = [user_id for user_id, _ in users]
    await _follows(random, ids)
    photos = await _photos(plan, random, ids)
    await _likes(random, ids, photos)
    return [handle for _, handle in users]


async def _users(plan: Plan, random: Random, stored: str) -> list[tuple[UUID, str]]:
    drawn = [(*names.person(random), random.choice(names.BIOS)) for _ in range(plan.users)]

    async def sign_up(who: tuple[str, str, str]) -> tuple[UUID, str]:
        name, handle, bio = who
        for attempt in itertools.count():
            taken = f"{handle}_{uuid7().int % 36**4}" if attempt else handle
            try:
                user_id = await accounts.register(
                    name=name, handle=taken, password_hash=stored, user_id=uuid7()
                )
            except accounts.HandleTakenError:
                continue
            if bio:
                await people.change(user_id, name=name, bio=bio)
            return user_id, taken
        raise AssertionError(handle)

    return await _all("people", drawn, sign_up)


async def _follows(random: Random, ids: Sequence[UUID]) -> None:
    weights = list(itertools.accumulate(zipf(len(ids))))
    pairs = {
        (follower, followed)
        for follower in ids
        for followed in random.choices(
            ids,
            cum_weights=weights,
            k=min(len(ids) - 1, 1 + int(random.expovariate(1 / FOLLOWS_A_USER))),
        )
        if follower != followed
    }

    async def follow(pair: tuple[UUID, UUID]) -> None:
        await follows.follow(*pair)

    shuffled = sorted(pairs)
    random.shuffle(shuffled)
    await _all("follows", shuffled, follow)


def _curiosity(random: Random, people_: int) -> int:
    """How many others somebody follows: most a few, some very many."""
    return min(people_ - 1, 1 + int(random.expovariate(1 / FOLLOWS_A_USER)))


async def _photos(plan: Plan, random: Random, ids: Sequence[UUID]) -> list[likes.Reference]:
    owners = random.choices(ids, weights=zipf(len(ids), skew=0.5), k=plan.photos)
    now_ms = time.time_ns() // 1_000_000
    times = sorted(now_ms - int(random.random() ** 2 * PAST_S * 1000) for _ in owners)
    drawn = [
        (owner, id_at(at_ms, random), random.choice(names.CAPTIONS), random.getrandbits(48))
        for owner, at_ms in zip(owners, times, strict=True)
    ]
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as painters:

        async def share(photo: tuple[UUID, UUID, str, int]) -> likes.Reference:
            owner, photo_id, caption, motif = photo
            content = await loop.run_in_executor(painters, paint.paint, motif)
            await darkroom.publish(owner, content, caption, photo_id)
            return owner, photo_id

        return await _all("photos", drawn, share)


async def _likes(random: Random, ids: Sequence[UUID], photos: Sequence[likes.Reference]) -> None:
    weights = zipf(len(photos))
    random.shuffle(weights)
    liked = random.choices(photos, weights=weights, k=LIKES_A_PHOTO * len(photos))
    pairs = [(photo, random.choice(ids)) for photo in liked]

    async def like(pair: tuple[likes.Reference, UUID]) -> None:
        await likes.like(*pair)
        await store.increment(f"views:{pair[0][1]}", by=VIEWS_A_LIKE)

    await _all("likes", pairs, like)
    said = random.sample(pairs, k=min(len(pairs), int(COMMENTS_A_PHOTO * len(photos))))

    async def say(pair: tuple[likes.Reference, UUID]) -> None:
        await comments.add(*pair, random.choice(names.COMMENTS))

    await _all("comments", said, say)


def zipf(count: int, skew: float = SKEW) -> list[float]:
    """Weights of the first, second, … of `count` by Zipf's law."""
    return [1 / rank**skew for rank in range(1, count + 1)]


def id_at(at_ms: int, random: Random) -> UUID:
    """An id of version 7 as if made at `at_ms` (milliseconds since 1970)."""
    return UUID(
        int=(at_ms << 80)
        | (7 << 76)
        | (random.getrandbits(12) << 64)
        | (2 << 62)
        | random.getrandbits(62)
    )


async def _all(what: str, things: Iterable[object], deed: Callable[..., Awaitable[T]]) -> list[T]:
    """Do `deed` to each of `things`, AT_ONCE at a time, showing how far it is."""
    listed = list(things)
    done: list[T | None] = [None] * len(listed)
    rest: Iterator[tuple[int, object]] = iter(enumerate(listed))
    with Progress(what, len(listed)) as progress:

        async def work() -> None:
            for at, thing in rest:
                done[at] = await deed(thing)
                progress.step()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(listed))):
                group.create_task(work())
    return done  # type: ignore[return-value]  # every place was filled


def plan_of(arguments: Sequence[str]) -> Plan:
    """What the command line asks for; exits with a word when that makes no sense."""
    parser = argparse.ArgumentParser(prog="photos seed", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--users", type=int, default=200, help=f"{USERS_MIN} to {USERS_MAX}; 200 when unsaid"
    )
    parser.add_argument("--photos", type=int, help=f"{PHOTOS_A_USER} for each user when unsaid")
    parser.add_argument("--seed", type=int, default=1, help="another number makes another world")
    given = parser.parse_args(arguments)
    if not USERS_MIN <= given.users <= USERS_MAX:
        parser.error(f"--users is {given.users}; it must be {USERS_MIN} to {USERS_MAX}")
    photos = int(given.users * PHOTOS_A_USER) if given.photos is None else given.photos
    if not 0 <= photos <= PHOTOS_A_USER_MAX * given.users:
        parser.error(f"--photos is {photos}; it must be 0 to {PHOTOS_A_USER_MAX * given.users}")
    return Plan(users=given.users, photos=photos, seed=given.seed)


async def main(arguments: Sequence[str]) -> None:
    """Sow what the command line asks for, on the stack that this process belongs to."""
    from millions.sdk.nouns import running  # noqa: PLC0415  # --help needs no stack

    plan = plan_of(arguments)
    async with running():
        handles = await sow(plan)
        print(f"Log in as any of them, such as @{handles[0]}, with the password {PASSWORD!r}.")  # noqa: T201
        left = await _tasks_done()
    if left:
        print(f"{left} tasks are left: thumbnails and feeds follow as they are done.")  # noqa: T201


async def _tasks_done() -> int:
    """Wait, within TASKS_WITHIN_S, until thumbnails and feeds are made; answer what is left."""
    whole = left = await _tasks_left()
    deadline = time.monotonic() + TASKS_WITHIN_S
    with Progress("tasks", whole) as progress:
        while left and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY_S)
            left = await _tasks_left()
            progress.reach(whole - left)
    return left


async def _tasks_left() -> int:
    """How many tasks could run now; 0 too when nobody runs any."""
    found = await tasks.statistics()
    return sum(each.ready + each.running for each in found.queues) if found.workers else 0


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
