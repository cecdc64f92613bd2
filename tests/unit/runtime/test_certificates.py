"""A stack's certificates: trusted by whoever trusts its authority, made anew only when needed."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from millions.errors import StateError
from millions.model import Certificate
from millions.runtime import certificates

if TYPE_CHECKING:
    from millions.runtime.state import StateFolder

SERVER = Certificate(name="etcd-1", hosts=("127.0.0.1", "localhost"))
CLIENT = Certificate(name="client")


def contents(state: StateFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in state.secrets.iterdir()}


def speak(state: StateFolder, host: str, *, with_certificate: bool = True) -> str:
    """Say hello over TLS, both sides with a certificate of the stack; the answer."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=state.secrets / "ca.pem")
    server.load_cert_chain(state.secrets / "etcd-1.bundle.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=state.secrets / "ca.pem")
    if with_certificate:
        client.load_cert_chain(state.secrets / "client.pem", state.secrets / "client.key")

    def answer() -> None:
        try:
            with server.wrap_socket(listener.accept()[0], server_side=True) as wrapped:
                wrapped.sendall(b"hello")
        except OSError:
            pass  # the client is told

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=5.0) as raw,
                client.wrap_socket(raw, server_hostname=host) as wrapped,
            ):
                return wrapped.recv(16).decode()
        finally:
            thread.join()


def test_servers_and_clients_of_a_stack_trust_each_other(state: StateFolder) -> None:
    certificates.make(state, (SERVER, CLIENT))
    assert speak(state, "127.0.0.1") == "hello"
    assert speak(state, "localhost") == "hello"
    with pytest.raises(ssl.SSLCertVerificationError):
        speak(state, "elsewhere")
    with pytest.raises(OSError, match=r"certificate|reset|closed"):
        speak(state, "localhost", with_certificate=False)


def test_a_server_certificate_is_good_for_a_client_too(state: StateFolder) -> None:
    certificates.make(state, (SERVER, Certificate(name="client", hosts=("127.0.0.1",))))
    assert speak(state, "127.0.0.1") == "hello"


def test_nothing_is_made_anew_without_need(state: StateFolder) -> None:
    certificates.make(state, (SERVER, CLIENT))
    before = contents(state)
    certificates.make(state, (SERVER, CLIENT))
    assert contents(state) == before
    owner = state.account.uid if state.account is not None else state.secrets.stat().st_uid
    for name in ("etcd-1.pem", "etcd-1.key", "etcd-1.bundle.pem", "ca.pem"):
        status = (state.secrets / name).stat()
        assert (status.st_mode & 0o777, status.st_uid) == (0o600, owner)


def test_other_hosts_give_another_certificate_for_the_same_key(state: StateFolder) -> None:
    certificates.make(state, (SERVER, CLIENT))
    before = contents(state)
    certificates.make(state, (Certificate(name="etcd-1", hosts=("127.0.0.2",)), CLIENT))
    after = contents(state)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"etcd-1.pem", "etcd-1.bundle.pem"}
    with pytest.raises(ssl.SSLCertVerificationError):
        speak(state, "127.0.0.1")


@pytest.mark.parametrize(("left_days", "anew"), [(29, True), (31, False)], ids=["29", "31"])
def test_a_certificate_is_made_anew_before_it_ends(
    state: StateFolder, left_days: int, *, anew: bool
) -> None:
    certificates.make(state, (SERVER,))
    before = contents(state)
    later = datetime.now(UTC) + certificates.LEAF_FOR - timedelta(days=left_days)
    certificates.make(state, (SERVER,), now=later)
    assert (contents(state)["etcd-1.pem"] != before["etcd-1.pem"]) is anew


@pytest.mark.parametrize("what", ["missing", "half", "another's"])
def test_a_damaged_certificate_is_made_anew(state: StateFolder, what: str) -> None:
    certificates.make(state, (SERVER, CLIENT))
    key = state.secrets / "etcd-1.key"
    if what == "missing":
        key.unlink()
    elif what == "half":
        key.write_bytes(key.read_bytes()[:50])
    else:
        key.write_bytes((state.secrets / "client.key").read_bytes())
    certificates.make(state, (SERVER, CLIENT))
    assert speak(state, "localhost") == "hello"


def test_an_authority_without_its_key_is_refused_and_never_replaced(state: StateFolder) -> None:
    certificates.make(state, (SERVER,))
    (state.secrets / "ca.key").unlink()
    before = contents(state)
    with pytest.raises(StateError, match="certificate authority"):
        certificates.make(state, (SERVER,))
    assert contents(state) == before


def test_a_new_authority_signs_everything_anew(state: StateFolder) -> None:
    certificates.make(state, (SERVER, CLIENT))
    for name in ("ca.pem", "ca.key"):
        (state.secrets / name).unlink()
    certificates.make(state, (SERVER, CLIENT))
    assert speak(state, "localhost") == "hello"


def test_an_authority_that_was_half_made_is_made_whole_with_its_key(state: StateFolder) -> None:
    certificates.make(state, (SERVER, CLIENT))
    key = (state.secrets / "ca.key").read_bytes()
    (state.secrets / "ca.pem").unlink()
    certificates.make(state, (SERVER, CLIENT))
    assert (state.secrets / "ca.key").read_bytes() == key
    assert speak(state, "localhost") == "hello"
