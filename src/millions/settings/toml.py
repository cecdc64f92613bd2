"""Plain values as TOML writes them. tomllib reads; this writes, for examples and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast


def literal(value: object) -> str:
    """Answer `value` as it would stand after `key =` on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value).items()
        inside = ", ".join(f"{key} = {literal(each)}" for key, each in pairs)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(literal(each) for each in cast("list[Any]", value)) + "]"
    return json.dumps(str(value), ensure_ascii=False)
