"""Type the README's commands where nothing is installed, and report time, exit status and every warning.

    python3 tools/fresh_machine.py [MACHINE ...] [--commands first|second] [--folder FOLDER]
    python3 tools/fresh_machine.py --here python        on this very machine, by the commands for Python alone
    python3 tools/fresh_machine.py --here uv            on this very machine, by those for uv

The machines are Debians made by debootstrap (as root, on Debian), which are entered by chroot, in a mount and process
namespace of their own. They have python3, python3-venv and git, or uv and git. The template is the last commit of this
tree, at its address on GitHub. Pythons that NeMo Gym runs on lie where uv puts them, since not every network lets uv
download one.

Each block of commands is typed into a login shell of its own, on a terminal. It uses the standard library alone.
"""

import argparse
import fcntl
import os
import pty
import pwd
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from needs import PYTHON_OF_LINE, find_python  # noqa: E402

TEMPLATE = "/srv/nemo-env-template"
GITHUB = "https://github.com/org/nemo-env-template"
WORTH_A_LOOK = re.compile(r"warning|deprecat|\[notice\]|\berror\b", re.IGNORECASE)
# Names and messages of tests are no warnings.
NOT_WORTH_A_LOOK = re.compile(r"tests/|^\d+ passed|^(ERROR|WARNING)$|test_")
SECONDS = 3600
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Machine:
    """A Debian by its code name, who types, and what is installed."""

    debian: str
    user: str
    has: str

    @property
    def name(self) -> str:
        return f"{self.debian}-{self.user}-{self.has}"


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("bookworm", "root", "python"),
        Machine("bookworm", "user", "python"),
        Machine("trixie", "root", "python"),
        Machine("trixie", "user", "python"),
        Machine("bookworm", "root", "uv"),
        Machine("trixie", "user", "uv"),
    )
}
"""`user` is uid 1000."""


def blocks(has: str, which: str) -> list[str]:
    """The README's commands for a machine: the first generates and plays, the second tests the template."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## On a fresh machine\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^```\n(.*?)\n```$", section, re.DOTALL | re.MULTILINE)
    by_uv = [block for block in found if "~/.uv" not in block]
    by_python = [block for block in found if "~/.uv" in block]
    *play, test = by_uv if has == "uv" else by_python
    return {"first": play, "second": [test]}.get(which, [*play, test])


# --------------------------------------------------------------------------------------------------- making a machine


def make(machine: Machine, root: Path) -> None:
    """A Debian that has what the machine has, and nothing else."""
    packages = ["ca-certificates", "git"] + (["python3", "python3-venv"] if machine.has == "python" else [])
    include = f"--include={','.join(packages)}"
    run("debootstrap", "--variant=minbase", include, machine.debian, str(root))
    for name in ("/etc/resolv.conf", "/etc/hosts"):
        shutil.copyfile(name, f"{root}{name}")
    if certificates():
        shutil.copyfile(certificates(), f"{root}{CERTIFICATES}")
    if machine.user != "root":
        run("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", "--uid", "1000", machine.user)
    home = root / home_of(machine).lstrip("/")
    for line in PYTHON_OF_LINE:
        python = find_python(line)
        if python is not None:
            copy_python(python.resolve(), home / ".local/share/uv/python")
    if machine.has == "uv":
        uv = shutil.which("uv") or sys.exit("uv is missing here")
        for name in ("uv", "uvx"):
            shutil.copy2(Path(uv).resolve().with_name(name), root / "usr/local/bin")
    if machine.user != "root":
        run("chroot", str(root), "chown", "-R", f"{machine.user}:", home_of(machine))
    run("git", "clone", "-q", "--no-hardlinks", str(ROOT), f"{root}{TEMPLATE}")
    run("git", "-C", f"{root}{TEMPLATE}", "tag", "--force", "v0.1.0")
    lines = [
        f'[url "file://{TEMPLATE}"]',
        f"insteadOf = {GITHUB}.git",
        f"insteadOf = {GITHUB}",
        "[safe]",
        "directory = *",
    ]
    (root / "etc/gitconfig").write_text("\n".join(lines) + "\n")


def copy_python(python: Path, folder: Path) -> None:
    """Put an interpreter where uv puts those that it downloads."""
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    machine = f"{sys.platform}-{os.uname().machine}-gnu"
    shutil.copytree(python.parents[1], folder / f"cpython-{version}-{machine}", symlinks=True)


def certificates() -> str:
    """This machine's own way to the package index, if it has one."""
    path = os.environ.get("SSL_CERT_FILE", "")
    return path if Path(path).is_file() else ""


def home_of(machine: Machine) -> str:
    return "/root" if machine.user == "root" else f"/home/{machine.user}"


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def entering(machine: Machine, root: Path, block: str) -> list[str]:
    """The command line that types a block in a machine: in namespaces, with which mounts and processes go."""
    home, user = home_of(machine), machine.user
    variables = {"HOME": home, "USER": user, "TERM": "xterm", "LANG": "C.UTF-8"}
    variables["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if certificates():
        variables |= {"SSL_CERT_FILE": CERTIFICATES, "PIP_CERT": CERTIFICATES}
    inside = ["chroot", f"--userspec={user}:{user}", str(root), "env", "-i"]
    inside += [f"{name}={value}" for name, value in variables.items()]
    inside += ["bash", "-lc", f"cd && {{ {block}\n}}"]
    quoted = shlex.quote(str(root))
    mounts = f"mount --rbind /dev {quoted}/dev && mount -t proc proc {quoted}/proc"
    whole = f"{mounts} && exec {shlex.join(inside)}"
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", whole]


# -------------------------------------------------------------------------------------------------------- typing in it


@dataclass(frozen=True)
class Typed:
    """A block of commands, and what came of it."""

    block: str
    seconds: float
    status: int
    output: str

    def last_line(self) -> str:
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def warnings(self) -> list[str]:
        lines = {line.strip() for line in self.output.splitlines() if WORTH_A_LOOK.search(line)}
        return sorted(line for line in lines if not NOT_WORTH_A_LOOK.search(line))


def type_in(command: list[str], block: str) -> Typed:
    """Run a command on a terminal of 100 columns, until it ends."""
    started = time.monotonic()
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(command, stdin=writing, stdout=writing, stderr=writing)
    os.close(writing)
    shown = b""
    while True:
        try:
            part = os.read(reading, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(reading)
    status = process.wait(SECONDS)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace")).replace("\r", "\n")
    return Typed(block, time.monotonic() - started, status, text)


def report(name: str, typed: Typed, logs: Path) -> bool:
    """Print what came of a block, and keep all of its output; whether it is as it should be."""
    log = logs / f"{name}.log"
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {typed.block}\n{typed.output}\n")
    print(f"\n{name}: exit {typed.status} after {typed.seconds:.0f} s", flush=True)
    for line in typed.block.splitlines():
        print(f"  $ {line}")
    print(f"  last line: {typed.last_line()}")
    if typed.status != 0:
        print("\n".join(f"  | {line}" for line in typed.output.splitlines()[-40:]))
    for line in typed.warnings():
        print(f"  to look at: {line[:200]}")
    return typed.status == 0


def try_machine(machine: Machine, folder: Path, which: str) -> bool:
    root = folder / machine.name
    make(machine, root)
    typed = (type_in(entering(machine, root, block), block) for block in blocks(machine.has, which))
    well = all([report(machine.name, each, folder) for each in typed])
    shutil.rmtree(root)
    return well


def try_here(has: str, which: str) -> bool:
    print(f"As {pwd.getpwuid(os.geteuid()).pw_name}, in {Path.cwd()}")
    logs = Path(tempfile.gettempdir())
    typed = (type_in(["bash", "-lc", block], block) for block in blocks(has, which))
    return all([report("here", each, logs) for each in typed])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("machine", nargs="*", choices=[*MACHINES, []], help="default: all")
    parser.add_argument("--here", choices=["python", "uv"], help="type on this very machine")
    parser.add_argument("--commands", choices=["first", "second", "both"], default="both", help="which to type")
    parser.add_argument("--folder", type=Path, help="for the machines and the logs (default: a temporary one)")
    options = parser.parse_args()
    if options.here:
        return 0 if try_here(options.here, options.commands) else 1
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fresh-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Logs: {folder}")
    names = options.machine or list(MACHINES)
    return 0 if all([try_machine(MACHINES[name], folder, options.commands) for name in names]) else 1


if __name__ == "__main__":
    sys.exit(main())
