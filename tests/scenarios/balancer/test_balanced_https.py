"""HTTPS of a whole stack: made on first use, yours when you name one, refused when it is bad."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from pems import certificate, shown

from millions.runtime.ports import free_port
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from site_stack import Site


@pytest.fixture(scope="module")
def https(new_site: Callable[[str], Site]) -> Site:
    """A stack that is asked by HTTPS, with a certificate of its own authority."""
    made = new_site("secure")
    made.edit("[balancer]\n", f'[balancer]\nhttps = "127.0.0.1:{free_port()}"\n')
    made.millions("up", "--detach")
    return made


def port(site: Site) -> int:
    line = next(each for each in site.file.read_text().splitlines() if each.startswith("https"))
    return int(line.rpartition(":")[2].strip('"'))


async def serial(site: Site) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return x509.load_der_x509_certificate(
        await asyncio.to_thread(shown, port(site), context)
    ).serial_number


async def test_the_stacks_own_authority_signs_one(https: Site) -> None:
    assert f"https://127.0.0.1:{port(https)}/" in https.millions("status").out
    trusted = ssl.create_default_context(cafile=str(https.state / "secrets" / "ca.pem"))
    async with httpx.AsyncClient(verify=trusted, http2=True) as client:
        answer = await client.get(f"https://localhost:{port(https)}/who")
    assert answer.http_version == "HTTP/2"
    assert answer.json()["scheme"] == "https"
    assert answer.json()["client"] == "127.0.0.1"
    assert "strict-transport-security" not in answer.headers
    redirected = await https.page("/who")
    assert redirected.status == 308
    assert redirected.headers["location"].endswith(f":{port(https)}/who")


async def test_bad_certificates_are_refused_before_anything_changes(https: Site) -> None:
    before = {name: https.pid(name) for name in https.units()}
    text, serial_before = https.file.read_text(), await serial(https)
    certificate(https.folder / "good.pem")
    certificate(https.folder / "expired.pem", ends=-1)
    (https.folder / "other.pem").write_bytes(certificate(https.folder / "x.pem").read_bytes())
    for settings, because in (
        ('certificate = "none.pem"', "No such file"),
        ('certificate = "expired.pem"', "expired on"),
        ('certificate = "good.pem"\nkey = "other.pem"', "another one's"),
        ('certificate = "millions.toml"', "in PEM form"),
    ):
        https.file.write_text(text.replace("[balancer]\n", f"[balancer]\n{settings}\n"))
        ran = await asyncio.to_thread(https.millions, "up", "--detach", status=2)
        assert because in ran.err
        assert "try: " in ran.err
    https.file.write_text(text)
    assert {name: https.pid(name) for name in https.units()} == before
    assert await serial(https) == serial_before


async def test_a_renewed_certificate_is_taken_up_by_up_without_a_restart(https: Site) -> None:
    for name in ("fullchain.pem", "good.pem", "expired.pem", "other.pem", "x.pem"):
        (https.folder / name).unlink(missing_ok=True)
    outside = https.folder.parent / "renewed.pem"
    certificate(outside)
    https.edit("[balancer]\n", f'[balancer]\ncertificate = "{outside}"\n')
    await asyncio.to_thread(https.millions, "up", "--detach")
    pid, first = https.pid("balancer.1"), await serial(https)
    certificate(outside)
    await asyncio.to_thread(https.millions, "up", "--detach")

    async def is_new() -> bool:
        return await serial(https) != first

    await eventually(is_new, within_s=10)
    assert https.pid("balancer.1") == pid
    kept = list((https.state / "secrets").glob("balancer.*.pem"))
    assert {each.stat().st_mode & 0o777 for each in kept} == {0o600}
