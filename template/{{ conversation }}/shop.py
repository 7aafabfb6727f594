"""A small shop: its database, and what a clerk can do with it. Plain Python: it knows nothing of HTTP or NeMo Gym.

A clerk can do more than the policy (shop_policy.md) allows. What is right, the tasks say: `changes()` is compared.
"""

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA = """
CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, postcode TEXT NOT NULL) STRICT;
CREATE TABLE products (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, cents INTEGER NOT NULL, stock INTEGER NOT NULL
) STRICT;
CREATE TABLE orders (
    id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers(id), status TEXT NOT NULL,
    placed TEXT NOT NULL, promised TEXT NOT NULL, shipped TEXT, delivered TEXT, address TEXT NOT NULL
) STRICT;
CREATE TABLE items (
    id TEXT PRIMARY KEY, "order" TEXT NOT NULL REFERENCES orders(id), product TEXT NOT NULL REFERENCES products(id),
    cents INTEGER NOT NULL
) STRICT;
CREATE TABLE refunds (item TEXT PRIMARY KEY REFERENCES items(id), cause TEXT NOT NULL, cents INTEGER NOT NULL) STRICT;
CREATE TABLE credits ("order" TEXT PRIMARY KEY REFERENCES orders(id), cents INTEGER NOT NULL) STRICT;
CREATE TABLE refusals (id TEXT PRIMARY KEY, reason TEXT NOT NULL) STRICT;
CREATE TABLE handovers ("order" TEXT PRIMARY KEY REFERENCES orders(id), reason TEXT NOT NULL) STRICT;
"""
TABLES = ("customers", "products", "orders", "items", "refunds", "credits", "refusals", "handovers")

REASONS = {
    "shipped": ("shipped", "under way", "on its way", "dispatched", "sent out", "delivered"),
    "out_of_stock": ("stock", "sold out", "none left", "not available", "unavailable"),
    "other_kind": (
        "another kind",
        "other kind",
        "different kind",
        "same kind",
        "category",
        "same type",
        "different type",
    ),
    "too_late": ("too late", "days", "deadline", "period", "window", "in time"),
    "not_returnable": ("cosmetic", "food", "hygien", "not returnable", "non-returnable"),
    "not_late": ("on time", "in time", "not late", "no delay", "not delayed", "as promised", "promised"),
    "over_limit": ("200", "amount", "limit", "supervisor", "colleague", "handed over", "hand over", "pass"),
    "lost_parcel": ("lost", "missing", "colleague", "handed over", "hand over", "pass"),
}
"""Why something is refused or handed over, and words by which a customer is told so: one of them is enough."""
REFUSALS = tuple(reason for reason in REASONS if reason not in ("over_limit", "lost_parcel"))
HANDOVERS = ("over_limit", "lost_parcel")

Changes = dict[str, dict[str, dict[str, Any]]]
"""What has changed, by table and key: the columns that have other values than before, of a new row all of them."""

MOST_CENTS = 1_000_000


class Shop:
    """The shop of one episode.

    Args:
        tables: The rows of each table in `TABLES`, as objects; a table that is not named is empty.

    Raises:
        ValueError: they are not rows of these tables; the message says which.
    """

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(SCHEMA)
        for table in TABLES:
            for number, row in enumerate(_list(tables.get(table, []), table)):
                self._add(table, row, number)
        unknown = sorted(set(tables) - set(TABLES))
        if unknown:
            raise ValueError(f"there is no table {unknown[0]!r}"[:200])
        self._before = self._rows()
        self.customer: str | None = None
        """The customer who has been found."""
        self.seen: set[str] = set()
        """The orders that have been looked up."""

    def close(self) -> None:
        """Give the memory back."""
        self._db.close()

    def changes(self) -> Changes:
        """How the database differs from what it was at the beginning. Nothing is ever deleted."""
        made: Changes = {}
        for table, rows in self._rows().items():
            for key, row in rows.items():
                before = self._before[table].get(key, {})
                columns = {name: value for name, value in row.items() if before.get(name) != value}
                if columns:
                    made.setdefault(table, {})[key] = columns
        return made

    # ------------------------------------------------------------------------------------------------- looking up

    def find_customer(self, email: str, postcode: str) -> str:
        """Who has this email address and this postcode, and their orders."""
        found = self._one(
            "SELECT * FROM customers WHERE lower(email) = ? AND replace(postcode, ' ', '') = ?",
            email.strip().lower(),
            "".join(postcode.split()),
        )
        if found is None:
            raise ValueError("No customer has this email address and this postcode.")
        self.customer = found["id"]
        orders = [row["id"] for row in self._db.execute("SELECT id FROM orders WHERE customer = ?", (found["id"],))]
        return f"{found['name']}, customer {found['id']}. Orders: {', '.join(orders) or 'none'}."

    def show_order(self, order: str) -> str:
        """All about an order of the customer's."""
        row = self._order(order)
        self.seen.add(row["id"])
        lines = [
            f"Order {row['id']}: {row['status']}.",
            f"Placed {row['placed']}, promised for {row['promised']}, shipped {row['shipped'] or 'not yet'}, "
            f"delivered {row['delivered'] or 'not yet'}.",
            f"Address: {row['address']}.",
        ]
        items = "SELECT items.*, name, kind FROM items JOIN products ON product = products.id"
        for item in self._db.execute(f'{items} WHERE "order" = ? ORDER BY items.id', (row["id"],)):
            lines.append(f"Item {item['id']}: {item['name']} ({item['kind']}), {money(item['cents'])}.")
        return "\n".join(lines)

    def show_products(self, kind: str) -> str:
        """The products of a kind, with price and stock."""
        found = self._db.execute(
            "SELECT * FROM products WHERE kind = ? ORDER BY id", (kind.strip().lower(),)
        ).fetchall()
        if not found:
            kinds = [row["kind"] for row in self._db.execute("SELECT DISTINCT kind FROM products ORDER BY kind")]
            raise ValueError(f"There are no products of this kind. The kinds are: {', '.join(kinds)}.")
        return "\n".join(
            f"{row['id']}: {row['name']}, {money(row['cents'])}, {row['stock']} in stock." for row in found
        )

    # ----------------------------------------------------------------------------------------------------- acting

    def cancel_order(self, order: str) -> str:
        """Cancel an order. What was paid goes back by itself."""
        row = self._seen(order)
        self._db.execute("UPDATE orders SET status = 'cancelled' WHERE id = ?", (row["id"],))
        return f"Order {row['id']} is cancelled."

    def change_address(self, order: str, address: str) -> str:
        """Send an order to another address."""
        row = self._seen(order)
        written = " ".join(address.split())
        if not written:
            raise ValueError("An address is wanted.")
        self._db.execute("UPDATE orders SET address = ? WHERE id = ?", (written, row["id"]))
        return f"Order {row['id']} goes to: {written}."

    def exchange_item(self, item: str, product: str) -> str:
        """Put another product in an item's place."""
        row = self._item(item)
        wanted = self._one("SELECT * FROM products WHERE id = ?", product.strip().upper())
        if wanted is None:
            raise ValueError("There is no such product.")
        self._db.execute("UPDATE items SET product = ? WHERE id = ?", (wanted["id"], row["id"]))
        return f"Item {row['id']} is now: {wanted['name']}."

    def refund_item(self, item: str, cause: str, amount: float) -> str:
        """Pay for an item, or a part of its price, back. Once an item."""
        row = self._item(item)
        self._insert("INSERT INTO refunds VALUES (?, ?, ?)", row["id"], cause, cents(amount))
        return f"{money(cents(amount))} are paid back for item {row['id']}."

    def grant_credit(self, order: str, amount: float) -> str:
        """Grant a credit for an order. Once an order."""
        row = self._seen(order)
        self._insert("INSERT INTO credits VALUES (?, ?)", row["id"], cents(amount))
        return f"A credit of {money(cents(amount))} is granted for order {row['id']}."

    def refuse(self, order: str, request: str, reason: str) -> str:
        """Record that a request is refused, and why. Once a request."""
        row = self._seen(order)
        self._insert("INSERT INTO refusals VALUES (?, ?)", f"{row['id']} {request}", reason)
        return f"Recorded for order {row['id']}: {request} refused, {reason}."

    def hand_over(self, order: str, reason: str) -> str:
        """Hand a case over to somebody who may decide it."""
        row = self._seen(order)
        self._insert("INSERT INTO handovers VALUES (?, ?)", row["id"], reason)
        return f"The case of order {row['id']} is handed over, {reason}. A colleague writes to the customer tomorrow."

    # ----------------------------------------------------------------------------------------------------- inside

    def _order(self, order: str) -> sqlite3.Row:
        if self.customer is None:
            raise ValueError("Find the customer first.")
        row = self._one("SELECT * FROM orders WHERE id = ? AND customer = ?", order.strip().upper(), self.customer)
        if row is None:
            raise ValueError("This customer has no such order.")
        return row

    def _seen(self, order: str) -> sqlite3.Row:
        row = self._order(order)
        if row["id"] not in self.seen:
            raise ValueError("Look the order up first.")
        return row

    def _item(self, item: str) -> sqlite3.Row:
        row = self._one("SELECT * FROM items WHERE id = ?", item.strip().upper())
        if row is None:
            raise ValueError("There is no such item.")
        self._seen(row["order"])
        return row

    def _one(self, query: str, *values: Any) -> Any:
        return self._db.execute(query, values).fetchone()

    def _insert(self, statement: str, *values: Any) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.IntegrityError:
            raise ValueError("That has been recorded before, and stays as it is.") from None

    def _add(self, table: str, row: Any, number: int) -> None:
        if not isinstance(row, Mapping) or not all(isinstance(name, str) and name.isidentifier() for name in row):
            raise ValueError(f"{table}[{number}]: an object is wanted"[:200])
        names = ", ".join(f'"{name}"' for name in row)
        try:
            self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise ValueError(f"{table}[{number}]: {error}"[:200]) from None

    def _rows(self) -> dict[str, dict[str, dict[str, Any]]]:
        return {
            table: {row[0]: dict(row) for row in self._db.execute(f"SELECT * FROM {table}")}  # the key stands first
            for table in TABLES
        }


def _list(rows: Any, table: str) -> list[Any]:
    if not isinstance(rows, list):
        raise ValueError(f"{table}: a list is wanted")
    return rows


def money(amount: int) -> str:
    """Cents as they are written: `1234` as `12.34`."""
    return f"{amount // 100}.{amount % 100:02d}"


def cents(amount: float) -> int:
    """An amount of money in cents.

    Raises:
        ValueError: it is none, or too large.
    """
    made = round(amount * 100)
    if not 0 < made <= MOST_CENTS:
        raise ValueError(f"An amount is more than 0 and at most {money(MOST_CENTS)}.")
    return made


def same(one: Any, other: Any) -> bool:
    """Whether two `Changes` are the same, but for case and punctuation in texts."""
    return _plain(one) == _plain(other)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return " ".join(re.findall(r"\w+", value.casefold())) if isinstance(value, str) else value


def tells(said: str, ways: Iterable[str]) -> bool:
    """Whether a text tells something: it has one of some words, or the amount, where that is one (`12.50`)."""
    text = said.casefold()
    amounts = {int(whole) * 100 + int((part or "0").ljust(2, "0")) for whole, part in AMOUNT.findall(text)}
    return any(_cents_of(way) in amounts if AMOUNT.fullmatch(way) else way in text for way in ways)


AMOUNT = re.compile(r"(?<![\d.,])(\d{1,7})(?:[.,](\d{1,2}))?(?!\d|[.,]\d)", re.ASCII)


def _cents_of(amount: str) -> int:
    whole, part = AMOUNT.findall(amount)[0]
    return int(whole) * 100 + int((part or "0").ljust(2, "0"))


@dataclass(frozen=True)
class Wanted:
    """What a task wants: a database that has changed so, and a customer who has been told so."""

    changes: Changes
    told: Sequence[Sequence[str]]
    """Things that the customer has to be told, each with several words for it (`tells`)."""

    @classmethod
    def of(cls, value: Any) -> "Wanted":
        """What a row's expected output wants.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(value, Mapping) or set(value) != {"changes", "told"}:
            raise ValueError("expected_output: an object with `changes` and `told` is wanted")
        changes, told = value["changes"], value["told"]
        if not isinstance(changes, Mapping) or not changes or set(changes) - set(TABLES):
            raise ValueError("expected_output.changes: what changes in the shop's tables is wanted")
        if not isinstance(told, list) or not all(
            isinstance(ways, list) and ways and all(isinstance(way, str) for way in ways) for ways in told
        ):
            raise ValueError("expected_output.told: a list of lists of texts is wanted")
        return cls(dict(changes), told)

    def is_done(self, changes: Changes) -> bool:
        """Whether the database has changed in just this way: nothing more, and nothing less."""
        return same(changes, self.changes)

    def untold(self, said: str) -> list[Sequence[str]]:
        """What a clerk who has said this has not told."""
        return [ways for ways in self.told if not tells(said, ways)]
