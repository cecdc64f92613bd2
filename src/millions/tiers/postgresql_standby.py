"""How the data folder of a PostgreSQL is made as a copy of one that runs, which it then follows.

Pure text. What is to be copied stands in the file `follow` of the data folder, on one line: host,
port, role, slot and the name by which the primary knows it. Without that file the folder is made
anew (`postgresql.PREPARE`).

Source: the PostgreSQL 18 manual, "Setting Up a Standby Server" and pg_basebackup.
"""

from __future__ import annotations

ADMINISTRATION_ROLE = "millions_admin"
REPLICATION_ROLE = "millions_replication"
FOLLOW_FILE = "follow"
PASSWORD_FILE = "follow.pass"  # noqa: S105  # the name of a file
DATA_FOLDER = "postgresql"

MOVED_FOLDER = "postgresql.moved"
"""What the data folder is called once another server has it: nothing starts a server on that."""

SCRIPT = r"""#!/bin/sh
# Makes the data folder as a copy of the server that $data/follow names. What is half made lies in a
# folder of its own and is made anew. The password travels in a file of mode 0600.
set -eu
umask 077
bin=$1 data=$2 secret=$3
made=$data/postgresql
half=$data/postgresql.incomplete
read -r host port role slot name <"$data/follow"
printf '%s:%s:*:%s:%s\n' "$host" "$port" "$role" "$(tr -d '\n' <"$secret")" >"$data/follow.pass"
rm -rf "$half"
PGPASSFILE=$data/follow.pass PGAPPNAME=$name PGCONNECT_TIMEOUT=10 "$bin/pg_basebackup" \
    -D "$half" -h "$host" -p "$port" -U "$role" -S "$slot" \
    --wal-method=stream --checkpoint=fast --write-recovery-conf --no-password
mv "$half" "$made"
sync "$data"
"""


def follow(*, host: str, port: int, role: str, slot: str, name: str) -> str:
    """Answer the text of the file that says which server is copied and followed."""
    return f"{host} {port} {role} {slot} {name}\n"
