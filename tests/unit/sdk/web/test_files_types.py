"""What a file is, is told by its content."""

import pytest

from millions.errors import FileRefusedError
from millions.sdk.files_types import RefusedError, decide

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 32
HTML = b"<!doctype html><script>alert(1)</script>"


@pytest.mark.parametrize(
    ("head", "claimed", "found"),
    [
        (PNG, None, "image/png"),
        (PNG, "application/octet-stream", "image/png"),
        (JPEG, "image/jpeg", "image/jpeg"),
        (HTML, None, "text/plain"),
        (HTML, "text/html; charset=utf-8", "text/html"),
        (HTML, "image/png", "text/plain"),
        (HTML, "text/html\r\nset-cookie: a=b", "text/plain"),
        (b'{"a": 1}', "application/json", "application/json"),
        ("é".encode() * 5000, None, "text/plain"),
        (b"\0\1\2", None, "application/octet-stream"),
        (b"\xff\xfe\xfd", "text/plain", "application/octet-stream"),
    ],
    ids=lambda each: repr(each)[:24],
)
def test_the_first_bytes_decide(head: bytes, claimed: str | None, found: str) -> None:
    assert decide(head, claimed=claimed, accept=None, name="x") == found


@pytest.mark.parametrize(
    ("head", "claimed", "accept", "status"),
    [
        (b"", None, None, 400),
        (PNG, "image/jpeg", None, 415),
        (PNG, "text/html", None, 415),
        (HTML, None, ("image/*",), 415),
        (HTML, "image/png", ("image/png",), 415),
        (PNG, "image/png", ("image/jpeg",), 415),
    ],
    ids=["empty", "not-jpeg", "not-html", "no-picture", "claimed-picture", "other-picture"],
)
def test_a_file_that_is_not_what_is_wanted_is_refused(
    head: bytes, claimed: str | None, accept: tuple[str, ...] | None, status: int
) -> None:
    with pytest.raises(RefusedError) as refused:
        decide(head, claimed=claimed, accept=accept, name="x")
    assert refused.value.status == status
    assert isinstance(refused.value, FileRefusedError)


def test_a_family_of_types_is_accepted_by_its_star() -> None:
    assert decide(PNG, claimed=None, accept=("video/*", "image/*"), name="x") == "image/png"
