"""A unit must have what it was promised, and be told about in words when it fails."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket

import pytest
from stacks import SLEEPER, SOON_S, Stack, script, shell

from millions.model import Certificate, File, Limits, Probe, StopStep
from millions.runtime import processes
from millions.testing import eventually

ASK = b"GET / HTTP/1.0\r\n\r\n"


async def test_one_that_keeps_dying_is_told_with_its_last_lines(stack: Stack) -> None:
    stack.run(script("broken", "print('loading'); import no_such_module"))
    told = await stack.failed("broken")
    assert "exited with status 1" in told.why
    assert "ModuleNotFoundError: No module named 'no_such_module'" in told.why
    again = await eventually(
        lambda: (t := stack.told("broken")) and t.restarts >= 3 and t.phase == "failing" and t,
        within_s=SOON_S,
    )
    assert again.next_start_at_s is not None
    assert "times in a row" in again.why


async def test_a_changed_setting_cancels_the_backoff(stack: Stack) -> None:
    stack.run(script("broken", "1 / 0"))
    await eventually(
        lambda: (t := stack.told("broken")) and t.restarts >= 4 and t.next_start_at_s,
        within_s=SOON_S,
    )
    await stack.up(script("broken", SLEEPER))


async def test_one_that_is_killed_is_started_again_at_once(stack: Stack) -> None:
    await stack.up(script("sleeper", SLEEPER))
    before = stack.pid("sleeper")
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: stack.pid("sleeper") not in (0, before), within_s=SOON_S)
    await stack.settled()
    assert "was killed by SIGKILL" in stack.events("sleeper")


async def test_what_a_dead_process_left_behind_is_gone_before_the_next_start(stack: Stack) -> None:
    forks = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " start_new_session=True)\n"
        "print('child', child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    await stack.up(script("parent", forks))
    orphan = processes.identify(int((await stack.heard("parent", "child")).split()[1]))
    assert orphan is not None
    before = stack.pid("parent")
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: stack.pid("parent") not in (0, before), within_s=SOON_S)
    assert not processes.alive(orphan)


FACTS = (
    "import json, os, resource, sys\n"
    "print(json.dumps({'event': 'facts', 'environ': dict(os.environ), 'cwd': os.getcwd(),"
    " 'uid': os.geteuid(), 'groups': os.getgroups(), 'file': open('conf/x.conf').read(),"
    " 'nofile': resource.getrlimit(resource.RLIMIT_NOFILE),"
    " 'data': resource.getrlimit(resource.RLIMIT_DATA), 'umask': os.umask(0),"
    " 'argv': open('/proc/self/cmdline').read()}), flush=True)\n" + SLEEPER
)


async def test_it_has_its_environment_folder_files_user_and_limits_and_nothing_else(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOT_FOR_UNITS", "of the shell")
    unit = script(
        "facts",
        FACTS,
        environment=(("RUN", "{run}"), ("DATA", "{data}")),
        secret_environment=(("TOKEN", "token"),),
        files=(File(path="conf/x.conf", content="folder={folder} {other}"),),
        holds_data=True,
        limits=Limits(open_files=500, memory_mib=300),
    )
    stack.run(unit, secrets=("token",))
    await stack.settled()
    log = stack.state.unit("facts") / "log" / "current.jsonl"
    facts = await eventually(
        lambda: next(
            (json.loads(line) for line in log.read_text().splitlines() if '"environ"' in line),
            None,
        ),
        within_s=SOON_S,
    )
    folder = str(stack.state.unit("facts"))
    secret = (stack.state.secrets / "token").read_text().strip()
    environ = facts["environ"]
    assert environ["TOKEN"] == secret
    assert len(secret) >= 40
    assert secret not in facts["argv"] + stack.state.desired.read_text()
    assert (environ["RUN"], environ["DATA"]) == (str(stack.state.run), f"{folder}/data")
    assert environ["MILLIONS_UNIT"] == "facts"
    assert environ["MILLIONS_DIRECTORY"] == str(stack.state.directory)
    assert "NOT_FOR_UNITS" not in environ
    assert facts["cwd"] == folder
    assert facts["file"] == f"folder={folder} {{other}}"
    assert facts["nofile"] == [500, 500]
    assert facts["data"] == [300 * 1024 * 1024] * 2
    assert facts["umask"] == 0o077
    account = stack.state.account
    assert facts["uid"] == (account.uid if account else os.geteuid())
    if account is not None:
        assert facts["groups"] == []


@pytest.mark.parametrize(
    ("holds_data", "within_s", "hung_after"),
    [(False, 2.0, 0), (True, 60.0, 5)],
    ids=["it holds nothing", "it holds data and its probe says when it hangs"],
)
async def test_one_that_stops_to_answer_is_told_and_replaced(
    stack: Stack,
    holds_data: bool,  # noqa: FBT001  # pytest gives it by name
    within_s: float,
    hung_after: int,
) -> None:
    address = stack.address(9)
    serve = (
        "import http.server\n"
        f"http.server.HTTPServer(({address.host!r}, {address.port}),"
        " http.server.SimpleHTTPRequestHandler).serve_forever()\n"
    )
    probe = Probe(
        address=address,
        send=ASK,
        expect=b"HTTP/1.0",
        interval_s=0.1,
        timeout_s=0.3,
        within_s=within_s,
        hung_after=hung_after,
    )
    stops = (StopStep(signal="SIGTERM", wait_s=0.5),)
    silent = script("silent", serve, address=address, probe=probe, stop=stops)
    await stack.up(dataclasses.replace(silent, holds_data=holds_data))
    before = stack.pid("silent")
    os.kill(before, signal.SIGSTOP)
    told = await eventually(
        lambda: (t := stack.told("silent")) and t.phase == "unready" and t, within_s=SOON_S
    )
    assert "did not answer within 0.3 s" in told.why
    await eventually(lambda: stack.pid("silent") not in (0, before), within_s=SOON_S)
    await stack.settled()


async def test_a_taken_port_is_told_with_its_holder_and_nothing_is_started(stack: Stack) -> None:
    with socket.socket() as other:
        other.bind((stack.public.host, stack.public.port))
        other.listen()
        stack.run(stack.web())
        told = await stack.failed("web")
        assert f"cannot listen on {stack.public}" in told.why
        assert f"(pid {os.getpid()})" in told.why
        assert told.pid is None
    stack.run(stack.web())
    await stack.settled()


async def test_a_preparation_that_hangs_is_ended_and_told(stack: Stack) -> None:
    hangs = shell("hangs", "echo waiting for nothing; sleep 600", timeout_s=5.0)
    stack.run(script("sleeper", SLEEPER, prepare=(hangs,)))
    told = await stack.failed("sleeper")
    assert "preparation hangs took longer than 5 s" in told.why
    assert "waiting for nothing" in told.why


async def test_a_preparation_is_done_once_and_again_with_another_key(stack: Stack) -> None:
    def unit(key: str, code: str) -> object:
        return script("one", code, prepare=(shell("count", "echo x >> counted", key=key),))

    counted = stack.state.unit("one") / "counted"
    await stack.up(unit("a", SLEEPER))  # type: ignore[arg-type]
    await stack.up(unit("a", SLEEPER + "\n"))  # type: ignore[arg-type]
    assert counted.read_text() == "x\n"
    await stack.up(unit("b", SLEEPER))  # type: ignore[arg-type]
    assert counted.read_text() == "x\nx\n"


async def test_units_start_in_the_order_of_their_needs_and_stop_in_the_other(stack: Stack) -> None:
    says = (
        "import signal, sys, time\n"
        "def bye(*_): print('bye', time.time(), flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, bye)\n"
        "print('hello', flush=True)\ntime.sleep(600)"
    )
    chain = [script("c", says, needs=("b",)), script("b", says, needs=("a",)), script("a", says)]
    await stack.up(*chain)
    for name in "abc":
        await stack.heard(name, "hello")
    running = [processes.identify(stack.pid(name)) for name in "abc"]
    began = [each.started for each in running if each is not None]
    stack.run()
    await stack.settled()
    ended = [float((await stack.heard(name, "bye")).split()[1]) for name in "abc"]
    assert len(set(began)) == 3
    assert began == sorted(began)
    assert ended == sorted(ended, reverse=True)


async def test_data_stays_until_somebody_consents(stack: Stack) -> None:
    keeps = script("keeps", "open('data/kept', 'w').write('x')\n" + SLEEPER, holds_data=True)
    await stack.up(keeps)
    kept = stack.state.unit("keeps") / "data" / "kept"
    await eventually(kept.exists, within_s=SOON_S)
    stack.run()
    found = await stack.settled()
    assert [(each.name, each.phase) for each in found.units] == [("keeps", "kept")]
    assert kept.exists()
    stack.run(consent=("keeps",))
    await eventually(lambda: not stack.state.unit("keeps").exists(), within_s=SOON_S)
    assert (await stack.settled()).units == ()


async def test_one_that_needs_more_memory_than_it_may_have_fails_alone(stack: Stack) -> None:
    greedy = script("greedy", "x = bytearray(200 << 20)\n" + SLEEPER, limits=Limits(memory_mib=100))
    stack.run(greedy, script("modest", SLEEPER))
    told = await stack.failed("greedy")
    assert "MemoryError" in told.why
    await eventually(lambda: stack.told("modest").phase == "ready", within_s=SOON_S)  # type: ignore[union-attr]


async def test_certificates_are_there_before_a_unit_starts_and_it_may_read_them(
    stack: Stack,
) -> None:
    code = (
        "import ssl, sys, time\n"
        "context = ssl.create_default_context(cafile=f'{sys.argv[1]}/ca.pem')\n"
        "context.load_cert_chain(f'{sys.argv[1]}/one.pem', f'{sys.argv[1]}/one.key')\n"
        "print('trusted', len(context.get_ca_certs()), flush=True)\n"
        "time.sleep(600)"
    )
    spec = script("reader", code)
    spec = dataclasses.replace(spec, command=(*spec.command, "{secrets}"))
    stack.run(spec, certificates=(Certificate(name="one", hosts=("127.0.0.1",)),))
    await stack.settled()
    assert await stack.heard("reader", "trusted") == "trusted 1"
