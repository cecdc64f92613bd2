import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millions.errors import SignatureError, StateError
from millions.sdk.signing import Signer, read_secret

SECRET = b"0123456789abcdef0123456789abcdef"


def signer(purpose="cookie", now_s=1000.0, secret=SECRET):
    return Signer(secret, purpose, clock=lambda: now_s)


@given(payload=st.binary(max_size=300))
def test_what_is_signed_is_verified(payload):
    text = signer().sign(payload)
    assert signer().verify(text) == payload
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(payload=st.binary(max_size=40), place=st.integers(0, 10_000), other=st.characters())
def test_an_altered_text_is_refused(payload, place, other):
    text = signer().sign(payload)
    place %= len(text)
    altered = text[:place] + other + text[place + 1 :]
    if altered == text:
        return
    try:
        same = signer().verify(altered) == payload
    except SignatureError:
        return
    # The last character of a base64 text has bits that mean nothing.
    assert same
    assert place == len(text) - 1


@given(text=st.text(max_size=200))
def test_an_invented_text_is_refused(text):
    with pytest.raises(SignatureError):
        signer().verify(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.b", "é.é", "x" * 10_000, signer("url").sign(b"7"), "AA" + signer().sign(b"7")],
    ids=["empty", "dot", "short", "not ascii", "long", "another purpose", "prefixed"],
)
def test_a_forged_text_is_refused(text):
    with pytest.raises(SignatureError):
        signer().verify(text)


def test_another_secret_signs_differently():
    with pytest.raises(SignatureError):
        signer(secret=SECRET[::-1]).verify(signer().sign(b"7"))


def test_a_text_is_valid_until_its_time_is_over():
    text = signer().sign(b"7", ttl_s=60)
    assert signer(now_s=1059.9).verify(text) == b"7"
    with pytest.raises(SignatureError, match="expired"):
        signer(now_s=1060.0).verify(text)


def test_an_expiry_cannot_be_altered():
    encoded, signature = signer().sign(b"7", ttl_s=60).split(".")
    body = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    forged = base64.urlsafe_b64encode(bytes(8) + body[8:]).decode().rstrip("=")
    with pytest.raises(SignatureError):
        signer(now_s=2000).verify(f"{forged}.{signature}")


def test_the_error_does_not_repeat_the_text():
    with pytest.raises(SignatureError) as caught:
        signer().verify("very-secret.but-wrong")
    assert "secret" not in str(caught.value)


def test_a_short_secret_is_refused():
    with pytest.raises(StateError):
        Signer(b"short", "cookie")


def test_a_secret_is_read_without_its_newline(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    assert read_secret(path) == SECRET


@pytest.mark.parametrize("content", [None, b"", b"short\n"], ids=["missing", "empty", "short"])
def test_a_secret_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StateError, match=str(path)):
        read_secret(path)
