"""The application that drills run: registers, sets and accounts, in the schema `drill`.

It does the least that an application can do on the SDK, so that what a drill finds is not its own.
Never meant for the database of another application. Every write is `db.run`; a read is `db.read`,
or from the primary where `?strong=1` asks for it. What is of the other nouns is in `nouns`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import BigInteger, MetaData, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from millions import REFERENCE, Millions, db, sharded_by
from millions.drill import nouns
from millions.drill.call import Call, read_again
from millions.drill.statements import ADD, MEMBERS, READ, WRITE
from millions.errors import CommitUnknownError, SdkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions import Session
    from millions.drill.call import Answer, Route

KEY_CHARACTERS = 120
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


async def write(call: Call) -> Answer:
    """Write a register; answer its version."""

    async def deed(session: Session) -> int:
        return int(await session.scalar(WRITE, {"key": call.key, "value": call.body["value"]}))

    return 200, {"version": await db.run(call.key, deed)}


async def read(call: Call) -> Answer:
    """Read a register."""
    rows = await _rows(call.key, READ, {"key": call.key}, strong=call.strong)
    value, version = rows[0] if rows else (None, 0)
    return 200, {"value": value, "version": version}


async def add(call: Call) -> Answer:
    """Add an element to a set."""

    async def deed(session: Session) -> None:
        await session.execute(ADD, {"name": call.key, "value": call.body["value"]})

    await db.run(call.key, deed)
    return 201, {}


async def members(call: Call) -> Answer:
    """Answer all elements of a set."""
    rows = await _rows(call.key, MEMBERS, {"name": call.key}, strong=call.strong)
    return 200, {"members": [value for (value,) in rows]}


async def open_accounts(call: Call) -> Answer:
    """Make the accounts of a bank."""
    rows = [
        {"bank": call.key, "account": account, "balance": balance}
        for account, balance in call.body["accounts"].items()
    ]

    async def deed(session: Session) -> None:
        await session.execute(OPEN, rows)

    await db.run(call.key, deed)
    return 201, {}


async def transfer(call: Call) -> Answer:
    """Move an amount from one account to another one."""
    moved = {
        "bank": call.key,
        "giver": call.body["from"],
        "taker": call.body["to"],
        "amount": int(call.body["amount"]),
    }

    async def deed(session: Session) -> None:
        await session.execute(TRANSFER, moved)

    await db.run(call.key, deed)
    return 200, {}


async def balances(call: Call) -> Answer:
    """Answer all balances of a bank, read at once."""
    rows = await _rows(call.key, BALANCES, {"bank": call.key}, strong=call.strong)
    return 200, {"balances": dict((account, balance) for account, balance in rows)}  # noqa: C402


async def _rows(key: str, statement: Any, values: dict[str, str], *, strong: bool) -> Sequence[Any]:
    """Read; `strong` reads are in a transaction that only the primary begins."""

    async def read() -> Sequence[Any]:
        async with db.write(key) if strong else db.read(key) as session:
            return (await session.execute(statement, values)).all()

    return await read_again(read)


ROUTES: dict[tuple[str, str], Route] = {
    **nouns.ROUTES,
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
            status, said = await route(
                Call(
                    key=key,
                    body=orjson.loads(body) if body else None,
                    strong=b"strong=1" in scope["query_string"],
                    scope=scope,
                )
            )
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


app = Millions(application, csrf=False, access_log=False)
