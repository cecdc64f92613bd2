"""What was prepared is done again when the data is gone in which it was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.runtime import preparing
from millions.runtime.preparing import marker
from millions.runtime.state import Identity, StateFolder

if TYPE_CHECKING:
    from pathlib import Path


def test_only_what_was_prepared_in_the_data_of_others_is_forgotten(tmp_path: Path) -> None:
    identity = Identity(name="photos", stack_file=str(tmp_path / "millions.toml"), network=7)
    state = StateFolder(path=tmp_path, identity=identity, account=None)
    marks = [marker(state.unit(name), "key") for name in ("database.2", "web.1")]
    for mark in marks:
        mark.parent.mkdir(parents=True)
        mark.touch()
    (state.unit("database.2") / "data").mkdir()
    preparing.forget(state)
    assert [each.exists() for each in marks] == [True, False]
