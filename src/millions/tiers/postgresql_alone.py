"""How a server of the database begins that has no others beside it. Pure text.

It leaves the mark that its data was written outside of a cluster, so that what etcd remembers of it
is old; then it becomes the server. Data that comes out of a cluster without a primary having
stopped cleanly is looked at first (`programs/alone.py`): another member may have newer data. What
was a standby recovers from its own log only, and is a primary at its end.

A primary that runs already, out of a cluster, is left running: it is given the settings of one that
is alone, and the script ends.
"""

from __future__ import annotations

SCRIPT = r"""
folder=$1 python=$2 programs=$3
shift 3
server=$0/postgresql
runs() { # a number that another program has by now is told apart by its working folder
    read -r pid <"$server/postmaster.pid" || return
    [ "$(readlink "/proc/$pid/cwd")" = "$(readlink -f "$server")" ]
} 2>/dev/null
state() { "$programs/pg_controldata" "$server" | sed -n 's/^Database cluster state: *//p'; }
may_go_on() { "$python" -m millions.programs.alone "$0" "$programs"; }
configure() {
    cp "$folder/first.conf" "$server/postgresql.conf" \
        && cp "$folder/pg_hba.conf" "$server/pg_hba.conf"
}
if runs; then
    if [ "$(state)" = "in production" ] && [ ! -f "$server/standby.signal" ]; then
        [ -f "$0/standalone" ] || may_go_on || exit
        configure || exit
        : >"$0/standalone"
        kill -HUP "$pid"
        exit
    fi
    "$programs/pg_ctl" stop -s -m fast -t 60 -D "$server" || exit
fi
if [ ! -f "$0/standalone" ] && [ ! -f "$0/follow" ]; then
    { [ "$(state)" = "shut down" ] && [ ! -f "$server/standby.signal" ]; } || may_go_on || exit
fi
if [ -f "$0/ends-recovery" ]; then
    if [ -f "$server/recovery.signal" ]
    then set -- "$@" -c restore_command=false
    else rm "$0/ends-recovery"
    fi
fi
configure || exit
: >"$0/standalone"
exec "$@"
"""
