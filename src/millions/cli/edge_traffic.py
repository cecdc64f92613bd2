"""What edges were asked for and gave: from their counters and their last requests. Pure.

The last requests are those that an edge still has in its memory, some 20,000; counters go back to
its start.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIELDS = (
    *("%{Varnish:side}x", "%{Varnish:handling}x", "%U", "%q", "%O"),
    *("%{X-Millions-Revalidate}o", "%{%s}t"),
)
FORMAT = "\t".join(FIELDS)
"""For varnishncsa. The header is set on what is kept, and on nothing else."""

ENOUGH = 50
"""Fewer requests, or objects, prove nothing."""

SELDOM = 0.1
PATHS_SHOWN = 20


@dataclass(slots=True, kw_only=True)
class Edge:
    """One edge since its start; `trouble` says why it told nothing."""

    name: str
    trouble: str = ""
    up_s: int = 0
    hits: int = 0
    misses: int = 0
    passes: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    objects: int = 0
    evicted: int = 0
    memory_bytes: int = 0

    @property
    def hit_ratio(self) -> float:
        """Hits among all that it was asked for."""
        return _ratio(self.hits, self.hits + self.misses + self.passes)


@dataclass(slots=True, kw_only=True)
class Path:
    """The last requests below one path; `never_hit` of its `objects` served only one of them."""

    path: str
    requests: int = 0
    hits: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    objects: int = 0
    never_hit: int = 0

    @property
    def hit_ratio(self) -> float:
        """Hits among its requests."""
        return _ratio(self.hits, self.requests)


@dataclass(slots=True, kw_only=True)
class Report:
    """The edges, and their last requests by path, the most bytes from web servers first."""

    edges: list[Edge] = field(default_factory=list["Edge"])
    paths: list[Path] = field(default_factory=list["Path"])
    requests: int = 0
    seconds: int = 0
    advice: list[str] = field(default_factory=list[str])

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        shown = asdict(self)
        told = (*shown["edges"], *shown["paths"])
        known: tuple[Edge | Path, ...] = (*self.edges, *self.paths)
        for one, each in zip(told, known, strict=True):
            one["hit_ratio"] = round(each.hit_ratio, 4)
        return shown


def edge(name: str, counters: Mapping[str, Mapping[str, Any]]) -> Edge:
    """Read the counters of one edge, as `varnishstat -1 -j` prints them."""

    def total(*endings: str) -> int:
        return sum(int(each["value"]) for key, each in counters.items() if key.endswith(endings))

    return Edge(
        name=name,
        up_s=total("MAIN.uptime"),
        hits=total("MAIN.cache_hit"),
        misses=total("MAIN.cache_miss"),
        passes=total("MAIN.s_pass"),
        bytes_out=total("MAIN.s_resp_hdrbytes", "MAIN.s_resp_bodybytes"),
        bytes_in=total(".beresp_hdrbytes", ".beresp_bodybytes"),
        objects=total("MAIN.n_object"),
        evicted=total("MAIN.n_lru_nuked"),
        memory_bytes=total("SMA.s0.g_bytes"),
    )


def report(edges: list[Edge], lines: Iterable[str]) -> Report:
    """Answer the report from counters and lines of FORMAT; lines of another shape are left out."""
    found: dict[str, Path] = {}
    kept: dict[str, set[str]] = {}
    hit: set[str] = set()
    made = Report(edges=edges)
    moments: list[int] = []
    for line in lines:
        parts = line.split("\t")
        if len(parts) != len(FIELDS) or parts[1] == "synth" or not parts[-1].isdigit():
            continue
        side, handling, path, query, sent, header, moment = parts
        one = found.setdefault(group(path), Path(path=group(path)))
        moments.append(int(moment))
        if side == "b":
            one.bytes_in += _number(sent)
            if header not in {"", "-"}:
                kept.setdefault(one.path, set()).add(path + query)
            continue
        made.requests += 1
        one.requests += 1
        one.bytes_out += _number(sent)
        if handling == "hit":
            one.hits += 1
            hit.add(path + query)
    for name, objects in kept.items():
        found[name].objects = len(objects)
        found[name].never_hit = len(objects - hit)
    made.paths = sorted(found.values(), key=lambda each: (-each.bytes_in, -each.bytes_out))
    made.seconds = max(moments) - min(moments) if moments else 0
    made.advice = [said for each in made.paths for said in advice(each)]
    return made


def group(path: str) -> str:
    """The first part of a path: `/photos/` for `/photos/7`, `/photos` for itself."""
    first, slash, _ = path.removeprefix("/").partition("/")
    return f"/{first}{slash}"


def advice(path: Path) -> list[str]:
    """What would be cheaper, in words; nothing while too little is known."""
    if path.requests >= ENOUGH and not path.objects and path.hit_ratio < SELDOM:
        said = (
            f"nothing below {path.path} is kept: edge.cache(response, …) where it is the same for "
            f'everybody, else [edge] around = ["{path.path}"]'
        )
        return [said]
    if path.objects >= ENOUGH and path.never_hit > path.objects * (1 - SELDOM):
        said = (
            f"{path.never_hit} of {path.objects} answers below {path.path} were asked for once: "
            f'they take the room of others; [edge] around = ["{path.path}"] leaves them out'
        )
        return [said]
    return []


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
