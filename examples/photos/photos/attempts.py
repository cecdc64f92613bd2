"""How often a password may be guessed: counters in the store, which expire by themselves.

Counted before the password is looked at, so that guesses at the same moment count too. One address
is bounded sooner than a handle as a whole: a stranger should not lock somebody out.
"""

from __future__ import annotations

from millions import store
from photos.settings import ATTEMPTS_PER_ADDRESS

WINDOW_S = 15 * 60
PER_HANDLE_AND_ADDRESS = 10
PER_HANDLE = 100


async def allowed(*, handle: str, address: str) -> bool:
    """Count one guess; False when there were too many within WINDOW_S."""
    bounds = {
        f"attempts:both:{handle}:{address}": PER_HANDLE_AND_ADDRESS,
        f"attempts:handle:{handle}": PER_HANDLE,
        f"attempts:address:{address}": ATTEMPTS_PER_ADDRESS,
    }
    counts = [await store.increment(key, ttl_s=WINDOW_S) for key in bounds]
    return all(count <= bound for count, bound in zip(counts, bounds.values(), strict=True))


async def forgive(*, handle: str, address: str) -> None:
    """Forget the guesses of somebody who knew the password in the end."""
    await store.delete(f"attempts:both:{handle}:{address}")


async def may_sign_up(*, address: str) -> bool:
    """Count one new account; False when an address made too many within WINDOW_S."""
    return (
        await store.increment(f"attempts:signup:{address}", ttl_s=WINDOW_S) <= ATTEMPTS_PER_ADDRESS
    )
