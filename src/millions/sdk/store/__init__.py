"""`store`: documents by key, counters and sorted lists. Data with relations belongs into `db`."""

from __future__ import annotations

from millions.sdk.store.documents import Document, Scored
from millions.sdk.store.noun import ABSENT, Store
from millions.sdk.store.schema import SCHEMA
from millions.sdk.store.sorted_lists import SortedList

__all__ = ["ABSENT", "SCHEMA", "Document", "Scored", "SortedList", "Store"]
