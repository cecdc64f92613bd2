"""The photo-sharing application, by its public address: log in, upload, view, like, feed.

Who shares and what is looked at follows Zipf's law. An upload that was acknowledged must be among
its owner's photos at the end: uploads are judged as additions to a set.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from typing import TYPE_CHECKING, Any

import orjson

from millions.drill.workloads.user import Deed
from millions.drill.workloads.workload import Site, zipf
from millions.errors import MachineError

if TYPE_CHECKING:
    from millions.drill.connection import Answer
    from millions.drill.workloads.user import User

PASSWORD = "photographs of a drill"  # noqa: S105  # of people who do not exist
PICTURE_PIXELS = 32
BOUNDARY = "drill-boundary"
PAGES_MAX = 200
"""Pages of one person's photos that the last look turns."""

MIX = {"view": 50, "feed": 20, "like": 14, "explore": 8, "upload": 6, "login": 2}


class Photos:
    """The workload."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._random = site.random
        self._people: list[_Person] = []
        self._photos: list[str] = []
        self._number = 0

    @property
    def handles(self) -> tuple[str, ...]:
        """What the people who signed up are called."""
        return tuple(each.handle for each in self._people)

    async def prepare(self) -> None:
        """Sign everybody up; each follows a few others and shares a picture."""
        tag = self._random.randrange(36**6)
        for number in range(self._site.clients):
            handle = f"d{tag}_{number}"
            person = _Person(self._site.user(handle), handle)
            answer = await person.user.do(
                _json_deed(
                    "sign-up",
                    "POST",
                    "/api/people",
                    {"name": f"Drill {number}", "handle": handle, "password": PASSWORD},
                    idempotency=f"{handle}-sign-up",
                )
            )
            if answer is None:
                raise MachineError(
                    cannot="sign up a user for the drill",
                    because=f"POST /api/people was not answered as by the photo application "
                    f"({self._site.address})",
                    try_="--target pure, or --target pages with --path",
                )
            person.enter(answer)
            self._people.append(person)
        for person in self._people:
            for other in self._random.sample(self._people, k=min(3, len(self._people))):
                if other is not person:
                    path = f"/api/people/{other.handle}/follow"
                    await person.user.do(person.change("follow", "PUT", path))
            await self._upload(person)

    async def run(self) -> None:
        """Let everybody act until the site is stopping."""
        async with asyncio.TaskGroup() as group:
            for person in self._people:
                group.create_task(self._act(person))

    async def finish(self) -> None:
        """Look through the photos of everybody, as their owners."""
        for person in self._people:
            await self._look_through(person)
            await person.user.close()

    async def _act(self, person: _Person) -> None:
        kinds, weights = list(MIX), list(MIX.values())

        async def act() -> None:
            (kind,) = self._random.choices(kinds, weights)
            if kind == "upload":
                await self._upload(person)
            elif kind == "login":
                await self._login(person)
            elif kind == "like":
                path = f"{self._chosen()}/like"
                await person.user.do(person.change("like", "PUT", path))
            else:
                path = {"feed": "/api/feed", "explore": "/api/explore"}.get(kind) or self._chosen()
                answer = await person.user.do(Deed(kind=kind, method="GET", path=path))
                if kind == "view" and answer is not None:
                    await self._see(person, answer)

        await self._site.act(act)

    def _chosen(self) -> str:
        """A photo; the newest are looked at most."""
        newest = self._photos[-200:][::-1]
        return self._random.choices(newest, zipf(len(newest)))[0]

    async def _see(self, person: _Person, answer: Answer) -> None:
        """Fetch the picture of a photo as a browser does: by the edges, from where files are."""
        path = orjson.loads(answer.body).get("small_url")  # none before it is developed
        if path and path.startswith("/"):  # not where a delivery network has it
            await person.user.do(Deed(kind="picture", method="GET", path=path))

    async def _login(self, person: _Person) -> None:
        body = {"handle": person.handle, "password": PASSWORD}
        answer = await person.user.do(_json_deed("login", "POST", "/api/session", body))
        if answer is not None:
            person.enter(answer)

    async def _upload(self, person: _Person) -> None:
        self._number += 1
        caption = f"picture {self._number}"
        deed = person.change("upload", "POST", "/api/photos")
        deed.body = _form(_picture(self._number), caption)
        deed.content_type = f"multipart/form-data; boundary={BOUNDARY}"
        deed.model, deed.key, deed.value = "add", f"photos of {person.handle}", caption
        answer = await person.user.do(deed)
        if answer is not None:
            found = orjson.loads(answer.body)
            self._photos.append(f"/api/photos/{found['owner']['id']}/{found['id']}")

    async def _look_through(self, person: _Person) -> None:
        """Turn the pages; one reading of the whole set is recorded, judged as linear.

        Only the owner adds to it, so what the owner's session must show is all there is.
        """
        path: str | None = f"/api/people/{person.handle}/photos"
        captions: list[str] = []
        at = self._site.clock.now()
        for _ in range(PAGES_MAX):
            if path is None:
                break
            answer = await person.user.do(Deed(kind="look", method="GET", path=path))
            if answer is None:
                return
            found = orjson.loads(answer.body)
            captions += [each["caption"] for each in found["photos"]]
            path = found.get("older")
        self._site.writer.operation(
            at=at,
            done=self._site.clock.now(),
            user=person.handle,
            kind="photos",
            model="members",
            key=f"photos of {person.handle}",
            value=captions,
            outcome="ok",
            repeatable=True,
        )


class _Person:
    """Somebody with a session."""

    def __init__(self, user: User, handle: str) -> None:
        self.user = user
        self.handle = handle
        self._token = ""
        self._number = 0

    def enter(self, answer: Answer) -> None:
        """Keep the token of the session that an answer began."""
        self._token = orjson.loads(answer.body)["csrf_token"]

    def change(self, kind: str, method: str, path: str) -> Deed:
        """Make a deed that changes something, with the session's token and a key of its own."""
        self._number += 1
        return Deed(
            kind=kind,
            method=method,
            path=path,
            idempotency=f"{self.handle}-{self._number}",
            headers=(f"x-csrf-token: {self._token}",),
        )


def _json_deed(
    kind: str, method: str, path: str, body: dict[str, Any], idempotency: str = ""
) -> Deed:
    return Deed(
        kind=kind, method=method, path=path, body=orjson.dumps(body), idempotency=idempotency
    )


def _form(picture: bytes, caption: str) -> bytes:
    head = (
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="caption"\r\n\r\n{caption}\r\n'
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="p.png"\r\n'
        "content-type: image/png\r\n\r\n"
    )
    return head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()


def _picture(number: int) -> bytes:
    """A small PNG of one colour."""
    colour = bytes((number * 37 % 256, number * 59 % 256, number * 83 % 256))
    rows = (b"\0" + colour * PICTURE_PIXELS) * PICTURE_PIXELS
    head = struct.pack(">IIBBBBB", PICTURE_PIXELS, PICTURE_PIXELS, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
