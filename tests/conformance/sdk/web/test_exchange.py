"""What passes through the middleware arrives as it was sent, and what breaks is told apart."""

import asyncio
from typing import Any

import orjson
import pytest

from millions import Millions
from millions.sdk.idempotency_rows import KEPT_BYTES_MAX

Message = dict[str, Any]


class Client:
    """Asks an ASGI application without a server between."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.sent: list[Message] = []
        self.gone = asyncio.Event()

    async def ask(self, *bodies: bytes, method: str = "POST", **headers: str) -> list[Message]:
        self.sent = []
        left = list(bodies or (b"",))
        given = [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ]
        scope = {
            "type": "http",
            "method": method,
            "path": "/x",
            "query_string": b"",
            "headers": given,
            "client": ("192.0.2.7", 1),
            "scheme": "http",
        }

        async def receive() -> Message:
            if left:
                body = left.pop(0)
                return {"type": "http.request", "body": body, "more_body": bool(left)}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            self.sent.append(message)

        await self.app(scope, receive, send)
        return self.sent

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(each["body"] for each in self.sent[1:])


def answering(*bodies: bytes, status: int = 200, then: Exception | None = None) -> Any:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        for number, body in enumerate(bodies, 1):
            await send(
                {"type": "http.response.body", "body": body, "more_body": number < len(bodies)}
            )
        if then is not None:
            raise then

    return app


async def test_a_stream_passes_piece_by_piece(millions_nouns: Any) -> None:
    client = Client(Millions(answering(b"a", b"b", b"c")))
    await client.ask()
    assert [each.get("body") for each in client.sent[1:]] == [b"a", b"b", b"c"]


async def test_an_application_that_raises_before_it_answers_is_answered_for(
    millions_nouns: Any,
) -> None:
    async def app(*_: Any) -> None:
        raise LookupError("secret detail")

    client = Client(Millions(app))
    await client.ask()
    assert (client.status, client.body) == (500, b"Internal Server Error\n")


async def test_an_application_that_raises_after_its_answer_harms_nobody(
    millions_nouns: Any,
) -> None:
    client = Client(Millions(answering(b"done", then=LookupError("afterwards"))))
    await client.ask()
    assert (client.status, client.body) == (200, b"done")


async def test_an_answer_that_breaks_off_is_told_to_the_server(millions_nouns: Any) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise LookupError("in the middle")

    with pytest.raises(LookupError):  # the server closes the connection for it
        await Client(Millions(app)).ask()


async def test_the_server_is_told_when_the_nouns_are_closed() -> None:
    client = Client(Millions(answering(b"done")))
    await client.ask()
    assert client.status == 500


async def test_an_answer_too_large_to_keep_is_sent_whole_and_once(millions_nouns: Any) -> None:
    runs = 0
    piece = b"x" * 100_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal runs
        runs += 1
        await answering(*[piece] * 5)(scope, receive, send)

    client = Client(Millions(app))
    await client.ask(b"order", idempotency_key="large")
    assert client.body == piece * 5
    assert len(client.body) > KEPT_BYTES_MAX
    await client.ask(b"order", idempotency_key="large")
    assert (client.status, runs) == (200, 1)
    assert client.headers[b"idempotency-replayed"] == b"effect-only"
    assert orjson.loads(client.body)["status"] == "done"


async def test_a_body_that_was_not_read_counts_in_the_comparison_too(millions_nouns: Any) -> None:
    client = Client(Millions(answering(b"done")))  # it never looks at the body
    await client.ask(b"one", b"two", idempotency_key="unread")
    await client.ask(b"onetwo", idempotency_key="unread")
    assert client.headers[b"idempotency-replayed"] == b"true"
    await client.ask(b"one", b"three", idempotency_key="unread")
    assert client.status == 422


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
async def test_a_refusal_that_may_pass_is_not_kept(millions_nouns: Any, status: int) -> None:
    client = Client(Millions(answering(b"later", status=status)))
    await client.ask(idempotency_key="refused")
    client.app = Millions(answering(b"now"))
    await client.ask(idempotency_key="refused")
    assert (client.status, client.body) == (200, b"now")


@pytest.mark.parametrize("status", [200, 201, 303, 400, 404, 422])
async def test_an_answer_that_will_not_change_is_kept(millions_nouns: Any, status: int) -> None:
    client = Client(Millions(answering(b"first", status=status)))
    await client.ask(idempotency_key="answered")
    client.app = Millions(answering(b"second"))
    await client.ask(idempotency_key="answered")
    assert (client.status, client.body) == (status, b"first")


async def test_a_cancelled_request_lets_go_of_its_key(millions_nouns: Any) -> None:
    entered = asyncio.Event()

    async def hanging(*_: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    client = Client(Millions(hanging))
    asking = asyncio.create_task(client.ask(idempotency_key="hangs"))
    await entered.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    client.app = Millions(answering(b"done"))
    async with asyncio.timeout(5):
        await client.ask(idempotency_key="hangs")
    assert (client.status, client.body) == (200, b"done")


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "1 2", "٣"], ids=repr)
async def test_a_length_that_is_no_number_is_refused(millions_nouns: Any, length: str) -> None:
    client = Client(Millions(answering(b"done")))
    await client.ask(content_length=length)
    assert client.status == 400
    assert b"Content-Length" in client.body


async def test_a_websocket_reaches_the_application_with_an_id(millions_nouns: Any) -> None:
    from millions.sdk.requests import request_id  # noqa: PLC0415  # only this test looks inside

    seen: list[str | None] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(request_id())
        await send({"type": "websocket.accept"})

    scope = {"type": "websocket", "path": "/ws", "headers": [(b"x-request-id", b"socket-id-1")]}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    await Millions(app)(scope, receive, send)
    assert seen == ["socket-id-1"]
    assert sent == [{"type": "websocket.accept"}]


async def test_a_webhook_may_be_exempt_from_csrf_and_nothing_else_is(millions_nouns: Any) -> None:
    given = millions_nouns.sessions.cookie.given("somebody", 60).decode().partition(";")[0]
    form = {"cookie": given, "content_type": "application/x-www-form-urlencoded"}
    guarded = Client(Millions(answering(b"done")))
    await guarded.ask(b"a=1", **form)
    assert guarded.status == 403
    exempt = Client(Millions(answering(b"done"), csrf_exempt=["/x"]))
    await exempt.ask(b"a=1", **form)
    assert exempt.status == 200
