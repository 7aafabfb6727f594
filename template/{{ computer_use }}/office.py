"""Office work: the tasks, the state that each begins with, and when it is done. Plain Python: it knows nothing of HTTP,
NeMo Gym or displays. The application itself is `office_app.py`, `office_layout.py` says where everything is in it.

The application keeps its state in a file. A task names the changes that it wants there, and nothing else may change.
"""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

from office_layout import (
    GROUPS,
    LANGUAGES,
    MAIN,
    ORDER_COLUMNS,
    PREFERENCES,
    QUANTITY,
    ROW_HEIGHT,
    STATUSES,
    Place,
    Point,
    below,
    choice,
    heading,
    in_dialog,
    middle,
    row,
)

COMMAND = ["python3", "office_app.py"]
"""Starts the application, in the folder of its files."""
STATE_FILE = "state.json"
HERE = Path(__file__).resolve().parent

DEMO_SEED = 0
VISIBLE_ORDERS = (MAIN["orders"][3] - ROW_HEIGHT) // ROW_HEIGHT

State = dict[str, Any]
Call = tuple[str, dict[str, Any]]


class OfficeTask:
    """One task.

    Args:
        seed: What the application holds at first is made from it.
        expected: The changes, by path: `{"contacts/3/phone": "555-0199"}`; None for what is to be deleted. The path
            `answer` is what the agent has to say when it terminates the episode.

    Raises:
        ValueError: they describe no task.
    """

    def __init__(self, seed: Any, expected: Any) -> None:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise ValueError(f"office_seed must be a whole number, not {seed!r}"[:200])
        if not isinstance(expected, dict):
            raise ValueError(f"expected_output must be an object of changes, not {expected!r}"[:200])
        changes = dict(expected)
        self.answer = changes.pop("answer", None)
        self.has_state = bool(expected)
        self.initial = initial_state(seed)
        self.wanted = changed(self.initial, changes)
        self._view_matters = any(path.startswith("view/") for path in changes)

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the application's folder."""
        programs = {name: (HERE / name).read_bytes() for name in ("office_app.py", "office_layout.py")}
        return {STATE_FILE: json.dumps(self.initial, ensure_ascii=False).encode(), **programs}

    def fulfilled(self, saved: bytes | None, answer: str) -> bool:
        """Whether the saved state (None: nobody has opened the application) and the answer are what the task wants."""
        state = self.initial if saved is None else json.loads(saved)
        if not self._view_matters:
            # How a table is sorted is nobody's business, unless the task says so.
            state = state | {"view": self.wanted["view"]}
        return state == self.wanted and (self.answer is None or plain(answer) == plain(str(self.answer)))


def changed(state: State, changes: dict[str, Any]) -> State:
    """A copy of a state with changes made, by path."""
    state = deepcopy(state)
    for path, value in changes.items():
        *folders, name = str(path).split("/")
        inner: Any = state
        for folder in folders:
            inner = inner.get(folder) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or (not folders and name not in state):
            raise ValueError(f"expected_output names {path!r}, which the application does not have"[:200])
        if value is None:
            inner.pop(name, None)
        else:
            inner[name] = value
    return state


def plain(answer: str) -> str:
    """An answer without what does not matter in it."""
    return " ".join(answer.split()).strip(" .").casefold()


# ------------------------------------------------------------------------------------------------- the office's state

FIRST_NAMES = "Ada Ben Clara David Emma Felix Greta Hugo Ines Jonas Karin Leon Marta Nils Olga Paul Rosa Simon".split()
LAST_NAMES = "Adler Brandt Costa Duarte Ekström Fischer García Holm Ivanov Jansen Kovač Lindqvist Møller Novák".split()
COMPANIES = "Alder & Co|Blue Harbour|Cobalt Works|Dune Foods|Elm Street Books|Fjord Outdoor|Granite Bank".split("|")
PRODUCTS = "Desk lamp|Office chair|Paper, A4|Stapler|Whiteboard|Notebook|Monitor arm|Filing cabinet".split("|")
ERRANDS = (
    "Call the plumber|Order printer paper|Book the meeting room|Water the plants|Pay the electricity bill|"
    "Renew the licence|Send the invoices|Clean the coffee machine|Update the price list|Back up the laptop|"
    "Answer the newspaper|Print the badges"
).split("|")
NOTES = (
    "The lift is out of order until Thursday.",
    "Parking permits are in the second drawer.",
    "The visitors from Lisbon arrive at ten.",
    "Fire drill next Monday at eleven.",
)
LINES = (
    "Lunch is at half past twelve.",
    "Grüße aus Zürich: alles läuft.",
    "Συνάντηση στις 9 με την Ελένη.",
    "Созвон с Ольгой в среду, 14:30.",
    "Order #27 (50% off) @ 3 o'clock?",
    "Café à emporter, s'il vous plaît!",
)


def initial_state(seed: int) -> State:
    """What the office holds at first: always the same for a seed."""
    random = Random(seed)
    names = random.sample([f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES], 14)
    errands = random.sample(ERRANDS, 9)
    contacts = {
        str(number): {
            "name": name,
            "email": f"{name.split()[0].lower()}.{number}@example.com",
            "phone": f"555-01{random.randrange(100):02d}",
            "group": random.choice(GROUPS),
        }
        for number, name in enumerate(names, 1)
    }
    orders = {
        str(number): {
            "customer": random.choice(COMPANIES),
            "product": random.choice(PRODUCTS),
            "quantity": random.randrange(1, 60),
            "status": random.choice(STATUSES),
        }
        for number in range(1001, 1001 + random.randrange(16, 31))
    }
    return {
        "contacts": contacts,
        "orders": orders,
        "view": {"sorted_by": "number", "descending": False},
        "todo": {"open": errands[:6], "done": errands[6:]},
        "note": "\n".join(random.sample(NOTES, 2)),
        "settings": {
            "notifications": random.random() < 0.5,
            "dark_mode": random.random() < 0.5,
            "autosave": random.random() < 0.5,
            "language": random.choice(LANGUAGES),
            "font_size": random.randrange(10, 18),
        },
    }


# ------------------------------------------------------------------------------------------------- calls of the oracle


def at(point: Point) -> dict[str, int]:
    return {"x": point[0], "y": point[1]}


def click(point: Point, tool: str = "left_click") -> Call:
    return tool, at(point)


def typed(text: str) -> Call:
    return "type", {"text": text}


def press(keys: str) -> Call:
    return "key", {"keys": keys}


def tab(name: str) -> Call:
    return click(middle(MAIN[f"tab {name}"]))


def fill_in(field: str, text: str) -> list[Call]:
    """Replace what stands in a field of the form."""
    return [click(middle(MAIN[f"form {field}"]), "triple_click"), typed(text)]


def drag(start: Point, end: Point) -> Call:
    return "left_click_drag", {"start_x": start[0], "start_y": start[1], "end_x": end[0], "end_y": end[1]}


def choose(field: Point, number: int) -> list[Call]:
    """Choose an entry of a list that drops down."""
    return [click(field), click(choice(field, number))]


def contact_row(state: State, key: str) -> Point:
    """A contact in the table, which is sorted by name."""
    keys = sorted(state["contacts"], key=lambda other: state["contacts"][other]["name"])
    return row("contacts", keys.index(key))


def show_order(state: State, number: str) -> tuple[list[Call], Point]:
    """How to bring an order to sight, and where it then is."""
    index, hidden = list(state["orders"]).index(number), len(state["orders"]) - VISIBLE_ORDERS
    if index < VISIBLE_ORDERS:
        return [tab("Orders")], row("orders", index, 200)
    down: Call = ("scroll", {**at(middle(MAIN["orders"])), "direction": "down", "amount": 20})
    return [tab("Orders"), down], row("orders", index - hidden, 200)


def preference(name: str) -> Point:
    place: Place = PREFERENCES[name]
    return in_dialog("preferences", place)


def in_preferences(*calls: Call) -> list[Call]:
    """Open the preferences, do something there, and save them."""
    return [click(middle(MAIN["preferences"])), *calls, click(preference("ok"))]


# --------------------------------------------------------------------------------------------------------- the tasks

Made = tuple[str, dict[str, Any], list[Call]]
"""What is to be done, the changes that it makes, and how to do it."""


def add_a_contact(state: State, random: Random) -> Made:
    name = f"{random.choice(FIRST_NAMES)} {random.choice(('Okafor', 'Petrenko', 'Quispe', 'Rossi', 'Şahin'))}"
    email, phone = f"{name.split()[0].lower()}@example.org", f"555-02{random.randrange(100):02d}"
    group = random.choice(GROUPS[1:])
    contact = {"name": name, "email": email, "phone": phone, "group": group}
    calls = [call for field in ("name", "email", "phone") for call in fill_in(field, contact[field])]
    calls += choose(middle(MAIN["form group"]), GROUPS.index(group))
    text = f"Add a contact: name {name}, email {email}, phone {phone}, group {group}."
    return text, {"contacts/15": contact}, [*calls, click(middle(MAIN["form save"]))]


def change_a_phone_number(state: State, random: Random) -> Made:
    key, phone = random.choice(list(state["contacts"])), f"555-03{random.randrange(100):02d}"
    calls = [click(contact_row(state, key)), *fill_in("phone", phone), click(middle(MAIN["form save"]))]
    text = f"{state['contacts'][key]['name']} has a new phone number: {phone}. Change it in the contacts."
    return text, {f"contacts/{key}/phone": phone}, calls


def change_a_group(state: State, random: Random) -> Made:
    key = random.choice(list(state["contacts"]))
    contact = state["contacts"][key]
    group = random.choice([group for group in GROUPS if group != contact["group"]])
    calls = [click(contact_row(state, key)), *choose(middle(MAIN["form group"]), GROUPS.index(group))]
    text = f"Move the contact {contact['name']} to the group {group}."
    return text, {f"contacts/{key}/group": group}, [*calls, click(middle(MAIN["form save"]))]


def delete_a_contact(state: State, random: Random) -> Made:
    key = random.choice(list(state["contacts"]))
    calls = [click(contact_row(state, key)), click(middle(MAIN["form delete"]))]
    return f"Delete the contact {state['contacts'][key]['name']}.", {f"contacts/{key}": None}, calls


def mark_an_order(state: State, random: Random) -> Made:
    number = random.choice(list(state["orders"]))
    status = random.choice([status for status in STATUSES if status != state["orders"][number]["status"]])
    calls, point = show_order(state, number)
    calls += [click(point, "right_click"), click(below(point, STATUSES.index(status)))]
    return f"Mark order {number} as {status}.", {f"orders/{number}/status": status}, calls


def delete_an_order(state: State, random: Random) -> Made:
    number = random.choice(list(state["orders"])[:12])
    calls, point = show_order(state, number)
    calls += [click(point, "right_click"), click(below(point, len(STATUSES)))]
    return f"Delete order {number}.", {f"orders/{number}": None}, calls


def change_a_quantity(state: State, random: Random) -> Made:
    number, quantity = random.choice(list(state["orders"])), random.randrange(61, 400)
    calls, point = show_order(state, number)
    calls += [click(point, "double_click"), click(in_dialog("quantity", QUANTITY["entry"])), press("ctrl+a")]
    calls += [typed(str(quantity)), click(in_dialog("quantity", QUANTITY["ok"]))]
    text = f"Order {number} is for {quantity} pieces now. Change its quantity."
    return text, {f"orders/{number}/quantity": quantity}, calls


def sort_the_orders(state: State, random: Random) -> Made:
    column, descending = random.choice([name for name in ORDER_COLUMNS if name != "number"]), random.random() < 0.5
    calls = [tab("Orders"), *[click(heading(column))] * (2 if descending else 1)]
    text = f"Sort the table of orders by {column}, {'descending' if descending else 'ascending'}."
    return text, {"view/sorted_by": column, **({"view/descending": True} if descending else {})}, calls


def set_switches(state: State, random: Random) -> Made:
    names = {"notifications": "notifications", "dark_mode": "dark mode", "autosave": "saving notes by themselves"}
    chosen = random.sample(list(names), 2)
    wanted = {name: not state["settings"][name] for name in chosen}
    text = " and ".join(f"switch {names[name]} {'on' if on else 'off'}" for name, on in wanted.items())
    calls = in_preferences(*[click(preference(name)) for name in chosen])
    return f"In the preferences, {text}.", {f"settings/{name}": on for name, on in wanted.items()}, calls


def choose_a_language(state: State, random: Random) -> Made:
    settings = state["settings"]
    language = random.choice([name for name in LANGUAGES if name != settings["language"]])
    dark = not settings["dark_mode"]
    calls = [*choose(preference("language"), LANGUAGES.index(language)), click(preference("dark_mode"))]
    text = f"In the preferences, set the language to {language} and switch dark mode {'on' if dark else 'off'}."
    return text, {"settings/language": language, "settings/dark_mode": dark}, in_preferences(*calls)


def set_the_font_size(state: State, random: Random) -> Made:
    size, steps = state["settings"]["font_size"], random.choice((-3, -2, 2, 3))
    keys = [press("Up" if steps > 0 else "Down")] * abs(steps)
    text = f"Set the font size to {size + steps} in the preferences."
    return text, {"settings/font_size": size + steps}, in_preferences(click(preference("font_size")), *keys)


def add_to_the_note(state: State, random: Random) -> Made:
    line = random.choice(LINES)
    calls = [tab("Note"), click(middle(MAIN["text"])), press("ctrl+End"), typed(f"\n{line}")]
    text = f"Add a line at the end of the note, and save it: {line}"
    return text, {"note": f"{state['note']}\n{line}"}, [*calls, click(middle(MAIN["text save"]))]


def replace_the_note(state: State, random: Random) -> Made:
    line = random.choice(LINES)
    calls = [tab("Note"), click(middle(MAIN["text"])), press("ctrl+a"), typed(line), press("ctrl+s")]
    return f"Replace the whole note by this line, and save it: {line}", {"note": line}, calls


def finish_an_errand(state: State, random: Random) -> Made:
    todo = state["todo"]
    number = random.randrange(len(todo["open"]))
    errand = todo["open"][number]
    changes = {"todo/open": [other for other in todo["open"] if other != errand], "todo/done": [errand, *todo["done"]]}
    calls = [tab("To do"), drag(row("list open", number), row("list done", 0))]
    return f"Move “{errand}” from the list To do to the top of the list Done, with the mouse.", changes, calls


def put_an_errand_first(state: State, random: Random) -> Made:
    errands = state["todo"]["open"]
    number = random.randrange(1, len(errands))
    changes = {"todo/open": [errands[number], *errands[:number], *errands[number + 1 :]]}
    calls = [tab("To do"), drag(row("list open", number), row("list open", 0))]
    return f"Make “{errands[number]}” the first entry of the list To do: drag it to the top.", changes, calls


def tell_a_phone_number(state: State, random: Random) -> Made:
    key = random.choice(list(state["contacts"]))
    text = f"What is the phone number of {state['contacts'][key]['name']}? Give it as the answer when you terminate."
    return text, {"answer": state["contacts"][key]["phone"]}, [click(contact_row(state, key))]


def count_orders(state: State, random: Random) -> Made:
    status = random.choice(STATUSES)
    count = sum(order["status"] == status for order in state["orders"].values())
    calls = [tab("Orders"), click(heading("status")), click(row("orders", 1)), press("End")]
    text = f"How many orders are {status}? Give the number as the answer when you terminate."
    return text, {"answer": str(count)}, calls


KINDS: tuple[Callable[[State, Random], Made], ...] = (
    add_a_contact,
    mark_an_order,
    set_switches,
    add_to_the_note,
    finish_an_errand,
    change_a_phone_number,
    change_a_quantity,
    choose_a_language,
    tell_a_phone_number,
    replace_the_note,
    put_an_errand_first,
    delete_a_contact,
    sort_the_orders,
    set_the_font_size,
    change_a_group,
    delete_an_order,
    count_orders,
)

PROMPT = """You work at a computer on which the application Office is open. You see its screen in pictures, and use \
mouse and keyboard by the tools. Begin with a screenshot.

{task}

Change nothing else. When you are done, call terminate."""

SPLITS = {"demo": 1, "example": 5, "validation": 3 * len(KINDS), "train": 3 * len(KINDS)}


def tasks() -> dict[str, list[dict[str, Any]]]:
    """All tasks, by split. None is in two splits, and none twice."""
    seeds = iter(range(DEMO_SEED, 10_000))
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    seen: set[str] = set()
    for split, count in SPLITS.items():
        while len(splits[split]) < count:
            new = task(split, len(splits[split]), next(seeds))
            key = f"{new['prompt']} {new['expected_output']}"
            if key not in seen:
                seen.add(key)
                splits[split].append(new)
    return splits


def task(split: str, number: int, seed: int) -> dict[str, Any]:
    """One task with its oracle: the calls that fulfil it."""
    state = initial_state(seed)
    kind = KINDS[number % len(KINDS)]
    text, changes, calls = kind(state, Random(seed + 1_000_000))
    end: Call = ("terminate", {"status": "success", "answer": str(changes.get("answer", ""))})
    return {
        "task_id": f"office-{split}-{number:03d}",
        "prompt": PROMPT.format(task=text),
        "expected_output": changes,
        "office_seed": seed,
        "screenshot_after_action": True,
        "oracle": [list(call) for call in _played(calls, end)],
    }


def _played(calls: list[Call], end: Call) -> Iterator[Call]:
    yield "screenshot", {}
    yield from calls
    yield end
