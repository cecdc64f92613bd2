"""A file that was deleted or replaced is taken out of edges."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from edge_rig import SECRET

from millions.directory import EdgePlace, Endpoint
from millions.errors import SdkError, UnavailableError
from millions.runtime.ports import free_port
from millions.sdk import files_served

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from edge_rig import Origin, Varnish

    from millions.directory import Directory


@pytest_asyncio.fixture(loop_scope="session")
async def nouns(
    edge: Varnish, millions_nouns: ModuleType, millions_directory: Directory, tmp_path: Path
) -> ModuleType:
    """The application's nouns, which know of the edge."""
    secret = tmp_path / "edge-secret"
    secret.write_text(SECRET)
    server = Endpoint(host=edge.address.host, port=edge.address.port)
    place = EdgePlace(servers=(server,), secret_file=str(secret))
    await millions_nouns.follow(replace(millions_directory, epoch=2, edge=place))
    return millions_nouns


async def test_a_file_that_is_deleted_or_replaced_is_given_by_no_edge_any_more(
    edge: Varnish, origin: Origin, nouns: ModuleType
) -> None:
    files = nouns.files
    urls = {name: files.url(name) for name in ("größe 1.txt", "replaced", "stays")}
    for name, url in urls.items():
        await files.put(name, b"1")
        origin.told(url.partition("?")[0], cache_control="public, max-age=60")
        await edge.get(url)
        assert (await edge.get(url)).kept
    await files.delete("größe 1.txt")
    await files.put("replaced", b"2")
    kept = {name: (await edge.get(url)).kept for name, url in urls.items()}
    assert kept == {"größe 1.txt": False, "replaced": False, "stays": True}


async def said_of(files: Any, url: str) -> dict[str, str]:
    """The headers with which a file is given out at a URL."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    parts = urlsplit(url)
    query = parts.query.encode()
    scope = {"method": "GET", "path": parts.path, "query_string": query, "headers": []}
    await files_served.serve(files, scope, send)
    names = ("cache-control", "cdn-cache-control")
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return {name.replace("-", "_"): headers[name] for name in names}


async def test_edges_keep_each_version_apart_and_none_under_the_name_of_another(
    edge: Varnish, origin: Origin, millions_nouns: ModuleType, millions_directory: Directory
) -> None:
    server = Endpoint(host=edge.address.host, port=edge.address.port)
    place = EdgePlace(servers=(server,), secret_file="unused")
    await millions_nouns.follow(replace(millions_directory, epoch=2, edge=place))
    files = millions_nouns.files
    url = files.url("face", version=(await files.put("face", b"1")).etag)
    origin.told("/files/face", **await said_of(files, url))
    await edge.get(url)
    assert (await edge.get(url)).kept
    early = files.url("face", version="of what is not stored yet")
    origin.told("/files/face", **await said_of(files, early))
    assert not (await edge.get(early)).kept
    assert not (await edge.get(early)).kept
    assert (await edge.get(url)).kept


async def test_urls_are_taken_back_whatever_their_host_and_query(
    edge: Varnish, origin: Origin, nouns: ModuleType
) -> None:
    for path in ("/photos/7", "/photos/8", "/photos/9"):
        origin.told(path, cache_control="public, max-age=60")
    targets = ["/photos/7", "/photos/7?size=2", "/photos/8", "/photos/9"]
    for target in targets:
        await edge.get(target)
    await nouns.edge.purge_urls("/photos/7", "https://any.test/photos/8?x=1")
    assert [(await edge.get(target)).kept for target in targets] == [False, False, False, True]


async def test_a_purge_of_urls_says_which_edge_did_not_do_it(
    nouns: ModuleType, millions_directory: Directory
) -> None:
    dead = EdgePlace(
        servers=(Endpoint(host="127.0.0.1", port=free_port()),),
        secret_file=nouns.edge._place.secret_file,
    )
    await nouns.follow(replace(millions_directory, epoch=4, edge=dead))
    with pytest.raises(UnavailableError, match=str(dead.servers[0].port)):
        await nouns.edge.purge_urls("/photos/7")
    with pytest.raises(SdkError, match="neither a path nor a URL"):
        await nouns.edge.purge_urls("photos/7")
