"""What the user's own tests import: real servers in small, and waiting within bounds."""

from millions.testing.eventually import eventually

__all__ = ["eventually"]
