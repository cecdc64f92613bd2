"""Memory: the entries of one process, least recently used first, bounded by bytes.

An entry answers to its names: its key and its tags. While a COMMIT that changes a name is under
way its entries are held aside: invisible, and put back when the transaction is rolled back. It
never waits and knows no clock but the one that callers read.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from millions.sdk.position import Seen

ENTRY_OVERHEAD_BYTES = 350
"""What an entry costs beside key and value: its object, names, times and slots. Measured: what
is counted for entries of 500 to 800 bytes is 0.99 to 1.33 of what they take."""

TAG_OVERHEAD_BYTES = 120
"""What each tag of an entry costs in the index."""

LARGEST_SHARE = 8
"""One value may take up to 1/8 of the room: a single one must not empty the cache."""

HOT_SHARE = 4
"""Hot entries stay while they take up to 1/4 of the room: the rest is for what comes."""

HELD_MAX = 1024
"""Entries held aside for a rollback; further ones are dropped, which is safe, only slower."""


class Entry:
    """One value, the names it answers to, and until when it is fresh and usable at all.

    `seen` is how far the database was read for it, where that matters: whoever is shown the value
    must not be shown anything older after it.
    """

    __slots__ = ("dead_at_s", "fresh_until_s", "kept", "names", "seen", "size_bytes", "thaw")

    def __init__(
        self, *, kept: Any, thaw: Callable[[Any], Any] | None, names: tuple[str, ...]
    ) -> None:
        self.kept = kept
        self.thaw = thaw
        self.names = names
        self.seen: Seen | None = None
        self.size_bytes = 0
        self.fresh_until_s = 0.0
        self.dead_at_s = 0.0

    def value(self) -> Any:
        """A value of the caller's own."""
        return self.kept if self.thaw is None else self.thaw(self.kept)


class Memory:
    """Entries by key. `entries` is one object for ever: readers keep a reference to it.

    `hot` names keys that make room last: many asked for them, so that one scan over everything
    must not put them out. They are looked at only while room is made; a hit knows nothing of it.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.used_bytes = 0
        self.hot: frozenset[str] = frozenset()
        self.evictions = 0
        self.too_large = 0
        self._keys_by_tag: dict[str, set[str]] = {}
        self._held: dict[str, Entry] = {}

    def store(self, entry: Entry, value_bytes: int) -> bool:
        """Keep `entry`, making room for it; False when it is too large for this cache."""
        key = entry.names[0]
        self._drop_key(key)
        entry.size_bytes = (
            value_bytes
            + len(key)
            + ENTRY_OVERHEAD_BYTES
            + TAG_OVERHEAD_BYTES * (len(entry.names) - 1)
        )
        if entry.size_bytes * LARGEST_SHARE > self.capacity_bytes:
            self.too_large += 1
            return False
        self._insert(entry)
        self._make_room()
        return True

    def drop(self, names: Iterable[str]) -> int:
        """Forget every entry that answers to one of `names`; say how many there were."""
        dropped = 0
        for name in names:
            for key in self._keys_of(name):
                dropped += self._drop_key(key) is not None
        return dropped

    def drop_held(self, names: Collection[str]) -> None:
        """Forget the entries held aside for one of `names`: what they hold is now old."""
        for key in [key for key, entry in self._held.items() if _answers(entry, names)]:
            del self._held[key]

    def hold(self, names: Iterable[str]) -> None:
        """Put aside every entry that answers to one of `names`."""
        for name in names:
            for key in self._keys_of(name):
                entry = self._drop_key(key)
                if entry is not None and len(self._held) < HELD_MAX:
                    self._held[key] = entry

    def put_back(self, names: Collection[str], pending: Collection[str]) -> None:
        """Show the entries held for `names` again, but none that is `pending` for another."""
        for key in [key for key, entry in self._held.items() if _answers(entry, names)]:
            entry = self._held.pop(key)
            if key not in self.entries and not _answers(entry, pending):
                self._insert(entry)
        self._make_room()

    def drop_entry(self, key: str, entry: Entry) -> None:
        """Forget `entry` if it is still the one under `key`."""
        if self.entries.get(key) is entry:
            self._drop_key(key)

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self._keys_by_tag.clear()
        self._held.clear()
        self.used_bytes = 0

    def resize(self, capacity_bytes: int) -> None:
        """Bound the memory anew."""
        self.capacity_bytes = capacity_bytes
        self._make_room()

    def _keys_of(self, name: str) -> list[str]:
        """The keys of the entries that answer to `name`, as a key or as a tag."""
        keys = list(self._keys_by_tag.get(name, ()))
        if name in self.entries:
            keys.append(name)
        return keys

    def _insert(self, entry: Entry) -> None:
        key = entry.names[0]
        self.entries[key] = entry
        self.used_bytes += entry.size_bytes
        for tag in entry.names[1:]:
            self._keys_by_tag.setdefault(tag, set()).add(key)

    def _drop_key(self, key: str) -> Entry | None:
        entry = self.entries.pop(key, None)
        if entry is None:
            return None
        self.used_bytes -= entry.size_bytes
        for tag in entry.names[1:]:
            keys = self._keys_by_tag.get(tag)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._keys_by_tag[tag]
        return entry

    def _make_room(self) -> None:
        while self.used_bytes > self.capacity_bytes:
            oldest = next(iter(self.entries))
            if oldest in self.hot and self._hot_bytes() * HOT_SHARE <= self.capacity_bytes:
                newest = next(reversed(self.entries))
                self.entries.move_to_end(oldest)
                self.entries.move_to_end(newest)  # still what was used last
                continue
            self._drop_key(oldest)
            self.evictions += 1

    def _hot_bytes(self) -> int:
        entries = self.entries
        return sum(entries[key].size_bytes for key in self.hot if key in entries)


def _answers(entry: Entry, names: Collection[str]) -> bool:
    """Whether one of the entry's names is among `names`."""
    return any(name in names for name in entry.names)
