# Part of the template: changes belong there (`copier update` merges this file).
"""Runs a shell command in a confined process."""

import asyncio
import os
import secrets

from sandbox.confinement import Limits
from sandbox.confinement.guard import remove
from sandbox.confinement.output import Output
from sandbox.confinement.place import Place
from sandbox.confinement.process import Confined
from sandbox.confinement.view import View


async def run_command(command: str, place: Place, limits: Limits, seconds: float) -> tuple[str, str, int | None]:
    """Run a shell command; what it leaves running is ended.

    Returns:
        What it printed to standard output and standard error, and its exit code, or None if it was ended.

    Raises:
        ConfinementError: it cannot be started.
    """
    # In a file, because a command may be longer than an argument can be.
    folder = place.make_folder(f"command-{secrets.token_hex(4)}")
    process: Confined | None = None
    too_much = None
    try:
        script = folder / "command"
        script.write_bytes(command.encode(errors="replace"))
        if place.user is not None:
            os.chown(script, place.user, place.user)
        view = View(place, shared=folder)
        shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
        confined = view.command([shell, f"{view.folder}/command"], limits)
        process = await Confined.start(confined, place, limits.processes)
        output = Output(process, limits)
        too_much = asyncio.create_task(output.too_much.wait())
        with output.reading():
            await asyncio.wait({process.ended, too_much}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            code = process.ended.result() if process.ended.done() else None
            await process.end()
            output.drain()
        stopped = "\n[It was stopped, for it printed too much.]" if output.too_much.is_set() else ""
        return output.stdout.text(), output.stderr.text() + stopped, code
    finally:
        if too_much is not None:
            too_much.cancel()
        if process is not None:
            await process.close()
        await asyncio.to_thread(remove, str(folder))
