"""By what an administrator tells the SDK's connections apart in `pg_stat_activity`.

Apart from what opens them, so that the command line does not import that.
"""

from __future__ import annotations

NAME_MAX = 24
"""Characters of a process' name. PostgreSQL keeps 63 bytes of it, the place takes up to 27."""

WATCH = " watch"
"""How the name of a connection ends that looks at a server."""

HELD = "/* held */"
"""How the last look of a process begins that begins no transactions on the primary: the one who is
about to stop it sees that everybody has heard."""
