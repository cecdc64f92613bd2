"""What the placeholders in a unit's texts stand for on this machine. Touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millions.model import Unit
    from millions.runtime.state import StateFolder


def places(state: StateFolder, spec: Unit) -> dict[str, str]:
    """What each placeholder of this unit stands for."""
    folder = state.unit(spec.name)
    found = {
        "{folder}": str(folder),
        "{run}": str(state.run),
        "{secrets}": str(state.secrets),
        "{directory}": str(state.directory),
    }
    if spec.holds_data:
        found["{data}"] = str(folder / "data")
    return found


def filled(text: str, places: dict[str, str]) -> str:
    """`text` with its placeholders replaced; other braces stay as they are."""
    if "{" in text:
        for name, value in places.items():
            text = text.replace(name, value)
    return text
