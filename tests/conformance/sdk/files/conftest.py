"""The noun `files` in both its forms: on a folder of its own, and on a bucket of S3 storage."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import obstore
import pytest

from millions.directory import Directory
from millions.errors import MachineError
from millions.sdk.files import Files
from millions.testing import EmbeddedPostgres, directory_for
from millions.testing.seaweed import EmbeddedSeaweed

FORMS = ("folder", "bucket")
Sizes = Callable[[], dict[str, int]]


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSeaweed]:
    """S3 storage, started when a test asks for it. Skips where there is none, fails in CI."""
    server = EmbeddedSeaweed(tmp_path_factory.mktemp("weed"))
    try:
        server.start()
    except MachineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture
def in_a_folder(tmp_path: Path) -> Directory:
    return directory_for(EmbeddedPostgres(tmp_path).place("nowhere"), tmp_path)


@pytest.fixture
def in_a_bucket(in_a_folder: Directory, storage: EmbeddedSeaweed) -> Directory:
    storage.clear()
    folder = Path(in_a_folder.files.folder)
    return replace(in_a_folder, epoch=2, files=storage.place(folder))


@pytest.fixture(params=FORMS)
def directory(request: pytest.FixtureRequest) -> Directory:
    found: Directory = request.getfixturevalue(f"in_a_{request.param}")
    return found


@pytest.fixture
def sizes(request: pytest.FixtureRequest, directory: Directory) -> Sizes:
    """Tells the size of everything that is stored, by its path, without what is known of it."""
    if directory.files.servers:
        store = request.getfixturevalue("storage").store()
        return lambda: {each["path"]: each["size"] for few in obstore.list(store) for each in few}
    folder = Path(directory.files.folder)
    return lambda: {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.parent != folder and "about" not in path.parts
    }


@pytest.fixture
async def files(directory: Directory) -> AsyncIterator[Files]:
    opened = Files()
    await opened.open(directory)
    yield opened
    await opened.close()
