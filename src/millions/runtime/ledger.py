"""The ledger: the records of all units, in memory and on disk.

A record that cannot be written (a full disk) stays in memory, is said to be unsaved, and is written
later; nothing that runs is touched for that. Never reads what runs.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from millions.runtime import codec, files
from millions.runtime.record import TRY, ProcessRecord, UnitRecord

if TYPE_CHECKING:
    from millions.runtime.state import StateFolder

RECORD = "unit.json"


class Ledger:
    """Every unit's record by name. Each change is saved at once."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._records: dict[str, UnitRecord] = {}
        self._unsaved: set[str] = set()
        self.problem = ""

    def load(self) -> None:
        """Read every record (blocking). Raise StateError for one that cannot be read."""
        for folder in sorted(self._state.units.iterdir()):
            record = codec.read(UnitRecord, folder / RECORD, try_=TRY)
            if record is None and (folder / "data").is_dir():
                record = UnitRecord(name=folder.name)  # told about, so that it can be erased
            if record is not None:
                self._records[record.name] = record

    def records(self) -> tuple[UnitRecord, ...]:
        """All records, by name."""
        return tuple(self._records[name] for name in sorted(self._records))

    def get(self, name: str) -> UnitRecord:
        """The record of a unit; an empty one when there is none."""
        return self._records.get(name) or UnitRecord(name=name)

    def process(self, name: str, number: int) -> ProcessRecord | None:
        """One process of a unit; None when it is gone."""
        return self.get(name).process(number)

    def change(self, name: str, **changes: Any) -> UnitRecord:
        """Change fields of a record and save it."""
        record = dataclasses.replace(self.get(name), **changes)
        if self._records.get(name) != record:
            self._records[name] = record
            self._save(record)
        return record

    def change_process(self, name: str, number: int, **changes: Any) -> None:
        """Change fields of one process and save its unit's record; nothing when it is gone."""
        self.change(
            name,
            processes=tuple(
                dataclasses.replace(each, **changes) if each.number == number else each
                for each in self.get(name).processes
            ),
        )

    def drop(self, name: str) -> None:
        """Remove the record of a unit."""
        self._records.pop(name, None)
        self._unsaved.discard(name)
        (self._state.unit(name) / RECORD).unlink(missing_ok=True)

    def flush(self) -> None:
        """Try again to write what could not be written."""
        self.problem = ""
        for name in sorted(self._unsaved):
            self._save(self._records[name])

    def _save(self, record: UnitRecord) -> None:
        path = self._state.unit(record.name) / RECORD
        try:
            files.write(path, record.text())
            self._unsaved.discard(record.name)
        except OSError as error:
            self._unsaved.add(record.name)
            self.problem = f"cannot write {path}: {error.strerror or error}; what runs goes on"
