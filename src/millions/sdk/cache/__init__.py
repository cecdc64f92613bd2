"""`cache`: a bounded memory of answers, never older than the last commit. Not a place to store."""

from __future__ import annotations

from millions.sdk.cache.noun import Cache, Cached
from millions.sdk.cache.policy import Statistics

SCHEMA: tuple[str, ...] = ()
"""The embedded cache keeps nothing in the database."""

__all__ = ["SCHEMA", "Cache", "Cached", "Statistics"]
