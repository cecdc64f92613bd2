"""Files are in a folder, on servers of our own, or on somebody else's: what follows from each."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from millions import stack
from millions.errors import DataRefusedError, StackFileError
from millions.tiers.kind import Engine, Places

if TYPE_CHECKING:
    from millions.directory import FilesPlace
    from millions.model import Unit

APP = '[app]\nname = "photos"\nweb = "photos.web:app"\n'
ON_TWO = "[files]\nservers = 2\n"
ELSEWHERE = (
    '[app.secrets]\nS3_SECRET = { env = "S3" }\n[files]\nurl = "https://s3.example.com/"\n'
    'bucket = "photos"\naccess_key = "AKIA"\nsecret = "S3_SECRET"\n'
)
PLACES = Places(
    network=7,
    python="/venv/bin/python",
    path="/venv/bin:/usr/bin",
    release="r1-00000000",
    release_folder="/state/releases/r1-00000000",
    secrets_folder="/state/secrets",
    files_folder="/state/files",
    secret_files=(("S3_SECRET", "app.S3_SECRET.1"),),
    engines=(
        Engine(name="postgresql", folder="/pg/bin", major=18),
        Engine(name="etcd", folder="/etcd/bin", major=3),
        Engine(name="patroni", folder="/venv/bin", major=4),
        Engine(name="seaweedfs", folder="/venv/bin", major=4),
    ),
)


def units(text: str) -> dict[str, Unit]:
    found = stack.units(stack.parse(APP + text), PLACES)
    return {unit.name: unit for unit in found if unit.tier == "files"}


def place(text: str) -> FilesPlace:
    return stack.directory(stack.parse(APP + text), PLACES, epoch=1).files


def checked(text: str, *, leaving: bool = False, **data: str) -> None:
    """Check a stack file where volume servers have data made for so many copies."""

    def read(unit: str, name: str) -> str | None:
        about = unit.replace("files-volume.", "v")
        return data.get(about if name == "copies" else f"{about} {name}")

    found = stack.parse(APP + text)
    found = dataclasses.replace(found, leaving=frozenset({"files"} if leaving else ()))
    stack.check(found, PLACES, read)


def test_on_rung_one_files_are_in_a_folder_and_nothing_runs_for_them() -> None:
    assert units("") == {}
    assert (place("").folder, place("").servers) == ("/state/files", ())
    assert not any("files" in name for name in stack.parse(APP).secrets)


def test_on_servers_there_are_a_master_the_volumes_and_two_gateways() -> None:
    assert list(units(ON_TWO)) == [
        "files-master.1",
        *("files-volume.1", "files-volume.2"),
        *("files-gateway.1", "files-gateway.2"),
    ]
    assert [each.host for each in place(ON_TWO).servers] == ["127.7.5.1", "127.7.5.2"]
    many = list(units("[files]\nservers = 5\n"))
    assert many.count("files-volume.5") == 1
    assert "files-gateway.3" not in many


def test_each_file_is_on_two_servers_where_there_are_two() -> None:
    for servers, digits in ((1, "000"), (2, "001"), (5, "001")):
        found = units(f"[files]\nservers = {servers}\n")
        assert f"-defaultReplication={digits}" in found["files-master.1"].command
        assert f"-defaultReplicaPlacement={digits}" in found["files-gateway.1"].command


def test_no_gateway_is_in_a_group_with_another_which_it_would_wait_for() -> None:
    found = units(ON_TWO)
    groups = [
        [each for each in found[name].command if each.startswith("-filerGroup")]
        for name in ("files-gateway.1", "files-gateway.2")
    ]
    assert groups == [[], ["-filerGroup=g2"]]


def test_only_the_servers_change_in_the_directory_so_that_no_web_process_starts_again() -> None:
    both = [stack.units(stack.parse(APP + text), PLACES) for text in ("", ON_TWO)]
    one, other = ({unit.name: unit.revision for unit in each} for each in both)
    assert one["web.1"] == other["web.1"]


def test_no_secret_is_in_a_command_a_file_or_the_environment() -> None:
    for unit in units(ON_TWO).values():
        said = dict(unit.environment)
        assert not {"PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "WEED_JWT_SIGNING_KEY"} & said.keys()
        assert not any("password" in file.content.lower() for file in unit.files)
    gateway = dict(units(ON_TWO)["files-gateway.1"].secret_environment)
    assert gateway["AWS_SECRET_ACCESS_KEY"] == "files"
    assert {"files", "files-token", "files-index"} <= set(stack.parse(APP + ON_TWO).secrets)


def test_everything_listens_on_addresses_of_the_stack_with_a_certificate_of_it() -> None:
    for unit in units(ON_TWO).values():
        assert unit.address is not None
        assert unit.address.host.startswith("127.7.5.")
        assert f"-ip.bind={unit.address.host}" in unit.command
        assert dict(unit.environment)["WEED_GRPC_CA"] == "{secrets}/ca.pem"
    (certificate,) = stack.certificates(stack.parse(APP + ON_TWO), PLACES)
    assert certificate.hosts == ("127.7.5.1", "127.7.5.2")


def test_gateways_know_every_member_of_the_database_and_find_the_one_that_takes_writes() -> None:
    gateway = units(ON_TWO + "[consensus]\n[database]\nreplicas = 2\n")["files-gateway.1"]
    store, index = (each.content for each in gateway.files)
    assert 'hostname = "127.7.2.1,127.7.2.2,127.7.2.3"' in store
    assert ("PGTARGETSESSIONATTRS", "read-write") in gateway.environment
    assert [host for host, _ in json.loads(index)["servers"]] == [
        *("127.7.2.1", "127.7.2.2", "127.7.2.3")
    ]


def test_somebody_elses_storage_is_settings_only() -> None:
    assert units(ELSEWHERE) == {}
    found = place(ELSEWHERE)
    assert (found.url, found.bucket, found.access_key) == (
        *("https://s3.example.com", "photos", "AKIA"),
    )
    assert found.secret_file == "/state/secrets/app.S3_SECRET.1"
    checked(ELSEWHERE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[files]\nurl = "s3.example.com"\n', "an address such as"),
        ('[files]\nurl = "https://s3.example.com"\n', "needs access_key and secret"),
    ],
    ids=["no scheme", "no key"],
)
def test_storage_that_is_not_whole_is_refused(text: str, said: str) -> None:
    with pytest.raises(StackFileError, match=said):
        stack.parse(APP + text)


def test_a_secret_that_the_application_does_not_have_is_refused() -> None:
    with pytest.raises(StackFileError, match="has no secret OTHER"):
        checked(ELSEWHERE.replace('"S3_SECRET"', '"OTHER"'))


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", {"v1": "2\n", "v2": "2\n"}),
        (ELSEWHERE, {"v1": "2\n"}),
        (ON_TWO, {"v3": "2\n"}),
        (ON_TWO, {"v1": "1\n"}),
        ("[files]\nservers = 1\n", {"v1": "2\n"}),
    ],
    ids=["to a folder", "to somebody else", "fewer", "more copies", "fewer copies"],
)
def test_what_would_leave_files_behind_is_refused(text: str, data: dict[str, str]) -> None:
    with pytest.raises(DataRefusedError):
        checked(text, **data)


def test_more_servers_than_before_are_taken() -> None:
    checked("[files]\nservers = 3\n", v1="2\n", v2="2\n")


def test_servers_go_once_it_is_proven_that_all_files_are_back_and_old_ones_do_not_come_again() -> (
    None
):
    data = {"v1": "2\n", "v2": "2\n"}
    back = {"v1 moved-back": ""}
    checked(ON_TWO, leaving=True, **data)
    with pytest.raises(DataRefusedError, match="there are files on it"):
        checked("", **data)
    checked(ON_TWO, leaving=True, **data, **back)
    checked("", **data, **back)
    with pytest.raises(DataRefusedError, match="what is on it is old"):
        checked(ON_TWO, **data, **back)


@pytest.mark.parametrize("text", [ON_TWO, ELSEWHERE], ids=["servers", "somebody else's"])
def test_while_files_go_back_everything_runs_and_no_web_process_starts_again(text: str) -> None:
    stays = stack.parse(APP + text)
    leaves = dataclasses.replace(stays, leaving=frozenset({"files"}))
    before, after = (stack.units(each, PLACES) for each in (stays, leaves))
    assert before == after
    found = stack.directory(leaves, PLACES, epoch=1).files
    assert found.servers == ()
    assert found.former == place(text).servers
    assert found.former_urls == ((found.url,) if found.url else ())
