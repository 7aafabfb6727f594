"""The tasks and their answers, by split. The server never imports this file, and it is not part of an image or a Space.

`uv run gymkit data` writes the rows in data/ from it. Each task has its own solution, the key `oracle`: the calls that
`policy.py` makes.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from office import FIRST_NAMES, State, initial_state
from office_layout import (
    GROUPS,
    LANGUAGES,
    MAIN,
    ORDER_COLUMNS,
    PREFERENCES,
    QUANTITY,
    ROW_HEIGHT,
    STATUSES,
    Point,
    below,
    choice,
    heading,
    in_dialog,
    middle,
    row,
)

DEMO_SEED = 0
VISIBLE_ORDERS = (MAIN["orders"][3] - ROW_HEIGHT) // ROW_HEIGHT
"""So many orders are in sight in the table."""

Call = tuple[str, dict[str, Any]]
"""A tool's name, and its arguments."""
Task = dict[str, Any]

# ------------------------------------------------------------------------------------------------ calls of the player


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
    return in_dialog("preferences", PREFERENCES[name])


def in_preferences(*calls: Call) -> list[Call]:
    """Open the preferences, do something there, and save them."""
    return [click(middle(MAIN["preferences"])), *calls, click(preference("ok"))]


# ----------------------------------------------------------------------------------------------------- kinds of tasks

Made = tuple[str, dict[str, Any], list[Call]]
"""What is to be done, the changes that it makes, and how to do it."""

LINES = (
    "Lunch is at half past twelve.",
    "Grüße aus Zürich: alles läuft.",
    "Συνάντηση στις 9 με την Ελένη.",
    "Созвон с Ольгой в среду, 14:30.",
    "Order #27 (50% off) @ 3 o'clock?",
    "Café à emporter, s'il vous plaît!",
)


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
    finish_an_errand,  # The shortest: the demo row, and the first row of each file.
    mark_an_order,
    set_switches,
    add_to_the_note,
    add_a_contact,
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


# ----------------------------------------------------------------------------------------------------------- the rows

PROMPT = """You work at a computer on which the application Office is open. You see its screen in pictures, and use \
mouse and keyboard by the tools. Begin with a screenshot.

{task}

Change nothing else. When you are done, call terminate."""

SPLITS = {"demo": 1, "example": 5, "validation": 3 * len(KINDS), "train": 3 * len(KINDS)}


def tasks() -> dict[str, list[Task]]:
    """All tasks, by split. None is in two splits, and none twice."""
    seeds = iter(range(DEMO_SEED, 10_000))
    splits: dict[str, list[Task]] = {split: [] for split in SPLITS}
    seen: set[str] = set()
    for split, count in SPLITS.items():
        while len(splits[split]) < count:
            new = task(split, len(splits[split]), next(seeds))
            key = f"{new['prompt']} {new['expected_output']}"
            if key not in seen:
                seen.add(key)
                splits[split].append(new)
    return splits


def task(split: str, number: int, seed: int) -> Task:
    """One task, with the calls that fulfil it."""
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
        "oracle": [list(call) for call in [("screenshot", {}), *calls, end]],
    }
