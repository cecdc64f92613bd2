"""The nouns open together, in order, and close together, whatever happens between."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from millions.directory import Directory, Endpoint
from millions.errors import SdkError, StateError, UnavailableError
from millions.sdk import embedded, nouns
from millions.sdk.directory_watch import EVERY_S, DirectoryWatch
from millions.testing import directory_for, eventually


async def test_they_are_usable_inside_the_block_and_not_after(
    millions_directory: Directory,
) -> None:
    async with nouns.running(millions_directory):
        await nouns.store.put("a", 1)
        assert nouns.opened_with() == millions_directory
    with pytest.raises(UnavailableError):
        nouns.opened_with()
    with pytest.raises(UnavailableError):
        nouns.db.write("ann")


async def test_opening_twice_closes_with_the_last(millions_directory: Directory) -> None:
    async with nouns.running(millions_directory):
        async with nouns.running():
            await nouns.store.put("a", 1)
        assert nouns.is_open()
        found = await nouns.store.get("a")
        assert found is not None
        assert found.value == 1
    assert not nouns.is_open()


async def test_they_open_on_one_directory_at_a_time(millions_directory: Directory) -> None:
    other = dataclasses.replace(millions_directory, epoch=2)
    async with nouns.running(millions_directory):
        with pytest.raises(SdkError, match="another directory"):
            await nouns.open_all(other)
        assert nouns.is_open()
    async with nouns.running(other):
        assert nouns.opened_with() == other


async def test_when_one_cannot_open_none_stays_open(
    millions_directory: Directory, tmp_path: Path
) -> None:
    missing = dataclasses.replace(millions_directory, secret_file=str(tmp_path / "none"))
    with pytest.raises(StateError):
        await nouns.open_all(missing)
    assert not nouns.is_open()
    with pytest.raises(UnavailableError):
        nouns.db.write("ann")
    async with nouns.running(millions_directory):
        await nouns.store.put("a", 1)


async def test_one_that_cannot_follow_keeps_no_other_from_it(
    millions_directory: Directory, tmp_path: Path
) -> None:
    nobody = (Endpoint(host="127.0.0.1", port=1),)
    lost = dataclasses.replace(
        millions_directory.files, servers=nobody, secret_file=str(tmp_path / "none")
    )
    edge = dataclasses.replace(millions_directory.edge, servers=nobody)
    newer = dataclasses.replace(millions_directory, epoch=2, files=lost, edge=edge)
    async with nouns.running(millions_directory):
        with pytest.raises(StateError):
            await nouns.follow(newer)
        assert nouns.edge.present


async def test_a_newer_directory_is_followed_again_whatever_went_wrong(
    millions_directory: Directory, tmp_path: Path
) -> None:
    path, followed = tmp_path / "directory.json", []

    async def changed(found: Directory) -> None:
        followed.append(found.epoch)
        if len(followed) == 1:
            raise ZeroDivisionError

    path.write_text(dataclasses.replace(millions_directory, epoch=2).text())
    watch = DirectoryWatch(str(path), 1, changed)
    watch.start()
    await eventually(lambda: followed == [2, 2])
    await watch.stop()


async def test_a_directory_that_cannot_be_followed_is_tried_less_and_less_often(
    millions_directory: Directory, tmp_path: Path
) -> None:
    path, tried_at_s = tmp_path / "directory.json", []

    async def changed(_found: Directory) -> None:
        tried_at_s.append(asyncio.get_running_loop().time())
        raise ZeroDivisionError

    path.write_text(dataclasses.replace(millions_directory, epoch=2).text())
    watch = DirectoryWatch(str(path), 1, changed)
    watch.start()
    await eventually(lambda: len(tried_at_s) == 5)
    assert tried_at_s[4] - tried_at_s[3] > 4 * EVERY_S
    await watch.stop()


async def test_closing_what_is_closed_does_nothing() -> None:
    await nouns.close_all()
    await nouns.stop_tasks()
    assert not nouns.is_open()


async def test_the_directory_is_found_in_the_environment(
    millions_directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "directory.json"
    path.write_text(millions_directory.text())
    monkeypatch.setenv("MILLIONS_DIRECTORY", str(path))
    async with nouns.running():
        assert nouns.opened_with() == millions_directory


async def test_without_a_stack_a_database_url_is_enough(
    millions_directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = millions_directory.database
    primary = place.shards[0].primary
    password = Path(place.password_file).read_text()  # noqa: ASYNC240
    url = f"postgresql://{place.user}:{password}@{primary.host}:{primary.port}/{place.name}"
    monkeypatch.delenv("MILLIONS_DIRECTORY", raising=False)
    monkeypatch.setenv("MILLIONS_DATABASE_URL", url)
    monkeypatch.setenv("MILLIONS_EMBEDDED", str(tmp_path / "embedded"))
    async with nouns.running():
        await nouns.store.put("a", 1)
        await nouns.files.put("x.txt", b"words")
        first = nouns.opened_with()
    kept = [each for each in (tmp_path / "embedded").rglob("*") if each.is_file()]
    secrets = [each for each in kept if each.name.startswith(("secret", "password"))]
    assert {each.stat().st_mode & 0o777 for each in secrets} == {0o600}
    assert embedded.find() == first, "the secret is kept, so that cookies stay valid"
    assert directory_for(place, tmp_path / "other") != first
