"""The rules of HTTP that files and assets are answered by."""

import pytest

from millions.errors import SdkError
from millions.sdk import answers


@pytest.mark.parametrize(
    ("value", "span"),
    [
        (None, None),
        (b"bytes=0-0", (0, 1)),
        (b"bytes=2-", (2, 10)),
        (b"bytes=-3", (7, 10)),
        (b"bytes=-30", (0, 10)),
        (b"bytes=5-99", (5, 10)),
        (b"bytes=5-2", None),
        (b"bytes=0-1,4-5", None),
        (b"bytes=a-b", None),
        (b"bytes=-", None),
        (b"lines=0-1", None),
    ],
    ids=repr,
)
def test_a_range_is_read_as_the_standard_says(
    value: bytes | None, span: tuple[int, int] | None
) -> None:
    assert answers.byte_range(value, 10) == span


@pytest.mark.parametrize(
    ("value", "size"), [(b"bytes=10-", 10), (b"bytes=-0", 10), (b"bytes=0-", 0)]
)
def test_a_range_outside_the_file_cannot_be_satisfied(value: bytes, size: int) -> None:
    with pytest.raises(ValueError, match="no such range"):
        answers.byte_range(value, size)


@pytest.mark.parametrize(
    ("header", "same"),
    [
        (None, False),
        (b'"a"', True),
        (b'W/"a"', True),
        (b'"b", "a"', True),
        (b'"b"', False),
        (b"*", True),
        (b'"ab"', False),
    ],
    ids=repr,
)
def test_a_client_that_has_the_content_is_known_by_its_tag(
    header: bytes | None, *, same: bool
) -> None:
    assert answers.matches(header, b'"a"') is same


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\0b", "\x7f"], ids=repr)
def test_a_value_that_would_end_its_header_is_refused(bad: str) -> None:
    with pytest.raises(SdkError, match="control character"):
        answers.checked_value(bad, what="a name")


def test_a_file_name_cannot_leave_its_header() -> None:
    header = answers.disposition("attachment", 'a";\r\nset-cookie: x=1 é.png')
    assert b"\r" not in header
    assert b"\n" not in header
    assert header.count(b'"') == 2
    assert header.endswith(b"%C3%A9.png")
