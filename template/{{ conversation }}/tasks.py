"""The tasks and their answers, by split. The server never imports this file, and it is not part of an image or a Space.

`uv run gymkit data` writes the rows in data/ from it. A task is a shop, a customer's script (`user`), and what the
database has to have changed in, and the customer to have been told, at the end. Each has its own solution, the key
`oracle`: what `policy.py` says and calls.
"""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

from shop import REASONS, money

POLICY = (Path(__file__).parent / "shop_policy.md").read_text(encoding="utf-8").strip()
TODAY = date(2026, 3, 14)
DEMO_SEED = 0

Task = dict[str, Any]
Move = str | list[Any]
"""A text to say, or a tool's name and its arguments."""

FIRST = (
    "Ada",
    "Bela",
    "Cora",
    "Dario",
    "Elif",
    "Frida",
    "Gino",
    "Hana",
    "Ivo",
    "Jana",
    "Kofi",
    "Lena",
    "Milan",
    "Nora",
)
LAST = ("Alvarez", "Becker", "Chen", "Duran", "Eriksen", "Fontaine", "Gruber", "Horvat", "Ito", "Jansen", "Kowalski")
STREETS = ("Harbour Road", "Mill Lane", "Station Street", "Garden Way", "Chapel Hill", "Orchard Close", "Bridge Street")
TOWNS = (("20095", "Hamburg"), ("10115", "Berlin"), ("50667", "Cologne"), ("80331", "Munich"), ("04109", "Leipzig"))
PRODUCTS = {
    "lamp": (("Brass desk lamp", 4900), ("Paper floor lamp", 8900), ("Glass table lamp", 6900)),
    "kettle": (("Steel kettle", 3900), ("Enamel kettle", 5400), ("Travel kettle", 2500)),
    "bag": (("Canvas rucksack", 7500), ("Leather satchel", 14900), ("Felt tote", 3200)),
    "watch": (("Pilot watch", 24900), ("Diver watch", 31900), ("Field watch", 21900)),
    "cosmetics": (("Rose hand cream", 1450), ("Olive soap set", 1900), ("Almond face oil", 2750)),
    "food": (("Acacia honey box", 2200), ("Oolong tea chest", 3400), ("Olive oil trio", 4100)),
}
RETURNABLE = ("lamp", "kettle", "bag")
CREDIT_ASKED = "For all the trouble I would also like a credit of 20.00."


def tasks() -> dict[str, list[Task]]:
    """All tasks, by split: each kind of wish that can be met six times, each that cannot be met three times."""
    kinds = [(kind, seed) for kind in MET for seed in range(6)] + [(kind, seed) for kind in UNMET for seed in range(3)]
    Random(20260314).shuffle(kinds)
    made = [task(kind, 100 + number) for number, (kind, _) in enumerate(kinds)]
    splits = {"example": made[:6], "validation": made[6:52], "train": made[52:], "demo": [task(damaged, DEMO_SEED)]}
    return {
        split: [{"task_id": f"shop-{split}-{number:03d}", **each} for number, each in enumerate(chosen)]
        for split, chosen in splits.items()
    }


def task(kind: "Callable[[Case], None]", seed: int) -> Task:
    """One task of a kind; the same for the same seed."""
    case = Case(seed)
    kind(case)
    return case.task(kind.__name__)


class Case:
    """A task that is being made: a shop with a customer and an order, and what each of the two will say and do."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.seed = seed
        self.tables = shop_tables(self.random)
        self.customer, self.order = self.tables["customers"][0], self.tables["orders"][0]
        self.item = next(item for item in self.tables["items"] if item["order"] == self.order["id"])
        self.insists = self.random.randrange(3)
        self.facts = {
            "email": f"My email address is {self.customer['email']}.",
            "postcode": f"The postcode is {self.customer['postcode']}.",
            "order": f"The order number is {self.order['id']}.",
            "name": f"My name is {self.customer['name']}.",
        }
        self.wishes: list[str] = []
        self.changes: dict[str, dict[str, Any]] = {}
        self.told: list[list[str]] = []
        self.oracle: list[Move] = [
            "Hello! Could you please tell me your email address, your postcode and the order number?",
            ["find_customer", {"email": self.customer["email"], "postcode": self.customer["postcode"]}],
            ["show_order", {"order": self.order["id"]}],
        ]

    def dated(self, placed: int, promised: int, shipped: int | None = None, delivered: int | None = None) -> None:
        """Date the order, in days before today."""
        days = {"placed": placed, "promised": promised, "shipped": shipped, "delivered": delivered}
        self.order |= {name: None if ago is None else f"{TODAY - timedelta(ago)}" for name, ago in days.items()}
        self.order["status"] = "delivered" if delivered is not None else "shipped" if shipped is not None else "open"

    def product(self, kind: str) -> dict[str, Any]:
        """Have the order be for a product of a kind."""
        chosen = self.random.choice([each for each in self.tables["products"] if each["kind"] == kind])
        self.item |= {"product": chosen["id"], "cents": chosen["cents"]}
        return chosen

    def does(self, table: str, key: str, row: dict[str, Any], tool: str, arguments: dict[str, Any], says: str) -> None:
        """What the clerk has to do, and says about it."""
        self.changes.setdefault(table, {})[key] = row
        self.oracle += [[tool, arguments], says]

    def refuses(self, request: str, reason: str, says: str) -> None:
        """The clerk has to refuse something, and is asked again."""
        key = f"{self.order['id']} {request}"
        arguments = {"order": self.order["id"], "request": request, "reason": reason}
        self.does("refusals", key, {"id": key, "reason": reason}, "refuse", arguments, says)
        self.oracle += [says] * self.insists
        self.told.append(list(REASONS[reason]))

    def asks_for_credit(self, weeks: int) -> None:
        """The customer asks for a credit, and has one coming for so many weeks that have begun, maybe none."""
        self.wishes.append(CREDIT_ASKED)
        order = self.order["id"]
        if not weeks:
            self.refuses("credit", "not_late", "I am sorry, I cannot give a credit: the order was on time.")
            return
        due = min(500 * weeks, 1500)
        row, arguments = {"order": order, "cents": due}, {"order": order, "amount": due / 100}
        says = f"A credit has been granted: {money(due)}, for the delay. That is what our policy has."
        self.does("credits", order, row, "grant_credit", arguments, says)
        self.told.append([money(due)])

    def task(self, kind: str) -> Task:
        """What `gymkit data` makes a row of."""
        greeting = self.random.choice(("Hello,", "Good morning,", "Hi there,", "Good evening,"))
        opening = f"{greeting} {self.wishes[0]}"
        script = {"opening": opening, "facts": self.facts, "wishes": self.wishes, "insists": self.insists}
        return {
            "prompt": [{"role": "system", "content": POLICY}, {"role": "user", "content": opening}],
            "expected_output": {"changes": self.changes, "told": self.told},
            "kind": kind,
            "shop": self.tables,
            "user": {**script, "seed": self.seed},
            "oracle": self.oracle,
        }


def shop_tables(random: Random) -> dict[str, list[dict[str, Any]]]:
    """The tables of a shop: three customers, each with two orders of one item. The first order is dated by its case."""
    products = [
        {"id": f"P{number:02d}", "name": name, "kind": kind, "cents": cents, "stock": random.randint(2, 20)}
        for number, (kind, (name, cents)) in enumerate(
            ((kind, each) for kind, made in PRODUCTS.items() for each in made), 1
        )
    ]
    tables: dict[str, list[dict[str, Any]]] = {"customers": [], "products": products, "orders": [], "items": []}
    numbers = random.sample(range(1000, 9999), 6)
    for number, (first, last) in enumerate(zip(random.sample(FIRST, 3), random.sample(LAST, 3), strict=True)):
        postcode, town = random.choice(TOWNS)
        customer = f"C{100 + number}"
        email = f"{first}.{last}@example.com".lower()
        address = f"{random.choice(STREETS)} {random.randint(1, 99)}, {postcode} {town}"
        tables["customers"].append({"id": customer, "name": f"{first} {last}", "email": email, "postcode": postcode})
        for order in numbers[2 * number : 2 * number + 2]:
            product = random.choice(products)
            dates = {
                "placed": "2025-11-03",
                "promised": "2025-11-14",
                "shipped": "2025-11-06",
                "delivered": "2025-11-10",
            }
            tables["orders"].append(
                {"id": f"W{order}", "customer": customer, "status": "delivered", **dates}
                | {"delivered": "2025-11-10", "address": address}
            )
            item = {"id": f"I{order}", "order": f"W{order}", "product": product["id"], "cents": product["cents"]}
            tables["items"].append(item)
    return tables


# ------------------------------------------------------------------------------------------- wishes that can be met


def address(case: Case, weeks: int = 0) -> None:
    """Another address for an open order."""
    case.product(case.random.choice(list(PRODUCTS)))
    late = 7 * weeks - case.random.randrange(6) if weeks else -3
    case.dated(placed=late + 9, promised=late)
    new = _new_address(case)
    order = case.order["id"]
    arguments = {"order": order, "address": new}
    case.oracle.append("To which new address should it go?")
    says = f"Your order has been changed: it goes to {new}."
    case.does("orders", order, {"address": new}, "change_address", arguments, says)
    case.asks_for_credit(weeks)


def late_address(case: Case) -> None:
    """Another address for an open order that is late."""
    address(case, weeks=case.random.randint(1, 4))


def cancel(case: Case) -> None:
    """An open order that is not wanted any more."""
    case.product(case.random.choice(list(PRODUCTS)))
    case.dated(placed=case.random.randint(0, 3), promised=-4)
    order = case.order["id"]
    case.wishes.append(f"I do not need the {_thing(case)} any more. Please cancel my order.")
    case.does("orders", order, {"status": "cancelled"}, "cancel_order", {"order": order}, "It has been cancelled.")
    case.asks_for_credit(0)


def exchange(case: Case) -> None:
    """Another product of the same kind, in an open order."""
    had = case.product(case.random.choice(list(PRODUCTS)))
    case.dated(placed=case.random.randint(0, 3), promised=-4)
    wanted = _other_product(case, had["kind"])
    arguments = {"item": case.item["id"], "product": wanted["id"]}
    case.oracle += ["Which product would you like instead?", ["show_products", {"kind": wanted["kind"]}]]
    says = f"Your order has been changed: you get the {wanted['name']}."
    case.does("items", case.item["id"], {"product": wanted["id"]}, "exchange_item", arguments, says)
    case.asks_for_credit(0)


def damaged(case: Case, weeks: int = 0) -> None:
    """Money back for a damaged item, delivered on time or late."""
    case.product(case.random.choice(("lamp", "kettle", "cosmetics", "food")))
    _refund(case, "damaged", days=case.random.randint(3, 80), weeks=weeks)
    case.asks_for_credit(weeks)


def late_damaged(case: Case) -> None:
    """Money back for a damaged item, delivered late."""
    damaged(case, weeks=case.random.randint(1, 4))


def unwanted(case: Case, weeks: int = 0) -> None:
    """Money back for an item that is not wanted any more."""
    case.product(case.random.choice(RETURNABLE))
    _refund(case, "changed_mind", days=case.random.randint(3, 29), weeks=weeks)
    case.asks_for_credit(weeks)


def late_unwanted(case: Case) -> None:
    """The same, delivered late."""
    unwanted(case, weeks=case.random.randint(1, 4))


MET = (address, late_address, cancel, exchange, damaged, late_damaged, unwanted, late_unwanted)

# ---------------------------------------------------------------------------------------- wishes that cannot be met


def cancel_shipped(case: Case) -> None:
    """An order that is under way is to be cancelled."""
    case.product(case.random.choice(list(PRODUCTS)))
    case.dated(placed=8, promised=-2, shipped=case.random.randint(1, 6))
    case.wishes.append(f"I do not need the {_thing(case)} any more. Please cancel my order.")
    case.refuses("cancel", "shipped", "I am sorry, it cannot be cancelled: it has been shipped already.")


def address_shipped(case: Case) -> None:
    """An order that is under way is to go to another address."""
    case.product(case.random.choice(list(PRODUCTS)))
    case.dated(placed=8, promised=-2, shipped=case.random.randint(1, 6))
    _new_address(case)
    case.refuses("address", "shipped", "I am sorry, the address cannot be changed: it has been shipped already.")


def too_late(case: Case) -> None:
    """Money back, too late."""
    case.product(case.random.choice(RETURNABLE))
    is_damaged = case.random.random() < 0.5
    days = case.random.randint(91, 200) if is_damaged else case.random.randint(31, 89)
    _asks_refund(case, "damaged" if is_damaged else "changed_mind", days)
    case.refuses("refund", "too_late", "I am sorry, I cannot refund it: it is too late, the time for that is over.")


def not_returnable(case: Case) -> None:
    """Cosmetics or food that is not wanted any more."""
    case.product(case.random.choice(("cosmetics", "food")))
    _asks_refund(case, "changed_mind", case.random.randint(2, 20))
    case.refuses("refund", "not_returnable", "I am sorry, cosmetics and food cannot be taken back.")


def out_of_stock(case: Case) -> None:
    """Another product, of which none is left."""
    had = case.product(case.random.choice(list(PRODUCTS)))
    case.dated(placed=case.random.randint(0, 3), promised=-4)
    wanted = _other_product(case, had["kind"])
    wanted["stock"] = 0
    case.oracle += ["Which product would you like instead?", ["show_products", {"kind": wanted["kind"]}]]
    case.refuses("exchange", "out_of_stock", "I am sorry, I cannot exchange it: that one is out of stock.")


def other_kind(case: Case) -> None:
    """A product of another kind."""
    had = case.product(case.random.choice(list(PRODUCTS)))
    case.dated(placed=case.random.randint(0, 3), promised=-4)
    _other_product(case, case.random.choice([kind for kind in PRODUCTS if kind != had["kind"]]))
    case.oracle.append("Which product would you like instead?")
    case.refuses("exchange", "other_kind", "I am sorry, I cannot exchange it for a product of another kind.")


def over_limit(case: Case) -> None:
    """Money back, and more than a clerk may decide on."""
    case.product("watch")
    _asks_refund(case, "damaged", case.random.randint(2, 60))
    _hands_over(case, "over_limit", "I may not decide on such an amount: it has been handed over to a colleague.")


def lost_parcel(case: Case) -> None:
    """An order that never came."""
    case.product(case.random.choice(list(PRODUCTS)))
    shipped = case.random.randint(15, 40)
    case.dated(placed=shipped + 2, promised=shipped - 4, shipped=shipped)
    case.wishes.append(f"Where is the {_thing(case)} I ordered? It never came, and I want my money back.")
    _hands_over(case, "lost_parcel", "The parcel seems to be lost. Your case has been handed over to a colleague.")


UNMET = (cancel_shipped, address_shipped, too_late, not_returnable, out_of_stock, other_kind, over_limit, lost_parcel)

# ------------------------------------------------------------------------------------------------- what they share


def _thing(case: Case) -> str:
    return next(each["name"] for each in case.tables["products"] if each["id"] == case.item["product"])


def _new_address(case: Case) -> str:
    """The customer has moved; the new address."""
    postcode, town = case.random.choice(TOWNS)
    new = f"{case.random.choice(STREETS)} {case.random.randint(100, 199)}, {postcode} {town}"
    case.wishes.append("I have moved. Please send my order to my new address.")
    case.facts["new_address"] = f"The new address is {new}."
    return new


def _other_product(case: Case, kind: str) -> dict[str, Any]:
    """The customer would like another product of a kind."""
    had = case.item["product"]
    wanted = case.random.choice(
        [each for each in case.tables["products"] if each["kind"] == kind and each["id"] != had]
    )
    case.wishes.append(f"I chose the wrong product. Please send me another one in place of the {_thing(case)}.")
    case.facts["new_product"] = f"I would like the {wanted['name']} ({wanted['kind']})."
    return wanted


def _asks_refund(case: Case, cause: str, days: int, weeks: int = 0) -> None:
    """The customer wants money back for what was delivered so many days ago, on time or so many weeks late."""
    late = 7 * weeks - case.random.randrange(6) if weeks else -2
    case.dated(placed=days + late + 12, promised=days + late, shipped=days + 3, delivered=days)
    case.wishes.append(f"I would like my money back for the {_thing(case)}.")
    case.facts["cause"] = "It arrived broken." if cause == "damaged" else "I have changed my mind, I do not want it."
    case.oracle.append("Is it damaged, or have you changed your mind?")


def _refund(case: Case, cause: str, days: int, weeks: int) -> None:
    """A refund that is due."""
    _asks_refund(case, cause, days, weeks)
    price = case.item["cents"]
    due = price if cause == "damaged" else round(price * 0.9)
    row = {"item": case.item["id"], "cause": cause, "cents": due}
    arguments = {"item": case.item["id"], "cause": cause, "amount": due / 100}
    says = f"It has been refunded: you get {money(due)} back."
    case.does("refunds", case.item["id"], row, "refund_item", arguments, says)
    case.told.append([money(due)])


def _hands_over(case: Case, reason: str, says: str) -> None:
    order = case.order["id"]
    row, arguments = {"order": order, "reason": reason}, {"order": order, "reason": reason}
    case.does("handovers", order, row, "hand_over", arguments, says)
    case.told.append(list(REASONS[reason]))
