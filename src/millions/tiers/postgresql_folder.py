"""How PostgreSQL's data folder is made once, and what an older one is given. Pure text.

Source: the PostgreSQL 18 manual, initdb and single-user mode.
"""

from __future__ import annotations

PREPARE = r"""#!/bin/sh
# Makes the data folder once: roles, the database. Passwords travel by files and standard input
# only. What is half made lies in a folder of its own and is made anew.
#   founder  makes it, unless one of the other members (their data folders follow) has the data
#   member   never does: it is copied from the primary
set -eu
umask 077
bin=$1 data=$2 folder=$3 secrets=$4 major=$5 part=$6
shift 6
made=$data/postgresql
half=$data/postgresql.incomplete
roles=millions.roles
fail() { printf 'cannot %s\n  because: %s\n  try: %s\n' "$1" "$2" "$3" >&2; exit 1; }
secret() {
    value=$(tr -d '\n' <"$secrets/$1")
    case $value in
        '' | *[!A-Za-z0-9_-]*)
            fail "use the secret '$1'" "it holds odd characters" "rm $secrets/$1" ;;
    esac
    printf %s "$value"
}
single() { # database, options; SQL on standard input, statements apart by an empty line
    in=$1 database=$2
    shift 2
    "$bin/postgres" --single -j -D "$in" -c log_min_error_statement=panic -c exit_on_error=on \
        -c log_min_messages=error -c wal_level=logical -c max_replication_slots=40 \
        "$@" "$database" >"$folder/single.log" 2>&1
}
replication_role() {
    password=$(secret database-replication)
    single "$1" postgres <<SQL || { cat "$folder/single.log" >&2; exit 1; }
CREATE ROLE millions_replication LOGIN REPLICATION PASSWORD '$password' NOSUPERUSER;

SQL
    echo 2 >"$1/$roles"
}
if [ -f "$made/PG_VERSION" ]; then
    found=$(cat "$made/PG_VERSION")
    [ "$found" = "$major" ] || fail "start PostgreSQL $major on the data folder $made" \
        "it was made by PostgreSQL $found" \
        "[database] bin = the programs of PostgreSQL $found, or pg_upgrade"
    # a copy has the roles of what it is copied from
    [ -f "$made/$roles" ] || [ -f "$made/standby.signal" ] || replication_role "$made"
    exit 0
fi
[ "$part" = founder ] || exit 0
[ ! -e "$made.moved" ] || fail "begin with an empty database in $data" \
    "what was there has moved to another server" "[database] server = the number of that server"
[ ! -f "$data/follow" ] || \
    exec /bin/sh "$folder/standby.sh" "$bin" "$data" "$secrets/database-replication"
for other in "$@"; do
    if [ -f "$other/postgresql/PG_VERSION" ]; then
        echo "the data is in $other: it is copied from there"
        exit 0
    fi
done
rm -rf "$half"
"$bin/initdb" -D "$half" --username=millions_admin --pwfile="$secrets/database-admin" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C --locale-provider=builtin \
    --builtin-locale=C.UTF-8 --data-checksums --no-instructions \
    >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 1; }
password=$(secret database)
single "$half" postgres <<SQL || { cat "$folder/single.log" >&2; exit 1; }
CREATE ROLE app LOGIN PASSWORD '$password' NOSUPERUSER NOCREATEDB NOCREATEROLE;

CREATE DATABASE app OWNER app;

REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;

REVOKE CONNECT, TEMPORARY ON DATABASE app FROM PUBLIC;

GRANT pg_read_all_stats TO app;

SQL
replication_role "$half"
if single "$half" app -c shared_preload_libraries=pg_stat_statements <<SQL
CREATE EXTENSION pg_stat_statements;

SQL
then echo "shared_preload_libraries = 'pg_stat_statements'" >"$half/preload.conf"
else echo "# pg_stat_statements is not part of this PostgreSQL" >"$half/preload.conf"
fi
mv "$half" "$made"
sync "$data"  # else a power cut could undo the rename, and with it all that is written from now on
"""
