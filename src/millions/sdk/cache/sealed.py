"""Sealed: a cached value as bytes that a server may hold, and proof that they are ours.

What is not sealed with the stack's secret, for exactly this key, is never decoded: who can write to
a server can make the application load anew, and nothing more. A value whose classes look otherwise
in this release than in the one that stored it is none. It asks no server.
Source: keyed BLAKE2b as a MAC; `marshal` where built-in types are all there is, else `pickle`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import importlib
import marshal
import pickle
import sys
from enum import Enum
from typing import Any, NamedTuple, cast

from millions.sdk.cache.values import THAWS, Frozen, is_built_in, parts_of

FORMAT = bytes((1, *sys.version_info[:2]))
"""What `marshal` and `pickle` write belongs to a version of Python."""

MAC_BYTES = 16
BODY_AT = len(FORMAT) + MAC_BYTES
PURPOSE = b"millions cache"
CLASSES_MAX = 1000
"""Texts about classes that are remembered as known or not."""

PROTOCOL = 5


class Content(NamedTuple):
    """What is sealed: a value, until when it is fresh (unix seconds), and what it depends on.

    `stamps` are those of its `tags` when its loading began: a tag whose stamp is another one was
    invalidated since. `seen` is how far the database was read, as `position.Seen.text` has it.
    """

    frozen: Frozen
    fresh_until_s: float
    tags: tuple[str, ...] = ()
    stamps: tuple[bytes, ...] = ()
    seen: str = ""


class Seal:
    """Seals and opens with one secret."""

    __slots__ = ("_keyed", "_known")

    def __init__(self, secret: bytes) -> None:
        key = hashlib.blake2b(secret, person=PURPOSE, digest_size=32).digest()
        self._keyed = hashlib.blake2b(key=key, digest_size=MAC_BYTES)
        self._known: dict[str, bool] = {}

    def sealed(self, key: bytes, content: Content) -> bytes:
        """The bytes of `content` under `key`."""
        frozen = content.frozen
        kept, classes, pickled = frozen.kept, "", False
        if frozen.thaw is pickle.loads:
            classes = _classes_text(frozen.value())
        elif not is_built_in(kept):
            classes = _classes_text(kept)
            kept, pickled = pickle.dumps(kept, PROTOCOL), True
        how = (THAWS.index(frozen.thaw), frozen.size_bytes, pickled, classes)
        about = (content.fresh_until_s, content.tags, content.stamps, content.seen)
        body = marshal.dumps((kept, *how, *about))
        return FORMAT + self._mac(key, body) + body

    def opened(self, key: bytes, data: bytes) -> Content | None:
        """What was sealed under `key`; None when it is foreign, altered, or of other classes."""
        body = data[BODY_AT:]
        if not hmac.compare_digest(data[:BODY_AT], FORMAT + self._mac(key, body)):
            return None
        parts: tuple[Any, ...] = marshal.loads(body)  # noqa: S302  # sealed with our secret
        kept, way, size_bytes, pickled, classes, *about = parts
        if classes and not self._knows(classes):
            return None
        try:
            thaw = THAWS[int(way)]
            if pickled:
                kept = pickle.loads(kept)  # noqa: S301  # sealed with our secret
            elif thaw is pickle.loads:
                pickle.loads(kept)  # noqa: S301  # who thaws it later must not be the one to learn
        except Exception:  # noqa: BLE001  # whatever a class of another release says
            return None
        return Content(Frozen(kept, thaw, size_bytes), *about)

    def _mac(self, key: bytes, body: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(len(key).to_bytes(4, "big") + key)
        mac.update(body)
        return mac.digest()

    def _knows(self, classes: str) -> bool:
        """Whether the classes look here as they did where the value was sealed."""
        known = self._known.get(classes)
        if known is None:
            if len(self._known) >= CLASSES_MAX:
                self._known.clear()
            known = self._known[classes] = all(map(_is_same, filter(None, classes.split("\n"))))
        return known


def _classes_text(value: Any) -> str:
    """The classes of all that `value` holds, with their fields."""
    found: dict[type, str] = {}
    _collect(value, found)
    return "\n".join(sorted(filter(None, found.values())))


def _collect(value: Any, found: dict[type, str]) -> None:
    kind: type = value.__class__
    if kind not in found:
        found[kind] = _described(kind)
    for part in parts_of(value):
        _collect(part, found)


def _described(kind: Any) -> str:
    """`module:Name:fields`; '' for what has none."""
    fields = _fields(kind)
    if fields is None:
        return ""
    said = hashlib.blake2b(repr(fields).encode(), digest_size=8).hexdigest()
    return f"{kind.__module__}:{kind.__qualname__}:{said}"


def _fields(kind: Any) -> list[str] | None:
    """What a class of our own kinds is made of."""
    if hasattr(kind, "__dataclass_fields__"):
        return [each.name for each in dataclasses.fields(kind)]
    if hasattr(kind, "__pydantic_fields__"):
        return list(kind.__pydantic_fields__)
    if issubclass(kind, Enum):
        return [f"{each.name}={each.value!r}" for each in kind]
    named: Any = getattr(kind, "_fields", None) if tuple in kind.__mro__ else None
    return None if named is None else list(named)


def _is_same(line: str) -> bool:
    module, name, _ = line.split(":")
    try:
        kind: Any = importlib.import_module(module)
        for part in name.split("."):
            kind = getattr(kind, part)
    except (ImportError, AttributeError):
        return False
    return isinstance(kind, type) and _described(cast("Any", kind)) == line
