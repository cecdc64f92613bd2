"""Texts as PostgreSQL can keep them."""

from __future__ import annotations


def storable(text: str) -> str:
    """Answer the text without NUL and halves of surrogate pairs, which it refuses."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
