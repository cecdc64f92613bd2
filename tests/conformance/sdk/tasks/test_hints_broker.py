"""Losing the broker loses hints, never tasks: each runs once, a poll later at most."""

import signal

from millions.testing import eventually

POLL_AND_SLACK_S = 15
"""A poll takes 2 s at most; a busy machine may take longer."""


async def test_a_broker_that_is_killed_or_frozen_delays_tasks_by_a_poll(
    process, another_process, broker
):
    other = await another_process()
    other.recorder()
    async with other.tasks.worker(concurrency=2):
        record = process.recorder()
        broker.send(signal.SIGSTOP)
        try:
            await record.enqueue("frozen")
            await eventually(lambda: other.ran["frozen"] == 1, within_s=POLL_AND_SLACK_S)
        finally:
            broker.send(signal.SIGCONT)
        broker.stop()
        try:
            for number in range(200):
                await record.enqueue(number)
            await eventually(lambda: sum(other.ran.values()) == 201, within_s=POLL_AND_SLACK_S)
        finally:
            broker.start()
        await eventually(lambda: other.tasks._wake._link.connected, within_s=20)
        await record.enqueue("back")
        await eventually(lambda: other.ran["back"] == 1, within_s=POLL_AND_SLACK_S)
        assert set(other.ran.values()) == {1}
