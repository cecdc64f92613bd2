"""The numbers that an operator may want to change, read once from the environment."""

from __future__ import annotations

import os

CELEBRITY_FOLLOWERS = int(os.environ.get("PHOTOS_CELEBRITY_FOLLOWERS", "5000"))
"""From this many followers on, a new picture is not written to each follower's feed any more:
the followers merge it in when they read. Nobody ceases to be a celebrity again."""

SPREAD_BATCH = int(os.environ.get("PHOTOS_SPREAD_BATCH", "1000"))
"""How many feeds one task writes to: enough to be cheap, few enough to repeat after a crash."""

MAX_FOLLOWING = 5000
"""How many people one person may follow, so that a feed can be checked in one statement."""

PAGE = 12
"""Cards on one page of a feed."""

GRID = 24
"""Tiles on one page of a grid."""

ATTEMPTS_PER_ADDRESS = int(os.environ.get("PHOTOS_ATTEMPTS_PER_ADDRESS", "60"))
"""Logins, and apart from these new accounts, from one address in a quarter of an hour. Raise it
where many people share an address: offices, and the drills of this stack."""
