"""`sessions`: a signed cookie with an id, and what belongs to it in `store`. It holds no users."""

from __future__ import annotations

from millions.sdk.sessions.noun import Lifetime, Sessions
from millions.sdk.sessions.session import Session

SCHEMA: tuple[str, ...] = ()
"""Sessions are documents of the store."""

__all__ = ["SCHEMA", "Lifetime", "Session", "Sessions"]
