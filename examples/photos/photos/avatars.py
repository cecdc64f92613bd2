"""Avatars without pictures: initials on a colour of their own, the same on every page."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

HUES = 24
"""Distinct enough at a glance; more would look alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Avatar:
    """`initials` in white on a gradient from `light` to `dark`, CSS colours."""

    initials: str
    light: str
    dark: str
    key: str


def avatar(*, handle: str, name: str) -> Avatar:
    """The avatar of a person: the colour follows the handle, which never changes."""
    words = [word for word in name.split() if word[:1].isalnum()] or [handle]
    initials = (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()
    turn = zlib.crc32(handle.encode()) % HUES
    hue = turn * 360 // HUES
    return Avatar(
        initials=initials,
        light=f"hsl({hue} 62% 56%)",
        dark=f"hsl({(hue + 40) % 360} 66% 42%)",
        key=f"a{turn}",
    )
