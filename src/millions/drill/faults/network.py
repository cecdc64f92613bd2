"""Cut off and slow down: packets of chosen units are dropped, or delayed by a process of ours.

All rules stand in one nftables table named for the stack (`millions_drill_N`, N of its addresses
127.N.x.y) and one iptables chain of that name, which are removed at the end, whatever happens. It
needs CAP_NET_ADMIN. What a unit's processes open themselves comes from 127.0.0.1 and is found by
its port, so a connection that is made while it is cut off lives for some milliseconds.

Source: the partitions and the NFQUEUE delay of `notes/edge.md`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from millions.drill.faults import aim as aims
from millions.errors import MachineError

if TYPE_CHECKING:
    from millions.drill.faults.aim import Aim
    from millions.drill.stage import Stage

COMMAND_WITHIN_S = 10.0
LOOK_S = 0.01
QUEUE_FIRST = 300
"""NFQUEUE numbers are 300 + N."""

CAP_NET_ADMIN = 12
SOCKETS = Path("/proc/net/tcp")


def table(stage: Stage) -> str:
    """The name of everything that this module makes for a stack."""
    return f"millions_drill_{stage.state.identity.network}"


def require(*programs: str) -> None:
    """Raise MachineError when packets may not be touched here, or a program is missing."""
    for program in programs:
        if _program(program) is None:
            raise MachineError(
                cannot="change what the network does",
                because=f"the program {program} is missing",
                try_=f"apt-get install {'nftables' if program == 'nft' else 'iptables'}",
            )
    mask = next(
        int(line.split()[1], 16)
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        if line.startswith("CapEff")
    )
    if not mask >> CAP_NET_ADMIN & 1:
        raise MachineError(
            cannot="change what the network does",
            because=f"user number {os.geteuid()} may not (it lacks CAP_NET_ADMIN)",
            try_="sudo millions drill run …, or unshare -Urn for a network of your own",
        )


def cut(stage: Stage, hosts: tuple[str, ...]) -> None:
    """Drop every packet to and from these addresses (blocking)."""
    name, listed = table(stage), ", ".join(hosts)
    _nft(
        f"add table inet {name}\n"
        f"delete table inet {name}\n"
        f"add table inet {name}\n"
        f"add set inet {name} ports {{ type inet_service; }}\n"
        f"add chain inet {name} cut {{ type filter hook input priority -10; }}\n"
        f"add rule inet {name} cut ip saddr {{ {listed} }} ip daddr != {{ {listed} }} drop\n"
        f"add rule inet {name} cut ip daddr {{ {listed} }} ip saddr != {{ {listed} }} drop\n"
        f"add rule inet {name} cut ip saddr 127.0.0.1 tcp sport @ports drop\n"
        f"add rule inet {name} cut ip daddr 127.0.0.1 tcp dport @ports drop\n"
    )


def cut_ports(stage: Stage, ports: set[int]) -> None:
    """Drop the packets of these ports of 127.0.0.1 as well (blocking)."""
    listed = ", ".join(str(each) for each in sorted(ports))
    _nft(f"add element inet {table(stage)} ports {{ {listed} }}\n")


async def keep_cut(stage: Stage, aim: Aim, hosts: tuple[str, ...]) -> None:
    """Cut what the units' processes open themselves, until cancelled."""
    known: set[int] = set()
    while True:
        found = await asyncio.to_thread(_opened, stage, aim, hosts)
        if found - known:
            await asyncio.to_thread(cut_ports, stage, found - known)
            known |= found
        await asyncio.sleep(LOOK_S)


def mend(stage: Stage) -> None:
    """Remove everything that was made here (blocking); nothing to remove is well."""
    name = table(stage)
    if _program("nft"):
        with suppress(MachineError):
            _nft(f"delete table inet {name}\n")
    if _program("iptables"):
        with suppress(MachineError):
            _iptables("-D", "INPUT", "-j", name)
        for verb in ("-F", "-X"):
            with suppress(MachineError):
                _iptables(verb, name)


async def delay(stage: Stage, hosts: tuple[str, ...], delay_ms: int) -> asyncio.subprocess.Process:
    """Delay each packet to and from these addresses; answer the process that does it."""
    number = QUEUE_FIRST + stage.state.identity.network
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "millions.drill.faults.delay", str(number), str(delay_ms)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101  # a pipe, asked for above
    line = await asyncio.wait_for(process.stdout.readline(), COMMAND_WITHIN_S)
    if line.strip() != b"ready":
        _, said = await asyncio.wait_for(process.communicate(), COMMAND_WITHIN_S)
        raise MachineError(
            cannot="delay packets",
            because=said.decode(errors="replace").strip().splitlines()[-1:][0] if said else "?",
            try_="a kernel with nfnetlink_queue",
        )
    name = table(stage)
    await asyncio.to_thread(_iptables, "-N", name)
    for host in hosts:
        for way in ("-s", "-d"):
            rule = ("-A", name, way, host, "-j", "NFQUEUE", "--queue-num", str(number))
            await asyncio.to_thread(_iptables, *rule, "--queue-bypass")
    await asyncio.to_thread(_iptables, "-I", "INPUT", "-j", name)
    return process


def _opened(stage: Stage, aim: Aim, hosts: tuple[str, ...]) -> set[int]:
    """The ports of 127.0.0.1 that processes of these units hold."""
    inodes: set[str] = set()
    for each in aims.members(stage, aim):
        with suppress(OSError):
            for file in Path(f"/proc/{each.pid}/fd").iterdir():
                with suppress(OSError):
                    target = str(file.readlink())
                    if target.startswith("socket:["):
                        inodes.add(target[8:-1])
    found: set[int] = set()
    for line in SOCKETS.read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        host, port = _place(fields[1])
        if fields[9] in inodes and host == "127.0.0.1" and _place(fields[2])[0] not in hosts:
            found.add(port)
    return found


def _place(text: str) -> tuple[str, int]:
    """Host and port from the hexadecimal form of /proc/net/tcp."""
    host, _, port = text.partition(":")
    return ".".join(str(each) for each in int(host, 16).to_bytes(4, "little")), int(port, 16)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _nft(script: str) -> None:
    _run([_program("nft") or "nft", "-f", "-"], script)


def _iptables(*arguments: str) -> None:
    _run([_program("iptables") or "iptables", "-w", "-t", "mangle", *arguments], "")


def _run(command: list[str], text: str) -> None:
    try:
        ran = subprocess.run(
            command,
            input=text,
            text=True,
            capture_output=True,
            timeout=COMMAND_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MachineError(
            cannot=f"run {command[0]}", because=str(error), try_="millions doctor"
        ) from error
    if ran.returncode:
        raise MachineError(
            cannot=f"run {' '.join(command)}",
            because=ran.stderr.strip() or f"exit status {ran.returncode}",
            try_="as root, or in a network of your own (unshare -Urn)",
        )
