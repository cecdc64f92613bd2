"""What edges were asked for becomes a report: by path, and what had better not go by them."""

from __future__ import annotations

import pytest

from millions.cli import edge_traffic
from millions.cli.edge import size

COUNTERS = {
    "MAIN.uptime": {"value": 60},
    "MGT.uptime": {"value": 61},
    "MAIN.cache_hit": {"value": 90},
    "MAIN.cache_hit_grace": {"value": 7},
    "MAIN.cache_miss": {"value": 8},
    "MAIN.s_pass": {"value": 2},
    "MAIN.s_resp_hdrbytes": {"value": 100},
    "MAIN.s_resp_bodybytes": {"value": 900},
    "VBE.boot.origin.beresp_hdrbytes": {"value": 10},
    "VBE.boot.origin.beresp_bodybytes": {"value": 20},
    "MAIN.n_object": {"value": 5},
    "MAIN.n_objectcore": {"value": 6},
    "MAIN.n_lru_nuked": {"value": 1},
    "SMA.s0.g_bytes": {"value": 4096},
    "SMA.Transient.g_bytes": {"value": 9999},
}


def line(side: str, handling: str, path: str, sent: int, *, kept: bool = False, at: int = 0) -> str:
    query = "?" + path.partition("?")[2] if "?" in path else ""
    header = "10s" if kept else "-"
    parts = (side, handling, path.partition("?")[0], query, str(sent), header, str(1000 + at))
    return "\t".join(parts)


def test_counters_are_read_by_their_whole_names() -> None:
    found = edge_traffic.edge("edge.1", COUNTERS)
    assert (found.hits, found.misses, found.passes) == (90, 8, 2)
    assert found.hit_ratio == 0.9
    assert (found.bytes_out, found.bytes_in) == (1000, 30)
    assert (found.objects, found.evicted, found.memory_bytes, found.up_s) == (5, 1, 4096, 60)


def test_requests_are_counted_by_the_first_part_of_their_path() -> None:
    lines = [
        line("b", "-", "/photos/1", 100, kept=True),
        line("c", "miss", "/photos/1", 120),
        line("c", "hit", "/photos/1", 120, at=30),
        line("b", "-", "/photos/2?s=1", 100, kept=True),
        line("c", "miss", "/photos/2?s=1", 120),
        line("b", "-", "/who", 10),
        line("c", "pass", "/who", 12),
        line("c", "synth", "/readyz", 12),
        "a line of another shape",
    ]
    found = edge_traffic.report([], lines)
    photos, who = found.paths
    assert (photos.path, photos.requests, photos.hits) == ("/photos/", 3, 1)
    assert (photos.bytes_in, photos.bytes_out) == (200, 360)
    assert (photos.objects, photos.never_hit) == (2, 1)
    assert (who.path, who.requests, who.objects, who.hit_ratio) == ("/who", 1, 0, 0.0)
    assert (found.requests, found.seconds, found.advice) == (4, 30, [])
    assert found.document()["paths"][0]["hit_ratio"] == 0.3333


def test_what_is_never_kept_had_better_go_around() -> None:
    lines = [line("c", "miss", f"/api/{number}", 10) for number in range(50)]
    (said,) = edge_traffic.report([], lines).advice
    assert said.startswith("nothing below /api/ is kept")
    assert 'around = ["/api/"]' in said
    assert edge_traffic.report([], lines[1:]).advice == []


def test_what_is_asked_for_once_takes_the_room_of_others() -> None:
    once = [
        each
        for number in range(60)
        for each in (
            line("b", "-", f"/export/{number}", 10, kept=True),
            line("c", "miss", f"/export/{number}", 10),
        )
    ]
    (said,) = edge_traffic.report([], once).advice
    assert said.startswith("60 of 60 answers below /export/ were asked for once")
    often = [*once, *(line("c", "hit", f"/export/{number}", 10) for number in range(10))]
    assert edge_traffic.report([], often).advice == []


def test_without_a_request_there_is_an_empty_report() -> None:
    found = edge_traffic.report([], [])
    assert (found.requests, found.seconds, found.paths, found.advice) == (0, 0, [], [])


@pytest.mark.parametrize(
    ("path", "group"), [("/", "/"), ("/a", "/a"), ("/a/", "/a/"), ("/a/b/c", "/a/"), ("//x", "//")]
)
def test_the_first_part_of_a_path(path: str, group: str) -> None:
    assert edge_traffic.group(path) == group


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**50, "1024.0 TiB")]
)
def test_bytes_for_people(count: int, said: str) -> None:
    assert size(count) == said
