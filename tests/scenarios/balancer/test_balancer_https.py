"""HTTPS must be today's, and lead people there."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509
from pems import certificate, shown
from rig import Backend, get, once

from millions.runtime.ports import free_port
from millions.testing import eventually
from millions.tiers.haproxy import Secured

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from rig import Balancer

    NewBalancer = Callable[..., Awaitable[Balancer]]


def secured(path: Path, **more: Any) -> Secured:
    known = {"certificate": str(path), "port": 443, "redirect": True, "hsts_s": 600}
    return Secured(**(known | more))


@pytest.fixture
async def https(tmp_path: Path, new_balancer: NewBalancer) -> AsyncIterator[Balancer]:
    return await new_balancer(secured=secured(certificate(tmp_path / "site.pem")))


def trusting(path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(path))


@pytest.mark.parametrize("http2", [True, False], ids=["HTTP/2", "HTTP/1.1"])
async def test_people_are_answered_by_https_with_hsts(
    https: Balancer, tmp_path: Path, *, http2: bool
) -> None:
    async with httpx.AsyncClient(http2=http2, verify=trusting(tmp_path / "site.pem")) as client:
        answer = await client.get(f"https://localhost:{https.secured_port}/seen")
    assert answer.status_code == 200
    assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert answer.headers["strict-transport-security"] == "max-age=600"
    asked = next(each for backend in https.backends for each in backend.of("/seen"))
    assert asked.headers["x-forwarded-proto"] == "https"


async def test_http_is_redirected_and_keeps_method_path_and_query(https: Balancer) -> None:
    answer = await once(https.port, get("/a/b?c=d"))
    assert answer.status == 308
    assert answer.headers["location"] == "https://photos.test/a/b?c=d"
    assert "strict-transport-security" not in answer.headers
    assert not any(each.of("/a/b") for each in https.backends)


async def test_the_redirect_names_a_port_that_is_not_the_usual_one(
    tmp_path: Path, new_balancer: NewBalancer
) -> None:
    pem = certificate(tmp_path / "site.pem")
    balancer = await new_balancer(secured=secured(pem, port=8443))
    with_port = b"GET /x HTTP/1.1\r\nHost: photos.test:8080\r\n\r\n"
    answer = await once(balancer.port, with_port)
    assert answer.headers["location"] == "https://photos.test:8443/x"


async def test_without_a_redirect_both_answer_and_hsts_can_be_left_out(
    tmp_path: Path, new_balancer: NewBalancer
) -> None:
    pem = certificate(tmp_path / "site.pem")
    balancer = await new_balancer(secured=secured(pem, redirect=False, hsts_s=0))
    assert (await once(balancer.port, get())).status == 200
    async with httpx.AsyncClient(verify=trusting(pem)) as client:
        answer = await client.get(f"https://localhost:{balancer.secured_port}/")
    assert (answer.status_code, answer.headers.get("strict-transport-security")) == (200, None)


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
    ids=["TLS 1.1", "TLS 1.2", "TLS 1.3"],
)
async def test_only_tls_of_today_is_spoken(
    https: Balancer, version: ssl.TLSVersion, *, accepted: bool
) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # our side would refuse the old one by itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = context.maximum_version = version
    try:
        await asyncio.to_thread(shown, https.secured_port, context)
    except ssl.SSLError:
        assert not accepted
    else:
        assert accepted


async def test_a_renewed_certificate_is_shown_after_a_reload(
    https: Balancer, tmp_path: Path
) -> None:
    before = await _serial(https)
    https.render(secured=secured(certificate(tmp_path / "renewed.pem")))
    await https.reload()

    async def renewed() -> bool:  # the former worker may take a connection until it is gone
        return await _serial(https) != before

    await eventually(renewed, within_s=10)


async def _serial(balancer: Balancer) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    found = await asyncio.to_thread(shown, balancer.secured_port, context)
    return x509.load_der_x509_certificate(found).serial_number


async def test_challenges_of_certificate_authorities_go_to_who_renews(
    tmp_path: Path, new_balancer: NewBalancer
) -> None:
    port = free_port()
    renewing = Backend("certbot", port)
    await renewing.open()
    try:
        balancer = await new_balancer(
            secured=secured(certificate(tmp_path / "site.pem")), challenges=f"127.0.0.1:{port}"
        )
        answer = await once(balancer.port, get("/.well-known/acme-challenge/token"))
        elsewhere = await once(balancer.port, get("/elsewhere"))
    finally:
        await renewing.close()
    assert (answer.status, answer.body) == (200, "certbot")
    assert elsewhere.status == 308
