"""Files, assets and sessions are given out alike on each framework, to whom they belong."""

import base64
import gzip
import io

import brotli
import httpx
import pytest
from PIL import Image
from served import CSS, Served


def picture(side: int = 8) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(content, "PNG")
    return content.getvalue()


async def test_an_upload_is_given_out_at_its_signed_url(client: httpx.AsyncClient) -> None:
    content = picture()
    stored = await client.post("/upload", params={"name": "a/b.png"}, content=content)
    assert stored.status_code == 200, stored.text
    assert stored.json()["type"] == "image/png"
    given = await client.get(stored.json()["url"])
    assert given.content == content
    assert given.headers["content-type"] == "image/png"
    assert given.headers["x-content-type-options"] == "nosniff"
    assert given.headers["cache-control"].startswith("private, max-age=")
    part = await client.get(stored.json()["url"], headers={"range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 400, "it is empty"),
        (b"no picture, plain words", 415, "text/plain"),
        (b"<html><script>alert(1)</script>", 415, "one of image/*"),
        (b"\x00\x01\x02\x03", 415, "no known type"),
    ],
    ids=["empty", "text", "html", "binary"],
)
async def test_a_refused_upload_is_answered_in_clear_words(
    client: httpx.AsyncClient, content: bytes, status: int, word: str
) -> None:
    answer = await client.post("/upload", params={"name": "x.png"}, content=content)
    assert answer.status_code == status
    assert word in answer.text


async def test_an_upload_larger_than_its_bound_is_refused_with_413(
    client: httpx.AsyncClient,
) -> None:
    content = picture() + b"\0" * 1024 * 1024
    answer = await client.post("/upload", params={"name": "x.png"}, content=content)
    assert answer.status_code == 413
    assert "larger than 1 MiB" in answer.text


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/passwd", ".hidden", "a\\b"])
async def test_a_name_that_leads_out_is_refused(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.post("/upload", params={"name": name}, content=picture())
    assert answer.status_code == 400
    assert "file name" in answer.text


async def test_without_its_signature_a_file_is_not_there(client: httpx.AsyncClient) -> None:
    stored = await client.post("/upload", params={"name": "mine.png"}, content=picture())
    path, _, key = stored.json()["url"].partition("?key=")
    for url in (
        path,
        f"{path}?key=",
        f"{path}?key={key[:-2]}AA",
        f"/files/other.png?key={key}",
        f"/files/../mine.png?key={key}",
        f"/files/%2e%2e/secret?key={key}",
    ):
        assert (await client.get(url)).status_code == 404, url


async def test_assets_are_kept_for_ever_and_compressed(client: httpx.AsyncClient) -> None:
    url = (await client.get("/asset")).json()["url"]
    plain = await client.get(url, headers={"accept-encoding": "identity"})
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["content-type"] == "text/css; charset=utf-8"
    assert "dot-" in plain.text  # its reference carries a hash too
    assert len(plain.text) > len(CSS)
    for coding in ("br", "gzip"):
        small = await client.send(
            client.build_request("GET", url, headers={"accept-encoding": coding}), stream=True
        )
        raw = b"".join([chunk async for chunk in small.aiter_raw()])
        assert small.headers["content-encoding"] == coding
        assert len(raw) < len(CSS)
        unpacked = brotli.decompress(raw) if coding == "br" else gzip.decompress(raw)
        assert unpacked.decode() == plain.text
    known = await client.get(
        url, headers={"if-none-match": plain.headers["etag"], "accept-encoding": "identity"}
    )
    assert known.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "%2e%2e/secret",
        "..%2fsecret",
        "a/../../secret",
        ".hidden",
        "%00",
        "//etc/passwd",
    ],
)
async def test_no_path_leads_out_of_the_assets(
    served: Served, client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(f"/assets/{path}")
    assert answer.status_code == 404
    assert "secret_file" not in answer.text


async def test_a_login_lasts_and_a_forged_cookie_is_nobody(client: httpx.AsyncClient) -> None:
    await client.post("/login", params={"user": "ann"})
    assert (await client.get("/me")).json() == {"user": "ann"}
    name, value = next(iter(client.cookies.items()))
    client.cookies.clear()
    forged = base64.urlsafe_b64encode(b"\0" * 8 + b"session-of-ann").decode()
    for each in (forged, f"{forged}.{value.partition('.')[2]}", value[:-1], "", "\u00e9"):
        cookie = f"{name}={each}".encode()
        answer = await client.get("/me", headers={b"cookie": cookie})
        assert answer.json() == {"user": None}
