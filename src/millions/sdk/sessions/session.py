"""Session: what one visitor's session holds during one request, and how it changed.

It knows which of its keys this request changed, however deep inside, so that requests side by side
keep each other's changes. It reads and writes no store.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millions.errors import SdkError
from millions.sdk.store.codec import decoded, encoded

if TYPE_CHECKING:
    from millions.sdk.store import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The keys that were given another value, and those that were removed."""

    changed: frozenset[str]
    removed: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


class Session(MutableMapping[str, Any]):
    """A mapping from text to JSON values.

    It is stored before the response starts; changed later, it raises SdkError.
    """

    __slots__ = ("_before", "_data", "_sealed", "_user", "made_at_s", "seen_at_s", "version")

    def __init__(self) -> None:
        self._user: str | None = None
        self.version: int | None = None
        self.made_at_s = 0.0
        self.seen_at_s = 0.0
        self._data: dict[str, Any] = {}
        self._before: dict[str, str] = {}
        self._sealed = False

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._check_unsealed()
        self._data[key] = value

    def __delitem__(self, key: str) -> None:
        self._check_unsealed()
        del self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    @property
    def user(self) -> str | None:
        """Who logged in, as text; `sessions.login` and `sessions.logout` change it."""
        return self._user

    def __repr__(self) -> str:
        return f"<Session of {self.user or 'nobody'} with {len(self._data)} keys>"

    def take(self, document: Document) -> None:
        """Become what `document` holds."""
        value = document.value
        self._user = value["user"]
        self.made_at_s = value["made_at_s"]
        self.seen_at_s = value["seen_at_s"]
        self.version = document.version
        self._data = value["data"]
        self._before = self._encoded()

    def document(self) -> dict[str, Any]:
        """What is stored."""
        return {
            "user": self._user,
            "made_at_s": self.made_at_s,
            "seen_at_s": self.seen_at_s,
            "data": self._data,
        }

    def changes(self) -> Changes:
        """What differs from what is stored. Raise SdkError when JSON cannot hold a value."""
        now = self._encoded()
        changed = {key for key, text in now.items() if self._before.get(key) != text}
        removed = self._before.keys() - now.keys()
        return Changes(changed=frozenset(changed), removed=frozenset(removed))

    def settled(self, version: int) -> None:
        """Remember that what it holds now is stored."""
        self.version = version
        self._before = self._encoded()

    def rebase(self, document: Document) -> None:
        """Apply the changes of this request to what another one has stored meanwhile."""
        changes, mine = self.changes(), self._data
        self.take(document)
        for key in changes.removed:
            self._data.pop(key, None)
        for key in changes.changed:
            self._data[key] = mine[key]

    def end(self) -> None:
        """Hold nothing and be nobody's: it was logged out, revoked, or is over."""
        self._user = None
        self.version = None
        self._data = {}
        self._before = {}

    def seal(self) -> None:
        """Refuse changes from now on: the response has started."""
        self._sealed = True

    def copied(self) -> dict[str, Any]:
        """The data, shared with nobody."""
        return {key: decoded(text) for key, text in self._encoded().items()}

    def renew(self, user: str, data: dict[str, Any]) -> None:
        """Become a new session of `user`, which is not stored yet."""
        self.end()
        self._user = user
        self._data = data

    def _encoded(self) -> dict[str, str]:
        for key in self._data:
            if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise SdkError(
                    cannot=f"store {key!r} in a session",
                    because="it is not text",
                    try_=f"str({key!r})",
                )
        return {key: encoded(f"session.{key}", value) for key, value in self._data.items()}

    def _check_unsealed(self) -> None:
        if self._sealed:
            raise SdkError(
                cannot="change the session",
                because="the response has started, and its headers with it",
                try_="change it before the first byte of the response",
            )
