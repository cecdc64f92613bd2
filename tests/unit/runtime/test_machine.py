"""Processes, sockets and network numbers: nothing is taken for what it is not."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from millions.errors import MachineError, StateError
from millions.model import Address, Unit
from millions.runtime import account, network, preflight, processes, sockets, spawn
from millions.runtime import state as states
from millions.runtime.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(600)")
PARENT = (
    "import subprocess, sys, time\n"
    "c = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'],"
    " start_new_session=True)\n"
    "print(c.pid, flush=True)\ntime.sleep(600)"
)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="millions-test-"))
    folder.chmod(0o755)
    monkeypatch.setenv("MILLIONS_HOME", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def test_a_process_that_has_the_number_of_another_is_not_that_one(
    sleeper: subprocess.Popen[bytes],
) -> None:
    found = processes.identify(sleeper.pid)
    assert found is not None
    assert processes.alive(found)
    for other in (
        dataclasses.replace(found, started=found.started - 1),
        dataclasses.replace(found, boot="another boot"),
    ):
        assert not processes.alive(other)
        assert not processes.send(other, signal.SIGKILL)
        assert processes.open_pidfd(other) is None
        assert processes.kill_tree(other) == ()
    assert sleeper.poll() is None


def test_a_zombie_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    found = processes.identify(sleeper.pid)
    assert found is not None
    os.kill(sleeper.pid, signal.SIGKILL)
    assert processes.wait_gone((found,), within_s=10.0)
    assert processes.entry(sleeper.pid) is not None  # nobody has reaped it
    assert processes.identify(sleeper.pid) is None


def test_a_child_that_left_its_session_is_killed_with_its_parent() -> None:
    with subprocess.Popen(
        (sys.executable, "-c", PARENT), stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = processes.identify(int(parent.stdout.readline()))
        whole = processes.identify(parent.pid)
        assert whole is not None
        assert child is not None
        assert set(processes.kill_tree(whole)) == {whole, child}
        assert processes.wait_gone((whole, child), within_s=10.0)


def test_a_taken_address_is_told_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = Address(host="127.0.0.1", port=other.getsockname()[1])
        with pytest.raises(MachineError, match=rf"\(pid {os.getpid()}\)"):
            sockets.check_free(address)
    sockets.check_free(address)


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(MachineError, match=r"192\.0\.2\.1"):
        sockets.check_free(Address(host="192.0.2.1", port=9))


def serve(door: socket.socket, given: socket.socket | None) -> threading.Thread:
    def once() -> None:
        asker, _ = door.accept()
        with asker, contextlib.suppress(OSError):  # who asks may hang up
            if given is not None:
                socket.send_fds(asker, [b"listener"], [given.fileno()])

    thread = threading.Thread(target=once)
    thread.start()
    return thread


@pytest.mark.parametrize("case", ["given", "stranger", "nothing given", "nobody"])
def test_a_socket_is_taken_only_from_whom_it_may_be(tmp_path: Path, case: str) -> None:
    path = str(tmp_path / "door")
    allowed = frozenset({os.geteuid() + (1 if case == "stranger" else 0)})
    with (
        sockets.listen(Address(host="127.0.0.1", port=0)) as server,
        socket.socket(socket.AF_UNIX) as door,
    ):
        address = Address(host="127.0.0.1", port=server.getsockname()[1])
        if case != "nobody":
            door.bind(path)
            door.listen()
            thread = serve(door, None if case == "nothing given" else server)
        fetched = sockets.fetch(path, allowed)
        if case != "nobody":
            thread.join()
        if case != "given":
            assert fetched == ()
            return
        (one,) = fetched
        with one:
            assert sockets.listening_address(one) == str(address)
            assert not one.get_inheritable()
        with socket.socket() as silent:
            assert sockets.listening_address(silent) == ""


def test_several_sockets_stand_where_a_child_finds_them_whatever_stood_there(root: Path) -> None:
    state = states.create("app", root / "a.toml")
    state.prepare_unit("a", holds_data=False)
    code = (
        "import os, socket, time\n"
        "numbers = range(3, 3 + int(os.environ['MILLIONS_LISTEN_FDS']))\n"
        "found = [socket.socket(fileno=each) for each in numbers]\n"
        "print(os.environ['MILLIONS_LISTEN_FD'], *[each.getsockname()[1] for each in found],"
        " flush=True)\n"
        "time.sleep(600)"
    )
    reader, writer = os.pipe()
    here = Address(host="127.0.0.1", port=0)
    with contextlib.ExitStack() as opened:
        servers = tuple(opened.enter_context(sockets.listen(here)) for _ in range(3))
        ports = [each.getsockname()[1] for each in servers]
        spec = Unit(name="a", tier="any", command=(sys.executable, "-c", code))
        before = os.stat(3) if Path("/proc/self/fd/3").exists() else None
        start = spawn.Launch(state=state, spec=spec, number=1, output=writer)
        identity = spawn.launch(start, servers=servers[::-1])
        try:
            os.close(writer)
            with os.fdopen(reader) as said:
                assert said.readline().split() == ["3", *map(str, ports[::-1])]
            copies = sockets.copied(identity, (3, 4, 5, 1, 999))
            assert [sockets.listening_address(each) for each in copies] == [
                f"127.0.0.1:{port}" for port in ports[::-1]
            ]
            for each in copies:
                each.close()
            assert (os.stat(3) if before is not None else None) == before
        finally:
            processes.kill_tree(identity)
            os.waitpid(identity.pid, 0)


def test_stacks_have_networks_of_their_own_and_keep_them(root: Path) -> None:
    made = [states.create("app", root / f"{name}.toml") for name in "abcdef"]
    numbers = {each.identity.network for each in made}
    assert len(numbers) == len(made)
    again = states.create("app", root / "a.toml")
    assert again.identity == made[0].identity


def test_the_number_of_a_stack_that_is_gone_is_free_again(root: Path) -> None:
    folder = root / "gone"
    number = network.claim(folder)
    assert (network.CLAIMS / str(number)).read_text() == str(folder)
    assert network.claim(folder) == number


def test_the_number_of_a_stack_that_is_being_made_is_not_taken_over(root: Path) -> None:
    """Its `stack.json` comes after its number."""

    def wished(folder: Path) -> int:
        return int.from_bytes(hashlib.sha256(str(folder).encode()).digest()[:4], "big") % 250

    first = root / "first"
    first.mkdir()
    number = network.claim(first)
    other = next(
        folder
        for folder in (root / f"other-{each}" for each in range(10_000))
        if wished(folder) == wished(first)
    )
    other.mkdir()
    assert network.claim(other) != number
    (network.CLAIMS / str(network.claim(other))).unlink()
    os.utime(network.CLAIMS / str(number), (0, 0))  # it was broken off long ago
    assert network.claim(other) == number


def test_a_folder_that_units_may_not_enter_is_told(root: Path) -> None:
    stranger = Account(name="stranger", uid=54321, gid=54321)
    account.check_entry(stranger, root / "app")
    root.chmod(0o700)
    with pytest.raises(MachineError, match="may not enter"):
        account.check_entry(stranger, root / "app")
    account.check_entry(None, root / "app")


def test_sockets_have_a_short_folder_when_the_state_is_deep(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = root / ("x" * 80)
    deep.mkdir(mode=0o755)
    monkeypatch.setenv("MILLIONS_HOME", str(deep))
    state = states.create("app", root / "a.toml")
    try:
        assert len(str(state.run)) < states.SOCKET_FOLDER_MAX
        assert state.run.is_dir()
        assert state.run.parent.stat().st_uid == os.geteuid()
    finally:
        state.run.rmdir()


def test_a_state_root_that_is_no_folder_is_refused(root: Path) -> None:
    with pytest.raises(StateError):
        states.open_folder(root)
    assert states.find("app", root / "never.toml") is None


def test_preflight_finds_what_is_taken_by_strangers(root: Path) -> None:
    state = states.create("app", root / "a.toml")
    with socket.create_server(("127.251.3.1", 0)) as other:
        port = other.getsockname()[1]
        taken = Address(host="127.251.3.1", port=port)
        private = Address(host="127.251.3.1", port=port - 1)
        public = Unit(name="a", tier="any", command=("x",), public=(taken,))
        second = Unit(name="a", tier="any", command=("x",), address=private, handover=True)
        for unit in (public, second):
            with pytest.raises(MachineError, match=str(taken)):
                preflight.check(state, [unit])
    preflight.check(state, [public])
