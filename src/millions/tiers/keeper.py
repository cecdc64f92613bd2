"""What the keeper of a server of the store is told, and its Valkey. Pure text, without a secret.

Source: valkey.conf of Valkey 9; `docs/decisions/0017-store.md` for what keeps writes safe.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "keeper.json"
PORT = 6379
TALK_PORT = 6380
HEALTH_PORT = 6381
"""Without a password, for /health only: it says whether a server is good, and who leads."""

ASK_HEALTH = b"GET /health HTTP/1.1\r\nHost: millions\r\n\r\n"

CLIENTS_MAX = 8192
BACKLOG_SHARE = 8
"""This part of the memory holds the latest of the stream: who was away for less catches up."""

BACKLOG_MIB = (4, 256)


def configuration(  # a fact each, by keyword
    name: str,
    members: Mapping[str, str],
    *,
    program: str,
    password_file: str,
    folder: str,
    memory_mib: int,
) -> str:
    """Answer the text of keeper.json of one member; `members` are the hosts of all by name."""
    said = {
        "name": name,
        "members": dict(members),
        "port": PORT,
        "talk_port": TALK_PORT,
        "health_port": HEALTH_PORT,
        "program": program,
        "password_file": password_file,
        "ballots": f"{folder}/ballots.json",
        "settings": settings(members[name], folder=folder, memory_mib=memory_mib),
    }
    return json.dumps(said, indent=1) + "\n"


def settings(host: str, *, folder: str, memory_mib: int) -> dict[str, str]:
    """Answer what valkey.conf says; its port, its password and whom it follows come elsewhere."""
    backlog_mib = min(max(memory_mib // BACKLOG_SHARE, BACKLOG_MIB[0]), BACKLOG_MIB[1])
    return {
        "bind": host,
        "bind-source-addr": host,
        "port": str(PORT),
        "protected-mode": "yes",
        "dir": folder,
        "save": '""',
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "aof-load-truncated": "yes",
        "maxmemory": f"{memory_mib}mb",
        "maxmemory-policy": "noeviction",
        "maxmemory-clients": "10%",
        "maxclients": str(CLIENTS_MAX),
        "replica-read-only": "yes",
        "replica-serve-stale-data": "yes",  # who reads looks at the lease
        "replica-ignore-maxmemory": "yes",
        "repl-diskless-sync": "yes",
        "repl-diskless-sync-delay": "0",
        "repl-diskless-load": "disabled",  # the old data stays until the new is whole
        "repl-backlog-size": f"{backlog_mib}mb",
        "repl-backlog-ttl": "0",
        "repl-ping-replica-period": "1",
        "repl-timeout": "10",
        "tcp-keepalive": "30",
        "lua-time-limit": "1000",
        "latency-tracking": "no",
        "always-show-logo": "no",
        "loglevel": "notice",
        "logfile": '""',
    }
