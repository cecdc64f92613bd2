"""One request and its answer on their way through the middleware: counted, bounded, logged.

It passes messages on at once and holds nothing back. An answer that was refused before it began
(a body too large, a file not taken) is replaced by clear words.
"""

from __future__ import annotations

import re
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson

from millions.errors import SdkError
from millions.sdk import answers, log, nouns

if TYPE_CHECKING:
    from millions.sdk.position_cookie import Carried
    from millions.sdk.requests import Request

MIB = 1024 * 1024

CLIENT_LEFT = 499
"""The status counted when the client left before an answer began, as nginx does."""

SERVER_ERROR = 500


class Refusal(Exception):  # noqa: N818  # not an error of ours: the request is refused
    """Raised out of `receive` when the body is larger than allowed."""


class Exchange:
    """Stands between server and application for one request."""

    __slots__ = (
        "_left",
        "_most",
        "_receive",
        "_request",
        "_seen",
        "_send",
        "access_log",
        "complete",
        "receive",
        "refusal",
        "refused",
        "size",
        "status",
    )

    def __init__(self, request: Request, receive: Any, send: Any, *, access_log: bool) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._seen: Carried | None = None
        self._left = self._most = 0
        self.access_log = access_log
        self.receive = receive
        self.refusal: tuple[int, str] | None = None
        self.refused = False
        self.status = 0
        self.size = 0
        self.complete = False
        nouns.metrics.requests.in_flight += 1

    def begin(self) -> bool:
        """Prepare for the application. False when the request is to be refused."""
        scope = self._request.scope
        most = nouns.opened_with().web.max_body_mib * MIB
        for name, value in scope["headers"]:
            if name == b"content-length":
                if not value.isdigit():
                    self.refusal = (400, BAD_LENGTH)
                elif int(value) > most:
                    self.refusal = (413, too_large(most))
            elif name == b"transfer-encoding":
                self._left = self._most = most
                self.receive = self._bounded
        self._seen = nouns.position_cookie.arrive(scope)
        return self.refusal is None

    async def _bounded(self) -> Any:
        """Receive a body of unknown length; refuse it as soon as it is too large."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.refusal = (413, too_large(self._most))
                raise Refusal
        return message

    async def send(self, message: Any) -> None:
        """Pass one message on; add our headers to the first."""
        if message["type"] == "http.response.start":
            if message["status"] >= 400 and await self._replaced(message["status"]):  # noqa: PLR2004
                return
            headers = [*message.get("headers", ())]
            for name, value in headers:
                if FORBIDDEN(name) or FORBIDDEN(value):
                    raise smuggled(name)
            self.status = message["status"]
            headers.append((b"x-request-id", self._request.id.encode()))
            if self._seen is not None:
                headers += self._seen.headers(headers)
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            if self.complete:
                return
            self.size += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def _replaced(self, status: int) -> bool:
        """Answer a refusal in place of the application's error; log the error of a 500."""
        if self.status:
            return False
        if self.refusal is None and status == SERVER_ERROR:
            self.refusal = refused_file(self._request)
        if self.refusal is None:
            if status >= SERVER_ERROR:
                _log(sys.exception())
            return False
        await self.refuse()
        return True

    async def refuse(self) -> None:
        """Answer with the refusal's words."""
        if self.status or self.refusal is None:
            return
        status, words = self.refusal
        self.refusal = self._request.refusal = None
        self.refused = True
        await answers.text(self.send, status, words)

    async def failed(self, error: Exception) -> None:
        """Answer for an application that raised: its refusal, or 500 and a line in the log."""
        refused = self.refused or isinstance(error, Refusal)
        if not self.status:
            refused = await self._replaced(SERVER_ERROR) or refused
        if not refused:
            _log(error)
        if not self.status:
            await answers.text(self.send, SERVER_ERROR, "Internal Server Error\n")

    def finish(self) -> None:
        """Count the request and write its line."""
        request = self._request
        metrics = nouns.metrics.requests
        metrics.in_flight -= 1
        seconds = perf_counter() - request.started_s
        status = self.status or CLIENT_LEFT
        route = metrics.note(request.scope, status, seconds)
        if self._seen is not None:
            self._seen.leave()
        if self.access_log:
            _line(request, status, route, (seconds, self.size))


FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
"""What would begin another header, or end them all."""


def smuggled(name: bytes) -> SdkError:
    """Say that a header holds a line's end."""
    return SdkError(
        cannot=f"answer with the header {name.decode('latin-1')!r}",
        because="it holds a line end or another control character",
        try_="remove them, or quote the value (urllib.parse.quote)",
    )


def _log(error: BaseException | None) -> None:
    """Write one line of what the application raised, with its traceback; once."""
    if error is not None and not getattr(error, log.MARK, False):
        log.log.error("the application raised", exc_info=error)
        setattr(error, log.MARK, True)


BAD_LENGTH = "cannot read the request\n  because: its Content-Length is no number\n"


def too_large(most: int) -> str:
    """Say that a body is larger than `most` bytes."""
    return (
        "cannot accept this request\n"
        f"  because: its body is larger than {most // MIB} MiB\n"
        "  try: a smaller upload, or a larger [web] max_body_mib in millions.toml\n"
    )


def refused_file(request: Request) -> tuple[int, str] | None:
    """Answer status and words of the refused file that an answer of 500 comes from, if one does."""
    refusal = request.refusal
    error = sys.exception()
    if refusal is None:
        return None
    for _ in range(10):  # a chain of causes is not longer
        if error is None or error is refusal:
            break
        error = error.__cause__ or error.__context__
        if error is None:
            return None
    return getattr(refusal, "status", 400), f"{refusal}\n"


def _line(request: Request, status: int, route: str, spent: tuple[float, int]) -> None:
    """Write the access log's line: the path without its query, which may hold signatures."""
    scope = request.scope
    client = scope.get("client")
    record = {
        "time": log.now(),
        "level": "error" if status >= SERVER_ERROR and status != CLIENT_LEFT else "info",
        "event": "request",
        "request_id": request.id,
        "unit": log.unit,
        "method": scope["method"],
        "path": scope["path"],
        "route": route,
        "status": status,
        "ms": round(spent[0] * 1000, 3),
        "bytes": spent[1],
        "client": client[0] if client else "",
    }
    log.lines.write(orjson.dumps(record))
