"""What tiers use is added up from look to look, whatever starts and ends between two of them."""

from __future__ import annotations

import os
import subprocess
import sys

from millions.runtime.usage import added, cpu_s, memory_bytes

WEB, OTHER = ("web", "web.1"), ("web", "web.2")
ENDS_WITHIN_S = 30


def test_the_first_look_gains_nothing_however_much_was_used_before() -> None:
    assert added({}, None, {WEB: 100.0}) == {"web": 0.0}


def test_a_tier_gains_what_its_units_gained() -> None:
    found = added({"web": 5.0}, {WEB: 100.0, OTHER: 7.0}, {WEB: 101.5, OTHER: 7.5})
    assert found == {"web": 7.0}


def test_a_unit_that_is_new_has_gained_all_it_used() -> None:
    assert added({"web": 5.0}, {WEB: 100.0}, {WEB: 100.0, OTHER: 2.0}) == {"web": 7.0}


def test_a_tier_never_falls_when_a_process_is_gone() -> None:
    assert added({"web": 5.0}, {WEB: 100.0, OTHER: 50.0}, {WEB: 90.0}) == {"web": 5.0}


def test_time_and_memory_of_a_process_are_read_and_are_nothing_once_it_is_gone() -> None:
    work = "x = bytearray(30 << 20)\nfor n in range(3_000_000): n * n\nprint(flush=True)\ninput()"
    process = subprocess.Popen(
        [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert cpu_s(process.pid) > 0.02
    assert memory_bytes(process.pid) > 30 << 20
    before = cpu_s(os.getpid(), children=False)
    with_children = cpu_s(os.getpid())
    process.communicate(b"\n", timeout=ENDS_WITHIN_S)
    assert (cpu_s(process.pid), memory_bytes(process.pid)) == (0.0, 0)
    gained_by_children = cpu_s(os.getpid()) - with_children
    assert gained_by_children > cpu_s(os.getpid(), children=False) - before
