"""Edges before the web servers must be missed by nobody: killed, frozen, added, taken away."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from site_stack import HOST, post, said

from millions.runtime import processes
from millions.testing import eventually
from millions.testing.load import Connection, ask, get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from site_stack import Site

    from millions.runtime.processes import Identity
    from millions.testing.load import Answer

CLIENTS = 12
KILLS = 4
EDGES = "[edge]\nservers = 2\nmemory_mib = 32\n"


@pytest.fixture(scope="module")
def site(new_site: Callable[[str], Site]) -> Site:
    """A stack with a balancer, two web servers and two edges, which is up."""
    made = new_site("edges")
    made.edit("[database]\n", f"{EDGES}\n[database]\n")
    made.millions("up", "--detach")
    return made


def pages(number: int) -> bytes:
    """Kept for long, kept for a moment, and not kept; one in ten by somebody with a cookie."""
    paths = (f"/public/{number % 50}", f"/public/{number % 7}?s=1", "/who", "/public/hot")
    cookie = "cookie: a=b\r\n" if number % 10 == 0 else ""
    return f"GET {paths[number % 4]} HTTP/1.1\r\nhost: photos.test\r\n{cookie}\r\n".encode()


def freeze(site: Site, name: str) -> list[Identity]:
    """Stop the process of an edge, and its child, which answers; whom."""
    pid = site.pid(name)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = [processes.identify(each) for each in (pid, *map(int, children))]
    frozen = [each for each in found if each is not None]
    assert len(frozen) > 1
    for each in frozen:
        assert processes.send(each, signal.SIGSTOP)
    return frozen


def state(site: Site, name: str) -> str:
    """What the balancer thinks of an edge; '' when it does not know it."""
    rows = said(site.state / "run" / "balancer.1.sock", "show stat")
    found = [row["status"] for row in rows if (row["pxname"], row["svname"]) == ("edges", name)]
    return found[0] if found else ""


async def up(site: Site, *names: str) -> None:
    await eventually(site.well, within_s=60)
    await eventually(lambda: all(state(site, each) == "UP" for each in names), within_s=60)


async def more(load: object, count: int) -> None:
    before = load.tally.sent  # type: ignore[attr-defined]
    await eventually(lambda: load.tally.sent > before + count, within_s=60)  # type: ignore[attr-defined]


def came(answer: Answer) -> str:
    """How an answer came: by which edge, and whether it was kept there; '' for a web server."""
    return answer.headers.get("cache-status", "")


async def test_what_is_the_same_for_all_comes_from_an_edge(site: Site) -> None:
    await up(site, "edge.1", "edge.2")
    first = await site.page("/public/first")
    again = await site.page("/public/first")
    assert re.fullmatch(r"edge\.[12]; fwd=miss", came(first)), first.headers
    assert came(again) == came(first).replace("fwd=miss", "hit")
    assert again.body == first.body
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


@pytest.mark.parametrize("header", ["Cookie: a=b", "Authorization: Bearer x"])
async def test_who_is_known_is_answered_by_a_web_server(site: Site, header: str) -> None:
    await site.page("/public/known")
    answers = [await site.page("/public/known", header) for _ in range(2)]
    assert [came(each) for each in answers] == ["", ""]
    assert answers[0].body != answers[1].body


async def test_a_file_comes_from_an_edge_for_who_has_its_url_whatever_the_cookie(
    site: Site,
) -> None:
    url = (await site.page("/stored")).body.decode()
    first = await site.page(url, "Cookie: a=b")
    again = await site.page(url, "Cookie: c=d")
    assert (first.body, again.body) == (b"what a file holds", b"what a file holds")
    assert came(again).endswith("; hit"), (first.headers, again.headers)
    assert "cdn-cache-control" not in again.headers
    assert "private" in again.headers["cache-control"]
    assert (await site.page(url.replace("key=", "key=x"))).status == 404


async def test_edges_share_paths_and_each_path_has_one(site: Site) -> None:
    await up(site, "edge.1", "edge.2")
    names = {came(await site.page(f"/public/share-{n}")).partition(";")[0] for n in range(30)}
    assert names == {"edge.1", "edge.2"}
    kept = [came(await site.page(f"/public/share-{n}")) for n in range(30)]
    assert all(each.endswith("; hit") for each in kept), kept


async def test_killed_edges_fail_no_request(site: Site) -> None:
    await up(site, "edge.1", "edge.2")
    async with site.load(pages, clients=CLIENTS) as load:
        await more(load, 200)
        site.kill("edge.1")
        await eventually(lambda: state(site, "edge.1").startswith("DOWN"), within_s=30)
        await more(load, 100)
        site.kill("edge.2")
        await more(load, 100)
        await up(site, "edge.1", "edge.2")
        for name in ("edge.1", "edge.2"):
            site.kill(name)
        await more(load, 400)
        await up(site, "edge.1", "edge.2")
    in_the_middle = load.tally.failures["closed in the middle of an answer"]
    assert load.tally.failed == in_the_middle, load.tally.examples
    assert in_the_middle <= KILLS, "an answer of which a part was sent cannot be had elsewhere"


async def test_a_frozen_edge_fails_no_request_and_is_replaced(site: Site) -> None:
    await up(site, "edge.1", "edge.2")
    former = site.pid("edge.1")
    async with site.load(pages, clients=CLIENTS) as load:
        await more(load, 200)
        freeze(site, "edge.1")
        await eventually(lambda: state(site, "edge.1").startswith("DOWN"), within_s=30)
        await more(load, 400)
        await up(site, "edge.1", "edge.2")
        assert site.pid("edge.1") != former
        await more(load, 100)
    assert load.tally.failed == 0, load.tally.examples
    assert load.tally.latency_s(1.0) < 15, load.tally


async def test_edges_come_go_and_change_without_a_failed_request(site: Site) -> None:
    await up(site, "edge.1", "edge.2")
    before = site.pid("edge.1")
    async with site.load(pages, clients=CLIENTS) as load:
        site.edit("[edge]\nservers = 2", "[edge]\nservers = 3")
        await asyncio.to_thread(site.millions, "up", "--detach")
        await up(site, "edge.1", "edge.2", "edge.3")
        site.edit("servers = 3\nmemory_mib = 32", "servers = 2\nmemory_mib = 40")
        await asyncio.to_thread(site.millions, "up", "--detach")
        await up(site, "edge.1", "edge.2")
        assert site.pid("edge.1") != before
        assert state(site, "edge.3") == ""
    assert load.tally.failed == 0, load.tally.examples


async def test_edges_go_and_come_while_browsers_keep_connections_that_are_idle(site: Site) -> None:
    await up(site, "edge.1", "edge.2")
    balancer = site.pid("balancer.1")
    table = re.search(r"\[edge\]\n(?:.+\n)+", site.file.read_text())
    assert table is not None
    browsers = [Connection(HOST, site.port) for _ in range(3)]
    asked = get("/public/idle")(0)
    for each in browsers:
        assert came(await each.ask(asked))
    async with site.load(pages, clients=CLIENTS) as load:
        site.edit(table.group(), "")
        await asyncio.to_thread(site.millions, "up", "--detach")
        late = await browsers[0].ask(asked)  # by a worker that knows edges, of which there are none
        assert (late.status, came(late)) == (200, "")
        await more(load, 100)
        site.edit("[database]\n", f"{table.group()}\n[database]\n")
        await asyncio.to_thread(site.millions, "up", "--detach")
        await up(site, "edge.1", "edge.2")
        assert (await browsers[1].ask(asked)).status == 200
    assert load.tally.failed == 0, load.tally.examples
    assert site.pid("balancer.1") == balancer, "to stop it takes as long as idle connections last"
    for each in browsers:
        await each.close()


async def test_nobody_but_edges_is_answered_where_edges_ask(site: Site) -> None:
    place = next(unit["address"] for name, unit in site.units().items() if name == "balancer.1")
    host = place.partition(":")[0]
    reader, writer = await asyncio.open_connection(host, 8405)
    writer.write(
        b"GET /who HTTP/1.1\r\nhost: x\r\nx-millions-edge: guess\r\nconnection: close\r\n\r\n"
    )
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 403 "), answer


def test_the_secret_is_in_no_command_line_and_no_file_but_its_own(site: Site) -> None:
    secret = (site.state / "secrets" / "edge").read_bytes().strip()
    assert len(secret) >= 20
    for name in ("edge.1", "edge.2", "balancer.1"):
        assert secret not in Path(f"/proc/{site.pid(name)}/cmdline").read_bytes()
        folder = site.state / "units" / name
        files = [each for each in folder.rglob("*") if each.is_file() and "work" not in each.parts]
        assert files
        assert not [each for each in files if secret in each.read_bytes()]


async def order(site: Site, what: str) -> None:
    answer = await ask(HOST, site.port, post(what))
    assert answer.status == 201, answer


async def test_a_commit_takes_back_what_it_made_old(site: Site) -> None:
    await up(site, "edge.1", "edge.2")

    async def kept() -> bool:  # each purge is sent a second time, which may come in between
        return came(await site.page("/counted/apples")).endswith("; hit")

    for number in range(3):
        page = await site.page("/counted/apples")
        assert page.body == str(number).encode()
        assert (await site.page("/counted/apples")).body == page.body
        await eventually(kept, within_s=20)
        await order(site, "apples")

        async def fresh(number: int = number) -> bool:
            return (await site.page("/counted/apples")).body == str(number + 1).encode()

        await eventually(fresh, within_s=20)


@pytest.fixture
def mark() -> Iterator[Path]:
    """A file that the application may make."""
    folder = Path(tempfile.mkdtemp(prefix="millions-mark-"))
    folder.chmod(0o777)
    yield folder / "read"
    shutil.rmtree(folder)


async def test_an_answer_rendered_before_the_commit_and_kept_after_it_is_taken_back_too(
    site: Site, mark: Path
) -> None:
    await up(site, "edge.1", "edge.2")
    path = f"/counted/cherries?mark={mark}"
    slow = asyncio.create_task(site.page(path))
    await eventually(mark.exists, within_s=20)
    await order(site, "cherries")
    assert (await slow).body == b"0"

    async def fresh() -> bool:
        return (await site.page(path)).body == b"1"

    await eventually(fresh, within_s=30)


async def test_an_edge_that_was_away_forgets_when_it_is_back(site: Site) -> None:
    await up(site, "edge.1", "edge.2")
    first = await site.page("/counted/pears")
    name = came(first).partition(";")[0]
    assert first.body == b"0"
    frozen = freeze(site, name)
    try:
        await eventually(lambda: state(site, name).startswith("DOWN"), within_s=30)
        await order(site, "pears")
    finally:
        for each in frozen:  # unless the supervisor has killed them meanwhile
            processes.send(each, signal.SIGCONT)
    await up(site, "edge.1", "edge.2")

    async def fresh() -> bool:
        answer = await site.page("/counted/pears")
        return came(answer).startswith(name) and answer.body == b"1"

    await eventually(fresh, within_s=60)


@pytest.mark.parametrize(
    ("words", "forgotten"),
    [
        pytest.param(("/public/purged?x=1",), [True, False], id="a path"),
        pytest.param(("https://any.example/public/purged",), [True, False], id="a URL"),
        pytest.param(("--tag", "orders of plums"), [False, True], id="a tag"),
        pytest.param(("--all",), [True, True], id="everything"),
    ],
)
async def test_what_is_named_is_forgotten(
    site: Site, words: tuple[str, ...], forgotten: list[bool]
) -> None:
    await up(site, "edge.1", "edge.2")
    paths = ("/public/purged", "/counted/plums")
    for path in paths:
        await site.page(path)
    told = (await asyncio.to_thread(site.millions, "purge", *words, "--json")).json
    assert [each["failure"] for each in told] == ["", ""]
    assert [came(await site.page(path)).endswith("fwd=miss") for path in paths] == forgotten


@pytest.mark.parametrize("words", [(), ("--all", "/x"), ("photos/7",), ("--tag", "")])
def test_a_purge_that_names_nothing_sensible_is_refused(site: Site, words: tuple[str, ...]) -> None:
    said = site.millions("purge", *words, status=None)
    assert said.status in {1, 2}
    assert "try: " in said.err


async def test_a_purge_by_a_client_is_refused(site: Site) -> None:
    await site.page("/public/guarded")
    for port_of in ("public", "edge"):
        host, port = HOST, site.port
        if port_of == "edge":
            place = site.units()["edge.1"]["address"]
            host, _, text = place.partition(":")
            port = int(text)
        words = b"PURGE /public/guarded HTTP/1.1\r\nhost: x\r\npurge-tags: |all\r\n\r\n"
        answer = await ask(host, port, words)
        assert answer.status in {403, 404, 405}, answer
    assert came(await site.page("/public/guarded")).endswith("; hit")


async def test_the_report_counts_what_edges_gave_and_fetched(site: Site) -> None:
    await up(site, "edge.1", "edge.2")
    for _ in range(3):
        await site.page("/slow?s=0")
        await site.page("/public/reported")

    async def told() -> dict[str, dict[str, float]]:
        found = (await asyncio.to_thread(site.millions, "edge", "report", "--json")).json
        assert [each["name"] for each in found["edges"]] == ["edge.1", "edge.2"]
        return {each["path"]: each for each in found["paths"]}

    async def seen() -> bool:
        return (await told()).get("/slow", {}).get("requests") == 3

    await eventually(seen, within_s=30)
    paths = await told()
    assert paths["/slow"]["hits"] == 0
    assert paths["/public/"]["hits"] > 0
    assert paths["/public/"]["bytes_out"] > paths["/public/"]["bytes_in"] > 0
    assert "never asked for again" in site.millions("edge", "report").out
