"""The directory: the small versioned document that tells application code where everything is.

Written by the supervisor (atomically), read and watched by the SDK. Data types and their JSON form;
it never connects to anything. It holds no secret, only the paths of the files that do.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin, get_type_hints

from millions.errors import DirectoryError

if TYPE_CHECKING:
    import os

FORMAT = 1
"""Version of the document's shape; a reader refuses a newer one."""

ENVIRONMENT_VARIABLE = "MILLIONS_DIRECTORY"
"""Names the directory document of the stack that a process belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where one server answers: an IPv4 address and a TCP port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One PostgreSQL cluster: its primary, and replicas that may answer reads.

    While it is `held`, transactions that have not begun wait: its primary is about to change.
    """

    name: str
    primary: Endpoint
    replicas: tuple[Endpoint, ...] = ()
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePlace:
    """Where the SQL database is. `password_file` holds the password of `user` and nothing else.

    `pool_size` bounds the connections that one process opens to one server for its blocks. A
    server is asked for TLS where it may be somebody else's (`tls`): ours would say no, each time.
    """

    shards: tuple[Shard, ...]
    name: str
    user: str
    password_file: str
    pool_size: int = 10
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlace:
    """The cache: `memory_mib` in the process; `servers` is empty in the embedded form.

    `password_file` holds the password of the servers and nothing else; it is there when they are.
    """

    memory_mib: int = 64
    servers: tuple[Endpoint, ...] = ()
    password_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """The NoSQL store; no `servers` means the table in PostgreSQL.

    `former` servers still run, and what they have goes back into the tables. `password_file` holds
    the password of the servers and nothing else; it is there when they are.
    """

    servers: tuple[Endpoint, ...] = ()
    password_file: str = ""
    former: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksPlace:
    """Who runs tasks: web processes when `embedded`; `concurrency` tasks at once in each."""

    embedded: bool = True
    concurrency: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """The message broker; no `servers` means that the database carries messages.

    `password_file` holds the password of `user` and nothing else.
    """

    servers: tuple[Endpoint, ...] = ()
    user: str = ""
    password_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesPlace:
    """Where uploads live: `folder` in the embedded form; `max_mib` bounds one file.

    With `servers` (our own S3 storage) or `url` (another's) they live in its `bucket`; what is not
    there may still lie in `folder`. `secret_file` holds the secret of `access_key`. With `former`
    servers, or with the `url` among `former_urls`, they are on their way back to `folder`.
    """

    folder: str
    max_mib: int = 50
    servers: tuple[Endpoint, ...] = ()
    url: str = ""
    bucket: str = ""
    region: str = ""
    access_key: str = ""
    secret_file: str = ""
    former: tuple[Endpoint, ...] = ()
    former_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetsPlace:
    """Static assets: hashed files in `folder` with `manifest.json`, published below `base_url`."""

    folder: str = ""
    base_url: str = "/assets/"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePlace:
    """The edges, where purges are sent; `secret_file` holds what they ask for, and nothing else.

    A delivery network in their place answers at `base_url` and is told of purges at `hook`, with
    the token in `token_file`.
    """

    servers: tuple[Endpoint, ...] = ()
    secret_file: str = ""
    base_url: str = ""
    hook: str = ""
    token_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPlace:
    """How the web tier answers: `secure` cookies where clients use HTTPS; bounds of a request.

    `trusted` is the address that the balancer connects from: what it says of a client's address and
    scheme is believed, what anybody else says is not.
    """

    secure: bool = False
    max_body_mib: int = 64
    trusted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The whole document. `epoch` rises with every change; `secret_file` signs what we give out."""

    epoch: int
    stack: str
    release: str
    secret_file: str
    database: DatabasePlace
    files: FilesPlace
    cache: CachePlace = field(default_factory=CachePlace)
    store: StorePlace = field(default_factory=StorePlace)
    tasks: TasksPlace = field(default_factory=TasksPlace)
    assets: AssetsPlace = field(default_factory=AssetsPlace)
    web: WebPlace = field(default_factory=WebPlace)
    edge: EdgePlace = field(default_factory=EdgePlace)
    queue: QueuePlace = field(default_factory=QueuePlace)
    format: int = FORMAT

    def text(self) -> str:
        """The document as JSON, stable for equal directories."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True) + "\n"


def parse(text: str, *, source: str = "directory") -> Directory:
    """Read a document. Raise DirectoryError when it is not whole, not ours, or newer."""
    try:
        document = _object(json.loads(text))
        found = document.get("format", 0)
        if int(found) > FORMAT:
            raise DirectoryError(
                cannot=f"read {source}",
                because=f"its format is {found}, this program reads up to {FORMAT}",
                try_="run the same version of millions in the application and on the command line",
            )
        directory: Directory = _build(Directory, document)
    except (ValueError, TypeError, KeyError) as error:
        raise DirectoryError(
            cannot=f"read {source}", because=str(error), try_="millions up, which writes it anew"
        ) from error
    return directory


def read(path: str | os.PathLike[str]) -> Directory:
    """Read the document at `path` (blocking). Raise DirectoryError when it cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DirectoryError(
            cannot=f"read {path}", because=error.strerror or str(error), try_="millions up"
        ) from error
    return parse(text, source=str(path))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, found {value!r}")
    return cast("dict[str, Any]", value)


def _build(kind: Any, value: Any) -> Any:
    """Turn plain JSON into `kind`: a dataclass, a tuple of something, or a scalar."""
    if dataclasses.is_dataclass(kind):
        given = _object(value)
        hints = get_type_hints(kind)
        known = {name: _build(hints[name], given[name]) for name in hints if name in given}
        return kind(**known)  # type: ignore[operator]  # a dataclass is a type here
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise TypeError(f"expected a list, found {value!r}")
        item = get_args(kind)[0]
        return tuple(_build(item, each) for each in cast("list[object]", value))
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"expected {kind.__name__}, found {value!r}")
    return value
