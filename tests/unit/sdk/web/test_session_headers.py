"""An answer that sets a session's cookie is for nobody else, whoever stands between."""

import pytest

from millions.sdk.sessions.middleware import _private

Headers = list[tuple[bytes, bytes]]


@pytest.mark.parametrize("control", [b"public, max-age=60", b"private", b"no-store"])
def test_no_delivery_network_keeps_it(control: bytes) -> None:
    said: Headers = [
        (b"content-type", b"text/html"),
        (b"Cache-Control", control),
        (b"CDN-Cache-Control", b"max-age=60"),
        (b"surrogate-control", b"max-age=60"),
        (b"surrogate-key", b"photo:7"),
    ]
    kept = {name.lower(): value for name, value in _private(said)}
    assert set(kept) == {b"content-type", b"cache-control"}
    assert b"public" not in kept[b"cache-control"]
