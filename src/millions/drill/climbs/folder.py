"""The folder of a climb: what was recorded, and the report that is made of it, as often as wanted.

history.jsonl samples.jsonl climb.jsonl drive.json        recorded
report.json report.html picture.svg                       made
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import orjson

from millions.climb import record
from millions.drill import history
from millions.drill.climbs import samples
from millions.drill.climbs.ascent import Ascent, Drive, ascent
from millions.drill.climbs.document import document
from millions.drill.climbs.page import page
from millions.drill.climbs.picture import picture
from millions.errors import HistoryError

if TYPE_CHECKING:
    from pathlib import Path

HISTORY, SAMPLES, EVENTS, DRIVE = "history.jsonl", "samples.jsonl", record.FILE, "drive.json"
REPORT, PAGE, PICTURE = "report.json", "report.html", "picture.svg"


def write_drive(folder: Path, drive: Drive) -> None:
    """Write what is known of the drive (blocking)."""
    (folder / DRIVE).write_bytes(
        orjson.dumps(dataclasses.asdict(drive), option=orjson.OPT_INDENT_2)
    )


def read(folder: Path) -> Ascent:
    """Read what was recorded and judge it (blocking). Raise HistoryError when it is not whole."""
    try:
        drive = Drive(**orjson.loads((folder / DRIVE).read_bytes()))
        events = read_events(folder / EVENTS)
    except (OSError, ValueError, TypeError) as error:
        raise HistoryError(
            cannot=f"read the climb in {folder}",
            because=str(error),
            try_="a folder that millions climb --drive has printed",
        ) from error
    found = samples.read(folder / SAMPLES)
    return ascent(drive, history.read(folder / HISTORY), events, found)


def judge(folder: Path) -> Ascent:
    """Read what was recorded, judge it and write the reports (blocking)."""
    found = read(folder)
    (folder / REPORT).write_bytes(orjson.dumps(document(found), option=orjson.OPT_INDENT_2))
    (folder / PAGE).write_text(page(found), encoding="utf-8")
    (folder / PICTURE).write_text(picture(found), encoding="utf-8")
    return found


def read_events(path: Path) -> tuple[record.Event, ...]:
    """Read the events of climbs (blocking); none when there is no file. Raise StateError."""
    try:
        return record.events(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
