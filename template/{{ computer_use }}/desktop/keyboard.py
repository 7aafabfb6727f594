# Part of the template: changes belong there (`copier update` merges this file).
"""The names of keys: those that X gives them, and those that computer-use models write."""

KEYSYMS: dict[str, int] = {
    **{chr(code): code for code in (*range(ord("0"), ord("9") + 1), *range(ord("A"), ord("Z") + 1))},
    **{chr(code): code for code in range(ord("a"), ord("z") + 1)},
    **{f"F{number}": 0xFFBD + number for number in range(1, 13)},
    **{f"KP_{number}": 0xFFB0 + number for number in range(10)},
    "BackSpace": 0xFF08,
    "Tab": 0xFF09,
    "Return": 0xFF0D,
    "Pause": 0xFF13,
    "Scroll_Lock": 0xFF14,
    "Escape": 0xFF1B,
    "Home": 0xFF50,
    "Left": 0xFF51,
    "Up": 0xFF52,
    "Right": 0xFF53,
    "Down": 0xFF54,
    "Page_Up": 0xFF55,
    "Page_Down": 0xFF56,
    "End": 0xFF57,
    "Print": 0xFF61,
    "Insert": 0xFF63,
    "Menu": 0xFF67,
    "Num_Lock": 0xFF7F,
    "KP_Enter": 0xFF8D,
    "KP_Multiply": 0xFFAA,
    "KP_Add": 0xFFAB,
    "KP_Subtract": 0xFFAD,
    "KP_Decimal": 0xFFAE,
    "KP_Divide": 0xFFAF,
    "Shift_L": 0xFFE1,
    "Shift_R": 0xFFE2,
    "Control_L": 0xFFE3,
    "Control_R": 0xFFE4,
    "Caps_Lock": 0xFFE5,
    "Alt_L": 0xFFE9,
    "Alt_R": 0xFFEA,
    "Super_L": 0xFFEB,
    "Super_R": 0xFFEC,
    "Delete": 0xFFFF,
    "space": 0x20,
    "exclam": 0x21,
    "quotedbl": 0x22,
    "numbersign": 0x23,
    "dollar": 0x24,
    "percent": 0x25,
    "ampersand": 0x26,
    "apostrophe": 0x27,
    "parenleft": 0x28,
    "parenright": 0x29,
    "asterisk": 0x2A,
    "plus": 0x2B,
    "comma": 0x2C,
    "minus": 0x2D,
    "period": 0x2E,
    "slash": 0x2F,
    "colon": 0x3A,
    "semicolon": 0x3B,
    "less": 0x3C,
    "equal": 0x3D,
    "greater": 0x3E,
    "question": 0x3F,
    "at": 0x40,
    "bracketleft": 0x5B,
    "backslash": 0x5C,
    "bracketright": 0x5D,
    "asciicircum": 0x5E,
    "underscore": 0x5F,
    "grave": 0x60,
    "braceleft": 0x7B,
    "bar": 0x7C,
    "braceright": 0x7D,
    "asciitilde": 0x7E,
}
"""X's names of keys, and their keysyms."""

_BY_LOWER_CASE = {name.lower(): name for name in KEYSYMS if len(name) > 1}
_BY_CHARACTER = {chr(keysym): name for name, keysym in KEYSYMS.items() if 0x20 <= keysym < 0x7F}

ALIASES: dict[str, str] = {
    "ctrl": "Control_L",
    "control": "Control_L",
    "shift": "Shift_L",
    "alt": "Alt_L",
    "option": "Alt_L",
    "altgr": "Alt_R",
    "super": "Super_L",
    "win": "Super_L",
    "windows": "Super_L",
    "cmd": "Super_L",
    "command": "Super_L",
    "meta": "Super_L",
    "enter": "Return",
    "esc": "Escape",
    "del": "Delete",
    "ins": "Insert",
    "spacebar": "space",
    "pageup": "Page_Up",
    "pgup": "Page_Up",
    "prior": "Page_Up",
    "pagedown": "Page_Down",
    "pgdn": "Page_Down",
    "next": "Page_Down",
    "arrowleft": "Left",
    "arrowright": "Right",
    "arrowup": "Up",
    "arrowdown": "Down",
    "capslock": "Caps_Lock",
    "numlock": "Num_Lock",
    "scrolllock": "Scroll_Lock",
    "printscreen": "Print",
}
"""Other spellings, in lower case."""


class UnknownKey(ValueError):
    """No key has that name; the message is for the model."""


def parse_keys(text: str) -> list[str]:
    """X's names of the keys in a combination, as `ctrl+s`, `Return`, `shift+Tab`, `ctrl++`.

    Raises:
        UnknownKey: one of them is no key's name, or there is none, or there are more than five.
    """
    if text == " ":
        return ["space"]
    names = text.strip().replace("++", "+plus").split("+") if text.strip() != "+" else ["plus"]
    if len(names) > 5:
        raise UnknownKey("a combination of more than five keys cannot be pressed.")
    return [_name(name.strip()) for name in names]


def _name(name: str) -> str:
    found = ALIASES.get(name.lower()) or _BY_LOWER_CASE.get(name.lower())
    if found:
        return found
    if name in _BY_CHARACTER:
        return _BY_CHARACTER[name]
    if len(name) == 1 and name.isprintable():
        return f"U{ord(name):04X}"
    shown = repr(name if len(name) <= 40 else name[:37] + "...")
    raise UnknownKey(
        f"there is no key {shown}. A key is a single character or a name such as Return, Tab, Escape, BackSpace, "
        "Delete, space, Home, End, Page_Up, Page_Down, Left, Right, Up, Down, F1 to F12; combinations are joined by +, "
        "as ctrl+s, alt+F4, ctrl+shift+Home."
    )


def keysym_of(name: str) -> int:
    """The keysym of a key's name as `parse_keys` gives it, or of a single character."""
    if name in KEYSYMS:
        return KEYSYMS[name]
    if len(name) > 1 and name[0] == "U":
        name = chr(int(name[1:], 16))
    code = ord(name)
    # Latin-1 has keysyms of its own, all other characters that of their code point.
    return code if 0x20 <= code <= 0xFF else 0x01000000 | code
