"""Millions: from one server to millions of users, without a rewrite and without an outage.

Application code imports the nouns from here: `from millions import db, cache, store, sessions,
tasks, files, assets, metrics, log`. They are imported when first asked for, so that the command
line does not pay for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millions.sdk.asgi import Millions as Millions
    from millions.sdk.identifiers import uuid7 as uuid7
    from millions.sdk.nouns import assets as assets
    from millions.sdk.nouns import cache as cache
    from millions.sdk.nouns import db as db
    from millions.sdk.nouns import files as files
    from millions.sdk.nouns import log as log
    from millions.sdk.nouns import metrics as metrics
    from millions.sdk.nouns import sessions as sessions
    from millions.sdk.nouns import store as store
    from millions.sdk.nouns import tasks as tasks

__version__ = "0.1.0"

_HOMES = {
    "Millions": "millions.sdk.asgi",
    "uuid7": "millions.sdk.identifiers",
    **dict.fromkeys(
        ("assets", "cache", "db", "files", "log", "metrics", "sessions", "store", "tasks"),
        "millions.sdk.nouns",
    ),
}

__all__ = [  # noqa: PLE0604  # the names of _HOMES, which __getattr__ serves
    "__version__",
    *_HOMES,
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'millions' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
