"""What people's own users have answered is counted over web servers that come, go and die."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.cli.climbing.users import Users
from millions.reconcile.canary import Sample
from millions.runtime.status import Status, UnitStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

BOUNDS_S = (0.01, 0.1)


class Servers:
    """What each process would say of itself, by its number."""

    def __init__(self) -> None:
        self.said: dict[int, Sample] = {}

    def answered(self, pid: int, requests: int, *, errors: int = 0, slow: int = 0) -> None:
        counts = (requests - slow, slow, 0)
        self.said[pid] = Sample(requests=requests, errors=errors, bounds_s=BOUNDS_S, counts=counts)

    def sample(self, units: Iterable[UnitStatus]) -> Sample:
        (unit,) = units
        return self.said.get(unit.pid or 0, Sample())


def status(*pids: int | None) -> Status:
    units = tuple(
        UnitStatus(name=f"web.{number}", tier="web", phase="ready", pid=pid)
        for number, pid in enumerate(pids, start=1)
    )
    balancer = UnitStatus(name="balancer.1", tier="balancer", phase="ready", pid=99)
    return Status(generation=1, at_s=1.0, supervisor_pid=1, units=(*units, balancer))


def test_what_was_answered_before_does_not_count_and_a_new_process_counts_from_its_begin() -> None:
    servers = Servers()
    users = Users(servers.sample)
    servers.answered(1, 1_000, errors=7)
    assert users.look(status(1), 10.0).good == 0
    servers.answered(1, 1_090, errors=8, slow=9)
    servers.answered(2, 10)
    told = users.look(status(1, 2), 12.0)
    assert (told.good, told.failed, told.rate) == (99, 1, 50.0)
    assert told.p50 < 0.01 < told.p99 <= 0.1
    assert told.pause_s is None


def test_one_that_does_not_answer_is_counted_when_it_does_again_and_one_that_died_is_kept() -> None:
    servers = Servers()
    users = Users(servers.sample)
    servers.answered(1, 10)
    users.look(status(1), 1.0)
    servers.said.clear()
    assert users.look(status(1), 2.0).good == 0
    servers.answered(1, 30)
    assert users.look(status(1), 3.0).good == 20
    servers.answered(5, 4)  # another process of the same server
    told = users.look(status(5), 4.0)
    assert (told.good, told.rate) == (24, 4.0)
    assert users.look(None, 5.0).good == 24
