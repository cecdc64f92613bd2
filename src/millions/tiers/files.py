"""Files: what people upload.

Runs: nothing of its own on rung 1; a folder of the stack that the web process reads and writes.
Gives: `files` of the directory.
Source: the embedded form of `sdk/files`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.directory import FilesPlace
from millions.settings import Table, setting
from millions.tiers.kind import Context, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping


class Files(Table):
    """Uploaded files."""

    max_mib: int = setting(
        50, "The largest file that is accepted.", unit="MiB", bounds=(1, 102_400)
    )


def gives(context: Context) -> Mapping[str, Any]:
    """Where they lie, and how large one may be."""
    max_mib = context.table("files", Files).max_mib
    return {"files": FilesPlace(folder=context.places.files_folder, max_mib=max_mib)}


TIER = Tier(name="files", index=5, rung=1, settings=Files, gives=gives)
