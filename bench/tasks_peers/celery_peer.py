"""Celery on Redis, acknowledging after the task ran."""

from __future__ import annotations

import os
import sys

from celery import Celery
from counting import Counter

app = Celery("celery_peer", broker=os.environ["BENCH_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)
counter = Counter()


@app.task(name="noop")
def noop(_number: int) -> None:
    counter.count()


if __name__ == "__main__":
    with app.producer_pool.acquire() as producer:
        for each in range(int(sys.argv[1])):
            noop.apply_async((each,), producer=producer)
