"""Where everything is in the office application, in pixels. The application puts it there, the oracle clicks there.

The screen is 1024 x 768. Places are (x, y, width, height) within a window's content.
"""

SCREEN = (1024, 768)
TITLE_HEIGHT = 19
"""Of a window's title bar, below which its content begins."""
FONT = ("DejaVu Sans", -13)
ROW_HEIGHT = 24
"""Of a row in a table, and of an entry in a menu."""
CHOICE_HEIGHT = 18
"""Of an entry in a list that drops down."""

Place = tuple[int, int, int, int]

TABS = ("Contacts", "Orders", "To do", "Note")

MAIN: dict[str, Place] = {
    "tab Contacts": (16, 56, 120, 34),
    "tab Orders": (142, 56, 120, 34),
    "tab To do": (268, 56, 120, 34),
    "tab Note": (394, 56, 120, 34),
    "preferences": (868, 56, 140, 34),
    # Contacts: a table, and a form.
    "contacts": (16, 108, 560, 560),
    "form": (592, 108, 416, 560),
    "form name": (724, 160, 268, 30),
    "form email": (724, 206, 268, 30),
    "form phone": (724, 252, 268, 30),
    "form group": (724, 298, 268, 30),
    "form new": (608, 356, 120, 34),
    "form delete": (740, 356, 120, 34),
    "form save": (872, 356, 120, 34),
    # Orders: a table.
    "orders": (16, 108, 992, 560),
    # To do: two lists.
    "list open": (16, 148, 488, 520),
    "list done": (520, 148, 488, 520),
    # Note: a text.
    "text": (16, 108, 992, 508),
    "text save": (868, 630, 140, 34),
    "status": (0, 716, 1024, 28),
}

ORDER_COLUMNS = {"number": 110, "customer": 270, "product": 270, "quantity": 120, "status": 196}
"""The columns of the table of orders, and their widths."""
CONTACT_COLUMNS = {"name": 190, "phone": 150, "group": 200}

DIALOGS: dict[str, Place] = {"preferences": (292, 190, 440, 340), "quantity": (352, 260, 320, 150)}
"""Where dialogs are on the screen: the upper left corner of their frames, and the size of their content."""

PREFERENCES: dict[str, Place] = {
    "notifications": (24, 24, 392, 28),
    "dark_mode": (24, 62, 392, 28),
    "autosave": (24, 100, 392, 28),
    "language": (150, 144, 260, 30),
    "font_size": (150, 190, 100, 30),
    "cancel": (180, 280, 110, 34),
    "ok": (306, 280, 110, 34),
}
QUANTITY: dict[str, Place] = {
    "entry": (120, 28, 170, 30),
    "cancel": (64, 90, 110, 34),
    "ok": (186, 90, 110, 34),
}

ORDER_MENU = ("Mark as open", "Mark as shipped", "Mark as cancelled", "Delete")
GROUPS = ("Customers", "Suppliers", "Staff")
LANGUAGES = ("English", "Deutsch", "Français", "Español", "Ελληνικά")
STATUSES = ("open", "shipped", "cancelled")

Point = tuple[int, int]


def middle(place: Place) -> Point:
    """The middle of a place in the main window, on the screen."""
    x, y, width, height = place
    return x + width // 2, TITLE_HEIGHT + y + height // 2


def in_dialog(dialog: str, place: Place) -> Point:
    """The middle of a place in a dialog, on the screen."""
    left, top, _, _ = DIALOGS[dialog]
    x, y = middle(place)
    return left + 1 + x, top + y


def row(table: str, number: int, column: int = 60) -> Point:
    """A row of a table or list in the main window, counted from 0, on the screen."""
    x, y, _, _ = MAIN[table]
    heading = ROW_HEIGHT if table in ("contacts", "orders") else 0
    return x + column, TITLE_HEIGHT + y + heading + number * ROW_HEIGHT + ROW_HEIGHT // 2 + 1


def heading(column: str) -> Point:
    """The heading of a column of the table of orders, on the screen."""
    left = MAIN["orders"][0] + sum(list(ORDER_COLUMNS.values())[: list(ORDER_COLUMNS).index(column)])
    return left + ORDER_COLUMNS[column] // 2, TITLE_HEIGHT + MAIN["orders"][1] + ROW_HEIGHT // 2


def below(place: Point, number: int) -> Point:
    """An entry of the menu that opens at a place, counted from 0."""
    return place[0] + 40, place[1] + 4 + number * ROW_HEIGHT + ROW_HEIGHT // 2


def choice(field: Point, number: int) -> Point:
    """An entry of the list that drops down from a field, counted from 0."""
    return field[0], field[1] + 16 + number * CHOICE_HEIGHT + CHOICE_HEIGHT // 2
