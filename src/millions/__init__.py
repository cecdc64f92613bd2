"""Millions: from one server to millions of users, without a rewrite and without an outage.

Application code imports the nouns from here: `from millions import db, cache, store, sessions,
tasks, events, files, assets, metrics, log`. They are imported when first asked for, so that the
command line does not pay for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millions.sdk.asgi import Millions
    from millions.sdk.identifiers import uuid7
    from millions.sdk.nouns import (
        assets,
        cache,
        db,
        edge,
        events,
        files,
        log,
        metrics,
        sessions,
        store,
        tasks,
    )
    from millions.sdk.session import Session
    from millions.sdk.sharding import REFERENCE, reference, shard_info, sharded_by

__version__ = "0.1.0"

__all__ = [
    "REFERENCE",
    "Millions",
    "Session",
    "assets",
    "cache",
    "db",
    "edge",
    "events",
    "files",
    "log",
    "metrics",
    "reference",
    "sessions",
    "shard_info",
    "sharded_by",
    "store",
    "tasks",
    "uuid7",
]

_HOMES = {
    "Millions": "asgi",
    "Session": "session",
    "uuid7": "identifiers",
    **dict.fromkeys(("REFERENCE", "reference", "shard_info", "sharded_by"), "sharding"),
}
"""Where in `millions.sdk` a name lives that is not one of the nouns."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'millions' has no attribute {name!r}")
    return getattr(import_module(f"millions.sdk.{_HOMES.get(name, 'nouns')}"), name)
