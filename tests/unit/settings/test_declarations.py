"""One declaration per setting: what is declared is complete, read back, and changes something."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from millions import stack
from millions.settings import Declared, Table, declared, pages
from millions.settings.app import App, SecretReference
from millions.settings.toml import literal
from millions.tiers import tiers
from millions.tiers.kind import Engine, Places

if TYPE_CHECKING:
    from millions.model import Unit

TABLES: dict[str, type[Table]] = {"app": App} | {each.name: each.settings for each in tiers()}
ALL = [
    pytest.param(name, setting, id=f"{name}.{setting.key}")
    for name, kind in TABLES.items()
    for setting in declared(kind)
]
COUNTED = {"concurrency", "members", "open_files", "replicas", "server"}
"""Numbers whose sentence says what they count."""

REQUIRED = {"name": "photos", "web": "photos.web:app"}
OTHER_VALUES = {
    "name": "pictures",
    "web": "pictures.web:app",
    "tasks": "photos.tasks",
    "migrate": "alembic upgrade head",
    "environment": {"LANGUAGE": "en"},
    "listen": "127.0.0.1:8001",
    "secure": True,
    "https": "127.0.0.1:8444",
    "certificate": "fullchain.pem",
    "hosts": ["photos.test"],
    "redirect": False,
    "challenges": "127.0.0.1:8402",
    "balance": "roundrobin",
    "sticky": True,
    "exempt": ["10.0.0.0/8"],
    "eviction": "lru",
    "queues": ["mail"],
    "limits": {"video": 2},
    "url": "https://s3.example.org",
    "access_key": "AKIAOTHER",
    "secret": "OTHER_SECRET",
    "bucket": "photos-of-example",
    "region": "eu-central-1",
    "pages": ["/explore"],
    "shared": ["/media/"],
    "around": ["/api/"],
    "cdn": "https://cdn.photos.test",
    "cdn_purge": "https://api.cdn.test/purge",
    "cdn_token": "CDN_TOKEN",
}
BESIDE: dict[str, dict[str, Any]] = {
    "balancer": {"https": "127.0.0.1:8443"},
    "cache": {"servers": 1},
    "edge": {"servers": 2},
    "files": {"servers": 2},
    "store": {"servers": 1},
}
"""What some settings of a table mean nothing without."""

BESIDE_SETTING: dict[str, dict[str, Any]] = {
    key: {"servers_max": 200}
    for key in ("servers_min", "servers_idle_s", "server_requests", "oldest_task_s")
}
"""What one setting means nothing without."""

NOT_IN_UNITS = {
    "folder": "copied into the release",
    "static": "read when a release is made",
    "exclude": "read when a release is made",
    "secrets": "files of the places",
    "bin": "the engine of the places",
    "key": "a file of the places",
    "cdn_purge": "of a network that is named",
    "cdn_token": "a file of the places",
}
ELSEWHERE = {
    "url": "https://s3.example.com",
    "access_key": "AKIAEXAMPLE",
    "secret": "S3_SECRET",
}
OF_ELSEWHERE = {*ELSEWHERE, "bucket", "region"}
"""Settings of storage that is somebody else's."""

NOT_AT_START = {
    "start_within_s",
    "canary_percent",
    "canary_s",
    "servers_min",
    "servers_idle_s",
    "oldest_task_s",
}
"""Settings that a process never reads."""

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
        Engine(name="etcd", folder="/etcd/bin", major=3),
        Engine(name="haproxy", folder="/usr/sbin", major=2),
        Engine(name="valkey", folder="/valkey/bin", major=9),
        Engine(name="seaweedfs", folder="/weed/bin", major=4),
        Engine(name="valkey-store", folder="/valkey/bin", major=9),
        Engine(name="nats", folder="/venv/bin", major=2),
        Engine(name="varnishd", folder="/usr/sbin", major=7),
    ),
    certificates=(("balancer", "/state/secrets/balancer.1.pem"),),
)


def outcome(values: dict[str, dict[str, Any]]) -> tuple[Any, ...]:
    """Units, directory, certificates, canary and scaling of a stack file with these values.

    It has a balancer, so that web servers can be several, and a database that can have replicas.
    """
    tables = {"app": REQUIRED, "consensus": {}, "balancer": {}} | {
        name: (REQUIRED if name == "app" else BESIDE.get(name, {})) | table
        for name, table in values.items()
    }
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {literal(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    ]
    read = stack.parse("\n".join(lines))
    return (
        stack.units(read, PLACES),
        stack.directory(read, PLACES, epoch=1),
        stack.certificates(read, PLACES),
        stack.canary(read, PLACES),
        stack.scaling(read, PLACES),
    )


def beside_of(setting: Declared) -> dict[str, Any]:
    return BESIDE_SETTING.get(setting.key, {})


def begun(units: tuple[Unit, ...]) -> list[Any]:
    """What processes read: at their start, or again when they are told to."""
    return [(unit.name, unit.revision, unit.reload and unit.files, unit.pool) for unit in units]


@pytest.mark.parametrize(("name", "setting"), ALL)
def test_every_setting_has_a_sentence_and_words_for_its_type(name: str, setting: Declared) -> None:
    assert setting.sentence.endswith(".")
    assert "something else" not in setting.type_words
    assert setting.unit or setting.lowest is None or setting.key in COUNTED


@pytest.mark.parametrize(("name", "setting"), ALL)
def test_every_setting_changes_the_units_or_the_directory(name: str, setting: Declared) -> None:
    if setting.key in NOT_IN_UNITS:
        return
    if setting.lowest is not None:
        beside = {"migrate": "alembic upgrade head"} if name == "app" else beside_of(setting)
        one, other = (beside | {setting.key: bound} for bound in (setting.lowest, setting.highest))
    else:
        one: dict[str, Any] = dict(ELSEWHERE) if setting.key in OF_ELSEWHERE else {}
        other = one | {setting.key: OTHER_VALUES[setting.key]}
    assert outcome({name: one}) != outcome({name: other})


@pytest.mark.parametrize(("name", "setting"), ALL)
def test_a_setting_read_only_at_start_restarts_the_process(name: str, setting: Declared) -> None:
    if setting.lowest is None or name == "app":
        return
    one, other = (
        outcome({name: beside_of(setting) | {setting.key: each}})
        for each in (setting.lowest, setting.highest)
    )
    assert setting.key in NOT_AT_START or begun(one[0]) != begun(other[0])


def test_the_example_is_a_stack_file_that_reads() -> None:
    text = pages.example(TABLES.items(), {"app": dict(REQUIRED)}, present={"app"})
    assert stack.parse(text).name == "photos"


def test_the_example_with_every_setting_uncommented_reads() -> None:
    text = pages.example(TABLES.items(), {"app": dict(REQUIRED)}, present={"app"})
    lines = [
        line.removeprefix("# ") if " = " in line or line.startswith("# [") else line
        for line in text.splitlines()
    ]
    document = tomllib.loads("\n".join(lines))
    for name, kind in TABLES.items():
        assert set(document[name]) == {each.key for each in declared(kind)}
    stack.parse("\n".join(lines))


def test_the_reference_names_every_setting() -> None:
    text = pages.reference(TABLES.items())
    for kind in TABLES.values():
        for setting in declared(kind):
            assert f"| `{setting.key}` |" in text


def test_a_secret_is_referred_to_by_file_or_by_variable() -> None:
    assert SecretReference(file="stripe.key").file == "stripe.key"
    assert SecretReference(env="STRIPE_KEY").env == "STRIPE_KEY"
