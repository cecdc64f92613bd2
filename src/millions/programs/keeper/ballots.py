"""Ballots: what a member must remember of its votes, on the disk before anybody hears of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from millions.reconcile.election import Ballot

if TYPE_CHECKING:
    from pathlib import Path


class Ballots:
    """The file of one member's votes; its methods block for a flush of the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.current = self._read()

    def keep(self, ballot: Ballot) -> None:
        """Remember `ballot`, whatever happens to this machine from now on."""
        if ballot == self.current:
            return
        fresh = self._path.with_suffix(".new")
        with fresh.open("w", encoding="ascii") as file:
            json.dump({"term": ballot.term, "voted_for": ballot.voted_for}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.current = ballot

    def _read(self) -> Ballot:
        try:
            said = json.loads(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return Ballot()
        return Ballot(term=int(said["term"]), voted_for=str(said["voted_for"]))
