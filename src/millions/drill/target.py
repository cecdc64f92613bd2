"""The application that drills run: registers, sets and accounts, in the schema `drill`.

It does the least that an application can do on the SDK, so that what a drill finds is not its own.
Never meant for the database of another application. Every write is `db.run`; a read is `db.read`,
or from the primary where `?strong=1` asks for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import BigInteger, MetaData, String, Text, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from millions import REFERENCE, Millions, db, sharded_by
from millions.errors import CommitUnknownError, SdkError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from millions import Session

    Answer = tuple[int, Any]

KEY_CHARACTERS = 120
READS_MAX = 4
"""A server and its successor may both die, more is another matter."""

LOCK = 0x6472696C6C
"""The advisory lock under which one process makes the tables ("drill" in ASCII)."""


class Base(DeclarativeBase):
    """The tables; each is split by its first column."""

    metadata = MetaData(schema="drill")


@sharded_by("key")
class Register(Base):
    """One value; `version` counts its writes."""

    __tablename__ = "registers"

    key: Mapped[str] = mapped_column(String(KEY_CHARACTERS), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)


@sharded_by("name")
class Element(Base):
    """One element of a set; nothing keeps it from being there twice but the promise."""

    __tablename__ = "elements"

    name: Mapped[str] = mapped_column(String(KEY_CHARACTERS), primary_key=True)
    id: Mapped[str] = mapped_column(
        String(36), primary_key=True, server_default=text("gen_random_uuid()::text")
    )
    value: Mapped[str] = mapped_column(Text)


@sharded_by("bank")
class Account(Base):
    """One account of a bank."""

    __tablename__ = "accounts"

    bank: Mapped[str] = mapped_column(String(KEY_CHARACTERS), primary_key=True)
    account: Mapped[str] = mapped_column(String(KEY_CHARACTERS), primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger)


db.declare(Base.metadata)

WRITE = text(
    "INSERT INTO drill.registers AS r (key, value, version) VALUES (:key, :value, 1)"
    " ON CONFLICT (key) DO UPDATE SET value = :value, version = r.version + 1 RETURNING r.version"
)
READ = text("SELECT value, version FROM drill.registers WHERE key = :key")
ADD = text("INSERT INTO drill.elements (name, value) VALUES (:name, :value)")
MEMBERS = text("SELECT value FROM drill.elements WHERE name = :name")
OPEN = text(
    "INSERT INTO drill.accounts (bank, account, balance) VALUES (:bank, :account, :balance)"
    " ON CONFLICT DO NOTHING"
)
TRANSFER = text(
    "WITH held AS (SELECT account FROM drill.accounts WHERE bank = :bank"
    " AND account IN (:giver, :taker) ORDER BY account FOR UPDATE)"
    " UPDATE drill.accounts a SET balance = a.balance"
    " + CASE WHEN a.account = :taker THEN CAST(:amount AS bigint) ELSE -CAST(:amount AS bigint) END"
    " FROM held WHERE a.bank = :bank AND a.account = held.account"
)
BALANCES = text("SELECT account, balance FROM drill.accounts WHERE bank = :bank")


async def write(key: str, body: Any, strong: bool) -> Answer:  # noqa: ARG001, FBT001  # a route
    """Write a register; answer its version."""

    async def deed(session: Session) -> int:
        return int(await session.scalar(WRITE, {"key": key, "value": body["value"]}))

    return 200, {"version": await db.run(key, deed)}


async def read(key: str, body: Any, strong: bool) -> Answer:  # noqa: ARG001, FBT001
    """Read a register."""
    rows = await _rows(key, READ, {"key": key}, strong=strong)
    value, version = rows[0] if rows else (None, 0)
    return 200, {"value": value, "version": version}


async def add(name: str, body: Any, strong: bool) -> Answer:  # noqa: ARG001, FBT001
    """Add an element to a set."""

    async def deed(session: Session) -> None:
        await session.execute(ADD, {"name": name, "value": body["value"]})

    await db.run(name, deed)
    return 201, {}


async def members(name: str, body: Any, strong: bool) -> Answer:  # noqa: ARG001, FBT001
    """Answer all elements of a set."""
    rows = await _rows(name, MEMBERS, {"name": name}, strong=strong)
    return 200, {"members": [value for (value,) in rows]}


async def open_accounts(bank: str, body: Any, strong: bool) -> Answer:  # noqa: ARG001, FBT001
    """Make the accounts of a bank."""
    rows = [
        {"bank": bank, "account": account, "balance": balance}
        for account, balance in body["accounts"].items()
    ]

    async def deed(session: Session) -> None:
        await session.execute(OPEN, rows)

    await db.run(bank, deed)
    return 201, {}


async def transfer(bank: str, body: Any, strong: bool) -> Answer:  # noqa: ARG001, FBT001
    """Move an amount from one account to another one."""
    moved = {
        "bank": bank,
        "giver": body["from"],
        "taker": body["to"],
        "amount": int(body["amount"]),
    }

    async def deed(session: Session) -> None:
        await session.execute(TRANSFER, moved)

    await db.run(bank, deed)
    return 200, {}


async def balances(bank: str, body: Any, strong: bool) -> Answer:  # noqa: ARG001, FBT001
    """Answer all balances of a bank, read at once."""
    rows = await _rows(bank, BALANCES, {"bank": bank}, strong=strong)
    return 200, {"balances": dict((account, balance) for account, balance in rows)}  # noqa: C402


async def _rows(key: str, statement: Any, values: dict[str, str], *, strong: bool) -> Sequence[Any]:
    """Read, again when a server died meanwhile: a read may always be repeated.

    `strong` reads are in a transaction that only the primary begins.
    """
    for attempt in range(1, READS_MAX + 1):
        try:
            async with db.write(key) if strong else db.read(key) as session:
                return (await session.execute(statement, values)).all()
        except (SdkError, DBAPIError, OSError):
            if attempt == READS_MAX:
                raise
    raise AssertionError(READS_MAX)


ROUTES: dict[tuple[str, str], Callable[[str, Any, bool], Awaitable[Answer]]] = {
    ("PUT", "register"): write,
    ("GET", "register"): read,
    ("POST", "set"): add,
    ("GET", "set"): members,
    ("PUT", "bank"): open_accounts,
    ("POST", "bank"): transfer,
    ("GET", "bank"): balances,
}


async def make_tables(session: Session) -> None:
    """Make what is missing; one process at a time."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    await session.execute(text("CREATE SCHEMA IF NOT EXISTS drill"))
    connection = await session.connection()
    await connection.run_sync(Base.metadata.create_all)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer one request, or the server's start and stop."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    _, _, rest = scope["path"].partition("/")
    noun, _, key = rest.partition("/")
    route = ROUTES.get((scope["method"], noun))
    body = await _body(receive)
    outcome = ""
    if route is None or not key:
        status, said = (200, {"drill": "ready"}) if not rest else (404, {"error": "no such path"})
    else:
        try:
            strong = b"strong=1" in scope["query_string"]
            status, said = await route(key, orjson.loads(body) if body else None, strong)
        except CommitUnknownError as error:
            status, said, outcome = 503, {"error": str(error)}, "unknown"
        except SdkError as error:
            status, said, outcome = 503, {"error": str(error)}, "failed"
        except (KeyError, TypeError, ValueError) as error:
            status, said = 400, {"error": f"{type(error).__name__}: {error}"}
    await _answer(send, status, said, outcome)


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await db.run(REFERENCE, make_tables)
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Any) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _answer(send: Any, status: int, said: Any, outcome: str) -> None:
    """Send JSON, the unit that answers, and whether something certainly did not happen."""
    content = orjson.dumps(said)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"x-unit", os.environ.get("MILLIONS_UNIT", "").encode()),
    ]
    if outcome:
        headers.append((b"x-outcome", outcome.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


app = Millions(application, csrf=False, sessions=False, access_log=False)
