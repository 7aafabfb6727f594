"""A small office: contacts, orders, a to-do list, a note, preferences. Its state is the file state.json.

    python3 office_app.py [--own-frames]        in a folder that holds state.json and office_layout.py

A change is in the file as soon as it is saved in the application; the file is replaced as a whole. With --own-frames it
covers the screen and draws the title bars itself, as they are here: another window manager's would shift all places.
"""

import json
import os
import sys
import tkinter as tk
from collections.abc import Callable
from pathlib import Path
from tkinter import messagebox, ttk
from typing import Any

import office_layout as layout
from office_layout import FONT, MAIN, ROW_HEIGHT, Place

STATE = Path("state.json")

BACKGROUND, PANEL, INK, FAINT, ACCENT, LINE = "#eef1f5", "#ffffff", "#1f2933", "#7b8794", "#2563a8", "#cbd2d9"
BOLD = (*FONT, "bold")

State = dict[str, Any]


class Office:
    """The main window."""

    def __init__(self, own_frames: bool = False) -> None:
        self.own_frames = own_frames
        self.state: State = json.loads(STATE.read_text(encoding="utf-8"))
        self.root = tk.Tk(className="Office")
        # Tk would let any program on the display run code in this one. (Without the command, it is not registered.)
        self.root.tk.call("rename", "send", "")
        self.root.title("Office")
        self.root.geometry(f"{layout.SCREEN[0]}x{layout.SCREEN[1] - layout.TITLE_HEIGHT}+0+0")
        self.root.configure(background=BACKGROUND)
        style(self.root)
        self.content: tk.Misc = self.root
        if own_frames:
            self.root.attributes("-fullscreen", True)
            self.content = framed(self.root, "Office", 0)
        self.status = tk.StringVar(value="Ready")
        header = tk.Frame(self.content, background=ACCENT)
        header.place(x=0, y=0, relwidth=1, height=44)
        tk.Label(header, text="Office", background=ACCENT, foreground="white", font=(FONT[0], -20, "bold")).place(
            x=16, y=8
        )
        bar = tk.Label(
            self.content, textvariable=self.status, anchor="w", padx=16, background="#dde3ea", foreground=INK
        )
        put(bar, MAIN["status"])
        self.pages: dict[str, tk.Frame] = {}
        self.tabs: dict[str, ttk.Button] = {}
        for name, page in zip(layout.TABS, (ContactsPage, OrdersPage, ToDoPage, NotePage), strict=True):
            self.tabs[name] = ttk.Button(self.content, text=name, command=lambda name=name: self.show(name))
            put(self.tabs[name], MAIN[f"tab {name}"])
            self.pages[name] = page(self)
        put(ttk.Button(self.content, text="Preferences…", command=lambda: Preferences(self)), MAIN["preferences"])
        self.show(layout.TABS[0])

    def show(self, name: str) -> None:
        """Bring a page to the front."""
        for other, page in self.pages.items():
            self.tabs[other].configure(style="Chosen.TButton" if other == name else "TButton")
            page.place_forget()
        # Below the tabs, above the status bar; places on a page count from the window's corner.
        self.pages[name].place(x=0, y=100, width=layout.SCREEN[0], height=MAIN["status"][1] - 100)
        self.pages[name].focus_set()

    def save(self, said: str) -> None:
        """Write the state, and say so in the status bar."""
        new = STATE.with_suffix(".new")
        new.write_text(json.dumps(self.state, ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(new, STATE)
        self.status.set(said)


class Page(tk.Frame):
    """What a tab shows."""

    def __init__(self, office: Office) -> None:
        super().__init__(office.content, background=BACKGROUND)
        self.office = office

    def put(self, widget: Any, name: str) -> Any:
        """Put a widget at its place."""
        x, y, width, height = MAIN[name]
        return put(widget, (x, y - 100, width, height))

    def table(self, name: str, columns: dict[str, int]) -> ttk.Treeview:
        """A table at its place."""
        tree = ttk.Treeview(self, columns=list(columns), show="headings", selectmode="browse")
        for column, width in columns.items():
            tree.heading(column, text=column.capitalize(), anchor="w")
            tree.column(column, width=width, minwidth=width, stretch=False)
        bar = ttk.Scrollbar(self, command=tree.yview)
        tree.configure(yscrollcommand=bar.set)
        x, y, width, height = MAIN[name]
        put(tree, (x, y - 100, width - 16, height))
        put(bar, (x + width - 16, y - 100, 16, height))
        return tree


class ContactsPage(Page):
    FIELDS = ("name", "email", "phone")

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self.tree = self.table("contacts", layout.CONTACT_COLUMNS)
        self.tree.bind("<<TreeviewSelect>>", lambda event: self.load())
        self.put(tk.Frame(self, background=PANEL, highlightthickness=1, highlightbackground=LINE), "form")
        self.title = tk.Label(self, text="New contact", font=BOLD, background=PANEL, foreground=INK)
        self.title.place(x=608, y=22)
        self.values = {field: tk.StringVar() for field in (*self.FIELDS, "group")}
        for field in self.values:
            x, y, _, height = MAIN[f"form {field}"]
            label = tk.Label(self, text=field.capitalize(), anchor="w", background=PANEL, foreground=INK)
            put(label, (608, y - 100, x - 616, height))
        for field in self.FIELDS:
            self.put(entry(self, self.values[field]), f"form {field}")
        self.put(choice(self, self.values["group"], layout.GROUPS), "form group")
        self.put(ttk.Button(self, text="New", command=self.clear), "form new")
        self.put(ttk.Button(self, text="Delete", command=self.delete), "form delete")
        self.put(ttk.Button(self, text="Save", style="Accent.TButton", command=self.store), "form save")
        self.clear()
        self.fill()

    @property
    def contacts(self) -> State:
        return self.office.state["contacts"]

    def fill(self) -> None:
        self.tree.delete(*self.tree.get_children())
        for key, contact in sorted(self.contacts.items(), key=lambda item: item[1]["name"]):
            self.tree.insert("", "end", key, values=(contact["name"], contact["phone"], contact["group"]))

    def clear(self) -> None:
        """Begin a new contact."""
        self.tree.selection_set(())
        self.key = ""
        self.title.configure(text="New contact")
        for value in self.values.values():
            value.set("")
        self.values["group"].set(layout.GROUPS[0])

    def load(self) -> None:
        """Show the chosen contact in the form."""
        if self.tree.selection():
            self.key = self.tree.selection()[0]
            self.title.configure(text="Contact")
            for field, value in self.values.items():
                value.set(self.contacts[self.key][field])

    def store(self) -> None:
        contact = {field: value.get().strip() for field, value in self.values.items()}
        if not contact["name"]:
            self.office.status.set("A contact needs a name")
            return
        key = self.key or str(max(map(int, self.contacts), default=0) + 1)
        self.contacts[key] = contact
        self.office.save(f"Saved {contact['name']}")
        self.fill()
        self.tree.selection_set(key)
        self.tree.see(key)

    def delete(self) -> None:
        if not self.key:
            self.office.status.set("Choose a contact first")
            return
        contact = self.contacts.pop(self.key)
        self.office.save(f"Deleted {contact['name']}")
        self.fill()
        self.clear()


class OrdersPage(Page):
    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self.tree = self.table("orders", layout.ORDER_COLUMNS)
        for column in layout.ORDER_COLUMNS:
            self.tree.heading(column, command=lambda column=column: self.sort(column))
        self.tree.bind("<Button-3>", self.open_menu)
        self.tree.bind("<Double-Button-1>", self.change_quantity)
        self.menu = tk.Menu(self, tearoff=False, font=FONT, background=PANEL, activebackground=ACCENT, borderwidth=1)
        self.menu.configure(activeforeground="white", foreground=INK, activeborderwidth=2)
        for label, status in zip(layout.ORDER_MENU, layout.STATUSES, strict=False):
            self.menu.add_command(label=label, command=lambda status=status: self.mark(status))
        self.menu.add_command(label=layout.ORDER_MENU[-1], command=self.delete)
        self.fill()

    @property
    def orders(self) -> State:
        return self.office.state["orders"]

    def fill(self) -> None:
        view = self.office.state["view"]
        self.tree.delete(*self.tree.get_children())
        for column in layout.ORDER_COLUMNS:
            mark = (" ▼" if view["descending"] else " ▲") if column == view["sorted_by"] else ""
            self.tree.heading(column, text=column.capitalize() + mark)
        rows = [{"number": number, **order} for number, order in self.orders.items()]
        rows.sort(key=lambda row: row["number"])
        rows.sort(key=lambda row: row[view["sorted_by"]], reverse=view["descending"])
        for row in rows:
            self.tree.insert("", "end", row["number"], values=[row[column] for column in layout.ORDER_COLUMNS])

    def sort(self, column: str) -> None:
        view = self.office.state["view"]
        view["descending"] = not view["descending"] if view["sorted_by"] == column else False
        view["sorted_by"] = column
        self.office.save(f"Sorted by {column}")
        self.fill()

    def open_menu(self, event: Any) -> None:
        number = self.tree.identify_row(event.y)
        if number:
            self.tree.selection_set(number)
            self.menu.tk_popup(event.x_root, event.y_root)

    def mark(self, status: str) -> None:
        number = self.tree.selection()[0]
        self.orders[number]["status"] = status
        self.office.save(f"Order {number} is {status}")
        self.fill()

    def delete(self) -> None:
        number = self.tree.selection()[0]
        del self.orders[number]
        self.office.save(f"Deleted order {number}")
        self.fill()

    def change_quantity(self, event: Any) -> None:
        number = self.tree.identify_row(event.y)
        if number and self.tree.identify_region(event.x, event.y) == "cell":
            Quantity(self, number)


class Dialog(tk.Toplevel):
    """A window in front of the main one, which waits for it."""

    def __init__(self, office: Office, name: str, title: str) -> None:
        super().__init__(office.root, background=BACKGROUND)
        self.office = office
        x, y, width, height = layout.DIALOGS[name]
        self.title(title)
        self.transient(office.root)
        self.resizable(False, False)
        self.content: tk.Misc = self
        if office.own_frames:
            self.overrideredirect(True)
            self.content = framed(self, title, 1)
            width, height = width + 2, height + layout.TITLE_HEIGHT + 1
        self.geometry(f"{width}x{height}+{x}+{y}")
        self.bind("<Escape>", lambda event: self.destroy())
        self.wait_visibility()
        self.grab_set()
        # No window manager gives a window the focus that it does not know.
        (self.focus_force if office.own_frames else self.focus_set)()


class Quantity(Dialog):
    def __init__(self, page: OrdersPage, number: str) -> None:
        super().__init__(page.office, "quantity", f"Order {number}")
        self.page, self.number = page, number
        self.value = tk.StringVar(value=str(page.orders[number]["quantity"]))
        tk.Label(self.content, text="Quantity", background=BACKGROUND, foreground=INK).place(x=24, y=34)
        field = put(entry(self.content, self.value), layout.QUANTITY["entry"])
        field.focus_set()
        field.select_range(0, "end")
        put(ttk.Button(self.content, text="Cancel", command=self.destroy), layout.QUANTITY["cancel"])
        put(ttk.Button(self.content, text="OK", style="Accent.TButton", command=self.store), layout.QUANTITY["ok"])
        self.bind("<Return>", lambda event: self.store())

    def store(self) -> None:
        text = self.value.get().strip()
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 10_000):
            messagebox.showerror("Office", "A quantity is a number from 1 to 9999.", parent=self)
            return
        self.page.orders[self.number]["quantity"] = int(text)
        self.office.save(f"Order {self.number}: quantity {text}")
        self.page.fill()
        self.destroy()


class Preferences(Dialog):
    SWITCHES = (
        ("notifications", "Show notifications"),
        ("dark_mode", "Dark mode"),
        ("autosave", "Save notes by themselves"),
    )

    def __init__(self, office: Office) -> None:
        super().__init__(office, "preferences", "Preferences")
        settings = office.state["settings"]
        self.values: dict[str, tk.Variable] = {name: tk.BooleanVar(value=settings[name]) for name, _ in self.SWITCHES}
        for name, text in self.SWITCHES:
            put(ttk.Checkbutton(self.content, text=text, variable=self.values[name]), layout.PREFERENCES[name])
        for name, text in (("language", "Language"), ("font_size", "Font size")):
            self.values[name] = tk.StringVar(value=str(settings[name]))
            tk.Label(self.content, text=text, background=BACKGROUND, foreground=INK).place(
                x=24, y=layout.PREFERENCES[name][1] + 6
            )
        put(choice(self.content, self.values["language"], layout.LANGUAGES), layout.PREFERENCES["language"])
        spin = ttk.Spinbox(
            self.content, from_=8, to=32, textvariable=self.values["font_size"], state="readonly", font=FONT
        )
        put(spin, layout.PREFERENCES["font_size"])
        put(ttk.Button(self.content, text="Cancel", command=self.destroy), layout.PREFERENCES["cancel"])
        put(ttk.Button(self.content, text="OK", style="Accent.TButton", command=self.store), layout.PREFERENCES["ok"])

    def store(self) -> None:
        settings = {name: value.get() for name, value in self.values.items()}
        self.office.state["settings"] = settings | {"font_size": int(settings["font_size"])}
        self.office.save("Saved the preferences")
        self.destroy()


class ToDoPage(Page):
    """Two lists, between and in which entries are dragged."""

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self.trees: dict[str, ttk.Treeview] = {}
        for name, title in (("open", "To do"), ("done", "Done")):
            x, y, _, _ = MAIN[f"list {name}"]
            tk.Label(self, text=title, font=BOLD, background=BACKGROUND, foreground=INK).place(x=x, y=y - 132)
            tree = ttk.Treeview(self, columns=["text"], show="", selectmode="browse")
            tree.column("text", width=470)
            tree.bind("<Button-1>", lambda event, name=name: self.take(name, event))
            tree.bind("<B1-Motion>", self.drag)
            tree.bind("<ButtonRelease-1>", self.drop)
            self.trees[name] = self.put(tree, f"list {name}")
        self.taken: tuple[str, int] | None = None
        self.marker = tk.Frame(self, background=ACCENT)
        self.fill()

    def fill(self) -> None:
        for name, tree in self.trees.items():
            tree.delete(*tree.get_children())
            for text in self.office.state["todo"][name]:
                tree.insert("", "end", values=(text,))

    def take(self, name: str, event: Any) -> None:
        tree = self.trees[name]
        item = tree.identify_row(event.y)
        self.taken = (name, tree.index(item)) if item else None

    def target(self, event: Any) -> tuple[str, int] | None:
        """The list under the pointer, and the place in it that an entry dropped there would get."""
        for name, tree in self.trees.items():
            x, y = event.x_root - tree.winfo_rootx(), event.y_root - tree.winfo_rooty()
            if 0 <= x < tree.winfo_width() and 0 <= y < tree.winfo_height():
                item = tree.identify_row(y)
                return name, tree.index(item) if item else len(tree.get_children())
        return None

    def drag(self, event: Any) -> None:
        """Show where the entry would go."""
        target = self.target(event)
        if self.taken and target:
            x, y, width, _ = MAIN[f"list {target[0]}"]
            self.marker.place(x=x + 2, y=y - 100 + target[1] * ROW_HEIGHT, width=width - 4, height=2)
            self.marker.lift()

    def drop(self, event: Any) -> None:
        self.marker.place_forget()
        taken, target, self.taken = self.taken, self.target(event), None
        if taken and target and taken != target:
            lists = self.office.state["todo"]
            text = lists[taken[0]].pop(taken[1])
            lists[target[0]].insert(target[1], text)
            self.office.save(f"Moved “{text}”")
            self.fill()


class NotePage(Page):
    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self.text = tk.Text(self, font=(FONT[0], -15), wrap="word", undo=True, relief="flat", padx=12, pady=10)
        self.text.configure(highlightthickness=1, highlightbackground=LINE, highlightcolor=ACCENT, insertofftime=0)
        self.text.insert("1.0", office.state["note"])
        self.text.bind("<Control-s>", lambda event: self.store())
        self.text.bind("<Control-a>", lambda event: self.choose_all())
        self.put(self.text, "text")
        self.put(ttk.Button(self, text="Save note", style="Accent.TButton", command=self.store), "text save")

    def focus_set(self) -> None:
        self.text.focus_set()

    def choose_all(self) -> str:
        self.text.tag_add("sel", "1.0", "end")
        return "break"

    def store(self) -> str:
        self.office.state["note"] = self.text.get("1.0", "end-1c")
        self.office.save("Saved the note")
        return "break"


# ---------------------------------------------------------------------------------------------------------- widgets


def put(widget: Any, place: Place) -> Any:
    """Put a widget at a place; the widget."""
    x, y, width, height = place
    widget.place(x=x, y=y, width=width, height=height)
    return widget


def framed(window: tk.Tk | tk.Toplevel, title: str, border: int) -> tk.Frame:
    """Give a window a title bar, and lines of this width at its other sides; the frame of its content."""
    bar = tk.Label(window, text=title, background="#b9cde3", foreground=INK, font=(FONT[0], -12, "bold"))
    bar.place(x=0, y=0, relwidth=1, height=layout.TITLE_HEIGHT)
    close = tk.Label(bar, text="×", background="#b9cde3", foreground=INK, font=(FONT[0], -14, "bold"))
    close.place(relx=1, x=-20, y=0, width=18, height=layout.TITLE_HEIGHT)
    close.bind("<Button-1>", lambda event: window.winfo_toplevel().destroy())
    content = tk.Frame(window, background=BACKGROUND)
    height = -layout.TITLE_HEIGHT - border
    content.place(x=border, y=layout.TITLE_HEIGHT, relwidth=1, width=-2 * border, relheight=1, height=height)
    window.configure(background=ACCENT)
    return content


def entry(parent: Any, value: tk.Variable) -> tk.Entry:
    """A line of text. Its cursor does not blink: a still screen is still."""
    field = tk.Entry(parent, textvariable=value, font=FONT, relief="flat", background=PANEL, foreground=INK)
    field.configure(highlightthickness=1, highlightbackground=LINE, highlightcolor=ACCENT, insertofftime=0)
    select_all: Callable[[Any], str] = lambda event: field.select_range(0, "end") or "break"  # noqa: E731
    field.bind("<Control-a>", select_all)
    return field


def choice(parent: Any, value: tk.Variable, values: tuple[str, ...]) -> ttk.Combobox:
    """A value out of some, from a list that drops down."""
    return ttk.Combobox(parent, textvariable=value, values=values, state="readonly", font=FONT, height=len(values))


def style(root: tk.Tk) -> None:
    """Colours and fonts of all widgets."""
    theme = ttk.Style(root)
    theme.theme_use("clam")
    root.option_add("*Font", FONT)
    root.option_add("*TCombobox*Listbox.font", FONT)
    root.option_add("*TCombobox*Listbox.selectBackground", ACCENT)
    theme.configure(".", font=FONT, background=BACKGROUND, foreground=INK, bordercolor=LINE, focuscolor=LINE)
    theme.configure("TButton", padding=4, background=PANEL, lightcolor=PANEL, darkcolor=PANEL)
    theme.map("TButton", background=[("pressed", "#d9e2ec"), ("active", "#f5f7fa")])
    for name in ("Accent.TButton", "Chosen.TButton"):
        theme.configure(name, background=ACCENT, foreground="white", lightcolor=ACCENT, darkcolor=ACCENT, font=BOLD)
        theme.map(name, background=[("pressed", "#1b4d85"), ("active", "#2f74be")], foreground=[("", "white")])
    theme.configure("Treeview", rowheight=ROW_HEIGHT, background=PANEL, fieldbackground=PANEL, borderwidth=1)
    theme.map("Treeview", background=[("selected", ACCENT)], foreground=[("selected", "white")])
    theme.configure("Treeview.Heading", font=BOLD, padding=(6, 2), background="#dde3ea", relief="flat")
    theme.configure("TCombobox", fieldbackground=PANEL, background=PANEL, arrowsize=14, padding=4)
    theme.map("TCombobox", fieldbackground=[("readonly", PANEL)], foreground=[("readonly", INK)])
    theme.configure("TSpinbox", fieldbackground=PANEL, background=PANEL, arrowsize=12, padding=4)
    theme.map("TSpinbox", fieldbackground=[("readonly", PANEL)])
    theme.configure("TCheckbutton", background=BACKGROUND, indicatorsize=16, padding=4)
    theme.map("TCheckbutton", background=[("active", BACKGROUND)])


if __name__ == "__main__":
    Office(own_frames="--own-frames" in sys.argv).root.mainloop()
