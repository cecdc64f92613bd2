"""Tasks that run in a process of their own: it imports this module to find them."""

import os
import signal
import time

from millions.sdk.database import Database
from millions.sdk.tasks import Tasks

tasks = Tasks(Database())


@tasks.task(name="add", process=True, keep_s=60)
def add(one, other=1):
    return [one + other, os.getpid()]


@tasks.task(name="crash", process=True, retries=0)
def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


@tasks.task(name="fail", process=True, retries=0)
def fail():
    raise LookupError("not there")


@tasks.task(name="hang", process=True, retries=0, time_limit_s=0.3)
def hang():
    while True:
        try:
            time.sleep(60)  # sleeps: it imitates a call into C that nothing interrupts
        except BaseException:  # noqa: BLE001  # nor does it listen
            continue


@tasks.task(name="tell", process=True, keep_s=60)
def tell(until):
    tasks.current().progress(0.5, "half")
    while not os.path.exists(until):  # noqa: PTH110
        time.sleep(0.01)  # sleeps: the test says when it may go on
    return tasks.current().attempt


@tasks.task(name="alone", process=True)
def alone(folder, number):
    with open(f"{folder}/running", "x"):  # noqa: PTH123  # fails where there is one already
        time.sleep(0.02)  # sleeps: it imitates work, so that two at once would meet
    os.rename(f"{folder}/running", f"{folder}/{number}")  # noqa: PTH104
