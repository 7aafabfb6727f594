# Part of the template: changes belong there (`copier update` merges this file).
"""A machine with a desktop at E2B: how it is created, renewed and ended, and how calls of E2B's client are made."""

import asyncio
import contextlib
import logging
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING

from desktop import DesktopLost, ProviderLost

if TYPE_CHECKING:
    from e2b_desktop import Sandbox

log = logging.getLogger("gymkit")

THREADS = 4
"""A call whose caller was cancelled keeps its thread until it returns: the next one must not wait for it."""
SERVICE_SECONDS = 10
"""E2B's service is asked for so long whether it is there."""


class Machine:
    """A machine at E2B. It needs E2B_API_KEY.

    It is renewed for as long as this object is not closed, and ends by itself `lifetime` seconds after a server that
    was killed. E2B's client is synchronous, so it is called in threads.

    Args:
        create: Creates the machine; called in a thread.
        lifetime: In seconds.
    """

    def __init__(self, create: "Callable[[], Sandbox]", lifetime: int) -> None:
        self._create = create
        self._lifetime = lifetime
        self._creation: asyncio.Future[Sandbox] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._remote: Sandbox | None = None
        self._closing: asyncio.Task[None] | None = None
        self._renewed = 0.0
        """When it was renewed; infinity where it has ended before its time was up, which is not this server's doing."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="desktop")

    async def start(self) -> None:
        if not os.environ.get("E2B_API_KEY"):
            raise DesktopLost("The server has no E2B_API_KEY.")
        self._renewed = monotonic()
        self._creation = asyncio.get_running_loop().run_in_executor(self._threads, self._create)
        try:
            # The caller may be cancelled: `close` then ends what is being created.
            remote = await asyncio.shield(self._creation)
        except Exception as error:
            await self.close()
            raise DesktopLost(f"No desktop can be had at E2B: {reason(error)}") from None
        except BaseException:
            await self.close()
            raise
        self._remote = remote
        self._renewal = asyncio.create_task(self._renew(remote))

    async def _renew(self, remote: "Sandbox") -> None:
        from e2b_desktop import NotFoundException

        while True:
            await asyncio.sleep(self._lifetime / 3)
            try:
                await asyncio.to_thread(remote.set_timeout, self._lifetime)
                self._renewed = monotonic()
            except NotFoundException:
                if not self._was_not_renewed():
                    self._renewed = math.inf
                return  # The next call says so.
            except Exception as error:
                log.warning("A desktop at E2B could not be renewed: %s", reason(error))

    def _was_not_renewed(self) -> bool:
        return monotonic() - self._renewed > self._lifetime

    async def close(self) -> None:
        """End it. A second call changes nothing; it never raises."""
        # It is carried out even if the first caller that waits for it is cancelled.
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        if self._creation is not None:
            with contextlib.suppress(Exception):
                remote = await self._creation
                try:
                    await asyncio.get_running_loop().run_in_executor(None, remote.kill)
                except Exception as error:
                    log.warning("A desktop at E2B was left to its time limit: %s", reason(error))
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def remote(self) -> "Sandbox":
        """E2B's client of the machine; it blocks, so it is to be used in `call`."""
        self.check()
        assert self._remote is not None
        return self._remote

    def check(self) -> None:
        """Raise `DesktopLost` where there is no machine, or none any more."""
        if self._closing is not None:
            raise DesktopLost("The desktop was closed.")
        if self._remote is None:
            raise DesktopLost("The desktop was not started.")

    async def call[**Arguments, Result](
        self, function: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs
    ) -> Result:
        """Call a function that waits for E2B, in a thread.

        Raises:
            FileNotFoundError: the machine has no such file.
            ProviderLost: E2B's service does not answer, or the machine could not be renewed in time.
            DesktopLost: anything else that went wrong. A program on the machine can end it, or keep it from answering.
        """
        from e2b_desktop import CommandExitException, FileNotFoundException

        self.check()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: function(*arguments, **options))
        except DesktopLost:
            raise
        except FileNotFoundException as error:
            raise FileNotFoundError(reason(error)) from None
        except CommandExitException as error:
            raise DesktopLost(f"The display is gone: {' '.join(error.stderr.split())[:300]}") from None
        except Exception as error:
            text = f"No desktop can be had at E2B: {reason(error)}"
            if self._was_not_renewed() or await asyncio.to_thread(service_fails):
                raise ProviderLost(text) from None
            raise DesktopLost(text) from None


def service_fails() -> bool:
    """Whether E2B's service itself cannot be used, whatever has become of a single machine. It blocks."""
    from e2b_desktop import RateLimitException, Sandbox

    try:
        Sandbox.list(limit=1, request_timeout=SERVICE_SECONDS).next_items()
    except RateLimitException:
        return False
    except Exception:
        return True
    return False


def reason(error: BaseException) -> str:
    """One line for an error of E2B's client, without the key, which the service's answer may repeat."""
    text = " ".join(str(error).split()) or type(error).__name__
    key = os.environ.get("E2B_API_KEY")
    return (text.replace(key, "***") if key else text)[:300]
