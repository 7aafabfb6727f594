# Part of the template: changes belong there (`copier update` merges this file).
"""The namespaces of a sandbox: bubblewrap builds them around a program that waits, and a fork enters them."""

import ctypes
import json
import os
import signal

NAMESPACES = {
    "mnt": os.CLONE_NEWNS,
    "pid": os.CLONE_NEWPID,
    "net": os.CLONE_NEWNET,
    "ipc": os.CLONE_NEWIPC,
    "uts": os.CLONE_NEWUTS,
    "cgroup": os.CLONE_NEWCGROUP,
    "user": os.CLONE_NEWUSER,
}
"""By their names in /proc. The last two may be those of this process: not all systems have them for all users."""
OWN = ("mnt", "pid", "net", "ipc", "uts")

PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


class Room:
    """A bubblewrap with namespaces of its own, and in it `cat`, which ends with this process.

    Args:
        command: The command line of bubblewrap, without a program.

    Raises:
        OSError, RuntimeError: it cannot be had.
    """

    def __init__(self, command: list[str]) -> None:
        stdin, self._lifeline = os.pipe()
        answers, stdout = os.pipe()
        info, info_end = os.pipe()
        standard = ((stdin, 0), (stdout, 1), (info_end, 3))
        os.posix_spawn(
            command[0],
            [command[0], "--info-fd", "3", *command[1:], "/bin/cat"],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, number) for descriptor, number in standard],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
        )
        for descriptor in (stdin, stdout, info_end):
            os.close(descriptor)
        text = b""
        while b"}" not in text:
            part = os.read(info, 4096)
            if not part:
                raise RuntimeError("bubblewrap has ended")
            text += part
        inside = json.loads(text)["child-pid"]
        self._process = os.pidfd_open(inside)
        # `cat` answers when all is built. It does so after the process was opened, so that it is the right one.
        os.write(self._lifeline, b"\n")
        if not os.read(answers, 1):
            raise RuntimeError("bubblewrap has ended")
        self._flags = 0
        for name, flag in NAMESPACES.items():
            if os.readlink(f"/proc/{inside}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"):
                self._flags |= flag
            elif name in OWN:
                raise RuntimeError(f"bubblewrap has made no namespace '{name}'")
        os.close(info)
        os.close(answers)

    def fork(self) -> int:
        """Fork into the namespaces: 0 in the fork, and its process id in this process, whose child it is.

        Raises:
            OSError, RuntimeError: there is no fork.
        """
        # A process enters a namespace of process ids by its children only, and with one for users it gives up its own
        # rights, to leave the others: then another process enters, and its child is left to this one.
        return self._fork_between() if self._flags & os.CLONE_NEWUSER else self._fork()

    def _fork(self) -> int:
        reader, writer = os.pipe()
        own = os.open("/proc/self/ns/pid", os.O_RDONLY)
        os.setns(self._process, os.CLONE_NEWPID)
        child = -1
        try:
            child = os.fork()
        finally:
            if child != 0:
                os.setns(own, os.CLONE_NEWPID)
            os.close(own)
        if child == 0:
            self._enter(self._flags & ~os.CLONE_NEWPID)
            os.write(writer, b"1")
            return 0
        os.close(writer)
        entered = os.read(reader, 1)
        os.close(reader)
        if not entered:
            raise RuntimeError("no process in the namespaces")
        return child

    def _fork_between(self) -> int:
        reader, writer = os.pipe()
        between = os.fork()
        if between == 0:
            self._enter(self._flags)
            try:
                child = os.fork()
            except OSError:
                os._exit(1)
            if child == 0:
                return 0
            os.write(writer, str(child).encode())
            os._exit(0)
        os.close(writer)
        text = os.read(reader, 20)
        os.close(reader)
        os.waitpid(between, 0)
        if not text:
            raise RuntimeError("no process in the namespaces")
        return int(text)

    def _enter(self, flags: int) -> None:
        """Enter namespaces, or end this process."""
        try:
            os.setns(self._process, flags)
        except OSError as error:
            os.write(2, f"the namespaces cannot be entered: {error.strerror}\n".encode())
            os._exit(1)


def _prctl(option: int, *values: int) -> None:
    if libc.prctl(option, *values, *[0] * (4 - len(values))) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def bound_rights() -> None:
    """Keep this process and its programs from ever getting a capability that it does not have."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in range(last + 1):
        _prctl(PR_CAPBSET_DROP, capability)


def drop_rights() -> None:
    """Give up all capabilities, also those that the entering of a namespace for users gave."""
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    # As after the start of a program: the process may read what /proc says of it.
    _prctl(PR_SET_DUMPABLE, 1)
