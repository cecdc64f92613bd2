"""The application's lifespan runs inside the nouns', and says its own failures itself."""

import asyncio
from typing import Any

import pytest

from millions import Millions
from millions.directory import Directory
from millions.sdk import nouns
from millions.testing import eventually


class Server:
    """Sends lifespan messages to an application, as a server does."""

    def __init__(self, app: Any) -> None:
        self.to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.said: list[dict[str, str]] = []
        self.state: dict[str, Any] = {}
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}
        self.task = asyncio.create_task(app(scope, self.to_app.get, self._send))

    async def _send(self, message: dict[str, str]) -> None:
        self.said.append(message)

    async def tell(self, deed: str) -> dict[str, str]:
        count = len(self.said)
        self.to_app.put_nowait({"type": f"lifespan.{deed}"})
        await eventually(lambda: len(self.said) > count)
        return self.said[-1]


@pytest.fixture
def environment(
    millions_directory: Directory, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "directory.json"
    path.write_text(millions_directory.text())
    monkeypatch.setenv("MILLIONS_DIRECTORY", str(path))


def app_that(**deeds: Any) -> Any:
    """An ASGI application with the given startup and shutdown."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for deed in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{deed}"
            if deed in deeds:
                await deeds[deed](scope)
            await send({"type": f"lifespan.{deed}.complete"})

    return app


async def test_the_nouns_are_open_from_before_startup_until_after_shutdown(
    environment: None,
) -> None:
    seen: list[tuple[str, bool]] = []

    async def startup(scope: Any) -> None:
        await nouns.store.put("started", 1)
        scope["state"]["colour"] = "teal"
        seen.append(("startup", nouns.is_open()))

    async def shutdown(_scope: Any) -> None:
        seen.append(("shutdown", nouns.is_open()))

    server = Server(Millions(app_that(startup=startup, shutdown=shutdown)))
    assert (await server.tell("startup"))["type"] == "lifespan.startup.complete"
    assert server.state == {"colour": "teal"}
    assert (await server.tell("shutdown"))["type"] == "lifespan.shutdown.complete"
    await server.task
    assert seen == [("startup", True), ("shutdown", True)]
    assert not nouns.is_open()


async def test_an_application_without_lifespan_is_started_as_it_is(environment: None) -> None:
    async def http_only(scope: Any, _receive: Any, _send: Any) -> None:
        raise ValueError(f"knows no {scope['type']}")

    server = Server(Millions(http_only))
    assert (await server.tell("startup"))["type"] == "lifespan.startup.complete"
    assert nouns.is_open()
    assert (await server.tell("shutdown"))["type"] == "lifespan.shutdown.complete"
    assert not nouns.is_open()


async def test_a_startup_that_fails_is_told_in_the_applications_words(environment: None) -> None:
    async def failing(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no colour"})

    server = Server(Millions(failing))
    assert await server.tell("startup") == {
        "type": "lifespan.startup.failed",
        "message": "no colour",
    }
    assert not nouns.is_open()


async def test_a_database_that_is_away_is_told_as_cannot_because_try(
    environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLIONS_DIRECTORY", "/nowhere/at/all.json")
    said = await Server(Millions(app_that())).tell("startup")
    assert said["type"] == "lifespan.startup.failed"
    assert said["message"].startswith("cannot read /nowhere/at/all.json\n  because: ")


async def test_a_shutdown_that_fails_does_not_keep_the_nouns_open(environment: None) -> None:
    async def shutdown(_scope: Any) -> None:
        raise RuntimeError("no way to stop")

    server = Server(Millions(app_that(shutdown=shutdown)))
    await server.tell("startup")
    assert (await server.tell("shutdown"))["type"] == "lifespan.shutdown.complete"
    assert not nouns.is_open()
