"""Passwords: argon2id, in threads of their own, so that hashing never holds up other requests."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 10, 200
"""Characters. Longer ones only cost time to hash."""

AT_ONCE = 2
"""Each hash takes 64 MiB and one core for about 50 ms: this bounds both."""

_hasher = PasswordHasher()
_threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="argon2")
_nobody = _hasher.hash("nobody has this password")


async def hashed(password: str) -> str:
    """Hash a new password."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def matches(stored: str | None, password: str) -> bool:
    """Say whether `password` is the one of `stored`; takes as long when nothing is stored."""
    loop = asyncio.get_running_loop()
    right = await loop.run_in_executor(_threads, _matches, stored or _nobody, password[:LONGEST])
    return right and stored is not None


def outdated(stored: str) -> bool:
    """Whether `stored` was made with weaker parameters than those of today."""
    return _hasher.check_needs_rehash(stored)


def _matches(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
