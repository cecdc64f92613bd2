"""Mends what a drill that was killed could not mend itself.

Continues frozen processes, removes rules from the network, and takes down throw-away stacks whose
drill is gone. Doing it twice does no harm.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from millions.drill import stage as stages
from millions.drill.faults import disk, network, signals
from millions.errors import MillionsError
from millions.runtime import processes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from millions.drill.stage import Stage


async def heal(running: Stage | None) -> AsyncIterator[str]:
    """Mend the running stack, and clear away the stages of drills that are gone; say what."""
    if running is not None:
        for said in _mended(running):
            yield said
    for root in _left():
        file = root / stages.NAME / "millions.toml"
        if file.exists():
            stage = stages.Stage(file, home=root / "home")
            for said in _mended(stage):
                yield said
            await stage.millions("down")
        disk.unmount(root)
        stages.erase(root)
        yield f"{root} is cleared away"


def _mended(stage: Stage) -> list[str]:
    said: list[str] = []
    with suppress(MillionsError):
        network.mend(stage)
        stopped = signals.frozen(stage)
        signals.thaw(stopped)
        if stopped:
            said.append(f"{len(stopped)} processes of {stage.file} go on")
    return said


def _left() -> list[Path]:
    """The folders of stages whose drill is gone."""
    found = sorted(Path(tempfile.gettempdir()).glob(f"{stages.PREFIX}*"))
    return [each for each in found if _is_left(each)]


def _is_left(root: Path) -> bool:
    """Whether the drill that made this folder is gone."""
    try:
        pid = int((root / stages.OWNER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return processes.identify(pid) is None
