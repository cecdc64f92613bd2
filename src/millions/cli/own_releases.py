"""The releases of tiers that run another one than the rest: what `deploy --only` has made of them.

They count beside the release that the others ran then, and for no longer. They are noted once a
deploy is done, so what broke one off is undone by the next change.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from millions.runtime import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from millions.runtime.state import StateFolder


def read(state: StateFolder, release: str) -> dict[str, str]:
    """Answer the own release of each tier that has one beside `release`."""
    path = _path(state)
    if not path.exists():
        return {}
    noted: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return noted.get(release, {})


def note(state: StateFolder, release: str, own: Mapping[str, str]) -> None:
    """Keep that these tiers run another release than `release`; none when there is none."""
    files.write(_path(state), json.dumps({release: dict(own)} if own else {}))


def _path(state: StateFolder) -> Path:
    return state.path / "own-releases.json"
