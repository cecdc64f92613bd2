"""Celery on Redis, acknowledging after the task ran."""

from __future__ import annotations

import os
import sys

from celery import Celery
from counting import Counter, Sending

BACK_S = float(os.environ.get("BENCH_BACK_S", "0"))
app = Celery("celery_peer", broker=os.environ["BENCH_URL"])
app.conf.update(
    task_acks_late=not os.environ.get("BENCH_EARLY"),
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)
if BACK_S:
    app.conf.broker_transport_options = {
        "visibility_timeout": BACK_S,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
counter = Counter()


@app.task(name="noop")
def noop(number: int) -> None:
    counter.count(number)


if __name__ == "__main__":
    with app.producer_pool.acquire() as producer:
        for each in Sending(int(sys.argv[1])):
            noop.apply_async((each,), producer=producer)
