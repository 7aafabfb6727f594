# Part of the template: changes belong there (`copier update` merges this file).
"""The fork server: what forks share and what they must not, and that sandboxes do without it when it fails.

What sandboxes can do at all is tested in test_confinement.py, with forks too.
"""

import asyncio
import json
import logging
import os
import resource
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gymkit import forks
from gymkit.forks import ForkServer, NoFork
from sandbox import CellResult, Sandbox
from sandbox.backend import SandboxSettings, forks_of, make_sandbox
from sandbox.confinement import Level
from sandbox.confinement.forks import OF_FORK_SERVERS, fork_server, server_of
from sandbox.confinement.view import Strongest, fixed_environment, strongest_level

LEVELS: list[Level] = ["limits", "bubblewrap"] if strongest_level().level == "bubblewrap" else ["limits"]
MANY = int(os.environ.get("MANY_SANDBOXES", "16"))

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks are made on Linux alone")


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Level:
    monkeypatch.setattr("sandbox.backend.strongest_level", lambda: Strongest(request.param, "as the test wants"))
    return request.param


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gymkit")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """A fork server of the test's own, which it may harm."""
    found = server_of(("numpy",))
    monkeypatch.setattr("sandbox.backend.forks_of", lambda settings: found)
    asyncio.run(loaded(found))
    assert found.pid is not None
    yield found
    found.close()


async def loaded(server: ForkServer) -> None:
    while server.start():
        await asyncio.sleep(0.02)


@asynccontextmanager
async def started() -> AsyncIterator[Sandbox]:
    sandbox = make_sandbox(SandboxSettings())
    try:
        await sandbox.start()
        yield sandbox
    finally:
        await sandbox.close()


async def run(sandbox: Sandbox, code: str) -> str:
    result: CellResult = await sandbox.run_cell(code, seconds=60)
    assert result.traceback is None, result.traceback
    assert not result.restarted and not result.interrupted
    return result.stdout.strip()


def is_a_fork(caplog: pytest.LogCaptureFixture) -> bool:
    return not [record for record in caplog.records if "slowly" in record.getMessage()]


# --------------------------------------------------------------------------------------------- what forks do not share

DRAWN = """
import json, multiprocessing, os, random, secrets, ssl, tempfile, uuid
import numpy
print(json.dumps([
    random.random(), random.Random().random(), numpy.random.random(), numpy.random.default_rng().random(),
    secrets.token_hex(8), os.urandom(8).hex(), ssl.RAND_bytes(8).hex(), str(uuid.uuid4()), str(uuid.uuid1()),
    os.path.basename(tempfile.mkdtemp()), os.path.basename(tempfile.mktemp()),
    bytes(multiprocessing.current_process().authkey).hex(),
    str(get_ipython().kernel.session.session), get_ipython().kernel.ident,
]))
"""


def test_no_two_forks_draw_the_same(level: Level, caplog: pytest.LogCaptureFixture) -> None:
    async def draw() -> list[str]:
        async with started() as sandbox:
            return list(map(str, json.loads(await run(sandbox, DRAWN))))

    async def all_of_them() -> list[list[str]]:
        drawn = []
        for _ in range(MANY // 4):
            drawn += await asyncio.gather(*(draw() for _ in range(4)))
        return drawn

    drawn = asyncio.run(all_of_them())
    values = [value for each in drawn for value in each]
    assert len(drawn) == MANY // 4 * 4
    assert len(set(values)) == len(values)
    assert is_a_fork(caplog)


EARLY = """
import multiprocessing, platform, site, tempfile, uuid

uuid.getnode(), tempfile.gettempdir(), tempfile._get_candidate_names(), platform.uname(), site.getuserbase()
multiprocessing.current_process().authkey
"""
LATER = """
import multiprocessing, os, platform, site, tempfile, uuid

print(uuid._node, tempfile.gettempdir() == os.environ['TMPDIR'], platform.node() == os.uname().nodename,
      site.getuserbase().startswith(os.environ['HOME']), bytes(multiprocessing.current_process().authkey).hex())
"""


def test_what_a_package_draws_before_the_fork_is_drawn_anew(
    level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "early.py").write_text(EARLY)
    server = server_of(("early",), PYTHONPATH=str(tmp_path))
    monkeypatch.setattr("sandbox.backend.forks_of", lambda settings: server)

    async def look() -> list[str]:
        await loaded(server)
        assert server.pid is not None
        async with started() as one, started() as other:
            return [*(await run(one, LATER)).split(), *(await run(other, LATER)).split()]

    *said, authkey = asyncio.run(look())
    server.close()
    assert said[:4] == said[5:] == ["None", "True", "True", "True"]
    assert said[4] != authkey


SEARCH = """
import os, sys
flip = bytes(byte ^ 0x55 for byte in range(256))
flipped = [bytes.fromhex(text) for text in WANTED]  # so that this cell itself is not what is found

def search():
    found = set()
    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:
        for line in maps.read().splitlines():
            start, end = (int(part, 16) for part in line.split()[0].split('-'))
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            data = data.translate(flip)
            found |= {f'memory: {line}' for mark in flipped if mark in data}
    for number in os.listdir('/proc/self/fd'):
        try:
            target = os.readlink(f'/proc/self/fd/{number}')
        except OSError:
            continue
        if target.startswith('/') and not target.startswith(('/proc', '/dev/null')):
            found.add(f'descriptor {number}: {target}')
    for name in ('environ', 'cmdline'):
        data = open(f'/proc/self/{name}', 'rb').read().translate(flip)
        found |= {name for mark in flipped if mark in data}
    found |= {f'module: {name}' for name in sys.modules
              if name.split('.')[0] in ('gymkit', 'sandbox', 'server', 'enter', 'guard', 'renew', 'room', 'nemo_gym')}
    return sorted(found)

print(search())
kept = flipped[0].translate(flip)
print(len(search()) > 0)
"""


def test_nothing_of_the_server_or_of_a_neighbour_is_found_inside(
    level: Level, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The cell searches all of its memory, its descriptors, its modules, and what /proc says of it."""
    servers, neighbours = secrets.token_hex(16), secrets.token_hex(16)
    monkeypatch.setenv("ENV_SESSION_SECRET", servers)
    (tmp_path / "answers").write_text(servers)

    async def look() -> str:
        with (tmp_path / "answers").open():
            async with started() as neighbour, started() as curious:
                await run(neighbour, f"mine = {neighbours!r}")
                await neighbour.write_file(f"{neighbours}.txt", b"mine")
                async with started() as late:
                    flipped = [bytes(byte ^ 0x55 for byte in mark.encode()).hex() for mark in (servers, neighbours)]
                    code = SEARCH.replace("WANTED", repr(flipped))
                    if level == "bubblewrap":
                        code += f"print(os.popen('find / -name *{neighbours[8:]}* 2>/dev/null').read())"
                    said = [await run(sandbox, code) for sandbox in (curious, late)]
        assert said[0] == said[1]
        return said[0]

    assert asyncio.run(look()) == "[]\nTrue"
    assert is_a_fork(caplog)


RIGHTS = """
import os
status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
print(*(status[name].strip() for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs')))
"""


def test_a_fork_has_no_rights_and_the_namespaces_of_its_own(level: Level, caplog: pytest.LogCaptureFixture) -> None:
    code = RIGHTS + (
        "print(*(os.readlink(f'/proc/self/ns/{name}') for name in ('mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup')))\n"
        "print(os.getuid(), os.getgroups(), open('/proc/self/environ').read())"
    )

    async def look() -> list[str]:
        """What two interpreters say, and a command of each."""
        async with started() as one, started() as other:
            await one.write_file("look.py", code.encode())
            await other.write_file("look.py", code.encode())
            commands = [await sandbox.run_command("python look.py", seconds=60) for sandbox in (one, other)]
            return [await run(one, code), await run(other, code), *(done.stdout.strip() for done in commands)]

    said = asyncio.run(look())
    assert is_a_fork(caplog)
    for each in said:
        rights, namespaces, rest = each.split("\n")
        assert "HOME=" in rest
        assert "PADDING" not in rest
        if level == "bubblewrap":
            assert rights.split() == ["0" * 16] * 5 + ["1"]
            ours = {os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup")}
            assert not ours & set(namespaces.split())
            assert rest.split()[0] != "0"
    if level == "bubblewrap":
        one, other, *commands = (set(each.split("\n")[1].split()) for each in said)
        for command in commands:  # one after the other: their namespaces may have the same numbers
            assert len(one | other | command) == 6 * 3


AT_HOME = """
import os
shell = get_ipython()
%cd -q /
%cd -q -
kept = 'kept'
%store kept
home = os.environ['HOME']
print([os.getcwd(), shell.home_dir, shell.starting_dir, str(_dh[0])] == [os.path.realpath(home)] * 4 or
      (os.getcwd(), shell.home_dir, shell.starting_dir, _dh))
print(shell.profile_dir.location.startswith(os.environ['IPYTHONDIR']), os.environ['PAGER'], shell.kernel.shell is shell)
print(len(In), list(Out), _, __name__, hasattr(sys.modules['__main__'], 'kept'), sys.modules.get('debugpy'))
"""


def test_the_shell_that_was_made_before_the_fork_is_at_home_in_the_sandbox(level: Level) -> None:
    """Its folders are the sandbox's, what it stores is stored there, and no cell was run in it before.

    Nor is a debugger loaded, which takes long and which nobody here can use.
    """

    async def look() -> tuple[str, bytes]:
        async with started() as sandbox:
            said = await run(sandbox, AT_HOME.replace("import os", "import os, sys"))
            name = "open(os.path.join(shell.profile_dir.location, 'db/autorestore/kept'), 'rb').read()"
            return said, (await run(sandbox, f"print({name})")).encode()

    said, stored = asyncio.run(look())
    assert said.splitlines() == ["Stored 'kept' (str)", "True", "True cat True", "2 []  __main__ True None"]
    assert b"kept" in stored


@pytest.mark.skipif(LEVELS[-1] != "bubblewrap", reason="there are no namespaces")
def test_a_server_that_is_not_root_has_namespaces_of_users(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What another user asks of bubblewrap: all rights of the namespace are given up."""
    monkeypatch.setattr(os, "getuid", lambda: 1000)

    async def look() -> str:
        async with started() as sandbox:
            return await run(sandbox, "import os\nprint(os.readlink('/proc/self/ns/user'), os.getppid())\n" + RIGHTS)

    namespace, parent, *rights = asyncio.run(look()).split()
    assert namespace != os.readlink("/proc/self/ns/user")
    assert parent == "0"
    assert rights == ["0" * 16] * 5 + ["1"]
    assert is_a_fork(caplog)


# ------------------------------------------------------------------------------------- when the fork server is not well


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def starve(pid: int) -> None:
    """No memory for it: it fails over its next message."""
    resource.prlimit(pid, resource.RLIMIT_AS, (2**20, 2**20))


def exhaust(pid: int) -> None:
    """No descriptor for it, and so no process that it could tell of."""
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, 8))


@pytest.mark.parametrize("harm", [kill, stop, starve, exhaust])
def test_sandboxes_do_without_a_fork_server_that_is_not_well(
    server: ForkServer, harm: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that lives goes on, new ones start as programs, and the log says so; later they are forked again."""
    monkeypatch.setattr(forks, "FORK_SECONDS", 1)
    harmed = server.pid
    assert harmed is not None

    async def use() -> None:
        async with started() as before:
            await run(before, "x = 20")
            assert slow_starts(caplog) == []
            harm(harmed)
            async with started() as after:
                assert await run(after, "print(6 * 7)") == "42"
                assert len(slow_starts(caplog)) == 1
                assert await run(before, "print(x + 22)") == "42"
                assert (await after.run_command("echo 42", seconds=30)).stdout == "42\n"
                assert len(slow_starts(caplog)) == 2
            if server.pid == harmed:
                kill(harmed)
                with pytest.raises(NoFork):
                    server.fork([0, 0, 0, 0])
            monkeypatch.setattr(server, "_start_at", 0)
            await loaded(server)
            assert server.pid not in (None, harmed)
            async with started() as again:
                assert await run(again, "print(6 * 7)") == "42"
                assert (await again.run_command("echo 42", seconds=30)).stdout == "42\n"
            assert len(slow_starts(caplog)) == 2
            assert not Path("/proc", str(harmed), "task").exists()

    asyncio.run(use())


def slow_starts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "starts slowly" in record.getMessage()]


LIMITED = """
import os, resource, signal

if os.getuid() == 0:  # who may have any number of processes
    os.setgroups([])
    os.setresgid(54321, 54321, 54321)
    os.setresuid(54321, 54321, 54321)
soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
signal.signal(signal.SIGUSR1, lambda *_: resource.setrlimit(resource.RLIMIT_NPROC, (1, hard)))
signal.signal(signal.SIGUSR2, lambda *_: resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard)))
"""


def test_sandboxes_do_without_a_fork_server_that_has_no_processes_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its user has as many as may be. It goes on, and forks again as soon as it can."""
    (tmp_path / "limited.py").write_text(LIMITED)
    server = server_of(("limited",), PYTHONPATH=str(tmp_path))
    monkeypatch.setattr("sandbox.backend.forks_of", lambda settings: server)

    async def use() -> None:
        await loaded(server)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGUSR1)
        async with started() as sandbox:
            assert await run(sandbox, "print(6 * 7)") == "42"
        assert [said for said in slow_starts(caplog) if "it cannot fork: Resource temporarily unavailable" in said]
        os.kill(pid, signal.SIGUSR2)
        with open(os.devnull, "r+b") as null:
            os.close(server.fork([null.fileno()] * 4)[0])
        assert server.pid == pid

    asyncio.run(use())
    server.close()


def test_what_has_threads_is_not_forked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "busy.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    server = server_of(("busy", "not_installed"), PYTHONPATH=str(tmp_path))
    asyncio.run(loaded(server))
    assert server.pid is None
    assert "no fork server (it has 2 threads)" in caplog.text
    with pytest.raises(NoFork):
        server.fork([0, 0, 0, 0])


def test_where_no_process_can_enter_namespaces_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "setns")
    fork_server.cache_clear()
    assert forks_of(SandboxSettings()) is None
    fork_server.cache_clear()


def test_it_holds_no_descriptor_and_no_variable_of_the_server(server: ForkServer) -> None:
    own = Path("/proc", str(server.pid))
    targets = [os.readlink(each) for each in (own / "fd").iterdir()]
    assert sorted(target.partition(":")[0] for target in targets) == ["/dev/null"] * 3 + ["socket"]
    names = {entry.partition(b"=")[0].decode() for entry in (own / "environ").read_bytes().split(b"\0")} - {""}
    assert names <= fixed_environment().keys() | OF_FORK_SERVERS
