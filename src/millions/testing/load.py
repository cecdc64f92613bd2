"""Load for tests: the clients of drills, for the tests of applications.

They repeat nothing and forgive nothing: a request that was sent and not answered as expected is a
failure, also when it was sent on a connection that the server had kept open.
"""

from millions.drill.connection import Answer, Connection, NotSentError, ask
from millions.drill.load import Load, Tally, get

__all__ = ["Answer", "Connection", "Load", "NotSentError", "Tally", "ask", "get"]
