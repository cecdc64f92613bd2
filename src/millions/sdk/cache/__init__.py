"""`cache`: a bounded memory of answers, never older than the last commit. Not a place to store."""

from __future__ import annotations

from millions.sdk.cache.contracts import Cached
from millions.sdk.cache.ledger import SCHEMA
from millions.sdk.cache.noun import Cache
from millions.sdk.cache.policy import Statistics

__all__ = ["SCHEMA", "Cache", "Cached", "Statistics"]
