"""Who begins, and when; which replica follows nobody any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from millions.programs import mending
from millions.programs.member import (
    CONTROL_FILE,
    COPY,
    STANDALONE,
    Control,
    Member,
    founder,
    leads_alone,
    may_start,
)
from millions.programs.mending import LOOK_S, STUCK_S, Stand
from millions.runtime import etcd

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = 4, 5
PRIMARY_OLD = Control(timeline=OLD, primary=True)
PRIMARY_NEW = Control(timeline=NEW, primary=True)
REPLICA_OLD = Control(timeline=OLD, primary=False)
REPLICA_NEW = Control(timeline=NEW, primary=False)


@pytest.mark.parametrize(
    ("found", "first"),
    [
        pytest.param({}, "1", id="nobody has data: who is configured"),
        pytest.param({"2": REPLICA_OLD}, "2", id="the only one"),
        pytest.param({"1": PRIMARY_OLD, "2": REPLICA_OLD}, "1", id="the primary"),
        pytest.param({"1": PRIMARY_OLD, "2": PRIMARY_NEW}, "2", id="the later timeline"),
        pytest.param({"1": PRIMARY_OLD, "2": REPLICA_NEW}, "2", id="a replica of a later one"),
        pytest.param({"1": PRIMARY_NEW, "2": PRIMARY_NEW}, "", id="two of one timeline: nobody"),
        pytest.param({"2": REPLICA_NEW, "3": REPLICA_NEW}, "", id="two replicas: nobody"),
    ],
)
def test_the_newest_data_begins_or_nobody(found: dict[str, Control], first: str) -> None:
    assert founder("1", found) == first


def member(folder: Path, *, name: str = "1", founder: str = "1", marked: bool = True) -> Member:
    """A member with the data of a primary; the mark says that it was alone until now."""
    data = folder / COPY
    (data / "global").mkdir(parents=True)
    (data / CONTROL_FILE).touch()
    if marked:
        (folder / STANDALONE).touch()
    return Member(
        name=name,
        founder=founder,
        prefix="/service/app-s0/",
        service=etcd.Service(servers=(), ca="", certificate="", key_file=""),
        programs="/bin",
        folders={name: folder, founder: folder},
        agreed={},
    )


def test_a_server_that_was_alone_leads_at_once(tmp_path: Path) -> None:
    assert leads_alone(member(tmp_path))


def test_no_other_server_leads_before_it_may(tmp_path: Path) -> None:
    assert not leads_alone(member(tmp_path / "replica", name="2"))
    assert not leads_alone(member(tmp_path / "clustered", marked=False))
    following = member(tmp_path / "following")
    (tmp_path / "following" / COPY / "standby.signal").touch()
    assert not leads_alone(following)
    empty = member(tmp_path / "empty")
    (tmp_path / "empty" / COPY / CONTROL_FILE).unlink()
    assert not leads_alone(empty)


def test_data_is_not_set_aside_while_nobody_leads_who_can_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a power cut that left no member knowing the epoch."""
    known = {"epoch": "abc", "sync": "{}"}

    def get(_service: etcd.Service, key: str) -> str | None:
        return known.get(key.rpartition("/")[2])

    monkeypatch.setattr(etcd, "get", get)
    here = member(tmp_path, marked=False)
    assert may_start(here)
    assert (tmp_path / COPY / CONTROL_FILE).exists()


CLUSTER = {"members": [{"role": "leader", "state": "running"}]}
STILL = {"role": "replica", "state": "running", "xlog": {"replayed_location": 7}}


def looks(
    member: dict[str, Any], cluster: dict[str, Any], count: int, *, moves: bool = False
) -> Stand:
    stand = Stand()
    for number in range(count):
        xlog = {"replayed_location": number if moves else 7}
        stand = mending.after(stand, {**member, "xlog": xlog}, cluster)
    return stand


ENOUGH = int(STUCK_S / LOOK_S) + 1


def test_a_replica_that_stands_still_beside_a_primary_is_stuck_after_a_while() -> None:
    assert looks(STILL, CLUSTER, ENOUGH - 1).still_s < STUCK_S
    assert looks(STILL, CLUSTER, ENOUGH).still_s >= STUCK_S


@pytest.mark.parametrize(
    ("member", "cluster", "moves"),
    [
        pytest.param(STILL | {"replication_state": "streaming"}, CLUSTER, False, id="it follows"),
        pytest.param(STILL | {"role": "primary"}, CLUSTER, False, id="it leads"),
        pytest.param(STILL | {"state": "starting"}, CLUSTER, False, id="it starts"),
        pytest.param(STILL, {"members": []}, False, id="nobody leads"),
        pytest.param(STILL, CLUSTER, True, id="it catches up"),
    ],
)
def test_a_replica_is_never_made_anew_while(
    member: dict[str, Any], cluster: dict[str, Any], *, moves: bool
) -> None:
    assert looks(member, cluster, 3 * ENOUGH, moves=moves).still_s == 0
