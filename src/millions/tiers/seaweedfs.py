"""What the processes of SeaweedFS are told: a master, volume servers, gateways. Pure.

A gateway is a filer with S3. Its metadata is in the stack's PostgreSQL: its own store, like the
files' index of the volume servers, is not on the disk when an upload is acknowledged. The files
themselves are (the `fsync` rule, `programs/file_index.py`), and the index is made anew from them
after the machine has started again (`weed fix`).

Everybody shows a certificate of the stack's authority to everybody (gRPC) and signs each request
for a file (a token); clients sign theirs (S3). HTTP of the master, which gives tokens to anybody,
is off; that of the filers, which wants one, is on for the master's scripts.

Source: SeaweedFS 4.48, `weed scaffold`; what was measured of it (docs/decisions/0015-files.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.model import Address, File, Limits, Preparation, Probe, StopStep, Unit

if TYPE_CHECKING:
    from millions.directory import Endpoint

MASTER_PORT = 9533
METRICS_PORT = 9534
VOLUME_PORT = 9580
FILER_PORT = 9588
S3_PORT = 9583
"""Not the usual ones: masters and filers listen on 127.0.0.1 too, where the usual ones are often
somebody else's. gRPC is at 10000 more."""

VOLUMES = "files-volumes"
GATEWAYS = "files-gateways"
SCHEMA = "millions_files"
"""The schema in the stack's database and the role that owns it."""

VOLUME_SIZE_MIB = 4_096
VOLUMES_MAX = 4_096
"""Of one server: 16 TiB. They take no room before they hold something."""

CONNECTIONS = 6
"""To PostgreSQL, of one gateway at once."""

PREPARE_WITHIN_S = 180.0
READY_WITHIN_S = 120.0
GATEWAY_READY_WITHIN_S = 40.0
"""One that answers no more is started anew after so long; it holds nothing. It takes 3 s."""

HUNG_AFTER = 6
"""Questions, about 15 s. Health and metrics are answered without a look at a disk or at another
server. Killed, a server loses nothing that was acknowledged; hung, it keeps uploads waiting."""

STOP = (StopStep(signal="SIGTERM", wait_s=8.0), StopStep(signal="SIGKILL", wait_s=5.0))
ASK_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: millions\r\nConnection: close\r\n\r\n"
ASK_METRICS = b"GET /metrics HTTP/1.1\r\nHost: millions\r\nConnection: close\r\n\r\n"

REMEMBER = 'mkdir -p "$0/weed" && printf "%s\\n" "$1" >"$0/copies"'
"""Run by sh once: with how many copies of each file the data folder is made."""

MEND = r"""set -eu
data=$0 program=$1 boot=$(cat /proc/sys/kernel/random/boot_id)
if [ "$(cat "$data/boot" 2>/dev/null || true)" != "$boot" ]; then
    for each in "$data"/weed/*.dat; do
        [ -e "$each" ] || continue
        "$program" -logtostderr fix "$data/weed"
        break
    done
    printf '%s\n' "$boot" >"$data/boot"
fi
exec "$@"
"""
"""Run by sh: make the index anew when the machine has started since, then become the server."""

MAINTENANCE = """\
[master.maintenance]
scripts = \"\"\"
  lock
  volume.fix.replication -apply
  s3.clean.uploads -timeAgo=24h
  fs.log.purge -daysAgo=7
  unlock
\"\"\"
sleep_minutes = 17

[master.volume_growth]
copy_1 = 4
copy_2 = 3

[master.sequencer]
type = "snowflake"
sequencer_snowflake_id = 1
"""
"""Copies that are missing are made anew, parts of uploads that broke off are deleted. Numbers of
files come from the clock: a master that starts again never gives one out twice."""

STORE = """\
[leveldb2]
enabled = false

[postgres2]
enabled = true
createTable = \"\"\"
CREATE TABLE IF NOT EXISTS "%s" (
  dirhash BIGINT, name VARCHAR(65535), directory VARCHAR(65535), meta bytea,
  PRIMARY KEY (dirhash, name)
);
\"\"\"
upsertQuery = \"\"\"
INSERT INTO "%[1]s" (dirhash, name, directory, meta) VALUES ($1, $2, $3, $4)
ON CONFLICT (dirhash, name) DO UPDATE SET directory = EXCLUDED.directory, meta = EXCLUDED.meta
\"\"\"
enableUpsert = true
sslmode = "disable"
connection_max_lifetime_seconds = 60
"""
"""As `weed scaffold` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What all its processes have in common; secrets are names of files.

    `hosts` are its servers' addresses, the first one's the master's too.
    """

    program: str
    python: str
    path: str
    hosts: tuple[str, ...]
    copies: int
    memory_mib: int
    log_mib: int
    bucket: str
    access_key: str
    certificate: str
    access_secret: str
    token_secret: str
    index_secret: str
    database: str
    database_servers: tuple[Endpoint, ...]

    @property
    def master(self) -> str:
        """Where the master answers."""
        return f"{self.hosts[0]}:{MASTER_PORT}"

    @property
    def replication(self) -> str:
        """How copies are spread, in SeaweedFS's digits: the last one counts other servers."""
        return f"00{self.copies - 1}"


def master(cluster: Cluster) -> Unit:
    """The unit that says which volume a file goes to. It holds no file."""
    host = cluster.hosts[0]
    return Unit(
        name="files-master.1",
        tier="files",
        server="files-1",
        command=(
            *("/bin/sh", "-c", 'mkdir -p "$0" && exec "$@"', "{data}/weed"),
            *(cluster.program, "-logtostderr", "master"),
            *(f"-ip={host}", f"-ip.bind={host}", f"-port={MASTER_PORT}", "-mdir={data}/weed"),
            *("-peers=none", "-telemetry=false", "-disableHttp"),
            *(f"-metricsIp={host}", f"-metricsPort={METRICS_PORT}"),
            f"-defaultReplication={cluster.replication}",
            f"-volumeSizeLimitMB={VOLUME_SIZE_MIB}",
        ),
        environment=_environment(cluster),
        secret_environment=_tokens(cluster),
        files=(File(path="master.toml", content=MAINTENANCE),),
        address=Address(host=host, port=MASTER_PORT),
        probe=_probe(host, METRICS_PORT, ASK_METRICS, hung_after=HUNG_AFTER),
        stop=STOP,
        holds_data=True,
        limits=Limits(log_mib=cluster.log_mib),
    )


def volume_name(number: int) -> str:
    """Answer the name of the unit that keeps files on this server."""
    return f"files-volume.{number}"


def volume(cluster: Cluster, number: int) -> Unit:
    """The unit that keeps files on one server."""
    host = cluster.hosts[number - 1]
    return Unit(
        name=volume_name(number),
        tier="files",
        server=f"files-{number}",
        group=VOLUMES,
        command=(
            *("/bin/sh", "-c", MEND, "{data}", cluster.program),
            *("-logtostderr", "volume"),
            *(f"-ip={host}", f"-ip.bind={host}", f"-port={VOLUME_PORT}", "-dir={data}/weed"),
            *(f"-master={cluster.master}", f"-max={VOLUMES_MAX}", "-preStopSeconds=0"),
            f"-concurrentUploadLimitMB={cluster.memory_mib // 2}",
        ),
        environment=_environment(cluster),
        secret_environment=_tokens(cluster),
        address=Address(host=host, port=VOLUME_PORT),
        probe=_probe(host, VOLUME_PORT, ASK_HEALTH, hung_after=HUNG_AFTER),
        prepare=(
            Preparation(
                name="remember",
                command=("/bin/sh", "-c", REMEMBER, "{data}", str(cluster.copies)),
                key=f"copies {cluster.copies}",
            ),
        ),
        stop=STOP,
        holds_data=True,
        limits=Limits(open_files=65_536, log_mib=cluster.log_mib),
    )


def gateway_name(number: int) -> str:
    """Answer the name of the unit that answers S3 on this server."""
    return f"files-gateway.{number}"


def gateway(cluster: Cluster, number: int) -> Unit:
    """The unit that answers S3 on one server. It holds nothing itself."""
    name, host = gateway_name(number), cluster.hosts[number - 1]
    address = Address(host=host, port=S3_PORT)
    return Unit(
        name=name,
        tier="files",
        server=f"files-{number}",
        group=GATEWAYS,
        command=(
            *_filer(cluster, number),
            *("-s3", f"-s3.port={S3_PORT}", f"-s3.localSocket={{run}}/{name}-s3.sock"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"),
        ),
        environment=(
            *_environment(cluster),
            ("PGTARGETSESSIONATTRS", "read-write"),
            ("AWS_ACCESS_KEY_ID", cluster.access_key),
        ),
        secret_environment=(
            *_tokens(cluster),
            ("PGPASSWORD", cluster.index_secret),
            ("AWS_SECRET_ACCESS_KEY", cluster.access_secret),
        ),
        files=(
            File(path="filer.toml", content=_store(cluster)),
            File(path="index.json", content=_index(cluster, number)),
        ),
        address=address,
        probe=_probe(host, S3_PORT, ASK_HEALTH, within_s=GATEWAY_READY_WITHIN_S),
        prepare=(_made_once(cluster),),
        stop=STOP,
        needs=("database", "files-master.1", VOLUMES),
        limits=Limits(log_mib=cluster.log_mib),
    )


def _made_once(cluster: Cluster) -> Preparation:
    """What must be there before the first gateway starts, for all of them."""
    return Preparation(
        name="index",
        command=(
            *(cluster.python, "-m", "millions.programs.file_index"),
            *("{folder}/index.json", "{secrets}"),
        ),
        key=f"index {cluster.bucket} 1",
        timeout_s=PREPARE_WITHIN_S,
        shared=True,
    )


def _filer(cluster: Cluster, number: int) -> tuple[str, ...]:
    """Each is a group of its own: in a group one waits for another, also for one that hangs.

    They share no more than the tables, which is enough: an entry is written in one statement. The
    first one's group has no name: the master's scripts ask only there.
    """
    host = cluster.hosts[number - 1]
    group = () if number == 1 else (f"-filerGroup=g{number}",)
    return (
        *(cluster.program, "-logtostderr", "filer", *group),
        *(f"-ip={host}", f"-ip.bind={host}", f"-port={FILER_PORT}"),
        *(f"-master={cluster.master}", f"-defaultReplicaPlacement={cluster.replication}"),
        *("-disableDirListing", "-exposeDirectoryData=false"),
        f"-localSocket={{run}}/{gateway_name(number)}.sock",
    )


def _store(cluster: Cluster) -> str:
    """Answer the text of filer.toml: all members of the database.

    The one that can be written to is found by PGTARGETSESSIONATTRS: a failover needs nothing here.
    """
    hosts = ",".join(each.host for each in cluster.database_servers)
    return (
        STORE
        + f'hostname = "{hosts}"\nport = {cluster.database_servers[0].port}\n'
        + f'username = "{SCHEMA}"\ndatabase = "{cluster.database}"\nschema = "{SCHEMA}"\n'
        + f"connection_max_idle = {CONNECTIONS // 2}\nconnection_max_open = {CONNECTIONS}\n"
    )


def _index(cluster: Cluster, number: int) -> str:
    """Answer the text of index.json, for `programs/file_index.py`."""
    document = {
        "servers": [[each.host, each.port] for each in cluster.database_servers],
        "database": cluster.database,
        "role": SCHEMA,
        "bucket": cluster.bucket,
        "program": cluster.program,
        "filer": list(_filer(cluster, number)),
        "master": cluster.master,
        "address": f"{cluster.hosts[number - 1]}:{FILER_PORT}",
        "secret": cluster.index_secret,
    }
    return json.dumps(document, indent=1) + "\n"


def _environment(cluster: Cluster) -> tuple[tuple[str, str], ...]:
    own = {
        "PATH": cluster.path,
        "GOMEMLIMIT": f"{cluster.memory_mib}MiB",
        "GOGC": "50",
        "WEED_GRPC_CA": "{secrets}/ca.pem",
    }
    for part in ("MASTER", "VOLUME", "FILER", "S3", "CLIENT"):
        own[f"WEED_GRPC_{part}_CERT"] = f"{{secrets}}/{cluster.certificate}.pem"
        own[f"WEED_GRPC_{part}_KEY"] = f"{{secrets}}/{cluster.certificate}.key"
    return tuple(own.items())


def _tokens(cluster: Cluster) -> tuple[tuple[str, str], ...]:
    keys = ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")
    return tuple((f"WEED_JWT_{each}_KEY", cluster.token_secret) for each in keys)


def _probe(
    host: str,
    port: int,
    ask: bytes,
    *,
    within_s: float = READY_WITHIN_S,
    hung_after: int = 0,
) -> Probe:
    return Probe(
        address=Address(host=host, port=port),
        send=ask,
        expect=b"HTTP/1.1 200",
        within_s=within_s,
        hung_after=hung_after,
    )
