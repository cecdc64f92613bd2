"""What is shown of a climb must be what is seen of it: steps, servers, requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from millions.cli.climbing.picture import STEPS_SHOWN, bars, latest, picture
from millions.cli.climbing.seen import RATES_KEPT, Seen, Told
from millions.cli.climbing.view import Lines
from millions.climb.record import Event, State
from millions.runtime.status import Status, UnitStatus

if TYPE_CHECKING:
    import pytest


def step(at_s: float, name: str, state: State, rungs: tuple[int, int] = (1, 2)) -> Event:
    return event(at_s, "step", name, state, rungs)


def event(at_s: float, kind: str, name: str, state: State, rungs: tuple[int, int]) -> Event:
    return Event(
        at_s=at_s,
        kind=kind,
        name=name,
        state=state,
        rung_from=rungs[0],
        rung_to=rungs[1],
        why="it is written so",
        said="",
    )


def seen(*events: Event, **more: object) -> Seen:
    found = Seen(name="photos", rung=1, began_at_s=100.0)
    found.now_s = 165.0
    found.events = list(events)
    for name, value in more.items():
        setattr(found, name, value)
    return found


def drawn(found: Seen) -> str:
    console = Console(width=120, highlight=False)
    with console.capture() as captured:
        console.print(picture(found))
    return captured.get()


def test_each_step_shows_how_far_it_is_and_how_long_it_took() -> None:
    said = drawn(
        seen(
            step(150.0, "database", "planned"),
            step(150.0, "balancer", "planned"),
            step(150.0, "cache", "planned"),
            event(150.0, "climb", "1 to 5", "began", (1, 5)),
            step(151.0, "database", "began"),
            step(155.5, "database", "ended"),
            step(156.0, "balancer", "began"),
        )
    )
    rows = {line.split()[1]: line for line in said.splitlines() if len(line.split()) > 1}
    assert rows["database"].startswith("✓")
    assert "4.5 s" in rows["database"]
    assert rows["balancer"].startswith("▸")
    assert "9.0 s" in rows["balancer"]
    assert rows["cache"].startswith("·")
    assert "rung 2 database" in said
    assert "1:05" in said


def test_a_climb_after_another_one_shows_its_own_steps() -> None:
    found = latest(
        [
            step(1.0, "old", "planned"),
            event(1.0, "climb", "1 to 2", "began", (1, 2)),
            step(1.0, "old", "began"),
            step(2.0, "old", "ended"),
            event(2.0, "climb", "1 to 2", "ended", (1, 2)),
            step(3.0, "new", "planned"),
            event(3.0, "climb", "2 to 3", "began", (2, 3)),
        ]
    )
    assert list(found) == ["new"]


def test_of_many_steps_the_one_under_way_is_among_those_shown() -> None:
    events = [event(1.0, "climb", "1 to 9", "began", (1, 9))]
    events += [step(1.0, f"s{n:02}", "began") for n in range(30)]
    events += [step(2.0, f"s{n:02}", "ended") for n in range(20)]
    said = drawn(seen(*events))
    assert "s20" in said
    assert sum(f"s{n:02}" in said for n in range(30)) == STEPS_SHOWN


def test_each_tier_has_a_box_with_a_dot_for_each_server() -> None:
    units = (
        UnitStatus(name="web.1", tier="web", phase="ready"),
        UnitStatus(name="web.2", tier="web", phase="starting"),
        UnitStatus(name="database.1", tier="database", phase="failing"),
    )
    said = drawn(seen(status=Status(generation=1, at_s=1.0, supervisor_pid=1, units=units)))
    assert "●◐" in said
    assert "✗" in said
    assert "─ web " in said


def test_requests_failures_and_the_longest_pause_are_told() -> None:
    found = seen()
    found.hear(Told(good=1234, failed=2, rate=98.0, p50=0.004, p99=0.02, pause_s=0.25))
    said = drawn(found)
    for each in ("98/s", "p50 4.0 ms", "p99 20 ms", "1,234 good", "2 failed", "pause 250 ms"):
        assert each in said


def test_only_the_newest_rates_are_kept() -> None:
    found = seen()
    for number in range(RATES_KEPT + 5):
        found.hear(Told(rate=float(number)))
    assert len(found.rates) == RATES_KEPT
    assert found.rates[-1] == RATES_KEPT + 4


def test_the_highest_bar_is_the_highest_rate() -> None:
    assert bars([0.0, 5.0, 10.0]) == " ▄█"
    assert bars([0.0, 0.0]) == ""


def test_elsewhere_each_event_is_told_once_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    found = seen(step(150.0, "database", "began"))
    lines.show(found)
    found.events.append(step(151.0, "database", "ended"))
    lines.show(found)
    lines.show(found)
    said = capsys.readouterr().err
    assert said.count("database begins: it is written so") == 1
    assert said.count("database is done") == 1
