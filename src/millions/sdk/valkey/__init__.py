"""A lean client for Valkey servers that may be away: every call is answered, or fails, soon.

It never repeats a command, and knows nothing of what the commands are for.
"""

from __future__ import annotations

from millions.sdk.valkey.link import Greeting, Link
from millions.sdk.valkey.wire import AwayError, Script, Wire

__all__ = ["AwayError", "Greeting", "Link", "Script", "Wire"]
