"""The session cookie: a signed id and nothing else. It never holds what a session holds."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from millions.errors import SignatureError
from millions.sdk.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = "millions_session"

ID_BYTES = 18
"""144 bits by chance: an id cannot be guessed, and it is signed besides."""

CANDIDATES_MAX = 4
"""Cookies of our name in one request whose signatures are looked at."""


class Cookie:
    """Reads and writes the cookie. `secure` ones are sent over HTTPS only, to this host only."""

    __slots__ = ("_signer", "name", "secure")

    def __init__(self, secret: bytes, *, secure: bool) -> None:
        self._signer = Signer(secret, "session")
        self.secure = secure
        self.name = f"__Host-{NAME}" if secure else NAME

    def session_id(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The id in a request's cookie; None without one that we signed."""
        for text in self._values(headers):
            try:
                return self._signer.verify(text).decode("ascii")
            except (SignatureError, UnicodeDecodeError):
                continue
        return None

    def given(self, session_id: str, max_age_s: int) -> bytes:
        """The Set-Cookie header that gives out `session_id`."""
        return self._header(self._signer.sign(session_id.encode("ascii")), max_age_s)

    def taken(self) -> bytes:
        """The Set-Cookie header that removes the cookie."""
        return self._header("", 0)

    def _header(self, value: str, max_age_s: int) -> bytes:
        parts = [f"{self.name}={value}", "Path=/", f"Max-Age={max_age_s}", "HttpOnly"]
        parts += ["SameSite=Lax", *(["Secure"] if self.secure else [])]
        return "; ".join(parts).encode("ascii")

    def _values(self, headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
        wanted = self.name.encode() + b"="
        values: list[str] = []
        for name, header in headers:
            if name != b"cookie" or wanted not in header:
                continue
            for pair in header.split(b";"):
                stripped = pair.strip()
                if stripped.startswith(wanted):
                    values.append(stripped[len(wanted) :].decode("latin-1").strip('"'))
        return values[:CANDIDATES_MAX]


def new_id() -> str:
    """An id that nobody had."""
    return secrets.token_urlsafe(ID_BYTES)
