"""CSRF: refuses requests that another site made a browser send in the name of its user.

Checked are requests that change something, carry a valid session cookie, and have content that a
foreign page can send without asking (forms, plain text, none). What comes from another origin is
refused; a form also needs the token of its session. Pure: it reads headers, never a body.
Source: OWASP "Cross-Site Request Forgery Prevention" (signed double submit bound to the session,
fetch metadata); Go `net/http.CrossOriginProtection`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

FIELD = "csrf_token"
"""The name of the form field, and of the field in the query for large uploads."""

HEADER = b"x-csrf-token"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
FORMS = frozenset({b"application/x-www-form-urlencoded", b"multipart/form-data"})
SENT_UNASKED = FORMS | {b"text/plain", b""}
"""Content types that need no permission of ours to be sent here from another origin."""

TOKEN_CHARACTERS_MAX = 200

_SALT_BYTES = 9
_PROOF_BYTES = 21


class Origin(Enum):
    """Where a browser says that a request was made."""

    SAME = "this site"
    OTHER = "another site"
    UNSAID = "not said"


class Tokens:
    """Makes and checks the tokens of sessions. Each is salted, so that no two look alike."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"millions\0csrf", hashlib.sha256)

    def token(self, session_id: str) -> str:
        """A token for the forms of this session."""
        salt = secrets.token_bytes(_SALT_BYTES)
        return base64.urlsafe_b64encode(salt + self._proof(salt, session_id)).decode("ascii")

    def accepts(self, token: str, session_id: str) -> bool:
        """Whether `token` was made for this session."""
        if len(token) > TOKEN_CHARACTERS_MAX:
            return False
        try:
            raw = base64.b64decode(token.encode("ascii"), b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return False
        salt, proof = raw[:_SALT_BYTES], raw[_SALT_BYTES:]
        return hmac.compare_digest(proof, self._proof(salt, session_id))

    def _proof(self, salt: bytes, session_id: str) -> bytes:
        return hmac.digest(self._key, salt + session_id.encode(), hashlib.sha256)[:_PROOF_BYTES]


def origin_of(headers: Iterable[tuple[bytes, bytes]], trusted: Collection[str] = ()) -> Origin:
    """Where the request was made, by the headers that pages cannot set themselves.

    `trusted` are origins such as `https://pay.example.com` that count as this site.
    """
    found = {name: value for name, value in headers if name in _ORIGIN_HEADERS}
    origin = found.get(b"origin", b"").decode("latin-1").lower()
    if origin and origin in trusted:
        return Origin.SAME
    site = found.get(b"sec-fetch-site", b"").lower()
    if site == b"same-origin":
        return Origin.SAME
    if site in (b"cross-site", b"same-site"):
        return Origin.OTHER
    if not origin:
        return Origin.UNSAID
    scheme, _, place = origin.partition("://")
    host = found.get(b"host", b"").decode("latin-1").lower()
    same = bool(place) and _with_port(scheme, place) == _with_port(scheme, host)
    return Origin.SAME if same else Origin.OTHER


def content_type_of(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """The content type in small letters without its parameters, and the whole of it."""
    whole = next((value for name, value in headers if name == b"content-type"), b"")
    return whole.partition(b";")[0].strip().lower(), whole


def needs_check(method: str, kind: bytes) -> bool:
    """Whether a foreign page could send such a request without asking."""
    if method in SAFE_METHODS:
        return False
    return kind in SENT_UNASKED if method == "POST" else kind in FORMS


_ORIGIN_HEADERS = frozenset({b"origin", b"sec-fetch-site", b"host"})
_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


def _with_port(scheme: str, place: str) -> str:
    """`place` with the port that its scheme implies."""
    tail = place.rpartition("]")[2]  # an IPv6 address has colons of its own
    return place if ":" in tail else f"{place}:{_PORTS.get(scheme, '')}"
