"""What is known of one connection: its age, and what the server said beside its answers.

Source: PostgreSQL `replication/syncrep.c`.
"""

from __future__ import annotations

import time

SYNC_WAIT = "SyncRepWaitForLSN"
"""The function inside PostgreSQL whose WARNING says: committed here, perhaps on no replica."""


class Notices:
    """What is known of one connection: what the server said beside its answers, its age."""

    __slots__ = ("opened_at_s", "prepared", "unreplicated")

    def __init__(self) -> None:
        self.unreplicated = False
        self.prepared = False
        self.opened_at_s = time.monotonic()

    def heard(self, _: object, message: object) -> None:
        """Remember that a commit was answered before a replica had it."""
        if getattr(message, "server_source_function", "") == SYNC_WAIT:
            self.unreplicated = True
