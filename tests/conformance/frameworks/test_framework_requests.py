"""Each framework's requests are named, counted, logged and bounded alike."""

import httpx
import pytest
from served import Served

from millions.testing import eventually

TEMPLATES = {
    "starlette": "/hello/{name}",
    "fastapi": "/hello/{name}",
    "litestar": "/hello/{name}",
    "django": "/hello/<str:name>",
}
MIB = 1024 * 1024


async def test_a_request_is_counted_under_its_route_and_not_its_path(
    served: Served, client: httpx.AsyncClient
) -> None:
    for name in ("ann", "bob", "eve"):
        assert (await client.get(f"/hello/{name}")).json()["hello"] == name
    text = await served.metrics()
    label = f'method="GET",route="{TEMPLATES[served.framework]}",status="200"'
    assert f"millions_requests_total{{{label}}}" in text
    assert "/hello/ann" not in text


async def test_what_nobody_serves_makes_no_label(served: Served, client: httpx.AsyncClient) -> None:
    for number in range(5):
        assert (await client.get(f"/wp-admin-{number}/x.php")).status_code == 404
    text = await served.metrics()
    assert 'route="(unmatched)",status="404"' in text
    assert "wp-admin" not in text


async def test_the_application_was_started(served: Served, client: httpx.AsyncClient) -> None:
    expected = 0 if served.framework == "django" else 1  # Django knows no lifespan
    assert (await client.get("/hello/ann")).json()["started"] == expected


async def test_one_id_names_the_request_in_answer_and_log(
    served: Served, client: httpx.AsyncClient
) -> None:
    answer = await client.get("/hello/log", headers={"x-request-id": "given-by-balancer-7"})
    assert answer.headers["x-request-id"] == "given-by-balancer-7"
    await eventually(lambda: served.lines(request_id="given-by-balancer-7", event="request"))
    said = served.lines(request_id="given-by-balancer-7")
    assert [each["event"] for each in said] == ["said hello", "request"]
    assert {each["unit"] for each in said} == {"web.1"}
    assert said[1]["route"] == TEMPLATES[served.framework]
    assert said[1]["status"] == 200


@pytest.mark.parametrize(
    "given",
    ["short", "x" * 65, 'forged", "level": "error', "sp ace in it"],
    ids=lambda each: each[:9],
)
async def test_an_id_that_could_forge_a_line_is_replaced(
    served: Served, client: httpx.AsyncClient, given: str
) -> None:
    answer = await client.get("/hello/ann", headers={"x-request-id": given})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


async def test_an_application_that_raises_answers_500_and_is_logged_once(
    served: Served, client: httpx.AsyncClient
) -> None:
    answer = await client.get("/fail")
    assert answer.status_code == 500
    assert "as it was asked to" not in answer.text
    identity = answer.headers["x-request-id"]
    lines = await eventually(lambda: served.lines(request_id=identity, event="request"))
    assert lines[0]["level"] == "error"
    raised = [
        each for each in served.lines() if "as it was asked to" in str(each.get("exception", ""))
    ]
    assert len([each for each in raised if each.get("request_id") == identity]) == 1
    assert 'route="/fail"' in await served.metrics()


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/size", content=b"x" * (2 * MIB + 1))
    assert answer.status_code == 413
    assert "larger than 2 MiB" in answer.text
    assert (await client.post("/size", content=b"x" * 2 * MIB)).json() == {"size": 2 * MIB}


async def test_a_body_of_unknown_length_is_refused_when_it_becomes_too_large(
    client: httpx.AsyncClient,
) -> None:
    async def endless():
        for _ in range(40):
            yield b"x" * 65536

    answer = await client.post("/size", content=endless())
    assert answer.status_code == 413
    assert "larger than 2 MiB" in answer.text


async def test_a_header_cannot_be_smuggled_into_an_answer(client: httpx.AsyncClient) -> None:
    answer = await client.get("/injected")
    assert answer.status_code == 500
    assert "x-injected" not in answer.headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_are_answered_and_not_logged(
    served: Served, client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    await client.get("/hello/after-the-probe")
    await eventually(lambda: served.lines(path="/hello/after-the-probe"))
    assert not served.lines(path=path)


async def test_metrics_are_private(served: Served, client: httpx.AsyncClient) -> None:
    assert (await client.get("/metrics")).status_code == 404
    assert "millions_request_seconds_bucket" in await served.metrics()
