"""A URL with a version: another one once the file is replaced, and kept for ever until then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from millions.sdk import files_served

if TYPE_CHECKING:
    from millions.sdk.files import Files

DAY_S = 86_400


async def given(files: Files, url: str) -> tuple[int, str, bytes]:
    """What is answered at a URL: the status, what may be kept, and the content."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    parts = urlsplit(url)
    query = parts.query.encode()
    scope = {"method": "GET", "path": parts.path, "query_string": query, "headers": []}
    await files_served.serve(files, scope, send)
    headers = dict(sent[0]["headers"])
    body = b"".join(each.get("body", b"") for each in sent[1:])
    return sent[0]["status"], headers.get(b"cache-control", b"").decode(), body


async def test_a_replaced_file_has_another_url(files: Files) -> None:
    former = files.url("face", version=(await files.put("face", b"former")).etag)
    newer = files.url("face", version=(await files.put("face", b"newer")).etag)
    again = files.url("face", version=(await files.put("face", b"former")).etag)
    assert former != newer
    assert former == again, "the same content is the same version"


async def test_what_is_asked_for_by_its_version_is_kept_for_the_life_of_its_signature(
    files: Files,
) -> None:
    stored = await files.put("face", b"content")
    url = files.url("face", DAY_S, version=stored.etag)
    status, kept, content = await given(files, url)
    assert (status, content) == (200, b"content")
    private, age, immutable = kept.split(", ")
    assert (private, immutable) == ("private", "immutable")
    assert DAY_S <= int(age.removeprefix("max-age=")) <= 2 * DAY_S


@pytest.mark.parametrize("version", ["another", "a b&c=d#é"], ids=["other", "odd"])
async def test_what_is_not_the_version_asked_for_is_kept_by_nobody(
    files: Files, version: str
) -> None:
    await files.put("face", b"content")
    asked = await given(files, files.url("face", version=version))
    assert asked == (200, "private, no-cache", b"content")


async def test_who_asks_by_the_url_from_before_gets_the_newer_file_and_does_not_keep_it(
    files: Files,
) -> None:
    former = files.url("face", version=(await files.put("face", b"former")).etag)
    await files.put("face", b"newer")
    assert await given(files, former) == (200, "private, no-cache", b"newer")


async def test_a_url_without_a_version_is_what_it_was(files: Files) -> None:
    await files.put("face", b"content")
    url = files.url("face", 100)
    assert "&" not in url
    _, kept, _ = await given(files, url)
    assert kept.startswith("private, max-age=")
    assert "immutable" not in kept
