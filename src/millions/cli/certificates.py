"""Certificates that the stack file names: checked, and copied to where the units may read them.

A changed certificate gets a new file, so that the unit that shows it is seen to have changed. Never
prints a key. Whatever is wrong is said before anything is changed.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from millions.errors import StackFileError
from millions.runtime import files

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from millions.cli.opened import Opened

BYTES_MAX = 262_144
"""A chain of certificates has some kilobytes."""

KEPT = 3
"""Former certificates that stay, for a change that is undone."""

DIGEST_HEX_DIGITS = 12


def certificate_files(
    opened: Opened, *, now: datetime | None = None
) -> tuple[tuple[str, str], ...]:
    """Answer, for each tier that names a certificate, its file (blocking). Raise StackFileError.

    Whatever tier has settings called `certificate` and `key` is looked at.
    """
    named = {
        name: (getattr(table, "certificate", ""), getattr(table, "key", ""))
        for name, table in opened.stack.tables.items()
    }
    return tuple(
        (tier, str(_kept(opened, tier, _checked(opened.folder, certificate, key, now))))
        for tier, (certificate, key) in sorted(named.items())
        if certificate
    )


def _checked(folder: Path, certificate: str, key: str, now: datetime | None) -> bytes:
    """The chain and its key as one PEM text, once they are found to be good."""
    chain_path = folder / certificate
    key_path = folder / key if key else chain_path
    chain, key_text = _read(chain_path), _read(key_path)
    found = _certificates(chain_path, chain)
    private = _private_key(key_path, key_text)
    if found[0].public_key() != private.public_key():
        raise _refused(
            chain_path,
            f"the key in {key_path} is another one's",
            "key = the file that was made together with the certificate",
        )
    _check_times(chain_path, found, now or datetime.now(UTC))
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in found) + (
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise _refused(
            path, error.strerror or str(error), "certificate = a file that you may read"
        ) from error
    if len(content) > BYTES_MAX:
        raise _refused(path, f"it has more than {BYTES_MAX} bytes", "certificate = a PEM file")
    return content


def _certificates(path: Path, text: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise _refused(
            path, f"it holds no certificate in PEM form ({error})", "certificate = fullchain.pem"
        ) from error


def _private_key(path: Path, text: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(text, password=None)
    except TypeError as error:
        raise _refused(
            path, "its key is encrypted", "openssl pkey -in KEY -out a file without a password"
        ) from error
    except ValueError as error:
        raise _refused(
            path, "it holds no key in PEM form", 'key = "privkey.pem", the file with the key'
        ) from error


def _check_times(path: Path, found: list[x509.Certificate], now: datetime) -> None:
    for each in found:
        whose = each.subject.rfc4514_string()
        if each.not_valid_after_utc <= now:
            raise _refused(
                path,
                f"that of {whose} expired on {each.not_valid_after_utc:%Y-%m-%d}",
                "renew it, for example with certbot renew",
            )
        if each.not_valid_before_utc > now:
            raise _refused(
                path,
                f"that of {whose} begins on {each.not_valid_before_utc:%Y-%m-%d}",
                "set the clock of this machine, or wait until then",
            )


def _kept(opened: Opened, tier: str, content: bytes) -> Path:
    """The file with this content in the secrets folder, written when it is new."""
    folder = opened.state.secrets
    digest = hashlib.sha256(content).hexdigest()[:DIGEST_HEX_DIGITS]
    path = folder / f"{tier}.{digest}.pem"
    if not path.exists():
        files.write(path, content, owner=opened.state.account)
        older = [each for each in folder.glob(f"{tier}.*.pem") if each != path]
        older = [each for each in older if len(each.name.split(".")[1]) == DIGEST_HEX_DIGITS]
        for each in sorted(older, key=lambda each: each.stat().st_mtime)[:-KEPT]:
            each.unlink(missing_ok=True)
    return path


def _refused(path: Path, because: str, try_: str) -> StackFileError:
    return StackFileError(cannot=f"use the certificate {path}", because=because, try_=try_)
