"""A lean client for Valkey servers that may be away: every call is answered, or fails, soon.

It never repeats a command, and knows nothing of what the commands are for.
"""

from __future__ import annotations

from millions.sdk.valkey.link import Greeting, Link
from millions.sdk.valkey.wire import AwayError, RefusedError, Script, Wire

__all__ = ["AwayError", "Greeting", "Link", "RefusedError", "Script", "Wire"]
