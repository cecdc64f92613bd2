"""Purging: tells edges, or a delivery network of somebody else's, what they must not give any more.

It sends and says what came of it, and never tries twice: who calls does.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from millions.errors import SdkError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from millions.directory import EdgePlace, Endpoint

ANSWER_WITHIN_S = 2.0
"""An edge answers in a millisecond; a network of somebody else's gets five times as long."""

KEYS_BYTES_MAX = 8_000
"""In one purge; edges take headers of 16 KiB."""

ANSWER_BYTES_MAX = 4_096

ALL = "|all"
PATH = "|path:"
"""What edges call everything, and what they call a path. No tag looks like that."""

TAG_SAFE = "!#$&'()*+-./:;=?@[]^_`{}~"
TAG_BYTES_MAX = 256
PATH_SAFE = "!#$%&'()*+-./:;=@[]^_`{}~|"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What came of a purge at one place; `objects` is None where that is not said."""

    place: str
    objects: int | None = None
    failure: str = ""


def tag_key(tag: str) -> str:
    """Answer a tag as it travels in headers. Raise SdkError when it is empty or too long."""
    key = quote(tag, safe=TAG_SAFE)
    if not 0 < len(key) <= TAG_BYTES_MAX:
        raise SdkError(
            cannot=f"use the tag {tag[:60]!r}",
            because=f"tags have 1 to {TAG_BYTES_MAX} bytes",
            try_='a short name, such as "user:7"',
        )
    return key


def known_keys(names: Iterable[str]) -> list[str]:
    """Answer the keys of those names that a tag can be: no answer has the others."""
    keys = (quote(each, safe=TAG_SAFE) for each in names)
    return [each for each in keys if 0 < len(each) <= TAG_BYTES_MAX]


def path_key(url: str) -> str:
    """Answer what edges call the path of a URL; its host and its query do not count."""
    path = urlsplit(url).path if "://" in url else url.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):
        raise SdkError(
            cannot=f"purge {url[:200]!r}",
            because="it is neither a path nor a URL",
            try_='"/photos/7", or "https://photos.example/photos/7"',
        )
    return PATH + quote(path, safe=PATH_SAFE)


async def purge(place: EdgePlace, keys: Sequence[str]) -> list[Purged]:
    """Send a purge of `keys` to every edge at once; answer what came of it at each (bounded)."""
    secret = await asyncio.to_thread(_read, place.secret_file) if place.servers else ""
    told = [_edge(each, secret, keys) for each in place.servers]
    if place.hook:
        told.append(asyncio.to_thread(_network, place, keys))
    return list(await asyncio.gather(*told))


def checked(outcomes: Iterable[Purged]) -> None:
    """Raise UnavailableError when a place did not do it."""
    failed = [each for each in outcomes if each.failure]
    if failed:
        raise UnavailableError(
            cannot=f"purge at {', '.join(each.place for each in failed)}",
            because=failed[0].failure,
            try_="millions status, and the same again",
        )


async def _edge(server: Endpoint, secret: str, keys: Sequence[str]) -> Purged:
    place, objects = f"{server.host}:{server.port}", 0
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            for some in _portions(keys):
                objects += await _ask(server, secret, some)
    except TimeoutError:
        return Purged(place=place, failure=f"no answer within {ANSWER_WITHIN_S:g} s")
    except (OSError, EOFError, ValueError) as error:
        return Purged(place=place, failure=str(error) or type(error).__name__)
    return Purged(place=place, objects=objects)


async def _ask(server: Endpoint, secret: str, keys: str) -> int:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        lines = (
            "PURGE / HTTP/1.1",
            "Host: millions",
            "Connection: close",
            f"X-Millions-Edge: {secret}",
            f"Purge-Tags: {keys}",
        )
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        head, _, body = (await _answer(reader)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        said = status[0].decode("latin-1") if status else "nothing"
        raise ValueError(f"it answered {said}")
    return int(body.strip() or 0)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """Read an answer to its end, which the other side makes; what is too long is cut off."""
    said = b""
    while len(said) < ANSWER_BYTES_MAX:
        part = await reader.read(ANSWER_BYTES_MAX - len(said))
        if not part:
            break
        said += part
    return said


def _network(place: EdgePlace, keys: Sequence[str]) -> Purged:
    """Tell a delivery network by its hook (blocking, bounded)."""
    headers = {"Content-Type": "application/json", "User-Agent": "millions"}
    if place.token_file:
        headers["Authorization"] = f"Bearer {_read(place.token_file)}"
    body = json.dumps(_wanted(place.base_url, keys)).encode()
    asked = urllib.request.Request(place.hook, data=body, headers=headers)  # noqa: S310  # checked
    try:
        with urllib.request.urlopen(asked, timeout=5 * ANSWER_WITHIN_S) as answer:  # noqa: S310  # as above
            answer.read(ANSWER_BYTES_MAX)
    except (OSError, ValueError) as error:
        return Purged(place=place.hook, failure=str(error))
    return Purged(place=place.hook)


def _wanted(base_url: str, keys: Sequence[str]) -> dict[str, object]:
    """What is to be purged, in the words of Cloudflare's interface."""
    if ALL in keys:
        return {"purge_everything": True}
    paths = [base_url + each.removeprefix(PATH) for each in keys if each.startswith(PATH)]
    tags = [each for each in keys if not each.startswith(PATH)]
    return {name: some for name, some in (("files", paths), ("tags", tags)) if some}


def _portions(keys: Iterable[str]) -> list[str]:
    portions: list[str] = []
    some = ""
    for each in keys:
        key = each.replace(",", "%2C")
        if some and len(some) + len(key) > KEYS_BYTES_MAX:
            portions.append(some)
            some = ""
        some = f"{some} {key}".strip()
    return [*portions, some] if some else portions


def _read(path: str) -> str:
    return Path(path).read_text(encoding="ascii").strip()
