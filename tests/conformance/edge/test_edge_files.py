"""A file that was deleted or replaced is taken out of edges."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edge_rig import SECRET

from millions.directory import EdgePlace, Endpoint

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from edge_rig import Origin, Varnish

    from millions.directory import Directory


async def test_a_file_that_is_deleted_or_replaced_is_given_by_no_edge_any_more(
    edge: Varnish,
    origin: Origin,
    millions_nouns: ModuleType,
    millions_directory: Directory,
    tmp_path: Path,
) -> None:
    secret = tmp_path / "edge-secret"
    secret.write_text(SECRET)
    server = Endpoint(host=edge.address.host, port=edge.address.port)
    place = EdgePlace(servers=(server,), secret_file=str(secret))
    await millions_nouns.follow(replace(millions_directory, epoch=2, edge=place))
    files = millions_nouns.files
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
