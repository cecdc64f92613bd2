"""Dramatiq on Redis; it acknowledges after the actor ran."""

from __future__ import annotations

import os
import sys

import dramatiq
from counting import Counter
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ["BENCH_URL"])
dramatiq.set_broker(broker)
counter = Counter()


@dramatiq.actor(queue_name="noop")
def noop(_number: int) -> None:
    counter.count()


if __name__ == "__main__":
    for each in range(int(sys.argv[1])):
        noop.send(each)
