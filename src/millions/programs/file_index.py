"""Makes what the gateways of the files need before the first one starts.

That is a role and a schema in the database, the rule that files are on the disk when they are
acknowledged, and the bucket. Run once for all of them; each step may be repeated. The rule must
stand before a gateway starts, because one does not hear of it from another: so a filer without S3
runs here for as long as it takes to say so.

Usage: python -m millions.programs.file_index INDEX.JSON SECRETS-FOLDER
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from millions.errors import MillionsError, UnitFailedError

ADMINISTRATION_ROLE = "millions_admin"
ADMINISTRATION_SECRET = "database-admin"  # noqa: S105  # the name of a file
ITERATIONS = 4096
"""PostgreSQL's own for SCRAM."""

CONNECT_WITHIN_S = 10.0
RULE_WITHIN_S = 90.0
SHELL_WITHIN_S = 20.0
STOP_WITHIN_S = 8.0
AGAIN_S = 0.5
SAID = """lock
fs.configure -locationPrefix=/buckets/ -fsync=true -apply
s3.bucket.create -name {bucket}
unlock
fs.configure
s3.bucket.list
exit
"""
RULE = '"fsync":true'


def verifier(password: str, salt: bytes) -> str:
    """Answer what PostgreSQL keeps of a password (SCRAM-SHA-256): statements can be logged."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = base64.b64encode(hashlib.sha256(client).digest()).decode()
    server = base64.b64encode(hmac.digest(salted, b"Server Key", "sha256")).decode()
    said = base64.b64encode(salt).decode()
    return f"SCRAM-SHA-256${ITERATIONS}:{said}${stored}:{server}"


async def make_role(told: dict[str, Any], folder: Path) -> None:
    """Make the role and its schema on whichever server of the database can be written to."""
    role, database = told["role"], told["database"]
    kept = verifier(_read(folder, told["secret"]), secrets.token_bytes(16))
    connection: Any = await asyncpg.connect(
        host=[host for host, _ in told["servers"]],
        port=[port for _, port in told["servers"]],
        user=ADMINISTRATION_ROLE,
        password=_read(folder, ADMINISTRATION_SECRET),
        database=database,
        target_session_attrs=SessionAttribute.read_write,
        timeout=CONNECT_WITHIN_S,
    )
    try:
        known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
        verb = "ALTER" if known else "CREATE"
        await connection.execute(f"{verb} ROLE {role} LOGIN PASSWORD '{kept}'")
        await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {role}")
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {role} AUTHORIZATION {role}")
    finally:
        await connection.close(timeout=CONNECT_WITHIN_S)


def make_rule(told: dict[str, Any]) -> None:
    """Run a filer for as long as it takes to make the rule and the bucket."""
    filer = subprocess.Popen(told["filer"], stdin=subprocess.DEVNULL)
    try:
        ends_at_s, said = time.monotonic() + RULE_WITHIN_S, ""
        while not _is_made(said, told["bucket"]):
            if time.monotonic() > ends_at_s or filer.poll() is not None:
                raise UnitFailedError(
                    cannot="make the bucket of the files",
                    because=" ".join(said.split())[-300:] or "its filer did not answer",
                    try_="millions logs files-gateway.1",
                )
            time.sleep(AGAIN_S)
            said = _shell(told)
    finally:
        filer.terminate()
        try:
            filer.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            filer.kill()
            filer.wait(STOP_WITHIN_S)


def _shell(told: dict[str, Any]) -> str:
    command = [told["program"], "-logtostderr", "shell", f"-master={told['master']}"]
    try:
        ran = subprocess.run(
            [*command, f"-filer={told['address']}"],
            input=SAID.format(bucket=told["bucket"]).encode(),
            capture_output=True,
            timeout=SHELL_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    return (ran.stdout + ran.stderr).decode(errors="replace")


def _is_made(said: str, bucket: str) -> bool:
    after = "".join(said.rpartition("unlock")[2].split()) or "".join(said.split())
    return RULE in after and bucket in after


def _read(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8").strip()


def main() -> int:
    """Make all of it. The exit status is 0 once it is there."""
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        asyncio.run(make_role(told, Path(sys.argv[2])))
        make_rule(told)
    except (MillionsError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
