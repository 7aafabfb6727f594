# Part of the template: changes belong there (`copier update` merges this file).
"""A session's desktop: a screen, a mouse, a keyboard and an application.

- this file   the protocol of a desktop, which server.py uses
- `backend`   how a desktop is made: settings, `check()`, `make_desktop()`
- `keyboard`  the names of keys

The application is not part of a desktop: server.py says which one is opened, with which files.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Literal, Protocol

from PIL.Image import Image

Button = Literal["left", "middle", "right"]


class DesktopLost(Exception):
    """The desktop could not be started, or does not work any more; the message says why, without secrets.

    What is done on a desktop can bring it about that it does not work any more.
    """


class ProviderLost(DesktopLost):
    """What desktops run on has gone: nothing that can be brought about on a desktop."""


class Desktop(Protocol):
    """One desktop. Coordinates are pixels, (0, 0) is the upper left corner. Any method may raise `DesktopLost`."""

    width: int
    height: int

    async def start(self) -> None: ...

    async def screenshot(self) -> Image:
        """The screen as an RGB picture, `width` x `height`."""
        ...

    async def when_still[Result](self, quiet: float, limit: float, look: Callable[[Image], Result]) -> Result:
        """What is made of the screen, once what was done has been handled, and nothing changes any more.

        Args:
            quiet: Nothing must have changed for about so many seconds.
            limit: It is not waited for longer than this.
            look: What is made of a picture, in a thread. It may be called several times: the last one counts.
        """
        ...

    async def cursor(self) -> tuple[int, int]:
        """The position of the pointer."""
        ...

    async def move(self, x: int, y: int) -> None:
        """Move the pointer."""
        ...

    async def button(self, button: Button, down: bool) -> None:
        """Press or release a mouse button."""
        ...

    async def click(self, x: int, y: int, button: Button, times: int) -> None:
        """Move the pointer, then press and release a mouse button so many times."""
        ...

    async def scroll(self, dx: int, dy: int) -> None:
        """Turn the wheel by so many notches, to the right and down; negative: to the left and up."""
        ...

    async def type_text(self, text: str) -> None:
        """Type a text of any script. A line break is Return, a tabulator is Tab."""
        ...

    async def keys(self, names: list[str], down: bool) -> None:
        """Press keys together, or release them. The names are those that `keyboard.parse_keys` returns."""
        ...

    async def run_command(self, command: str, *, seconds: float) -> tuple[int | None, str]:
        """Run a shell command: its exit code (None: it was ended at its time limit) and what it printed."""
        ...

    async def open_app(self, argv: list[str], files: dict[str, bytes]) -> None:
        """Write files into the application's folder, start the application there, and wait for its window.

        The program `python3` is a Python that has tkinter.
        """
        ...

    async def read_file(self, name: str) -> bytes:
        """A file of the application's folder. `FileNotFoundError` where there is none that can be read."""
        ...

    async def app_alive(self) -> bool:
        """Whether the application runs. False: it was closed, or has ended otherwise."""
        ...

    async def close(self) -> None:
        """End the desktop and everything on it. A second call changes nothing; it never raises."""
        ...


async def when_still_by_pictures[Result](
    desktop: Desktop, quiet: float, limit: float, look: Callable[[Image], Result]
) -> Result:
    """`Desktop.when_still` where nothing says when something is drawn: pictures are compared."""
    end = monotonic() + limit
    picture = await desktop.screenshot()
    pixels = await asyncio.to_thread(picture.tobytes)
    still_since = monotonic()
    while (now := monotonic()) - still_since < quiet and now < end:
        await asyncio.sleep(quiet / 4)
        picture, before = await desktop.screenshot(), pixels
        pixels = await asyncio.to_thread(picture.tobytes)
        if pixels != before:
            still_since = monotonic()
    return await asyncio.to_thread(look, picture)
