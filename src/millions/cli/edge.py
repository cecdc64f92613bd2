"""`millions edge`."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from millions import directory
from millions.cli import edge_traffic
from millions.cli.engines import which
from millions.cli.opened import running_state
from millions.cli.running import required
from millions.errors import MachineError, StackFileError, UnavailableError

if TYPE_CHECKING:
    from millions.cli.edge_traffic import Edge, Report
    from millions.runtime.state import StateFolder

TIER = "edge"
ANSWER_WITHIN_S = 30.0
KIB = 1_024
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@click.group("edge")
def command() -> None:
    """Say what edges gave and fetched, and what had better not go by them."""


@command.command("report")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def report(ctx: click.Context, *, as_json: bool) -> None:
    """Say what each edge gave and fetched, by path, and what had better not go by edges.

    Counters go back to the start of each edge. What is said of paths is of the last requests, those
    that edges still have in memory: some 20,000.
    """
    state = running_state(ctx)
    names = [unit.name for unit in required(state).units if unit.tier == TIER]
    if not names:
        raise _none(directory.read(state.directory).edge.base_url)
    made = edge_traffic.report(*told(state, names))
    if as_json:
        click.echo(json.dumps(made.document()))
    else:
        _print(made)


def _none(network: str) -> StackFileError:
    """What is said when there are no edges; `network` is the delivery network in their place."""
    if network:
        return StackFileError(
            cannot="report on edges",
            because=f"the delivery network {network} stands in their place",
            try_="the reports of the network itself",
        )
    return StackFileError(
        cannot="report on edges", because="the stack has none", try_="[edge] servers = 2"
    )


def told(state: StateFolder, names: list[str]) -> tuple[list[Edge], list[str]]:
    """Answer what each edge counted, and the last requests of all (blocking, bounded).

    One that says nothing is there with its trouble.
    """
    edges: list[Edge] = []
    lines: list[str] = []
    for name in names:
        try:
            made = edge_traffic.edge(name, _counters(state, name))
            lines += _last_requests(state, name)
        except UnavailableError as error:
            made = edge_traffic.Edge(name=name, trouble=error.because)
        edges.append(made)
    return edges, lines


def _counters(state: StateFolder, name: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, dict[str, object]]] = json.loads(
        _said(state, name, "varnishstat", "-1", "-j")
    )
    return found["counters"]


def _last_requests(state: StateFolder, name: str) -> list[str]:
    words = ("-d", "-b", "-c", "-F", edge_traffic.FORMAT)
    return _said(state, name, "varnishncsa", *words).splitlines()


def _said(state: StateFolder, name: str, program: str, *words: str) -> str:
    """What a program of Varnish says of a running edge (blocking, bounded)."""
    found = which(program)
    if found is None:
        raise MachineError(
            cannot="report on edges",
            because=f"there is no program {program} on this machine",
            try_="apt-get install varnish",
        )
    try:
        asked = subprocess.run(
            [found, "-n", str(state.unit(name) / "work"), *words],
            capture_output=True,
            timeout=ANSWER_WITHIN_S,
            check=True,
        )
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", b"") or b""
        raise UnavailableError(
            cannot=f"report on {name}",
            because=said.decode(errors="replace").strip() or str(error),
            try_="millions status",
        ) from error
    return asked.stdout.decode(errors="replace")


def _print(made: Report) -> None:
    console = Console()
    table = _table(
        "edge", "up", "hits", "misses", "passed on", "ratio", "out", "in", "kept", "evicted"
    )
    for each in made.edges:
        if each.trouble:
            table.add_row(each.name, "away")
            continue
        table.add_row(
            *(each.name, f"{each.up_s} s", str(each.hits), str(each.misses), str(each.passes)),
            *(f"{each.hit_ratio:.1%}", size(each.bytes_out), size(each.bytes_in)),
            *(f"{each.objects} ({size(each.memory_bytes)})", str(each.evicted)),
        )
    console.print(table)
    for each in made.edges:
        if each.trouble:
            click.echo(f"{each.name} is away: {each.trouble}")
    click.echo(f"\nthe last {made.requests} requests, of {made.seconds} s")
    paths = _table("path", "requests", "ratio", "out", "in", "kept", "never asked for again")
    for path in made.paths[: edge_traffic.PATHS_SHOWN]:
        paths.add_row(
            *(path.path, str(path.requests), f"{path.hit_ratio:.1%}", size(path.bytes_out)),
            *(size(path.bytes_in), str(path.objects), str(path.never_hit)),
        )
    console.print(paths)
    for said in made.advice:
        click.echo(f"- {said}")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def size(count: float) -> str:
    """Bytes for people: `1.5 MiB`."""
    for unit in UNITS[:-1]:
        if count < KIB:
            return f"{count:.0f} {unit}" if unit == UNITS[0] else f"{count:.1f} {unit}"
        count /= KIB
    return f"{count:.1f} {UNITS[-1]}"
