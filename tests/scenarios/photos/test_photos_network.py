"""With a delivery network (`cdn`) assets and pictures have URLs there, and pages allow them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from photos_server import serving
from photos_stage import PASSWORD, Member, a_handle

from millions.directory import EdgePlace, read
from millions.testing import eventually

NETWORK = "https://network.test/site"


@pytest.fixture
def networked_site(photos_environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The same application, in a stack with a network in the place of edges."""
    former = read(photos_environment["MILLIONS_DIRECTORY"])
    assets = replace(former.assets, base_url=f"{NETWORK}/assets/")
    changed = replace(former, assets=assets, edge=EdgePlace(base_url=NETWORK))
    document = tmp_path / "directory.json"
    document.write_text(changed.text())
    with serving(
        {**photos_environment, "MILLIONS_DIRECTORY": str(document)}, tmp_path / "web.log"
    ) as url:
        yield url


async def test_pictures_and_assets_are_asked_of_the_network_which_gets_them_from_the_application(
    networked_site,
):
    async with httpx.AsyncClient(base_url=networked_site, timeout=30) as client:
        given = {"name": "Ada", "handle": a_handle(), "password": PASSWORD}
        account = (await client.post("/api/people", json=given)).json()
        client.headers["X-CSRF-Token"] = account["csrf_token"]
        ada = Member(client, given["handle"], account["me"]["id"])
        path = f"/api/photos/{ada.id}/{(await ada.upload())['id']}"

        async def ready():
            photo = (await client.get(path)).json()
            return photo if photo["ready"] else None

        photo = await eventually(ready, within_s=20)
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
