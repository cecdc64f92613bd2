"""The queue: one server, or three that are one cluster; nothing secret in its configuration."""

from __future__ import annotations

import pytest

from millions import stack
from millions.errors import StackFileError
from millions.tiers.kind import Engine, Places

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n'
PLACES = Places(
    network=7,
    python="/venv/bin/python",
    path="/venv/bin:/usr/bin",
    release="r1-00000000",
    release_folder="/state/releases/r1-00000000",
    secrets_folder="/state/secrets",
    files_folder="/state/files",
    engines=(
        Engine(name="postgresql", folder="/pg/bin", major=18),
        Engine(name="nats", folder="/venv/bin", major=2),
    ),
)


def parsed(text: str) -> stack.Stack:
    return stack.parse(APP + text)


def test_without_the_table_nobody_is_told_of_a_broker() -> None:
    assert stack.directory(parsed(""), PLACES, epoch=1).queue.servers == ()


def test_one_server_needs_no_certificate_and_no_route() -> None:
    read = parsed("[queue]\n")
    (unit,) = (each for each in stack.units(read, PLACES) if each.tier == "queue")
    assert "cluster" not in unit.files[0].content
    assert stack.certificates(read, PLACES) == ()
    place = stack.directory(read, PLACES, epoch=1).queue
    assert [each.host for each in place.servers] == ["127.7.18.1"]
    assert place.password_file == "/state/secrets/queue"


def test_three_servers_know_each_other_and_show_certificates() -> None:
    read = parsed("[queue]\nmembers = 3\n")
    units = [each for each in stack.units(read, PLACES) if each.tier == "queue"]
    for number, unit in enumerate(units, start=1):
        routes = unit.files[0].content
        others = {1, 2, 3} - {number}
        assert all(f"tls://127.7.18.{other}:6222" in routes for other in others)
        assert f"tls://127.7.18.{number}:" not in routes
        assert "verify: true" in routes
    (certificate,) = stack.certificates(read, PLACES)
    assert certificate.hosts == ("127.7.18.1", "127.7.18.2", "127.7.18.3")
    assert len({each.group for each in units}) == 1


def test_the_password_is_in_a_secret_file_and_made_for_the_stack() -> None:
    read = parsed("[queue]\n")
    (unit,) = (each for each in stack.units(read, PLACES) if each.tier == "queue")
    assert unit.secret_environment == (("MILLIONS_QUEUE_PASSWORD", "queue"),)
    assert "password: $MILLIONS_QUEUE_PASSWORD" in unit.files[0].content
    assert unit.files[0].mode == 0o600
    assert "queue" in read.secrets


def test_two_members_are_refused() -> None:
    with pytest.raises(StackFileError, match="1 or 3"):
        parsed("[queue]\nmembers = 2\n")
