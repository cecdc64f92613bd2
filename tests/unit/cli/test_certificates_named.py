"""A certificate that does not fit is refused before anything changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from millions.cli.certificates import certificate_files
from millions.errors import StackFileError

NOW = datetime.now(UTC)
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
Key = ec.EllipticCurvePrivateKey


@dataclass
class Place:
    """A folder with a stack file's certificates, and the secrets folder of a stack."""

    folder: Path
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        (self.folder / "secrets").mkdir()

    def files(self, certificate: str = "site.pem", key: str = "") -> tuple[tuple[str, str], ...]:
        opened: Any = SimpleNamespace(
            folder=self.folder,
            stack=SimpleNamespace(
                tables={
                    "balancer": SimpleNamespace(certificate=certificate, key=key),
                    "web": SimpleNamespace(),
                }
            ),
            state=SimpleNamespace(secrets=self.folder / "secrets", account=None),
        )
        return certificate_files(opened)

    def write(self, name: str, *parts: bytes) -> None:
        (self.folder / name).write_bytes(b"".join(parts))

    def refused(self, certificate: str = "site.pem", key: str = "") -> StackFileError:
        with pytest.raises(StackFileError) as caught:
            self.files(certificate, key)
        assert list((self.folder / "secrets").iterdir()) == []
        return caught.value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def certificate(key: Key, *, begins: int = -1, ends: int = 30) -> bytes:
    """A certificate from `begins` to `ends`, in days from now."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "photos.test")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=begins))
        .not_valid_after(NOW + timedelta(days=ends))
        .sign(key, hashes.SHA256())
        .public_bytes(PEM)
    )


def text(key: Key, password: bytes = b"") -> bytes:
    shut = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(PEM, PKCS8, shut)


def test_a_good_one_is_kept_for_the_units_alone(place: Place) -> None:
    place.write("site.pem", certificate(place.key), text(place.key))
    ((tier, path),) = place.files()
    assert tier == "balancer"
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert Path(path).read_bytes() == (place.folder / "site.pem").read_bytes()


def test_certificate_and_key_may_be_two_files(place: Place) -> None:
    place.write("fullchain.pem", certificate(place.key))
    place.write("privkey.pem", text(place.key))
    ((_, path),) = place.files("fullchain.pem", "privkey.pem")
    assert text(place.key) in Path(path).read_bytes()


def test_a_renewed_one_has_another_path_and_an_unchanged_one_the_same(place: Place) -> None:
    place.write("site.pem", certificate(place.key), text(place.key))
    before = place.files()
    assert place.files() == before
    place.write("site.pem", certificate(place.key), text(place.key))
    assert place.files() != before
    assert Path(before[0][1]).exists(), "for a change that is undone"


def test_a_key_of_another_certificate_is_refused(place: Place) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    place.write("site.pem", certificate(place.key), text(other))
    assert "is another one's" in place.refused().because


def test_an_expired_one_is_refused(place: Place) -> None:
    place.write("site.pem", certificate(place.key, begins=-30, ends=-1), text(place.key))
    error = place.refused()
    assert "CN=photos.test expired on" in error.because
    assert "renew" in error.try_


def test_one_that_is_not_valid_yet_is_refused(place: Place) -> None:
    place.write("site.pem", certificate(place.key, begins=2), text(place.key))
    assert "begins on" in place.refused().because


def test_a_chain_with_an_expired_link_is_refused(place: Place) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    link = certificate(other, begins=-30, ends=-1)
    place.write("site.pem", certificate(place.key), link, text(place.key))
    assert "expired on" in place.refused().because


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"", "no key in PEM form", id="empty"),
        pytest.param(b"hello\n", "no key in PEM form", id="something else"),
        pytest.param(b"x" * 300_000, "more than 262144 bytes", id="enormous"),
    ],
)
def test_what_is_no_certificate_is_refused(place: Place, content: bytes | None, says: str) -> None:
    if content is not None:
        place.write("site.pem", content)
    error = place.refused()
    assert says in error.because or "no certificate in PEM form" in error.because


def test_a_missing_or_encrypted_key_is_refused(place: Place) -> None:
    place.write("site.pem", certificate(place.key))
    assert "no key in PEM form" in place.refused().because
    place.write("site.pem", certificate(place.key), text(place.key, b"secret"))
    assert "encrypted" in place.refused().because


def test_no_error_shows_a_key(place: Place) -> None:
    place.write("site.pem", certificate(place.key, ends=-1, begins=-3), text(place.key))
    assert "PRIVATE" not in str(place.refused())
