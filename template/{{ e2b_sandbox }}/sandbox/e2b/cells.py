# Part of the template: changes belong there (`copier update` merges this file).
"""The live interpreter of a sandbox at E2B."""

import asyncio
import re
from typing import TYPE_CHECKING

from sandbox import CellResult
from sandbox.e2b.output import Output, PrintedTooMuch

if TYPE_CHECKING:
    from e2b_code_interpreter import AsyncSandbox, Execution

PROBES = 5
"""How often an interpreter is asked whether it still runs, after an interrupt."""
PROBE_SECONDS = 3

DEAD = ("ContextRestarting", "UnexpectedEndOfExecution", "WebSocketError")
"""E2B's names for the error of a cell whose interpreter has gone."""
PICTURES = ("png", "jpeg", "svg", "pdf")

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

# E2B takes a pair of quotes off a value, which then looks like another one: give a string a pair to spare.
SET_UP = """\
get_ipython().display_formatter.formatters["text/plain"].for_type(
    str, lambda text, printer, cycle: printer.text(f"'{text!r}'" if len(printer.stack) == 1 else repr(text))
)
"""


class Interpreter:
    """Runs cells, and notices when the interpreter behind them is a new one.

    Args:
        remote: The sandbox.
        start_seconds: How long a new interpreter may take to be prepared.
    """

    def __init__(self, remote: "AsyncSandbox", start_seconds: float) -> None:
        self._remote = remote
        self._start_seconds = start_seconds
        self._cells = 0
        """The interpreter's own number of the last cell: it starts again from 1 when the interpreter does."""
        self._left_alone = False
        """Whether nobody waits for the last cell any more, although it may still be running."""

    async def set_up(self) -> None:
        """Prepare an interpreter that is new."""
        execution = await self._remote.run_code(SET_UP, language="python", timeout=self._start_seconds)
        self._left_alone = False
        self._cells = execution.execution_count or 0

    async def run(self, code: str, output: Output, seconds: float) -> CellResult:
        """Run a cell."""
        if not code.strip():
            return CellResult()  # which the interpreter would not count
        if self._left_alone and not await self._still_runs():
            await self._restart()
            return CellResult(restarted=True)
        self._left_alone = True
        try:
            execution = await self._remote.run_code(
                code,
                language="python",
                timeout=seconds,
                on_stdout=lambda message: output.add_stdout(message.line),
                on_stderr=lambda message: output.add_stderr(message.line),
            )
        except PrintedTooMuch:
            why = "it printed too much"
        except Exception as error:
            if not (_is_timeout(error) and await self._remote.is_running()):
                raise
            why = "its time was up"
        else:
            self._left_alone = False
            return await self._result(execution, output)
        # E2B interrupts a cell that nobody listens to any more. Some cells go on all the same.
        stdout, stderr = output.stdout.text(), output.stderr.text()
        if await self._still_runs():
            return CellResult(stdout, stderr, traceback=f"KeyboardInterrupt: {why}", interrupted=True)
        await self._restart()
        return CellResult(stdout, stderr, restarted=True)

    async def _result(self, execution: "Execution", output: Output) -> CellResult:
        stdout, stderr = output.stdout.text(), output.stderr.text()
        error, count = execution.error, execution.execution_count
        if error is not None and error.name in DEAD:
            await self.set_up()
            return CellResult(stdout, stderr, restarted=True)
        # The interpreter may have died before the cell, and this one be new.
        restarted = count is not None and count <= self._cells
        if restarted:
            await self.set_up()
        elif count is not None:
            self._cells = count
        traceback = readable(error.traceback or f"{error.name}: {error.value}") if error is not None else None
        figures = sum(any(getattr(each, kind) for kind in PICTURES) for each in execution.results)
        return CellResult(stdout, stderr, execution.text, traceback, figures, restarted=restarted)

    async def _still_runs(self) -> bool:
        """Whether the same interpreter runs cells again, after an interrupt that it may need a moment for."""
        for _ in range(PROBES):
            await asyncio.sleep(0.2)
            try:
                execution = await self._remote.run_code("pass", language="python", timeout=PROBE_SECONDS)
            except Exception as error:
                if not _is_timeout(error):
                    raise
                continue
            if execution.execution_count is not None:
                is_same = execution.execution_count > self._cells
                self._cells = execution.execution_count
                self._left_alone = False
                return is_same
        return False

    async def _restart(self) -> None:
        for context in await self._remote.list_code_contexts():
            if context.language == "python":
                await self._remote.restart_code_context(context)
        await self.set_up()


def readable(traceback: str) -> str:
    """A traceback in plain text. E2B leaves out some of the line breaks."""
    head = "Traceback (most recent call last)"
    return ANSI.sub("", traceback).lstrip("-").replace(f"{head}Cell", f"{head}\nCell", 1)


def _is_timeout(error: Exception) -> bool:
    from e2b_code_interpreter import TimeoutException

    return isinstance(error, TimeoutException)
