"""`cache`: a bounded memory of answers, never older than the last commit. Not a place to store."""

from __future__ import annotations

from millions.sdk.cache import ledger, observing
from millions.sdk.cache.contracts import Cached
from millions.sdk.cache.noun import Cache
from millions.sdk.cache.policy import Statistics

SCHEMA: tuple[str, ...] = (*ledger.SCHEMA, *observing.SCHEMA)
"""What is stale on servers, and what each process saw."""

__all__ = ["SCHEMA", "Cache", "Cached", "Statistics"]
