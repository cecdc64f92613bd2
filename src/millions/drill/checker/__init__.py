"""The checker of histories: reads what clients recorded, says which promises were broken."""

from millions.drill.checker.check import PROMISES, Verdict, check
from millions.drill.checker.finding import Finding

__all__ = ["PROMISES", "Finding", "Verdict", "check"]
