"""A value on a server: what was sealed comes back, and nothing else is ever decoded."""

import dataclasses
import enum
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.sdk.cache import sealed
from millions.sdk.cache.sealed import Content, Seal
from millions.sdk.cache.values import freeze

SEAL = Seal(b"a secret of the stack")
KEY = b"e:user:7"


@dataclasses.dataclass(frozen=True)
class Photo:
    id: int
    tags: tuple[str, ...] = ()


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "text",
        b"bytes",
        {"a": [1, 2, {"b": None}]},
        (Photo(id=1, tags=("a",)), Photo(id=2)),
        {"colour": Colour.RED, "price": Decimal("9.90")},
        [uuid.UUID(int=7), datetime(2026, 1, 1, tzinfo=UTC)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_was_sealed_comes_back(value):
    content = Content(
        frozen=freeze(value), fresh_until_s=12.5, tags=("t",), stamps=(b"s",), seen="s0=1z141z3"
    )
    found = SEAL.opened(KEY, SEAL.sealed(KEY, content))
    assert found == content
    assert found.frozen.value() == value


@given(st.binary(max_size=200))
def test_foreign_bytes_are_none(data):
    assert SEAL.opened(KEY, data) is None


@given(st.integers(0, 1000), st.integers(1, 255))
def test_a_changed_byte_is_none(at, change):
    data = bytearray(SEAL.sealed(KEY, Content(frozen=freeze({"a": 1}), fresh_until_s=1.0)))
    data[at % len(data)] ^= change
    assert SEAL.opened(KEY, bytes(data)) is None


def test_another_key_or_another_secret_is_none():
    data = SEAL.sealed(KEY, Content(frozen=freeze(1), fresh_until_s=1.0))
    assert SEAL.opened(b"e:user:8", data) is None
    assert Seal(b"another secret").opened(KEY, data) is None
    assert SEAL.opened(KEY, data) is not None


def test_a_class_with_other_fields_than_when_it_was_sealed_is_none(monkeypatch):
    data = SEAL.sealed(KEY, Content(frozen=freeze([Photo(id=1)]), fresh_until_s=1.0))

    @dataclasses.dataclass(frozen=True)
    class Other:
        id: int
        name: str = ""

    Other.__qualname__ = Photo.__qualname__
    monkeypatch.setattr(f"{__name__}.Photo", Other)
    assert Seal(b"a secret of the stack").opened(KEY, data) is None


def test_what_is_remembered_of_classes_is_bounded(monkeypatch):
    monkeypatch.setattr(sealed, "CLASSES_MAX", 2)
    seal = Seal(b"a secret of the stack")
    for value in (Photo(id=1), Colour.RED, [Photo(id=1), Colour.RED]):
        data = seal.sealed(KEY, Content(frozen=freeze(value), fresh_until_s=1.0))
        assert seal.opened(KEY, data) is not None
    assert len(seal._known) <= 2
