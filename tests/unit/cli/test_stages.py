"""The steps between a database that is alone and one with members, and back."""

from __future__ import annotations

import dataclasses

from millions.cli import holding, members, stages
from millions.directory import DatabasePlace, Directory, Endpoint, FilesPlace, Shard
from millions.model import Address, Lease, Unit
from millions.runtime.desired import Desired

LEASE = Lease(
    servers=(Address(host="127.1.9.1", port=2379),),
    key="leader",
    holder="x",
    ca="ca",
    certificate="certificate",
    key_file="key",
)


def unit(name: str, *, needs: tuple[str, ...] = (), lease: Lease | None = None) -> Unit:
    group = name.partition(".")[0]
    least = 2 if lease or group == "consensus" else 1
    return Unit(
        name=name,
        tier=group,
        command=("member" if lease else "alone",),
        group=group,
        group_least=least,
        needs=needs,
        lease=lease,
    )


WEB = unit("web.1", needs=("database",))
ALONE = unit("database.1")
MEMBERS = tuple(unit(f"database.{n}", needs=("consensus",), lease=LEASE) for n in (1, 2, 3))
CONSENSUS = tuple(unit(f"consensus.{n}") for n in (1, 2, 3))


def desired(*units: Unit) -> Desired:
    return Desired(generation=1, units=units)


def names(units: tuple[Unit, ...]) -> list[str]:
    return [each.name for each in units]


def test_a_first_start_has_no_step_before_it() -> None:
    assert stages.before(None, desired(WEB, *MEMBERS, *CONSENSUS)) == ()


def test_a_change_of_something_else_has_no_step_before_it() -> None:
    former = desired(WEB, *MEMBERS, *CONSENSUS)
    wanted = desired(dataclasses.replace(WEB, release="r2"), *MEMBERS, *CONSENSUS)
    assert stages.before(former, wanted) == ()
    assert stages.before(desired(WEB, ALONE), desired(WEB, ALONE)) == ()


def test_who_was_alone_leads_before_others_join() -> None:
    former, wanted = desired(WEB, ALONE), desired(WEB, *MEMBERS, *CONSENSUS)
    asked, step = stages.before(former, wanted)
    assert sorted(names(asked)) == [*names(CONSENSUS), "database.1", "web.1"]
    assert ALONE in asked  # it is not restarted before those that it asks are there
    assert sorted(names(step)) == [*names(CONSENSUS), "database.1", "web.1"]
    first = next(each for each in step if each.name == "database.1")
    assert (first.revision, first.group_least) == (MEMBERS[0].revision, 1)


def test_members_that_go_leave_before_the_one_that_stays_is_restarted() -> None:
    former, wanted = desired(WEB, *MEMBERS, *CONSENSUS), desired(WEB, ALONE)
    unasked, step = stages.before(former, wanted)
    assert unasked == former.units
    assert names(step) == ["web.1", "database.1", *names(CONSENSUS)]
    stays = next(each for each in step if each.name == "database.1")
    assert (stays.revision, stays.group_least) == (MEMBERS[0].revision, 1)


def test_a_replica_that_goes_leaves_before_the_others_are_told() -> None:
    former = desired(WEB, *MEMBERS, *CONSENSUS)
    _, step = stages.before(former, desired(WEB, *MEMBERS[:2], *CONSENSUS))
    assert names(step) == ["web.1", "database.1", "database.2", *names(CONSENSUS)]


def named(*hosts: str) -> Directory:
    first, *others = (Endpoint(host=host, port=5432) for host in hosts)
    shard = Shard(name="s0", primary=first, replicas=tuple(others))
    place = DatabasePlace(shards=(shard,), name="app", user="app", password_file="p")
    files = FilesPlace(folder="f")
    return Directory(epoch=1, stack="s", release="r", secret_file="s", database=place, files=files)


def test_servers_that_go_are_named_no_more_and_others_not_yet() -> None:
    all_three, alone = named("127.1.2.1", "127.1.2.2", "127.1.2.3"), named("127.1.2.1")
    many = Desired(generation=1, units=MEMBERS, directory=all_three)
    one = Desired(generation=1, units=(ALONE,), directory=alone)
    assert stages.directory(many, one) == alone
    assert stages.directory(one, many) == alone
    moved = dataclasses.replace(one, directory=named("127.1.2.4"))
    assert stages.directory(many, moved) == all_three
    assert stages.directory(None, one) is None


def test_only_the_restart_of_the_only_server_is_waited_for() -> None:
    alone, member = desired(WEB, ALONE), desired(WEB, *MEMBERS[:1])
    assert holding.restarted(alone, member) == ALONE
    assert holding.restarted(member, alone) == MEMBERS[0]
    assert holding.restarted(alone, desired(dataclasses.replace(WEB, release="r2"), ALONE)) is None
    assert holding.restarted(desired(WEB, *MEMBERS), desired(WEB, ALONE)) is None
    assert holding.restarted(None, alone) is None


def test_a_server_that_goes_on_is_not_waited_for() -> None:
    kept = [dataclasses.replace(each, keep="settings") for each in (ALONE, MEMBERS[0])]
    alone, member = (desired(WEB, each) for each in kept)
    assert holding.restarted(alone, member) is None
    assert holding.restarted(member, alone) is None
    changed = desired(WEB, dataclasses.replace(kept[0], keep="other settings"))
    assert holding.restarted(member, changed) == kept[1]


def test_only_a_streaming_member_of_the_quorum_is_complete() -> None:
    text = (
        '{"members": [{"name": "a", "role": "leader", "state": "running"},'
        '{"name": "b", "role": "quorum_standby", "state": "streaming"},'
        '{"name": "c", "role": "quorum_standby", "state": "starting"},'
        '{"name": "d", "role": "replica", "state": "streaming"}]}'
    )
    found = members.parse(text)
    assert members.leader(found) == "a"
    assert [each.name for each in found if each.complete] == ["b"]
