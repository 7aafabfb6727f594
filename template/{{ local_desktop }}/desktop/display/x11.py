# Part of the template: changes belong there (`copier update` merges this file).
"""The screen, mouse and keyboard of an X display.

Pictures come by the core protocol, input goes by XTEST, the shape of the pointer is XFIXES's, and DAMAGE says when
something is drawn.
Every call blocks. A `Screen` belongs to one thread at a time.
"""

import functools
import io
import select
import struct
import time
from collections.abc import Callable, Iterable
from threading import Event
from typing import Any

import xcffib
import xcffib.damage
import xcffib.xfixes
import xcffib.xproto
import xcffib.xtest
from PIL import Image
from xcffib.ffi import ffi

from desktop.keyboard import keysym_of

PROTOCOL = b"MIT-MAGIC-COOKIE-1"
KEY_PRESS, KEY_RELEASE, BUTTON_PRESS, BUTTON_RELEASE, MOTION = 2, 3, 4, 5, 6
PLAIN, SHIFTED = 0, 1
SPECIAL_KEYS = 0x1008FF00
"""From here on, keysyms are those of keys for volume, playback and the like."""
CHUNK = 20
"""So many characters are typed at once; then the programs get a little time."""
CHUNK_SECONDS = 0.005
PING_SECONDS = 1.0
"""A window that has not answered by then is not waited for."""
DRAWING_SECONDS = 0.004
EARLY = 0.25
"""After this part of the quiet time a picture is taken, which may be the last one."""
AFTER_DRAWING = 0.8
"""So much of the quiet time is waited for once a program has begun to react."""
WAKE_SECONDS = 0.02
"""So often the window manager is woken while a window is waited for."""
SUBSTRUCTURE_NOTIFY = 1 << 19
PROPERTY_CHANGE = 1 << 22
CLIENT_MESSAGE = 33


GENERATE_AUTHORIZATION = 1
TRUST_LEVEL_AND_TIMEOUT = 3
UNTRUSTED, FOR_EVER = 1, 0


class DisplayGone(Exception):
    """The X server does not answer, or has closed the connection."""


class _Authorization(xcffib.Reply):
    xge = False

    def __init__(self, unpacker: Any) -> None:
        super().__init__(unpacker)
        (length,) = unpacker.unpack("xx2x4x4xH18x")
        self.cookie = bytes(xcffib.List(unpacker, "B", length))


class _AuthorizationCookie(xcffib.Cookie):
    reply_type = _Authorization


class _Security(xcffib.Extension):
    """Of the X server's SECURITY extension, the one request that is needed here: xcffib does not have it."""

    key = xcffib.ExtensionKey("SECURITY")

    def generate_authorization(self) -> _AuthorizationCookie:
        name = PROTOCOL + bytes(-len(PROTOCOL) % 4)
        request = struct.pack("=xx2xHHI", len(PROTOCOL), 0, TRUST_LEVEL_AND_TIMEOUT) + name
        request += struct.pack("=II", FOR_EVER, UNTRUSTED)  # in the order of their bits
        send: Any = self.send_request
        return send(GENERATE_AUTHORIZATION, io.BytesIO(request), _AuthorizationCookie)


xcffib._add_ext(_Security.key, _Security, {}, {})


def _checked[**Arguments, Result](method: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    @functools.wraps(method)
    def call(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        try:
            return method(*arguments, **options)
        except (xcffib.XcffibException, OSError) as error:
            raise DisplayGone(f"the X server does not answer ({type(error).__name__})") from None

    return call


class Screen:
    """A connection to a display.

    Args:
        display: Its name, as `:7`.
        cookie: The display's MIT-MAGIC-COOKIE-1.

    Raises:
        DisplayGone: by every method.
    """

    @_checked
    def __init__(self, display: str, cookie: bytes) -> None:
        self._connection = _connect(display, cookie)
        # xcffib's types do not have the requests of its extensions.
        self._core: Any = self._connection.core
        self._setup: Any = self._connection.get_setup()
        screen = self._setup.roots[0]
        self._root: int = screen.root
        self.width: int = screen.width_in_pixels
        self.height: int = screen.height_in_pixels
        self._test: Any = self._connection(xcffib.xtest.key)
        self._fixes: Any = self._connection(xcffib.xfixes.key)
        self._fixes.QueryVersion(5, 0).reply()
        mask = SUBSTRUCTURE_NOTIFY | PROPERTY_CHANGE
        self._core.ChangeWindowAttributes(self._root, xcffib.xproto.CW.EventMask, [mask])
        self._input_since, self._drawn_since = True, False
        self._changed_at = time.monotonic()
        self._damage: Any = None
        self._watch_drawing()
        self._pings = 0
        self._talking: set[int] = set()
        self._silent: set[int] = set()
        self._atoms: dict[str, int] = {}
        self._read_keyboard()

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    @_checked
    def untrusted_cookie(self) -> bytes | None:
        """A further cookie: who comes with it can show windows, but neither see nor touch those of others.

        No pictures of the screen, no input, no properties of the root window, no keyboard, no other extension. None
        where the X server does not have its SECURITY extension.
        """
        if not self._has_extension(_Security.key.name):
            return None
        security: Any = self._connection(_Security.key)
        return security.generate_authorization().reply().cookie

    def _has_extension(self, name: str) -> bool:
        return bool(self._core.QueryExtension(len(name), name).reply().present)

    def _watch_drawing(self) -> None:
        """Have an event come when anything is drawn on the screen, in whatever window."""
        if self._has_extension(xcffib.damage.key.name):
            self._damage = self._connection(xcffib.damage.key)
            self._damage.QueryVersion(1, 1).reply()
            self._watched = self._connection.generate_id()
            self._damage.Create(self._watched, self._root, xcffib.damage.ReportLevel.NonEmpty)

    def _next_event(self, until: float) -> Any:
        """The next event, or None when it is that late (`time.monotonic`). It notes what has been drawn.

        An event may also be the error of an earlier request, as of a message to a window that has gone meanwhile.
        """
        self._connection.flush()
        while (event := self._event()) is None:
            left = until - time.monotonic()
            if left <= 0:
                return None
            poll = select.poll()
            poll.register(self._connection.get_file_descriptor(), select.POLLIN)
            poll.poll(left * 1000)
        if isinstance(event, xcffib.damage.NotifyEvent):
            # Only after that does the next event come: a window that draws itself makes hundreds.
            time.sleep(DRAWING_SECONDS)
            self._damage.Subtract(self._watched, 0, 0)
            self._sync()
            self._drawn_since, self._changed_at = True, time.monotonic()
        return event

    def _event(self) -> Any:
        try:
            return self._connection.poll_for_event()
        except xcffib.Error as error:
            return error

    def _sync(self) -> None:
        """Wait until the X server has done all that it was told."""
        self._core.GetInputFocus().reply()

    def _await_window(self, times: int = 1) -> None:
        """Wait until the active window has had all input so far: it answers a ping (_NET_WM_PING), which comes after.

        One that has no time is waited for no longer than `PING_SECONDS`; one that does not know of pings, only once. Tk
        answers them without saying that it does.
        """
        window = next(iter(self._property(self._root, "_NET_ACTIVE_WINDOW")), 0)
        for _ in range(times):
            if window and window not in self._silent:
                self._ping(window)

    def _ping(self, window: int) -> None:
        ping = self._atom("_NET_WM_PING")
        self._pings += 1
        protocols = self._atom("WM_PROTOCOLS")
        message = struct.pack("=BBHII5I", CLIENT_MESSAGE, 32, 0, window, protocols, ping, self._pings, window, 0, 0)
        self._core.SendEvent(False, window, 0, message)
        deadline = time.monotonic() + PING_SECONDS
        while (event := self._next_event(deadline)) is not None:
            if isinstance(event, xcffib.xproto.ClientMessageEvent) and event.data.data32[1] == self._pings:
                self._talking.add(window)
                return
            if isinstance(event, xcffib.Error):
                return  # The window has gone meanwhile.
        if window not in self._talking:
            self._silent.add(window)

    def _atom(self, name: str) -> int:
        if name not in self._atoms:
            self._atoms[name] = self._core.InternAtom(False, len(name), name).reply().atom
        return self._atoms[name]

    def _property(self, window: int, name: str) -> list[int]:
        """A property of a window: numbers of 32 bits each."""
        try:
            found = self._core.GetProperty(False, window, self._atom(name), 0, 0, 64).reply()
        except xcffib.Error:
            return []  # The window has gone meanwhile.
        data = bytes(found.value.buf())
        return list(struct.unpack(f"={len(data) // 4}I", data[: len(data) // 4 * 4]))

    # ---------------------------------------------------------------------------------------------------- screen

    @_checked
    def capture(self) -> Image.Image:
        """The screen with the pointer, as an RGB picture, once the active window has had all input so far."""
        self._await_window()
        return self._capture()

    def _capture(self) -> Image.Image:
        everything = 0xFFFFFFFF
        request = self._core.GetImage(
            xcffib.xproto.ImageFormat.ZPixmap, self._root, 0, 0, self.width, self.height, everything
        )
        pointer_request = self._fixes.GetCursorImage()
        # `request.reply()` would make a list of three million numbers.
        reply = self._connection.wait_for_reply(request.sequence)
        pixels = memoryview(ffi.buffer(reply.cdata, 32 + self.width * self.height * 4))[32:]
        picture = Image.frombytes("RGB", (self.width, self.height), pixels, "raw", "BGRX")
        pointer = pointer_request.reply()
        colours = b"".join(pixel.to_bytes(4, "little") for pixel in pointer.cursor_image)
        shape = Image.frombytes("RGBA", (pointer.width, pointer.height), colours, "raw", "BGRa")
        picture.paste(shape, (pointer.x - pointer.xhot, pointer.y - pointer.yhot), shape)
        return picture

    @_checked
    def when_still[Result](
        self, quiet: float, seconds: float, look: Callable[[Image.Image], Result]
    ) -> tuple[Result] | None:
        """What is made of the screen, as by `capture`, once it is still.

        It is still when the active window has had all input so far, and from then on nothing has been drawn for `quiet`
        seconds; or, after anything has been drawn, for `AFTER_DRAWING` of them. Then the window is asked twice more:
        what was due in that time, but had no processor, is done and drawn by its second answer. Where there was no
        input, the time that has passed already counts.

        The picture is taken as soon as it may be the last one, and dropped where anything is drawn after that.

        Args:
            quiet: So many seconds.
            seconds: For no longer than this, once the window has had all input.
            look: What is made of a picture; it may be called several times.

        Returns:
            None where the screen was not still for so long, or the X server cannot say so (without DAMAGE).
        """
        if self._damage is None:
            return None
        self._await_window()
        end = time.monotonic() + seconds
        if self._input_since:
            self._input_since = False
            self._changed_at = time.monotonic()
        while self._await_quiet(EARLY * quiet, end):
            changed_at = self._changed_at
            result = look(self._capture())
            if self._await_quiet(quiet * AFTER_DRAWING if self._drawn_since else quiet, end, changed_at):
                self._await_window(2)
                if self._await_quiet(0, end, changed_at):
                    return (result,)
        return None

    def _await_quiet(self, quiet: float, end: float, changed_at: float | None = None) -> bool:
        """Wait until nothing has been drawn for so long. False where it is too late (`time.monotonic`), or where
        anything was drawn since it had changed last, if that is given."""
        while changed_at in (None, self._changed_at):
            until = self._changed_at + quiet
            if self._next_event(min(until, end)) is None:
                return changed_at in (None, self._changed_at) and time.monotonic() < end
        return False

    @_checked
    def touch(self) -> None:
        """Something is done that may be shown soon, by input or otherwise."""
        if not self._input_since:
            while self._next_event(0) is not None:
                pass  # What was drawn before is no reaction.
            self._input_since, self._drawn_since = True, False

    @_checked
    def await_window_manager(self, seconds: float) -> bool:
        """Wait until a window manager has said that it is there; whether so."""
        return self._await_property("_NET_SUPPORTING_WM_CHECK", time.monotonic() + seconds)

    @_checked
    def await_windows(self, seconds: float) -> bool:
        """Wait until the window manager manages any window; whether so.

        openbox may have read the wish for a window while it started, and then sleep on it. So it is woken: it looks at
        all its events when a property of the root window changes.
        """
        end = time.monotonic() + seconds
        replace, kind = xcffib.xproto.PropMode.Replace, xcffib.xproto.Atom.CARDINAL
        while not self._await_property("_NET_CLIENT_LIST", min(end, time.monotonic() + WAKE_SECONDS)):
            if time.monotonic() >= end:
                return False
            self._core.ChangeProperty(replace, self._root, self._atom("_GYMKIT_WAKE"), kind, 8, 1, [0])
        return True

    def _await_property(self, name: str, until: float) -> bool:
        """Wait until the root window has a property that is not empty; whether so."""
        atom = self._atom(name)
        while not self._property(self._root, name):
            while (event := self._next_event(until)) is not None:
                if isinstance(event, xcffib.xproto.PropertyNotifyEvent) and event.atom == atom:
                    break
            else:
                return bool(self._property(self._root, name))
        return True

    # ----------------------------------------------------------------------------------------------------- mouse

    @_checked
    def pointer(self) -> tuple[int, int]:
        """Where the pointer is."""
        found = self._core.QueryPointer(self._root).reply()
        return found.root_x, found.root_y

    @_checked
    def move(self, x: int, y: int) -> None:
        self.touch()
        self._test.FakeInput(MOTION, 0, 0, self._root, x, y, 0)
        self._sync()

    @_checked
    def button(self, number: int, down: bool) -> None:
        """Press or release a button: 1 left, 2 middle, 3 right, 4 to 7 the wheel."""
        self._input(BUTTON_PRESS if down else BUTTON_RELEASE, number)
        self._sync()

    @_checked
    def click(self, x: int, y: int, number: int, times: int) -> None:
        """Move the pointer, then press and release a button so many times."""
        self.touch()
        self._test.FakeInput(MOTION, 0, 0, self._root, x, y, 0)
        for _ in range(times):
            self._input(BUTTON_PRESS, number)
            self._input(BUTTON_RELEASE, number)
        self._sync()

    def _input(self, event: int, detail: int) -> None:
        self.touch()
        self._test.FakeInput(event, detail, 0, self._root, 0, 0, 0)

    # -------------------------------------------------------------------------------------------------- keyboard

    def _read_keyboard(self) -> None:
        """Learn which key gives which keysym, and which keys nobody needs."""
        setup = self._setup
        first, count = setup.min_keycode, setup.max_keycode - setup.min_keycode + 1
        mapping = self._core.GetKeyboardMapping(first, count).reply()
        per_key, keysyms = mapping.keysyms_per_keycode, list(mapping.keysyms)
        modifiers = set(self._core.GetModifierMapping().reply().keycodes)
        self._keys: dict[int, tuple[int, int]] = {}
        self._spare: list[int] = []
        self._lent: dict[int, int] = {}
        for number in range(count):
            code, on_key = first + number, keysyms[number * per_key : (number + 1) * per_key]
            for level in (PLAIN, SHIFTED):
                if on_key[level]:
                    self._keys.setdefault(on_key[level], (code, level))
            if code not in modifiers and all(keysym == 0 or keysym >= SPECIAL_KEYS for keysym in on_key):
                self._spare.append(code)
        self._shift = self._keys[keysym_of("Shift_L")][0]

    def _lend(self, keysyms: Iterable[int]) -> None:
        """Make keys of spare ones for those keysyms that the keyboard lacks, as many as it has."""
        missing = [keysym for keysym in dict.fromkeys(keysyms) if keysym not in self._keys]
        wanted = [keysym for keysym in missing if keysym not in self._lent]
        if len(wanted) > len(self._spare) - len(self._lent):
            # A key whose meaning is to change must first have been read by the program that was sent it.
            self._await_window()
            self._lent.clear()
            wanted = missing
        codes = self._spare[len(self._lent) : len(self._lent) + len(wanted)]
        lent = list(zip(codes, wanted, strict=False))
        self._lent.update((keysym, code) for code, keysym in lent)
        # Neighbours in one request: every program reads the whole keyboard anew after each.
        while lent:
            run = [pair for number, pair in enumerate(lent) if pair[0] == lent[0][0] + number]
            lent = lent[len(run) :]
            self._core.ChangeKeyboardMapping(
                len(run), run[0][0], 2, [keysym for _, keysym in run for _ in (PLAIN, SHIFTED)]
            )
        if wanted:
            # A program that reads a key and the change together may take the old meaning for the new one.
            self._await_window()

    def _key(self, keysym: int) -> tuple[int, int]:
        """The key of a keysym, and its level."""
        if keysym not in self._keys and keysym not in self._lent:
            self._lend([keysym])
        return self._keys.get(keysym) or (self._lent[keysym], PLAIN)

    @_checked
    def keys(self, keysyms: list[int], down: bool) -> None:
        """Press keys in this order, or release them in the opposite one."""
        found = [self._key(keysym) for keysym in keysyms]
        codes = [code for code, _ in found]
        if any(level == SHIFTED for _, level in found) and self._shift not in codes:
            codes.insert(0, self._shift)
        for code in codes if down else reversed(codes):
            self._input(KEY_PRESS if down else KEY_RELEASE, code)
        self._sync()

    @_checked
    def type_text(self, text: str, stop: Event) -> None:
        """Type characters one after the other, until told to stop. A line break is Return, a tabulator is Tab."""
        keysyms = [keysym_of({"\n": "Return", "\t": "Tab"}.get(character, character)) for character in text]
        for number, keysym in enumerate(keysyms):
            if number % len(self._spare) == 0:
                self._lend(keysyms[number : number + len(self._spare)])
            if number % CHUNK == 0:
                self._sync()
                if stop.wait(CHUNK_SECONDS):
                    return
            code, level = self._key(keysym)
            if level == SHIFTED:
                self._input(KEY_PRESS, self._shift)
            self._input(KEY_PRESS, code)
            self._input(KEY_RELEASE, code)
            if level == SHIFTED:
                self._input(KEY_RELEASE, self._shift)
        self._sync()


def _connect(display: str, cookie: bytes) -> xcffib.Connection:
    """xcffib's own `connect(auth=...)` frees the cookie before it is sent (1.13)."""
    name, data = ffi.new("char[]", PROTOCOL), ffi.new("char[]", cookie)
    fields = {"namelen": len(PROTOCOL), "name": name, "datalen": len(cookie), "data": data}
    lib: Any = xcffib.lib
    pointer = lib.xcb_connect_to_display_with_auth_info(
        display.encode(), ffi.new("xcb_auth_info_t *", fields), ffi.NULL
    )
    return xcffib.wrap(pointer)
