"""Signing: proves that a cookie, URL or token was given out by this stack and is still in time.

It never encrypts: whoever holds a signed text can read its payload. Each purpose has its own key,
so that a text signed for one purpose is a forgery for every other.
Source: itsdangerous `Signer`, HMAC-SHA256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from pathlib import Path
from typing import TYPE_CHECKING

import itsdangerous

from millions.errors import SignatureError, StateError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

SECRET_BYTES_MIN = 16
"""A shorter secret could be searched for."""

TEXT_CHARACTERS_MAX = 8192
"""Longer texts are refused unread: no header or URL that we give out comes near."""

_NEVER = 0
_EXPIRY_BYTES = 8


class Signer:
    """Signs bytes as text that is safe in cookies and URLs: `payload.signature`."""

    __slots__ = ("_clock", "_purpose", "_signer")

    def __init__(
        self, secret: bytes, purpose: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        if len(secret) < SECRET_BYTES_MIN:
            raise StateError(
                cannot=f"sign for {purpose!r}",
                because=f"the secret has {len(secret)} bytes, {SECRET_BYTES_MIN} are the least",
                try_="python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        key = hmac.digest(secret, b"millions\0" + purpose.encode(), hashlib.sha256)
        self._purpose = purpose
        self._clock = clock
        self._signer = itsdangerous.Signer(
            key, salt=b"", digest_method=hashlib.sha256, key_derivation="none"
        )

    def sign(self, payload: bytes, ttl_s: float | None = None) -> str:
        """Give out `payload`, valid for `ttl_s` seconds or for ever."""
        expires_ms = _NEVER if ttl_s is None else max(1, int((self._clock() + ttl_s) * 1000))
        body = expires_ms.to_bytes(_EXPIRY_BYTES, "big") + payload
        encoded = base64.urlsafe_b64encode(body).rstrip(b"=")
        return self._signer.sign(encoded).decode("ascii")

    def verify(self, text: str) -> bytes:
        """Return the payload. Raise SignatureError when forged, altered or expired."""
        if len(text) > TEXT_CHARACTERS_MAX:
            raise self._refusal(f"it has {len(text)} characters, {TEXT_CHARACTERS_MAX} at most")
        try:
            encoded = self._signer.unsign(text.encode("ascii"))
            body = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), b"-_", validate=True)
        except (itsdangerous.BadSignature, UnicodeEncodeError, binascii.Error) as error:
            raise self._refusal("its signature does not match") from error
        if len(body) < _EXPIRY_BYTES:
            raise self._refusal("it is too short")
        expires_ms = int.from_bytes(body[:_EXPIRY_BYTES], "big")
        if expires_ms != _NEVER and self._clock() * 1000 >= expires_ms:
            raise self._refusal("it has expired")
        return body[_EXPIRY_BYTES:]

    def _refusal(self, because: str) -> SignatureError:
        """The error for a text that is not accepted; it never repeats the text."""
        return SignatureError(
            cannot=f"accept this {self._purpose}", because=because, try_="ask for a new one"
        )


def read_secret(path: str | os.PathLike[str]) -> bytes:
    """Read the secret in the file at `path` (blocking), without the newline at its end.

    Raise StateError when there is none or it is too short.
    """
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        raise StateError(
            cannot=f"read the secret {path}",
            because=error.strerror or str(error),
            try_="millions up, which writes the secrets that are missing",
        ) from error
    if len(secret) < SECRET_BYTES_MIN:
        raise StateError(
            cannot=f"use the secret {path}",
            because=f"it has {len(secret)} bytes, {SECRET_BYTES_MIN} are the least",
            try_=f"rm {path} && millions up, which writes a new one and signs everyone out",
        )
    return secret
