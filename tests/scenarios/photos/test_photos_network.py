"""With a delivery network (`cdn`) assets and pictures have URLs there, and it may keep pages.

Edges of a stack are told the same as the network here.
"""

import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from photos_server import prepared, serving
from photos_stage import PASSWORD, Member, a_handle

from millions.directory import EdgePlace, read
from millions.testing import EmbeddedPostgres, eventually

NETWORK = "https://network.test/site"


@pytest.fixture
def purged() -> Iterator[tuple[str, set[str]]]:
    """Where the network is told of purges, and the tags that it was told of."""
    tags: set[str] = set()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["content-length"])))
            tags.update(said.get("tags", ()))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_said: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/purge", tags
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def networked_site(
    millions_postgres: EmbeddedPostgres, tmp_path: Path, purged: tuple[str, set[str]]
) -> Iterator[str]:
    """The application in a stack with a network in the place of edges.

    On a database of its own: workers of another stack would take its purges and know no network.
    """
    place = millions_postgres.create_database(f"network_{secrets.token_hex(4)}")
    environment = prepared(place, tmp_path)
    former = read(environment["MILLIONS_DIRECTORY"])
    assets = replace(former.assets, base_url=f"{NETWORK}/assets/")
    changed = replace(former, assets=assets, edge=EdgePlace(base_url=NETWORK, hook=purged[0]))
    Path(environment["MILLIONS_DIRECTORY"]).write_text(changed.text())
    with serving(environment, tmp_path / "web.log") as url:
        yield url


async def signed_up(client: httpx.AsyncClient) -> Member:
    given = {"name": "Ada", "handle": a_handle(), "password": PASSWORD}
    account = (await client.post("/api/people", json=given)).json()
    client.headers["X-CSRF-Token"] = account["csrf_token"]
    return Member(client, given["handle"], account["me"]["id"])


async def developed(ada: Member) -> dict:
    """A new photo of hers that everybody sees."""
    path = f"/api/photos/{ada.id}/{(await ada.upload())['id']}"

    async def ready() -> dict | None:
        photo = (await ada.client.get(path)).json()
        return photo if photo["ready"] else None

    return await eventually(ready, within_s=60)


async def test_pictures_and_assets_are_asked_of_the_network_which_gets_them_from_the_application(
    networked_site,
):
    async with httpx.AsyncClient(base_url=networked_site, timeout=30) as client:
        photo = await developed(await signed_up(client))
        page = await client.get(photo["url"])
        asked = photo["small_url"].removeprefix(NETWORK)
        answer = await client.get(asked, headers={"host": "network.test"})
    for size in ("small_url", "large_url"):
        assert photo[size].startswith(f"{NETWORK}/files/")
    policy = dict(
        each.strip().split(" ", 1) for each in page.headers["content-security-policy"].split(";")
    )
    for kind in ("img-src", "style-src", "script-src"):
        assert {f"{NETWORK}/files/", f"{NETWORK}/assets/"} < set(policy[kind].split())
    assert f'href="{NETWORK}/assets/' in page.text
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cdn-cache-control"].startswith("max-age=")


async def test_strangers_may_be_given_a_page_that_is_kept_until_something_on_it_changes(
    networked_site, purged
):
    _, tags = purged
    async with (
        httpx.AsyncClient(base_url=networked_site, timeout=30) as client,
        httpx.AsyncClient(base_url=networked_site, timeout=30) as stranger,
    ):
        ada = await signed_up(client)
        photo = await developed(ada)
        paths = ("/", "/explore", f"/@{ada.handle}")

        async def seen() -> list[set[str]]:
            pages = [await stranger.get(path) for path in paths]
            for page in pages:
                assert photo["url"] in page.text
                assert page.headers["cdn-cache-control"] == "max-age=60"
                assert "set-cookie" not in page.headers
            return [set(page.headers["surrogate-key"].split()) for page in pages]

        async def taken_back(pages: list[set[str]]) -> bool:
            return all(page & tags for page in pages)

        pages = await eventually(seen, within_s=60)
        for each in (*paths, photo["url"]):
            own = await client.get(each)
            assert own.headers["cache-control"] == "private, no-store"
            assert "cdn-cache-control" not in own.headers
        path = f"/api/photos/{ada.id}/{photo['id']}"
        for change in (
            client.put(f"{path}/like"),
            developed(ada),
            client.delete(path),
        ):
            tags.clear()
            await change
            await eventually(lambda: taken_back(pages), within_s=60)
