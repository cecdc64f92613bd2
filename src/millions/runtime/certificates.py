"""Certificates of a stack: one authority of its own, and what it has signed for units and clients.

Nobody else trusts them, and no key is ever printed or logged. A key stays when its certificate is
made anew, so that the pair changes in one step. Run by the supervisor at each change of what is
wanted.

Source: RFC 5280; etcd's gateway shows its server certificate as a client, so a leaf is good for
both.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from millions.errors import StateError
from millions.runtime import files

if TYPE_CHECKING:
    from pathlib import Path

    from millions.model import Certificate
    from millions.runtime.account import Account
    from millions.runtime.state import StateFolder

AUTHORITY = "ca"

AUTHORITY_FOR = timedelta(days=3650)
LEAF_FOR = timedelta(days=825)
"""The longest that browsers and Apple's systems accept."""

RENEWED_BEFORE = timedelta(days=30)
CLOCKS_APART = timedelta(hours=1)
"""A certificate begins so long before it is made: not every clock is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make(
    state: StateFolder, wanted: tuple[Certificate, ...], *, now: datetime | None = None
) -> None:
    """Make each certificate that is missing, old or for other hosts (blocking, milliseconds).

    For each NAME there are secrets/NAME.pem (the certificate), NAME.key and NAME.bundle.pem (both
    in one file); the authority is ca.pem. Raise StateError for an authority that cannot be used.
    """
    if not wanted:
        return
    now = now or datetime.now(UTC)
    authority = _authority(state, now)
    for each in wanted:
        _leaf(state, each, authority, now)


def _authority(state: StateFolder, now: datetime) -> _Pair:
    """The stack's authority, made on first use. Its key is not for units."""
    certificate, key = state.secrets / f"{AUTHORITY}.pem", state.secrets / f"{AUTHORITY}.key"
    if not os.path.lexists(certificate) and not os.path.lexists(key):
        files.write(key, _key_text(ec.generate_private_key(ec.SECP256R1())))
    try:
        if not os.path.lexists(certificate):  # of a key that was made a moment ago, or broken off
            made = _signed_by_itself(state, _read_key(key), now)
            files.write(certificate, _text(made), owner=state.account)
        found = _read(certificate, key)
        if not _belong_together(found) or found.certificate.not_valid_after_utc < now:
            raise ValueError("the key is another one's, or it has expired")
    except (OSError, ValueError, TypeError) as error:
        raise StateError(
            cannot=f"use the stack's certificate authority {certificate}",
            because=str(error),
            try_=f"restore both files, or rm {certificate} {key} and restart all: "
            "a new one signs everything anew",
        ) from error
    return found


def _leaf(state: StateFolder, wanted: Certificate, authority: _Pair, now: datetime) -> None:
    place, key_place = state.secrets / f"{wanted.name}.pem", state.secrets / f"{wanted.name}.key"
    try:
        found: _Pair | None = _read(place, key_place)
    except (OSError, ValueError, TypeError):
        found = None
    if found is None or not _is_good(found, wanted, authority, now):
        key = found.key if found is not None else ec.generate_private_key(ec.SECP256R1())
        found = _Pair(certificate=_signed(wanted, key, authority, now), key=key)
        files.write(key_place, _key_text(key), owner=state.account)
        files.write(place, _text(found.certificate), owner=state.account)
    _keep_bundle(state.secrets / f"{wanted.name}.bundle.pem", found, state.account)


def _keep_bundle(path: Path, pair: _Pair, owner: Account | None) -> None:
    """Certificate and key in one file, as HAProxy wants them."""
    wanted = _text(pair.certificate) + _key_text(pair.key)
    if not path.exists() or path.read_bytes() != wanted:
        files.write(path, wanted, owner=owner)


def _is_good(pair: _Pair, wanted: Certificate, authority: _Pair, now: datetime) -> bool:
    """Whether it is for these hosts, signed by this authority and lasts long enough."""
    found = pair.certificate
    if not _belong_together(pair) or found.not_valid_after_utc < now + RENEWED_BEFORE:
        return False
    try:
        found.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not wanted.hosts
    return list(names) == _names(wanted.hosts)


def _signed(
    wanted: Certificate, key: ec.EllipticCurvePrivateKey, authority: _Pair, now: datetime
) -> x509.Certificate:
    issuer = authority.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(wanted.name))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_APART)
        .not_valid_after(min(now + LEAF_FOR, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if wanted.hosts:
        names = x509.SubjectAlternativeName(_names(wanted.hosts))
        builder = builder.add_extension(names, critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _signed_by_itself(
    state: StateFolder, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    name = _name(f"{state.name} authority")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_APART)
        .not_valid_after(now + AUTHORITY_FOR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _names(hosts: tuple[str, ...]) -> list[x509.GeneralName]:
    """Hosts as they stand in a certificate: addresses and names are different things there."""
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def _belong_together(pair: _Pair) -> bool:
    return pair.certificate.public_key() == pair.key.public_key()


def _read(certificate: Path, key: Path) -> _Pair:
    """Read a pair. OSError when a file is missing, ValueError or TypeError when it is not one."""
    found = _read_key(key)
    return _Pair(certificate=x509.load_pem_x509_certificate(certificate.read_bytes()), key=found)


def _read_key(key: Path) -> ec.EllipticCurvePrivateKey:
    found = serialization.load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{key} is not a key on an elliptic curve")
    return found


def _text(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key as PKCS 8, which every program reads."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
