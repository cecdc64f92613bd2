"""Dramatiq on Redis; it acknowledges after the actor ran."""

from __future__ import annotations

import os
import sys

import dramatiq
from counting import Counter, Sending
from dramatiq.brokers.redis import RedisBroker

BACK_S = float(os.environ.get("BENCH_BACK_S", "0"))
BACK = {"heartbeat_timeout": int(BACK_S * 1000), "maintenance_chance": 100_000} if BACK_S else {}
broker = RedisBroker(url=os.environ["BENCH_URL"], **BACK)
dramatiq.set_broker(broker)
counter = Counter()


@dramatiq.actor(queue_name="noop")
def noop(number: int) -> None:
    counter.count(number)


if __name__ == "__main__":
    for each in Sending(int(sys.argv[1])):
        noop.send(each)
