"""What the control path talks about: units, what was observed of them, and actions.

Data only; no policy, no calls.

Source: the split of desired / observed / actions follows docker/compose `pkg/compose/plan.go` and
nomad `scheduler/reconciler`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum

REVISION_HEX_DIGITS = 12
"""Enough that two revisions of one unit never collide in a stack's life (48 bits)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A TCP address: an IPv4 host and a port (0 to 65535)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file rendered for a unit: `path` is relative to the unit's folder, `mode` as for chmod."""

    path: str
    content: str
    mode: int = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How a unit is asked whether it is ready: connect, send bytes, compare the first answered.

    It becomes ready after `rise` good answers in a row and unready after `fall` bad ones: that is
    its hysteresis. A unit that was never ready `within_s` seconds after its start has failed.

    After `hung_after` questions in a row that got no answer of any kind, neither bytes nor a
    refusal, a process that was ready hangs: it is stopped and started again, also one that holds
    data. 0 says never. Only for a probe that the process answers without asking anybody, of a unit
    that loses nothing when it is killed.
    """

    address: Address
    send: bytes = b""
    expect: bytes = b""
    interval_s: float = 1.0
    timeout_s: float = 2.0
    rise: int = 1
    fall: int = 3
    within_s: float = 30.0
    hung_after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopStep:
    """Send `signal` (its name, such as SIGTERM), then wait at most `wait_s` seconds."""

    signal: str
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """A command that must have succeeded once before the unit starts: initdb, a migration.

    It counts as done when a marker for `key` exists in the unit's folder; the runtime writes it
    after exit status 0. A changed `key` makes it run again. One that is `shared` is done for all of
    a group when it is done for one member.
    """

    name: str
    command: tuple[str, ...]
    key: str
    timeout_s: float = 120.0
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that the kernel holds for each process of a unit."""

    open_files: int = 8192
    memory_mib: int | None = None
    log_mib: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate signed by the stack's own authority, for a server and as a client.

    In the secrets folder: `name`.pem, `name`.key, and both together as `name`.bundle.pem; the
    authority is ca.pem. `hosts` are the addresses and names that it is good for; none for a client.
    """

    name: str
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server of a pool: the unit that answers there, and its share (`weight`, 1 to 256).

    One that shares other requests stands in another `backend` of the same balancer, with `options`
    of its own; '' is the pool's. One that joins by a reload (`reloads`) has options that a balancer
    refuses while it runs. One that is `draining` gets no requests and finishes those it has.
    """

    unit: str
    address: Address
    weight: int = 100
    backend: str = ""
    options: str = ""
    reloads: bool = False
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The servers that a balancer shares requests among; they join and leave while it runs.

    `socket` is its control socket (placeholders as in a unit), `backend` the pool's name there and
    `options` what is said of each server. A file of the unit holds {servers} where they stand, and
    {servers NAME} where those of another backend do.
    """

    socket: str
    backend: str
    options: str
    servers: tuple[Server, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The leadership of a group, held as `key` = `holder` at a consensus service (etcd).

    It is given free as soon as every process of the unit is known to be dead. `ca`, `certificate`
    and `key_file` are paths of PEM files (placeholders as in a unit). While there is a key
    `handover` the holder stops cleanly and gives it free itself.
    """

    servers: tuple[Address, ...]
    key: str
    holder: str
    ca: str
    certificate: str
    key_file: str
    handover: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One process of a tier at one private address, as it should be.

    `command`, `environment` and `files` may hold the placeholders {folder} (the unit's working
    folder), {data} (its data folder, only where `holds_data`), {run} (the stack's folder for
    sockets), {secrets} (the stack's secrets folder) and {directory} (the directory document).
    `secret_environment` pairs the name of a variable with the name of a secret file, which is read
    when the process starts. `public` are bound by the supervisor, inherited by the unit as file
    descriptors 3, 4, …, and handed from one revision to the next; `handover` says that the next
    revision starts and becomes ready before this one is drained. Both run for a while, so the port
    after that of `address` is reserved for such a unit too. `needs` are names of units that must be
    ready first, or of groups, of which `group_least` members must be.

    Units of one `group` are replaced one at a time, each only while all others are ready. `reload`
    names the signal after which the process reads its files anew, so that they and `pool` may
    change without another process. `server` names the machine; '' stands for one of its own.

    `daemon` is the pid file of a process that the unit's own one starts and that outlives it, or
    that its own one is. `keep` says with what the daemon runs: when another revision says the same,
    the daemon goes on under it. `forking` says that the unit's own process may end well while the
    daemon runs, which is its process from then on (systemd's Type=forking).
    """

    name: str
    tier: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    secret_environment: tuple[tuple[str, str], ...] = ()
    working_folder: str = ""
    files: tuple[File, ...] = ()
    address: Address | None = None
    public: tuple[Address, ...] = ()
    probe: Probe | None = None
    prepare: tuple[Preparation, ...] = ()
    stop: tuple[StopStep, ...] = (StopStep(signal="SIGTERM", wait_s=10.0),)
    needs: tuple[str, ...] = ()
    holds_data: bool = False
    handover: bool = False
    release: str = ""
    limits: Limits = field(default_factory=Limits)
    server: str = ""
    group: str = ""
    group_least: int = 1
    reload: str = ""
    pool: Pool | None = None
    daemon: str = ""
    keep: str = ""
    forking: bool = False
    lease: Lease | None = None
    revision: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Compute `revision`: another one needs another process."""
        said = repr(
            (
                self.command,
                self.environment,
                self.secret_environment,
                self.working_folder,
                () if self.reload else self.files,
                self.address,
                self.public,
                tuple((each.name, each.command, each.key) for each in self.prepare),
                self.release,
                self.limits,
                self.holds_data,
            )
        )
        digest = hashlib.sha256(said.encode()).hexdigest()[:REVISION_HEX_DIGITS]
        object.__setattr__(self, "revision", digest)

    def goes_on_as(self, later: Unit) -> bool:
        """Whether the daemon of this unit goes on when `later` takes its place."""
        return bool(self.keep) and (self.keep, self.daemon) == (later.keep, later.daemon)


class Phase(Enum):
    """Where one process of a unit stands."""

    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    STOPPING = "stopping"
    EXITED = "exited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of a unit, as observed. `number` counts the starts of its unit, from 1.

    `spec` is the unit that it runs. `since_s` is the time of its start, `changed_s` the time at
    which it entered its phase; both in unix seconds. `changing` says that it is being told of new
    files or servers; `spec` is what it knew before. `silent` counts the questions of its probe in a
    row that it has not answered at all.
    """

    number: int
    spec: Unit
    phase: Phase
    since_s: float
    changed_s: float
    changing: bool = False
    silent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What went wrong with one revision of a unit, and how often in a row.

    `grave` failures are not worth a second try before somebody is told: a preparation that failed,
    a process that was not ready in time, an address that is taken. `words` holds the last lines.
    """

    revision: str
    failures: int
    at_s: float
    grave: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that was observed of one unit.

    `prepared` holds the keys of the preparations that are done, `has_data` says that a data folder
    exists, `good` is the last specification that became ready, `busy` that a preparation runs.
    """

    name: str
    processes: tuple[Process, ...] = ()
    prepared: frozenset[str] = frozenset()
    has_data: bool = False
    good: Unit | None = None
    troubles: tuple[Trouble, ...] = ()
    busy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What runs on this machine at `now_s` (unix seconds)."""

    now_s: float
    units: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What should run. `consent` names the units whose data may be erased once they are gone."""

    units: tuple[Unit, ...] = ()
    consent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One deed to be done to one unit, and its cause. Its text is stable; tests compare it."""

    unit: str
    why: str

    def __str__(self) -> str:
        return f"{type(self).__name__.lower()} {self.subject()}: {self.why}"

    def subject(self) -> str:
        """What the action is done to, as the plan prints it."""
        return self.unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare(Action):
    """Run one preparation of `spec`."""

    spec: Unit
    preparation: Preparation

    def subject(self) -> str:
        """The unit and the name of the preparation."""
        return f"{self.unit} {self.preparation.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Action):
    """Start one process of `spec`."""

    spec: Unit

    def subject(self) -> str:
        """The unit and its release, or its revision where it has none."""
        return f"{self.unit} {self.spec.release or self.spec.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Action):
    """Stop the process with this `number` by `steps`; SIGKILL follows the last one.

    Without steps it comes at once.
    `failed` says that it is stopped because it did not do what it should, `spares` that its daemon
    goes on.
    """

    number: int
    steps: tuple[StopStep, ...]
    failed: bool = False
    spares: bool = False

    def subject(self) -> str:
        """The unit and the number of the process."""
        return f"{self.unit} #{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload(Action):
    """Let the process with this `number` read the files and the pool of `spec` anew."""

    number: int
    spec: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Share(Action):
    """Let the process with this `number` share requests among the servers of `spec`."""

    number: int
    spec: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget(Action):
    """Drop the record of a unit that is gone and holds no data. Its log stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erase(Action):
    """Erase the folder of a unit that is gone, with its data. Only with consent."""
