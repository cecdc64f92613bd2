"""The steps of a move: every one can be gone on from, and none leads back behind the promotion."""

from __future__ import annotations

import pytest

from millions.cli.moving import control_data
from millions.reconcile import moves
from millions.reconcile.moves import FORWARD, TABLE, Event, Step

STANDING = [step for step in Step if step is not Step.DONE]


@pytest.mark.parametrize("step", STANDING, ids=lambda step: step.value)
@pytest.mark.parametrize("event", [Event.GIVEN_UP, Event.TRIED_AGAIN], ids=lambda each: each.value)
def test_a_move_that_was_broken_off_can_be_gone_on_with(step: Step, event: Event) -> None:
    assert (step, event) in TABLE


@pytest.mark.parametrize("step", sorted(FORWARD, key=lambda step: step.value))
def test_nothing_leads_back_once_the_new_server_may_have_taken_writes(step: Step) -> None:
    assert {to for (since, _), to in TABLE.items() if since is step} <= FORWARD | {Step.DONE}


def test_the_new_server_counts_only_from_its_proof_on() -> None:
    homes = {step: moves.home(step, origin=1, target=2) for step in STANDING}
    assert {step for step, home in homes.items() if home == 2} == FORWARD
    into = {(since, event) for (since, event), to in TABLE.items() if to in FORWARD}
    assert {since for since, event in into if since not in FORWARD} == {Step.STOPPING}
    assert (Step.STOPPING, Event.PROVEN) in into


def test_every_move_can_end() -> None:
    ended = {Step.DONE}
    while True:
        more = {since for (since, _), to in TABLE.items() if to in ended} | ended
        if more == ended:
            break
        ended = more
    assert ended == set(Step)


def test_control_data_is_read_from_what_the_program_prints() -> None:
    said = (
        "pg_control version number:            1800\n"
        "Database system identifier:           7576543210987654321\n"
        "Database cluster state:               shut down\n"
        "Latest checkpoint location:           0/1955838\n"
        "Latest checkpoint's TimeLineID:       3\n"
        "Minimum recovery ending location:     0/1955900\n"
        "Min recovery ending loc's timeline:   2\n"
    )
    found = control_data.parse(said)
    assert found.stopped_cleanly
    assert (found.checkpoint, found.timeline) == ("0/1955838", 3)
    assert (found.replayed, found.replayed_timeline) == ("0/1955900", 2)
    assert not control_data.parse(said.replace("shut down", "in production")).stopped_cleanly
