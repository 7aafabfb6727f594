"""Office work: what the application holds at first, and when a task is done. Plain Python: it knows nothing of HTTP,
NeMo Gym or displays, and no task. The application is `office_app.py`; `office_layout.py` has the places in its windows.

The application keeps its state in a file. A task names the changes that it wants there, and nothing else may change.
"""

import json
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

from office_layout import GROUPS, LANGUAGES, STATUSES

COMMAND = ["python3", "office_app.py"]
"""Starts the application, in the folder of its files."""
STATE_FILE = "state.json"
HERE = Path(__file__).resolve().parent

State = dict[str, Any]


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

    def files(self) -> dict[str, bytes]:
        """The files of the application's folder, when it is opened for the first time."""
        programs = {name: (HERE / name).read_bytes() for name in ("office_app.py", "office_layout.py")}
        return {STATE_FILE: json.dumps(self.initial, ensure_ascii=False).encode(), **programs}

    def fulfilled(self, saved: bytes | None, answer: str) -> bool:
        """Whether the saved state (None: nobody has opened the application) and the answer are what the task wants."""
        try:
            state = self.initial if saved is None else json.loads(saved)
        except (ValueError, RecursionError):
            return False
        if not isinstance(state, dict):
            return False
        if not self._view_matters:
            # How a table is sorted does not matter, unless the task says so.
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
