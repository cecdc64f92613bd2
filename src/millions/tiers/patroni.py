"""What Patroni is told: how the members of one database follow a leader. Pure text.

It holds no secret: passwords are in the environment of each member. There is no `bootstrap`
section, so Patroni never makes an empty cluster: what is agreed stands in etcd before it starts
(`programs/member.py`).

Source: Patroni 4.1's "Dynamic configuration" and "YAML configuration"; the values that were
measured with failovers (`docs/decisions/0009-failover.md`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millions.model import Address, Lease, Probe
from millions.tiers import postgresql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.tiers.consensus import Service

REST_PORT = 8008
NAMESPACE = "/service/"
API_USER = "millions"
ADMINISTRATION_ROLE = "millions_admin"
REPLICATION_ROLE = "millions_replication"

TTL_S = 20
"""The lowest that Patroni accepts; who fails is found dead long before it ends."""

LOOP_WAIT_S = 1
RETRY_TIMEOUT_S = 3
"""Both the lowest that Patroni accepts."""

SYNCHRONOUS_MEMBERS = 1
"""Members beside the primary that have what is acknowledged."""

SILENT_AFTER_S = 1.5
"""A member that has not answered for so long, several times in a row, is taken for frozen."""

ASK_QUORUM = b"GET /read-only-quorum HTTP/1.1\r\nHost: millions\r\nConnection: close\r\n\r\n"
"""200 from the primary, and from a replica that counts for the quorum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What all members of one database have in common. `members` are their servers' numbers.

    `slots` are those that somebody else reads from; each member keeps them.
    """

    scope: str
    members: Mapping[str, Address]
    founder: str
    service: Service
    bin_folder: str
    copy_mib_s: int
    parameters: Mapping[str, str]
    slots: tuple[str, ...] = ()

    def key(self, name: str) -> str:
        """Answer the full name of one of its keys in etcd."""
        return f"{NAMESPACE}{self.scope}/{name}"


def configuration(cluster: Cluster, name: str) -> str:
    """Answer the text of patroni.yml of one member (JSON is YAML too)."""
    address, service = cluster.members[name], cluster.service
    return _text(
        {
            "scope": cluster.scope,
            "namespace": NAMESPACE,
            "name": name,
            "log": {"level": "INFO", "deduplicate_heartbeat_logs": True},
            "restapi": {
                "listen": f"{address.host}:{REST_PORT}",
                "connect_address": f"{address.host}:{REST_PORT}",
            },
            "etcd3": {
                "hosts": [str(each) for each in service.servers],
                "protocol": "https",
                "cacert": service.ca,
                "cert": service.certificate,
                "key": service.key_file,
            },
            "watchdog": {"mode": "off"},  # the supervisor kills and reaps instead
            "postgresql": _postgresql(cluster, address),
        }
    )


def membership(cluster: Cluster, name: str) -> str:
    """Answer the text of member.json: what a member looks at before it becomes Patroni."""
    service = cluster.service
    return _text(
        {
            "name": name,
            "founder": cluster.founder,
            "prefix": f"{NAMESPACE}{cluster.scope}/",
            "servers": [str(each) for each in service.servers],
            "ca": service.ca,
            "certificate": service.certificate,
            "key_file": service.key_file,
            "programs": cluster.bin_folder,
            "folders": {each: _data_folder(name, each) for each in sorted(cluster.members)},
            "agreed": agreed(cluster),
        }
    )


def agreed(cluster: Cluster) -> dict[str, Any]:
    """Answer what the members agree on by etcd: the dynamic configuration."""
    return {
        "ttl": TTL_S,
        "loop_wait": LOOP_WAIT_S,
        "retry_timeout": RETRY_TIMEOUT_S,
        "primary_start_timeout": 0,  # a crashed primary is followed by another, not waited for
        "synchronous_mode": "quorum",
        "synchronous_node_count": SYNCHRONOUS_MEMBERS,
        "failsafe_mode": True,  # without etcd the primary goes on while it reaches all members
        "check_timeline": True,
        "maximum_lag_on_failover": 1_048_576,
        "slots": {name: {"type": "physical"} for name in cluster.slots},
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": dict(cluster.parameters),
        },
    }


def probe(address: Address, *, within_s: float) -> Probe:
    """Answer how a member is asked whether it counts: as the primary, or for the quorum."""
    return Probe(
        address=Address(host=address.host, port=REST_PORT),
        send=ASK_QUORUM,
        expect=b"HTTP/1.0 200",
        timeout_s=SILENT_AFTER_S,
        within_s=within_s,
    )


def lease(cluster: Cluster, name: str) -> Lease:
    """Answer how a member holds the leadership."""
    service = cluster.service
    return Lease(
        servers=service.servers,
        key=cluster.key("leader"),
        holder=name,
        handover=cluster.key("failover"),
        ca=service.ca,
        certificate=service.certificate,
        key_file=service.key_file,
    )


def siblings(cluster: Cluster, name: str) -> tuple[str, ...]:
    """Answer the data folders of the other members, as one of them names them."""
    return tuple(_data_folder(name, each) for each in sorted(cluster.members) if each != name)


def _postgresql(cluster: Cluster, address: Address) -> dict[str, Any]:
    return {
        "listen": str(address),
        "connect_address": str(address),
        "data_dir": "{data}/postgresql",
        "bin_dir": cluster.bin_folder,
        "pgpass": "{folder}/pgpass",
        "custom_conf": "{folder}/base.conf",
        "pg_hba": list(postgresql.RULES),
        "remove_data_directory_on_rewind_failure": True,
        "remove_data_directory_on_diverged_timelines": True,
        "basebackup": [{"checkpoint": "fast"}, {"max-rate": f"{cluster.copy_mib_s}M"}],
        "authentication": {
            "superuser": {"username": ADMINISTRATION_ROLE},
            "replication": {"username": REPLICATION_ROLE},
            "rewind": {"username": ADMINISTRATION_ROLE},
        },
    }


def _data_folder(name: str, other: str) -> str:
    return "{data}" if name == other else f"{{folder}}/../{other}/data"


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"
