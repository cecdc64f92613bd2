"""The laws of `assets`: a name stands for one content for ever, and nothing else is given out."""

import dataclasses
import gzip
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import brotli
import pytest

from millions.directory import AssetsPlace, Directory
from millions.errors import MachineError, UnavailableError
from millions.sdk.assets import FOREVER, Assets, build
from millions.testing import EmbeddedPostgres, directory_for

Get = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "img").mkdir(parents=True)
    (folder / "app.css").write_text(
        '@import "base.css";\nbody { background: url("img/logo.svg#dark") }\n'
        "i { background: url(data:image/png;base64,AAAA) } b { background: url(https://x/y.png) }\n"
        + "/* padding */\n"
        * 50
    )
    (folder / "base.css").write_text("a { color: teal }")
    (folder / "img" / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "img" / "photo.png").write_bytes(b"\x89PNG" + b"\0" * 999)
    (folder / ".secret").write_text("not an asset")
    return folder


@pytest.fixture
def directory(tmp_path: Path, source: Path) -> Directory:
    found = directory_for(EmbeddedPostgres(tmp_path).place("nowhere"), tmp_path)
    build(source, Path(found.assets.folder))
    return found


@pytest.fixture
async def assets(directory: Directory) -> Assets:
    opened = Assets()
    await opened.open(directory)
    return opened


@pytest.fixture
def get(assets: Assets) -> Get:
    async def asked(
        path: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        given = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        await assets.serve({"method": method, "path": path, "headers": given}, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, b"".join(each.get("body", b"") for each in sent[1:])

    return asked


async def test_a_name_carries_the_hash_of_its_content(assets: Assets, get: Get) -> None:
    url = assets.url("app.css")
    assert re.fullmatch(r"/assets/app-[0-9a-f]{12}\.css", url)
    status, headers, _ = await get(url)
    assert (status, headers["cache-control"]) == (200, FOREVER.decode())


async def test_another_content_has_another_name_and_the_former_is_still_served(
    assets: Assets, get: Get, source: Path, directory: Directory
) -> None:
    former = assets.url("base.css")
    (source / "base.css").write_text("a { color: red }")
    build(source, Path(directory.assets.folder))
    newer = Assets()
    await newer.open(directory)
    assert newer.url("base.css") != former
    assert newer.url("app.css") != assets.url("app.css"), "what refers to it changed with it"
    assert (await get(former))[2] == b"a { color: teal }"
    assert (await get(newer.url("base.css")))[2] == b"a { color: red }", "by the older process too"


async def test_references_in_style_sheets_are_hashed(assets: Assets, get: Get) -> None:
    text = (await get(assets.url("app.css")))[2].decode()
    assert f'@import "{assets.url("base.css").removeprefix("/assets/")}"' in text
    assert f'url("{assets.url("img/logo.svg").removeprefix("/assets/")}#dark")' in text
    assert "url(data:image/png;base64,AAAA)" in text
    assert "url(https://x/y.png)" in text


async def test_style_sheets_that_import_each_other_are_built(tmp_path: Path) -> None:
    source = tmp_path / "circle"
    source.mkdir()
    (source / "a.css").write_text('@import "b.css";')
    (source / "b.css").write_text('@import "a.css";')
    assert set(build(source, tmp_path / "out")) == {"a.css", "b.css"}


async def test_a_build_of_the_same_source_is_the_same(source: Path, tmp_path: Path) -> None:
    built = build(source, tmp_path / "one")
    assert build(source, tmp_path / "two") == built == build(source, tmp_path / "one")
    for name in built.values():
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "manifest.json").read_text()) == built


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("identity", None),
        ("", None),
        ("gzip;q=0", None),
    ],
)
async def test_a_compressed_copy_is_sent_to_who_takes_it(
    assets: Assets, get: Get, accepted: str, coding: str | None
) -> None:
    plain = (await get(assets.url("app.css")))[2]
    _, headers, body = await get(assets.url("app.css"), accept_encoding=accepted)
    assert headers.get("content-encoding") == coding
    assert headers["vary"] == "accept-encoding"
    unpack = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[coding]
    assert unpack(body) == plain


async def test_what_does_not_shrink_is_sent_as_it_is(assets: Assets, get: Get) -> None:
    _, headers, body = await get(assets.url("img/photo.png"), accept_encoding="br, gzip")
    assert "content-encoding" not in headers
    assert (headers["content-type"], len(body)) == ("image/png", 1003)


async def test_a_client_that_has_it_is_told_so(assets: Assets, get: Get) -> None:
    etag = (await get(assets.url("app.css")))[1]["etag"]
    status, headers, body = await get(assets.url("app.css"), if_none_match=etag)
    assert (status, body) == (304, b"")
    assert headers["cache-control"] == FOREVER.decode()


async def test_a_head_has_the_length_and_no_body(assets: Assets, get: Get) -> None:
    status, headers, body = await get(assets.url("base.css"), method="HEAD")
    assert (status, headers["content-length"], body) == (200, "17", b"")


async def test_a_plain_name_is_served_but_asked_for_again(get: Get) -> None:
    status, headers, body = await get("/assets/base.css")
    assert (status, body) == (200, b"a { color: teal }")
    assert headers["cache-control"] == "no-cache"


async def test_a_large_asset_comes_in_pieces_and_whole(
    source: Path, directory: Directory, assets: Assets, get: Get
) -> None:
    content = bytes(range(256)) * 20_000
    (source / "film.bin").write_bytes(content)
    name = build(source, Path(directory.assets.folder))["film.bin"]
    status, headers, body = await get(f"/assets/{name}")
    assert (status, headers["content-length"]) == (200, str(len(content)))
    assert body == content


@pytest.mark.parametrize(
    "name",
    [
        *("../secret", "..", "a/../../secret", "/etc/passwd", "//etc/passwd", ".secret"),
        *("img/../.secret", "a\\..\\b", "\0", "img", "", "nothing.css", "img/.hidden"),
    ],
    ids=repr,
)
async def test_nothing_but_assets_is_given_out(get: Get, name: str, tmp_path: Path) -> None:
    (tmp_path / "assets" / "img").joinpath(".hidden").write_text("hidden")
    assert (await get(f"/assets/{name}"))[0] == 404


async def test_a_link_that_leads_out_is_not_followed(get: Get, tmp_path: Path) -> None:
    (tmp_path / "assets" / "out.txt").symlink_to(tmp_path / "secret")
    assert (await get("/assets/out.txt"))[0] == 404


async def test_only_reading_is_answered(get: Get) -> None:
    status, headers, _ = await get("/assets/base.css", method="POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


async def test_a_name_that_is_no_asset_is_an_error_with_a_guess(assets: Assets) -> None:
    with pytest.raises(UnavailableError, match=r"app\.css"):
        assets.url("ap.css")


async def test_without_built_assets_names_stay_as_they_are(directory: Directory) -> None:
    assets = Assets()
    await assets.open(dataclasses.replace(directory, assets=AssetsPlace()))
    assert assets.url("app.css") == "/assets/app.css"
    assert not assets.served


async def test_a_damaged_manifest_is_said_at_the_start(directory: Directory) -> None:
    (Path(directory.assets.folder) / "manifest.json").write_text("{half")
    with pytest.raises(MachineError, match="manifest"):
        await Assets().open(directory)


async def test_closed_it_says_how_to_open_it() -> None:
    with pytest.raises(UnavailableError, match="wrap the application"):
        Assets().url("app.css")
