"""The files of a unit as they lie on the disk: placeholders replaced, a line for each server.

Never leaves the unit's folder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from millions.runtime import files, placeholders

if TYPE_CHECKING:
    from millions.model import Pool, Unit
    from millions.runtime.state import StateFolder

_SERVERS = re.compile(r"^([ \t]*)\{servers ?([a-z]*)\}[ \t]*\n?", re.MULTILINE)

INDENT = "    "
"""Before each server where the placeholder itself stands at the left edge."""


def render(state: StateFolder, spec: Unit) -> None:
    """Write the files of a unit (blocking), its servers where {servers} stands."""
    known, root = placeholders.places(state, spec), state.unit(spec.name)
    for file in spec.files:
        content = placeholders.filled(with_servers(file.content, spec.pool), known)
        files.write_below(root, file.path, content, mode=file.mode, owner=state.account)


def with_servers(content: str, pool: Pool | None) -> str:
    """`content` with a line for each server of the pool."""
    if pool is None or "{servers" not in content:
        return content

    def shown(found: re.Match[str]) -> str:
        return "".join(
            f"{found[1] or INDENT}server {each.unit} {each.address} "
            f"{each.options or pool.options} weight {each.weight}\n"
            for each in pool.servers
            if each.backend == found[2]
        )

    return _SERVERS.sub(shown, content)
