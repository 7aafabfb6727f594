# Part of the template: changes belong there (`copier update` merges this file).
"""Runs a shell command in a confined process."""

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable

from gymkit.forks import ForkServer, NoFork
from sandbox.confinement import Limits
from sandbox.confinement.forks import NOT_MADE
from sandbox.confinement.guard import remove
from sandbox.confinement.output import Output
from sandbox.confinement.place import Place
from sandbox.confinement.process import Confined
from sandbox.confinement.view import View

log = logging.getLogger("gymkit")

Done = tuple[str, str, int | None]


async def run_command(
    command: str, place: Place, limits: Limits, seconds: float, forks: ForkServer | None = None
) -> Done:
    """Run a shell command; what it leaves running is ended.

    Returns:
        What it printed to standard output and standard error, and its exit code, or None if it was ended.

    Raises:
        ConfinementError: it cannot be started.
    """
    # In a file, because a command may be longer than an argument can be.
    folder = place.make_folder(f"command-{secrets.token_hex(4)}")
    try:
        script = folder / "command"
        script.write_bytes(command.encode(errors="replace"))
        if place.user is not None:
            os.chown(script, place.user, place.user)
        view = View(place, shared=folder)
        shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
        inside = [shell, f"{view.folder}/command"]
        if forks is not None:
            try:
                return await _run(Confined.fork(forks, {"command": inside}, view, limits), limits, seconds)
            except NoFork as error:
                log.warning("A command starts slowly, without a fork: %s", error)
        return await _run(Confined.start(view.command(inside, limits), place, limits.processes), limits, seconds)
    finally:
        await asyncio.to_thread(remove, str(folder))


async def _run(starting: Awaitable[Confined], limits: Limits, seconds: float) -> Done:
    process = await starting
    output = Output(process, limits)
    too_much = asyncio.create_task(output.too_much.wait())
    try:
        with output.reading():
            await asyncio.wait({process.ended, too_much}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            code = process.ended.result() if process.ended.done() else None
            await process.end()
            output.drain()
    finally:
        too_much.cancel()
        await process.close()
    if code == NOT_MADE:
        raise NoFork(output.stderr.text())
    stopped = "\n[It was stopped, for it printed too much.]" if output.too_much.is_set() else ""
    return output.stdout.text(), output.stderr.text() + stopped, code
