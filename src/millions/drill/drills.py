"""The drills: each a table entry that says what is broken, what must hold, and what may fail."""

from __future__ import annotations

from millions.drill.drill import CRASH, DATA, Drill, one
from millions.drill.drills_higher import HIGHER
from millions.drill.faults.step import Step
from millions.errors import StackFileError
from millions.settings.reader import near

ALL = (
    Drill(
        name="kill-web",
        says="A web server dies.",
        steps=one("kill", "web"),
        promises=CRASH,
        may_fail="unrepeatable",
        alone="in-flight",
    ),
    Drill(
        name="kill-balancer",
        says="The balancer dies; connections on it are lost, new ones wait.",
        steps=one("kill", "balancer"),
        promises=CRASH,
        may_fail="in-flight",
        rung=3,
    ),
    Drill(
        name="kill-primary",
        says="The database that takes writes dies, with all that runs it.",
        steps=one("kill", "primary"),
        promises=CRASH,
        may_fail="unrepeatable",
    ),
    Drill(
        name="kill-postgres",
        says="PostgreSQL dies under Patroni, which goes on.",
        steps=one("kill", "primary:daemon"),
        promises=CRASH,
        may_fail="unrepeatable",
        rung=4,
    ),
    Drill(
        name="kill-patroni",
        says="Patroni dies on the primary; PostgreSQL goes on.",
        steps=one("kill", "primary:agent"),
        promises=CRASH,
        may_fail="unrepeatable",
        rung=4,
    ),
    Drill(
        name="kill-primary-server",
        says="The whole server of the primary dies in one moment.",
        steps=one("kill", "primary-server"),
        promises=CRASH,
        may_fail="unrepeatable",
        rung=4,
    ),
    Drill(
        name="freeze-primary",
        says="The primary hangs: it is there, and answers nothing.",
        steps=one("freeze", "primary", for_s=10.0),
        promises=CRASH,
        may_fail="unrepeatable",
        lasts_s=25.0,
    ),
    Drill(
        name="kill-replica",
        says="A replica dies; reads go elsewhere.",
        steps=one("kill", "replica"),
        promises=CRASH,
        may_fail="unrepeatable",
        rung=4,
    ),
    Drill(
        name="kill-replicas",
        says="All replicas die: reads go to the primary, writes wait for a replica to be back.",
        steps=one("kill", "replica.*"),
        promises=CRASH,
        may_fail="unrepeatable",
        rung=4,
        lasts_s=25.0,
    ),
    Drill(
        name="kill-etcd",
        says="One member of the consensus dies.",
        steps=one("kill", "consensus"),
        promises=CRASH,
        may_fail="none",
        rung=4,
    ),
    Drill(
        name="kill-etcd-leader",
        says="The member that leads the consensus dies.",
        steps=one("kill", "leader"),
        promises=CRASH,
        may_fail="none",
        rung=4,
    ),
    Drill(
        name="kill-consensus",
        says="The whole consensus dies; the primary goes on (failsafe mode).",
        steps=one("kill", "consensus.*"),
        promises=CRASH,
        may_fail="none",
        rung=4,
        lasts_s=25.0,
    ),
    Drill(
        name="kill-supervisor",
        says="The supervisor dies, and another one takes over.",
        steps=one("kill", "supervisor", for_s=3.0),
        promises=("G1", "G4", "G9"),
        may_fail="none",
    ),
    Drill(
        name="deploy-under-load",
        says="Another release takes over, and then the one before again.",
        steps=(Step(do="deploy", at_s=4.0), Step(do="rollback", at_s=14.0)),
        promises=("G1", "G2", "G4"),
        may_fail="none",
        lasts_s=24.0,
    ),
    Drill(
        name="scale-under-load",
        says="Two more web servers join, and leave again.",
        steps=one("scale", "web", for_s=6.0, by=4),
        promises=("G1", "G2", "G4"),
        may_fail="none",
        rung=3,
        lasts_s=24.0,
    ),
    Drill(
        name="bad-release",
        says="A release that cannot start is deployed, and refused.",
        steps=one("bad-release"),
        promises=("G1", "G2", "G4"),
        may_fail="none",
    ),
    Drill(
        name="crash-loop",
        says="A web server dies again each time that it is back.",
        steps=one("crash-loop", "web", by=3),
        promises=CRASH,
        may_fail="unrepeatable",
        alone="in-flight",
        lasts_s=25.0,
    ),
    Drill(
        name="cut-off-primary",
        says="The network of the primary is cut off from everybody else.",
        steps=one("cut-off", "primary", for_s=12.0),
        promises=DATA,
        may_fail="any",
        rung=4,
        lasts_s=30.0,
    ),
    Drill(
        name="slow-primary",
        says="Every packet to and from the primary takes 20 ms longer.",
        steps=one("slow", "primary", for_s=8.0, by=20),
        promises=("G1", "G2", "G4"),
        may_fail="none",
    ),
    Drill(
        name="disk-full",
        says="The disk is full for a while; writes fail, nothing that was acknowledged is lost.",
        steps=one("fill-disk", for_s=6.0),
        promises=DATA,
        may_fail="any",
        small_disk=True,
    ),
    *HIGHER,
    Drill(
        name="climb",
        says="The stack climbs to all tiers, and back to where it was.",
        steps=one("climb"),
        promises=("G1", "G2", "G4"),
        may_fail="none",
    ),
    Drill(
        name="kill-while-climbing",
        says="Units die by chance while the stack climbs to all tiers and back.",
        steps=one("climb-killed"),
        promises=CRASH,
        may_fail="in-flight",
    ),
    Drill(
        name="nothing",
        says="Nothing is broken: what the load alone looks like.",
        steps=(),
        promises=("G1", "G2", "G4"),
        may_fail="none",
        lasts_s=10.0,
    ),
)


def drill(name: str) -> Drill:
    """Answer the drill called `name`. Raise StackFileError when there is none."""
    names = {each.name: each for each in ALL}
    if name not in names:
        raise StackFileError(
            cannot=f"run the drill {name!r}",
            because=f"there is none of that name: {near(name, names)}",
            try_="millions drill list",
        )
    return names[name]


def of_steps(steps: tuple[Step, ...]) -> Drill:
    """A drill of one's own: these steps; failures are told, not judged."""
    lasts_s = max((each.at_s + each.for_s for each in steps), default=0.0) + 10.0
    return Drill(
        name="own",
        says="; ".join(f"{each} at {each.at_s:g} s" for each in steps),
        steps=steps,
        promises=DATA,
        may_fail="any",
        lasts_s=lasts_s,
        small_disk=any(each.do == "fill-disk" for each in steps),
    )
