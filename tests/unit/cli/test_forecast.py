"""The plan that people see holds every round, and leads to a world where nothing is left to do."""

from __future__ import annotations

import dataclasses

import pytest

from millions.cli.forecast import forecast
from millions.model import Goal, Observed, Phase, Preparation, Process, Seen, Unit

DATABASE = Unit(
    name="database.1",
    tier="database",
    command=("postgres",),
    prepare=(Preparation(name="initialise", command=("initdb",), key="18"),),
    holds_data=True,
)
WEB = Unit(
    name="web.1",
    tier="web",
    command=("python", "1"),
    needs=("database.1",),
    handover=True,
    release="r1",
)
NEXT = dataclasses.replace(WEB, command=("python", "2"), release="r2")
SLOW_NEXT = dataclasses.replace(NEXT, handover=False)


def running(unit: Unit, *, prepared: tuple[str, ...] = ()) -> Seen:
    process = Process(number=1, spec=unit, phase=Phase.READY, since_s=0.0, changed_s=0.0)
    return Seen(
        name=unit.name,
        processes=(process,),
        prepared=frozenset(prepared),
        has_data=unit.holds_data,
        good=unit,
    )


BOTH = (running(DATABASE, prepared=("18",)), running(WEB))


@pytest.mark.parametrize(
    ("wanted", "seen", "lines"),
    [
        pytest.param(
            (DATABASE, WEB),
            (),
            [
                "prepare database.1 initialise: it was not done yet; nothing of it runs",
                f"start database.1 {DATABASE.revision}: nothing of it runs",
                "start web.1 r1: nothing of it runs",
            ],
            id="from nothing",
        ),
        pytest.param((DATABASE, WEB), BOTH, [], id="all is well"),
        pytest.param(
            (DATABASE, NEXT),
            BOTH,
            ["start web.1 r2: replaces r1", "stop web.1 #1: r2 is ready"],
            id="a release with a handover",
        ),
        pytest.param(
            (DATABASE, SLOW_NEXT),
            BOTH,
            ["stop web.1 #1: r2 is wanted", "start web.1 r2: nothing of it runs"],
            id="a release without one",
        ),
        pytest.param(
            (),
            BOTH,
            [
                "stop web.1 #1: not wanted",
                "forget web.1: not wanted",
                "stop database.1 #1: not wanted",
            ],
            id="to nothing, data is kept",
        ),
    ],
)
def test_every_round_is_foreseen(
    wanted: tuple[Unit, ...], seen: tuple[Seen, ...], lines: list[str]
) -> None:
    found = forecast(Goal(units=wanted), Observed(now_s=1000.0, units=seen))
    assert sorted(map(str, found)) == sorted(lines)


def test_what_is_under_way_is_taken_as_done() -> None:
    starting = dataclasses.replace(running(WEB).processes[0], phase=Phase.STARTING)
    seen = dataclasses.replace(running(WEB), processes=(starting,))
    wanted = Goal(units=(DATABASE, WEB))
    assert forecast(wanted, Observed(now_s=1.0, units=(BOTH[0], seen))) == ()
