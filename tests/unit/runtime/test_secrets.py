"""A generated secret must be one word in every server's own syntax, wherever it is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from millions.runtime import publish

if TYPE_CHECKING:
    from millions.runtime.state import StateFolder

NAMES = tuple(f"secret-{number}" for number in range(300))
PLAIN = re.compile(r"[A-Za-z]{45,}\n")
"""HAProxy takes a leading `-` for an option, NATS that or a digit for a number."""


def test_secrets_are_letters_alone_and_differ(state: StateFolder) -> None:
    publish.make_secrets(state, NAMES)
    made = [(state.secrets / name).read_text() for name in NAMES]
    assert [each for each in made if not PLAIN.fullmatch(each)] == []
    assert len(set(made)) == len(NAMES)


def test_a_secret_that_is_there_stays(state: StateFolder) -> None:
    publish.make_secrets(state, NAMES[:2])
    before = [(state.secrets / name).read_text() for name in NAMES[:2]]
    publish.make_secrets(state, NAMES[:2])
    assert [(state.secrets / name).read_text() for name in NAMES[:2]] == before
