"""Accounts: signing up, proving who one is, and changing the password.

A handle and its user live on different shards, so signing up is two transactions: the handle is
claimed first, together with a task which gives it back should the second one never happen.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from millions import db, log, tasks, uuid7
from photos import passwords, people
from photos.models import Credential, Handle, User

if TYPE_CHECKING:
    from uuid import UUID

HANDLE = re.compile(r"[a-z0-9_]{3,30}")
RESERVED = frozenset({"admin", "api", "assets", "files", "photos", "root", "support", "you"})

CLAIM_S = 300
"""A claimed handle without a user is given back after this."""

SIGN_UP_WITHIN_S = 60
"""Much shorter than CLAIM_S, so that a handle is never given back under a slow sign-up."""


class HandleTakenError(ValueError):
    """Somebody else has this handle."""


def wrong_with(*, name: str, handle: str, password: str) -> dict[str, str]:
    """What is wrong with each field of a sign-up, in words for people; empty if all is well."""
    wrong: dict[str, str] = {}
    if not name.strip():
        wrong["name"] = "Please say what to call you."
    if not HANDLE.fullmatch(handle):
        wrong["handle"] = "Small letters, digits and _ only, 3 to 30 of them."
    elif handle in RESERVED:
        wrong["handle"] = f"@{handle} is taken."
    if problem := wrong_password(password):
        wrong["password"] = problem
    return wrong


def wrong_password(password: str) -> str:
    """What is wrong with a new password; empty when nothing is."""
    if len(password) < passwords.SHORTEST:
        return f"Please take {passwords.SHORTEST} characters or more."
    if len(password) > passwords.LONGEST:
        return f"Please take at most {passwords.LONGEST} characters."
    return ""


async def sign_up(*, name: str, handle: str, password: str) -> UUID:
    """Make an account. Raise HandleTakenError."""
    return await register(
        name=name, handle=handle, password_hash=await passwords.hashed(password), user_id=uuid7()
    )


async def register(*, name: str, handle: str, password_hash: str, user_id: UUID) -> UUID:
    """Make an account for a password that is hashed already. Raise HandleTakenError."""
    started = time.monotonic()
    await claim(handle, user_id)
    async with db.write(user_id) as session:
        session.add(
            User(id=user_id, handle=handle, name=name, words=people.words(f"{name} {handle}"))
        )
        await session.flush()
        session.add(Credential(user_id=user_id, password_hash=password_hash))
        session.invalidates(f"person:{user_id}")
        if time.monotonic() - started > SIGN_UP_WITHIN_S:
            raise TimeoutError("signing up took too long; please try again")
    return user_id


async def claim(handle: str, user_id: UUID) -> None:
    """Take a handle, to be given back unless the user follows. Raise HandleTakenError."""
    async with db.write(handle) as session:
        insertion = insert(Handle).values(handle=handle, user_id=user_id)
        taken = insertion.on_conflict_do_nothing().returning(Handle.user_id)
        if await session.scalar(taken) is None:
            raise HandleTakenError(handle)
        session.invalidates(f"handle:{handle}")
        await give_back.enqueue(handle, user_id, session=session, delay_s=CLAIM_S)


@tasks.task()
async def give_back(handle: str, user_id: UUID) -> None:
    """Free a handle whose sign-up never got to its second half."""
    async with db.write(user_id) as session:
        if await session.get(User, user_id) is not None:
            return
    await free_handle(handle, user_id)
    log.info("handle given back", handle=handle)


async def free_handle(handle: str, user_id: UUID) -> None:
    """Let others take `handle`, if it is still this user's."""
    async with db.write(handle) as session:
        await session.execute(
            delete(Handle).where(Handle.handle == handle, Handle.user_id == user_id)
        )
        session.invalidates(f"handle:{handle}")


async def prove(handle: str, password: str) -> UUID | None:
    """The id of who logs in; None when the two do not go together. Both answers take as long."""
    user_id = await people.id_of(handle)
    stored = None if user_id is None else await _hash_of(user_id)
    if not await passwords.matches(stored, password) or user_id is None or stored is None:
        return None
    if passwords.outdated(stored):
        await change_password(user_id, password)
    return user_id


async def knows(user_id: UUID, password: str) -> bool:
    """Whether `password` is this user's."""
    return await passwords.matches(await _hash_of(user_id), password)


async def change_password(user_id: UUID, password: str) -> None:
    """Set a new password."""
    password_hash = await passwords.hashed(password)
    async with db.write(user_id) as session:
        row = await session.get_one(Credential, user_id)
        row.password_hash, row.changed_at = password_hash, datetime.now(UTC)


async def _hash_of(user_id: UUID) -> str | None:
    async with db.write(user_id) as session:  # from the primary: an old password is no password
        return await session.scalar(
            select(Credential.password_hash).where(Credential.user_id == user_id)
        )
