# ruff: noqa: PT012  # the pause that comes too late is what raises
"""What may be repeated, and what may not, is read from the error under its wrapping."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from millions.errors import UnavailableError
from millions.sdk.retry import Fate, Patience, driver_error, fate, sqlstate


def wrapped(error: BaseException) -> DBAPIError:
    """As SQLAlchemy does: its own class, the adapter's, the driver's."""
    adapter = RuntimeError("adapter")
    adapter.__cause__ = error
    return DBAPIError("SELECT 1", {}, adapter)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (asyncpg.SerializationError("x"), Fate.COLLIDED),
        (asyncpg.DeadlockDetectedError("x"), Fate.COLLIDED),
        (asyncpg.AdminShutdownError("x"), Fate.LOST),
        (asyncpg.CrashShutdownError("x"), Fate.LOST),
        (asyncpg.CannotConnectNowError("x"), Fate.LOST),
        (asyncpg.TooManyConnectionsError("x"), Fate.LOST),
        (asyncpg.ConnectionDoesNotExistError("x"), Fate.LOST),
        (asyncpg.InterfaceError("connection is closed"), Fate.LOST),
        (asyncpg.InternalClientError("cannot switch to state 15"), Fate.LOST),
        (ConnectionRefusedError("x"), Fate.LOST),
        (ConnectionResetError("x"), Fate.LOST),
        (TimeoutError("x"), Fate.LOST),
        (asyncpg.InterfaceError("cannot perform operation"), Fate.REFUSED),
        (asyncpg.UniqueViolationError("x"), Fate.REFUSED),
        (asyncpg.QueryCanceledError("x"), Fate.REFUSED),
        (asyncpg.InvalidPasswordError("x"), Fate.REFUSED),
        (ValueError("x"), Fate.REFUSED),
    ],
    ids=lambda each: each.name if isinstance(each, Fate) else type(each).__name__,
)
def test_an_error_means_the_same_bare_and_wrapped(error, expected):
    assert fate(error) is expected
    if not isinstance(error, ValueError):
        assert fate(wrapped(error)) is expected
        assert driver_error(wrapped(error)) is error


def test_an_error_of_ours_is_not_looked_into():
    ours = UnavailableError(cannot="read the password", because="x", try_="y")
    ours.__cause__ = FileNotFoundError("x")
    assert fate(ours) is Fate.REFUSED


def test_the_state_of_an_error_without_one_is_empty():
    assert sqlstate(ValueError("x")) == ""
    assert sqlstate(wrapped(asyncpg.SerializationError("x"))) == "40001"


async def test_patience_ends_in_time_and_says_the_last_error():
    patience = Patience(doing="begin", limit_s=0.05)
    with pytest.raises(UnavailableError, match="ConnectionRefusedError: nobody") as caught:
        for _ in range(1000):
            await patience.pause(ConnectionRefusedError("nobody"))
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
