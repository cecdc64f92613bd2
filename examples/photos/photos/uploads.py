"""An uploaded file as bytes, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photos.pictures import MAX_UPLOAD_MIB, RefusedPictureError

if TYPE_CHECKING:
    from fastapi import UploadFile

MIB = 1024 * 1024


async def content_of(file: UploadFile | None) -> bytes:
    """Read an upload. Raise RefusedPictureError when none was chosen, or it is too large."""
    if file is None or not (file.filename or file.size):
        raise RefusedPictureError("Please choose a picture first.")
    content = await file.read(MAX_UPLOAD_MIB * MIB + 1)
    if len(content) > MAX_UPLOAD_MIB * MIB:
        raise RefusedPictureError(f"The file is larger than {MAX_UPLOAD_MIB} MiB.")
    return content
