"""Sharing: which servers each pool should have now, and how a running process is told.

Pure. A server joins when its unit is ready and leaves before that is stopped; in between it stays,
because the balancer's own checks are quicker than we are.

Source: the endpoints of a Kubernetes service, whose pods leave it before they are stopped.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from millions.model import Phase, Pool, Process, Reload, Server, Share, Unit
from millions.reconcile import groups, rollout
from millions.reconcile.heirs import serves
from millions.reconcile.rollout import Former

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.reconcile.view import View


class Sharing:
    """One round's pools. `leaving` are units that still get requests and the one that sends them.

    They are those that shall not get any more, because they are about to be replaced.
    """

    __slots__ = ("_due", "_view", "leaving")

    def __init__(self, view: View) -> None:
        self._view = view
        pooled = list(_pooled(view))
        self._due = _due(view) if pooled else frozenset[str]()
        self.leaving: dict[str, str] = {}
        for name, process, pool in pooled:
            unit = view.wanted.get(name)
            if unit is None or process.phase is Phase.STOPPING:
                stay = view.wanted.keys() - self._due  # it is not told any more
            else:
                stay = {each.unit for each in self._pool(unit, pool, pool).servers}
            for each in pool.servers:
                if each.unit not in stay:
                    self.leaving[each.unit] = name

    def spec(self, spec: Unit, unit: Unit, running: Pool | None = None) -> Unit:
        """`spec` of the wanted `unit` with the servers that it should have now.

        `running` is the pool of its process: what is in there stays for as long as it is wanted.
        """
        if spec.pool is None:
            return spec
        return dataclasses.replace(spec, pool=self._pool(unit, spec.pool, running))

    def asker(self, name: str, process: Process, aim: Unit) -> str:
        """Who still asks a process at an address that its unit shall not have any more; or ''."""
        for other, _, pool in _pooled(self._view):
            for each in pool.servers:
                old = each.address in process.spec.public and each.address not in aim.public
                if each.unit == name and old:
                    return other
        return ""

    def change(self, process: Process, aim: Unit, unit: Unit) -> Reload | Share | None:
        """What a running process has to be told; None when it knows everything."""
        if process.phase not in (Phase.READY, Phase.UNREADY) or process.changing:
            return None
        known = process.spec
        same = known.revision == aim.revision
        spec = self.spec(aim if same else known, unit, known.pool)
        if spec.reload and spec.files != known.files:
            return _reload(process, spec, "its files changed")
        if spec.pool == known.pool:
            return None
        if spec.pool is None or known.pool is None or _shape(spec.pool) != _shape(known.pool):
            return _reload(process, spec, "its pool is another one") if spec.reload else None
        why = _difference(known.pool, spec.pool)
        return Share(unit=unit.name, why=why, number=process.number, spec=spec)

    def _pool(self, unit: Unit, pool: Pool, running: Pool | None) -> Pool:
        view = self._view
        same = unit.pool is not None and unit.pool.backend == pool.backend
        candidates = unit.pool.servers if unit.pool is not None and same else pool.servers
        known = {each.unit: each for each in running.servers} if running is not None else {}
        able: list[Server] = []
        for each in candidates:
            if each.unit not in view.wanted:
                continue
            former = known.get(each.unit)
            if (former and former.address == each.address) or serves(each.unit, each.address, view):
                able.append(each)
            elif former is not None:  # it is to move, and does not answer there yet
                able.append(dataclasses.replace(former, draining=False))
        steady = {each.unit for each in able if each.unit not in self._due}
        lasting = {each.backend for each in able if each.unit in steady}
        servers = (each for each in able if each.unit in steady or each.backend not in lasting)
        return dataclasses.replace(pool, servers=tuple(servers))


def _reload(process: Process, spec: Unit, why: str) -> Reload:
    return Reload(unit=spec.name, why=why, number=process.number, spec=spec)


def _pooled(view: View) -> Iterator[tuple[str, Process, Pool]]:
    """Every process that has a pool, with the name of its unit."""
    for name, seen in view.seen.items():
        for process in seen.processes:
            if process.spec.pool is not None:
                yield name, process, process.spec.pool


def _due(view: View) -> frozenset[str]:
    """The units whose process is stopped next so that another revision can start.

    With a handover the address serves on, so such a unit stays where it is.
    """
    return frozenset(
        name
        for name, aim in view.aims.items()
        if not aim.handover
        and not view.of(name).busy
        and rollout.current(view.of(name), aim.revision) is None
        and rollout.former_stand(view.of(name).processes) is Former.RUNNING
        and view.unmet(aim) is None
        and not groups.blocker(name, view)
    )


def _shape(pool: Pool) -> tuple[str, str, str]:
    return pool.socket, pool.backend, pool.options


def _difference(before: Pool, after: Pool) -> str:
    """Who joins and who leaves, in words."""
    old, new = ({each.unit: each for each in pool.servers} for pool in (before, after))
    parts = [f"{name} joins" for name in new if name not in old]
    parts += [f"{name} leaves" for name in old if name not in new]
    parts += [f"{name} changes" for name in new if name in old and new[name] != old[name]]
    return ", ".join(parts) or "the order changes"
