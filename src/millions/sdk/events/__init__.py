"""`events`: what happened, told to every process that wants to hear of it at that moment.

The parts: `noun` publishes and subscribes, `envelope` is what travels.
"""

from millions.sdk.events.envelope import Event
from millions.sdk.events.noun import Events
from millions.sdk.events.subscription import Subscription

__all__ = ["Event", "Events", "Subscription"]
