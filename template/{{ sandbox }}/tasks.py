"""The tasks and their answers, by split. The server never imports this file, and it is not part of an image or a Space.

`uv run gymkit data` writes the rows in data/ from it. Each task is made from a seed: small files, a question about them
and the answer, which is computed from the numbers that the files were written from. (policy.py works the other way: it
finds the answer in the files, by tool calls alone.) Tasks of mathematics have no files.
"""

import csv
import io
import json
import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heappop, heappush
from itertools import pairwise
from random import Random
from typing import Any

from analysis import close


@dataclass
class Task:
    """One task: what the agent is told, and what it is not."""

    files: dict[str, str]
    question: str
    answer: float | str
    result_file: str | None = None
    content: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    """What the question asks for, as `steps()` wants it."""
    form: str | None = None
    """Of mathematics: the form of the answer, one of those in gymkit/forms.py."""


PROMPT = """You have a computer of your own: a live Python interpreter (run_python; variables stay from call to call), \
a shell (run_shell), and a working folder with these files: {files}.

{question}

Work it out from the files. Then call submit_answer with the answer alone{rounding}; only the first answer counts."""

MATHEMATICS = """You have a computer of your own: a live Python interpreter (run_python; variables stay from call to \
call), a shell (run_shell), and an empty working folder.

{question}

Compute it exactly. Then call submit_answer with the answer alone, {form}; only the first answer counts."""
FORMS = {
    "fraction": "a fraction in lowest terms as 3/4",
    "integer": "an integer",
    "polynomial": "a polynomial in x as x^3 - 2x + 1",
}

REGIONS = ("north", "east", "south", "west")
PRODUCTS = ("lamp", "chair", "desk", "shelf", "rug", "clock")
WORDS = """amber anchor apple arrow autumn basket beacon birch border branch bridge bronze cabin candle canvas carbon
castle cellar cherry circle cliff clover cobalt copper corner cotton cradle crystal dagger dawn delta desert drift
ember falcon feather fern field flint forest fossil frost galaxy garden garnet glacier granite gravel grove harbor
hazel helmet hollow indigo island ivory jasper jungle kettle lagoon lantern linen lotus maple marble meadow mirror
mountain needle nickel nutmeg oak ocean olive onyx opal orchard pebble pepper pine planet pollen prairie quartz quill
raven reef ribbon ridge river rocket saddle saffron sapling silver sparrow spruce stone summit thicket thistle timber
topaz tulip valley velvet violet walnut willow winter yarrow zephyr""".split()
NAMES = tuple("ada ben cleo dan eva finn gia hal ines jon kim leo mia ned ora pia".split())


def table(header: list[str], rows: list[tuple[Any, ...]]) -> str:
    """A CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def sales(random: Random, count: int) -> list[tuple[str, str, str, int, float]]:
    """Rows of a sales table: date, region, product, units, price."""
    return [
        (
            f"2024-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}",
            random.choice(REGIONS),
            random.choice(PRODUCTS),
            random.randint(1, 40),
            random.randint(500, 20_000) / 100,
        )
        for _ in range(count)
    ]


SALES = ["date", "region", "product", "units", "price"]


def total(random: Random) -> Task:
    rows, region = sales(random, 24), random.choice(REGIONS)
    answer = sum(units * price for _, where, _, units, price in rows if where == region)
    question = f"What is the total revenue (units times price) of the region {region}?"
    return Task({"sales.csv": table(SALES, rows)}, question, round(answer, 2), parameters={"region": region})


def best_product(random: Random) -> Task:
    rows = sales(random, 30)
    units = {product: sum(row[3] for row in rows if row[2] == product) for product in PRODUCTS}
    question = "How many units were sold of the product that sold the most units in all?"
    return Task({"sales.csv": table(SALES, rows)}, question, max(units.values()))


def words(random: Random) -> Task:
    length = random.randint(5, 7)
    chosen = [random.choice(WORDS) for _ in range(120)]
    text = [word.capitalize() if random.random() < 0.2 else word for word in chosen]
    lines = [" ".join(text[start : start + 9]) + random.choice(".,;!") for start in range(0, len(text), 9)]
    answer = len({word for word in chosen if len(word) >= length})
    question = f"How many different words of at least {length} letters are in the text, in upper or lower case?"
    return Task({"text.txt": "\n".join(lines) + "\n"}, question, answer, parameters={"length": length})


def acrostic(random: Random) -> Task:
    step, hidden = random.randint(2, 4), random.choice([word for word in WORDS if 5 <= len(word) <= 7])
    lines: list[str] = []
    for letter in hidden:
        block = [random.choice(WORDS) for _ in range(step - 1)]
        last = random.choice([word for word in WORDS if word[0] == letter] or [letter + "ear"])
        others = [random.choice(WORDS) for _ in range(3)]
        lines += [" ".join([word, *random.sample(WORDS, 3)]) for word in block] + [" ".join([last, *others])]
    text = "\n".join(line for line in lines) + "\n"
    ending = {2: "nd", 3: "rd"}.get(step, "th")
    question = (
        f"Take every {step}{ending} line of the text (the first of them is line {step}). Their first letters, in "
        "order, make a word: which?"
    )
    return Task({"text.txt": text}, question, hidden, parameters={"step": step})


def median(random: Random) -> Task:
    values, rows = [], []
    for number in range(31):
        if random.random() < 0.15:
            rows.append((f"s{number:02d}", random.choice(["", "n/a", "-"]), random.choice("CF")))
            continue
        celsius = random.randint(-100, 350) / 10
        if random.random() < 0.4:
            rows.append((f"s{number:02d}", f"{celsius * 9 / 5 + 32:.2f}", "F"))
        else:
            rows.append((f"s{number:02d}", f"{celsius:.1f}", "C"))
        values.append(celsius)
    question = (
        "What is the median temperature in degrees Celsius? Some readings are missing, and some are in Fahrenheit (F)."
    )
    answer = round(statistics.median(values), 2)
    return Task({"readings.csv": table(["sensor", "value", "unit"], rows)}, question, answer)


def orders(random: Random) -> Task:
    country, found, answer = random.choice(["NO", "PT", "JP"]), [], 0.0
    for number in range(14):
        items = [
            {"sku": random.choice(PRODUCTS), "quantity": random.randint(1, 6), "price": random.randint(300, 9000) / 100}
            for _ in range(random.randint(1, 3))
        ]
        order = {
            "id": number,
            "status": random.choice(["paid", "paid", "open", "cancelled"]),
            "customer": {"name": random.choice(NAMES), "country": random.choice(["NO", "PT", "JP"])},
            "discount_percent": random.choice([0, 0, 5, 10, 20]),
            "items": items,
        }
        found.append(order)
        if order["status"] == "paid" and order["customer"]["country"] == country:
            full = sum(item["quantity"] * item["price"] for item in items)
            answer += full * (100 - order["discount_percent"]) / 100
    question = (
        f"What do the paid orders of customers in {country} come to, after each order's discount? It is given in "
        "percent of the order's sum."
    )
    text = json.dumps(found, indent=1)
    return Task({"orders.json": text}, question, round(answer, 2), parameters={"country": country})


def best_city(random: Random) -> Task:
    cities = random.sample(["Arden", "Brook", "Colby", "Delft", "Elmo"], 4)
    customers = [(number, random.choice(NAMES), random.choice(cities)) for number in range(100, 112)]
    bought = [(random.randint(98, 113), random.randint(1000, 30_000) / 100) for _ in range(36)]
    city_of = {number: city for number, _, city in customers}
    sums = dict.fromkeys(cities, 0.0)
    for customer, amount in bought:
        if customer in city_of:
            sums[city_of[customer]] += amount
    question = (
        "For how much did the customers of the city that bought the most buy in all? Purchases of customers who are "
        "not listed count for no city."
    )
    files = {
        "customers.csv": table(["id", "name", "city"], customers),
        "purchases.csv": table(["customer_id", "amount"], bought),
    }
    return Task(files, question, round(max(sums.values()), 2))


def failures(random: Random) -> Task:
    addresses = [f"10.0.{random.randint(0, 9)}.{random.randint(1, 250)}" for _ in range(12)]
    least, counts, lines = 3, dict.fromkeys(addresses, 0), []
    for number in range(70):
        address, status = random.choice(addresses), random.choice([200, 200, 200, 301, 404, 500, 502, 503])
        counts[address] += status >= 500
        path = random.choice(["/", "/login", "/items/500", "/search?q=502"])
        time, size = f"12:{number // 60:02d}:{number % 60:02d}", random.randint(90, 9000)
        lines.append(f"{address} {time} GET {path} {status} {size}")
    answer = sum(count >= least for count in counts.values())
    question = (
        "Each line of the log has address, time, method, path, status and bytes. How many addresses had at least "
        f"{least} requests that failed with a status of 500 or above?"
    )
    return Task({"server.log": "\n".join(lines) + "\n"}, question, answer, parameters={"least": least})


def longest_gap(random: Random) -> Task:
    minutes = sorted(random.sample(range(60 * 24 * 3), 40))
    answer = max(later - earlier for earlier, later in pairwise(minutes))
    lines = [f"2024-02-{28 + m // 1440:02d}" if m < 2880 else "2024-03-01" for m in minutes]
    lines = [f"{day}T{m // 60 % 24:02d}:{m % 60:02d}" for day, m in zip(lines, minutes, strict=True)]
    random.shuffle(lines)
    question = "The file holds time stamps, in no order. What is the longest time without one between two, in minutes?"
    return Task({"stamps.txt": "\n".join(lines) + "\n"}, question, answer)


def shortest_path(random: Random) -> Task:
    nodes = random.sample(WORDS, 14)
    edges: dict[tuple[str, str], int] = {}
    for place, node in enumerate(nodes[1:], 1):  # a tree, so that every node can be reached
        edges[nodes[random.randrange(place)], node] = random.randint(5, 60)
    for _ in range(12):
        one, other = random.sample(nodes, 2)
        if (other, one) not in edges:
            edges.setdefault((one, other), random.randint(5, 60))
    start, goal = nodes[0], nodes[-1]
    roads = [{"between": list(pair), "km": km} for pair, km in edges.items()]
    random.shuffle(roads)
    question = f"The file lists roads, each passable both ways. How many km is the shortest way from {start} to {goal}?"
    parameters = {"start": start, "goal": goal}
    answer = distance(edges, start, goal)
    return Task({"roads.json": json.dumps(roads, indent=1)}, question, answer, parameters=parameters)


def distance(edges: Mapping[tuple[str, str], int], start: str, goal: str) -> int:
    """Length of the shortest way, edges being passable both ways."""
    queue, done = [(0, start)], set()
    while queue:
        length, node = heappop(queue)
        if node == goal:
            return length
        if node in done:
            continue
        done.add(node)
        for (one, other), km in edges.items():
            if node in (one, other):
                heappush(queue, (length + km, other if node == one else one))
    raise ValueError(f"no way leads from {start} to {goal}")


def summary(random: Random) -> Task:
    rows = sales(random, 32)
    lines: list[tuple[Any, ...]] = []
    for region in sorted({row[1] for row in rows}):
        mine = [row for row in rows if row[1] == region]
        lines.append((region, sum(row[3] for row in mine), f"{sum(row[3] * row[4] for row in mine):.2f}"))
    revenue = round(sum(row[3] * row[4] for row in rows), 2)
    question = (
        "Write summary.csv with the header region,units,revenue: one line a region, in alphabetical order, with the "
        "sum of its units, and its revenue (units times price) with two decimals. The answer to submit is the revenue "
        "of all."
    )
    content = table(["region", "units", "revenue"], lines)
    return Task({"sales.csv": table(SALES, rows)}, question, revenue, "summary.csv", content)


def contacts(random: Random) -> Task:
    people = random.sample(NAMES, 9)
    kept = {f"{name}@example.com": random.randint(18, 80) for name in people}
    entries = []
    for email in kept:
        for copy in range(random.randint(1, 3)):
            kept[email] += copy > 0  # a year older, and of several entries the latest counts
            shown = random.choice([email, email.upper(), f"  {email}", email.capitalize()])
            entries.append({"email": shown, "age": random.choice([kept[email], str(kept[email])]), "year": 2015 + copy})
    random.shuffle(entries)
    content = json.dumps([{"email": email, "age": kept[email]} for email in sorted(kept)])
    question = (
        "The contacts hold people more than once: an e-mail address is the same in upper and lower case, and with "
        "spaces around it. Write clean.json, a list of objects with email (lower case, no spaces) and age (a number), "
        "sorted by email: one for each person, with the age of the entry of the latest year. The answer to submit is "
        "the sum of the ages in it."
    )
    answer = sum(kept.values())
    return Task({"contacts.json": json.dumps(entries, indent=1)}, question, answer, "clean.json", content)


def ledger(random: Random) -> Task:
    accounts = random.sample(NAMES, 4)
    balance = dict.fromkeys(accounts, 0)
    files: dict[str, str] = {}
    for month in range(1, 4):
        rows: list[tuple[Any, ...]] = []
        for _ in range(14):
            kind, amount = random.choice(["deposit", "withdraw", "transfer"]), random.randint(500, 40_000)
            source, target = random.sample(accounts, 2)
            rows.append((kind, source, target if kind == "transfer" else "", f"{amount / 100:.2f}"))
            if kind == "deposit":
                balance[source] += amount
            elif balance[source] >= amount:
                balance[source] -= amount
                if kind == "transfer":
                    balance[target] += amount
        files[f"2024-{month:02d}.csv"] = table(["kind", "account", "to", "amount"], rows)
        for account in accounts:  # interest at the month's end, in whole cents
            balance[account] += balance[account] // 100
    account = random.choice(accounts)
    question = (
        "The files hold the transactions of three months, in order; all accounts begin at 0. A withdrawal or transfer "
        "of more than the account holds is refused and changes nothing. At the end of each month, every account gets "
        "one percent of its balance as interest, rounded down to whole cents. What is the balance of "
        f"{account} at the end of the third month?"
    )
    return Task(files, question, balance[account] / 100, parameters={"account": account})


# ------------------------------------------------------------------------------------- mathematics that wants computing


def mathematics(question: str, answer: Fraction | str, **parameters: Any) -> Task:
    """A task without files, whose answer is compared by value and form."""
    form = "integer" if isinstance(answer, Fraction) and answer.denominator == 1 else "fraction"
    form = form if isinstance(answer, Fraction) else "polynomial"
    return Task({}, question, str(answer), parameters=parameters, form=form)


def dice(random: Random) -> Task:
    count, sides, divisor = random.randint(4, 12), random.randint(5, 20), random.choice([7, 11, 13, 17])
    ways = [1] + [0] * (divisor - 1)  # by the remainder of the sum
    for _ in range(count):
        ways = [sum(ways[(rest - face) % divisor] for face in range(1, sides + 1)) for rest in range(divisor)]
    question = (
        f"{count} fair dice with {sides} sides each, numbered from 1, are thrown. What is the probability that their "
        f"sum is divisible by {divisor}?"
    )
    return mathematics(question, Fraction(ways[0], sides**count), count=count, sides=sides, divisor=divisor)


def series(random: Random) -> Task:
    terms, step = random.randint(30, 60), random.randint(2, 5)
    answer = sum((Fraction(1, k * (k + step)) for k in range(1, terms + 1)), Fraction(0))
    question = f"What is the sum of 1/(k*(k+{step})) for k from 1 to {terms}?"
    return mathematics(question, answer, terms=terms, step=step)


def determinant(random: Random) -> Task:
    matrix = [[random.randint(-9, 9) for _ in range(5)] for _ in range(5)]
    answer = Fraction(1)
    rows = [[Fraction(value) for value in row] for row in matrix]
    for place in range(5):
        pivot = next((row for row in range(place, 5) if rows[row][place]), None)
        if pivot is None:
            return determinant(random)
        if pivot != place:
            rows[place], rows[pivot], answer = rows[pivot], rows[place], -answer
        answer *= rows[place][place]
        for row in rows[place + 1 :]:
            factor = row[place] / rows[place][place]
            row[place:] = [one - factor * other for one, other in zip(row[place:], rows[place][place:], strict=True)]
    return mathematics(f"What is the determinant of the matrix {matrix}?", answer, matrix=matrix)


def lattice_paths(random: Random) -> Task:
    size = random.randint(12, 16)
    holes = sorted({(random.randint(1, size - 1), random.randint(1, size - 1)) for _ in range(6)})
    ways: dict[tuple[int, int], int] = {(0, 0): 1}
    for x in range(size + 1):
        for y in range(size + 1):
            if (x, y) != (0, 0):
                ways[x, y] = 0 if (x, y) in holes else ways.get((x - 1, y), 0) + ways.get((x, y - 1), 0)
    question = (
        f"How many paths lead from (0, 0) to ({size}, {size}) in steps of one to the right or one up, without the "
        f"points {', '.join(map(str, holes))}?"
    )
    return mathematics(question, Fraction(ways[size, size]), size=size, holes=[list(hole) for hole in holes])


def interpolation(random: Random) -> Task:
    factors = [random.choice([-7, -6, -5, -4, -3, 3, 4, 5, 6, 7]) for _ in range(5)]
    points = [[x, sum(factor * x ** (4 - place) for place, factor in enumerate(factors))] for x in (-3, -1, 2, 4, 5)]
    terms = [
        f"{factor:+d}{'x' if place < 4 else ''}{f'^{4 - place}' if place < 3 else ''}"
        for place, factor in enumerate(factors)
    ]
    question = (
        f"Which polynomial of degree 4 or less goes through the points {', '.join(str(tuple(p)) for p in points)}?"
    )
    return mathematics(question, "".join(terms).removeprefix("+"), points=points)


def collector(random: Random) -> Task:
    kinds, wanted = random.randint(15, 25), random.randint(10, 14)
    answer = sum((Fraction(kinds, kinds - have) for have in range(wanted)), Fraction(0))
    question = (
        f"Each box holds one of {kinds} pictures, all equally likely. How many boxes does one open on average until "
        f"one has {wanted} different pictures?"
    )
    return mathematics(question, answer, kinds=kinds, wanted=wanted)


KINDS: dict[str, Callable[[Random], Task]] = {
    # From one line of code to a program.
    "total": total,
    "best_product": best_product,
    "words": words,
    "acrostic": acrostic,
    "median": median,
    "orders": orders,
    "best_city": best_city,
    "failures": failures,
    "longest_gap": longest_gap,
    "summary": summary,
    "shortest_path": shortest_path,
    "contacts": contacts,
    "ledger": ledger,
    # Mathematics.
    "dice": dice,
    "series": series,
    "determinant": determinant,
    "lattice_paths": lattice_paths,
    "interpolation": interpolation,
    "collector": collector,
}

SPLITS = {"demo": (0, 1), "example": (1, 1), "validation": (2, 4), "train": (6, 5)}
"""Each split's first number and how many tasks of each kind it has (the demo row is one of the first kind)."""


def make_task(kind: str, number: int) -> Task:
    """The task of a kind and a number: always the same. Its answer stands neither in its question nor in its files.

    (A small count does stand in files: no file is without small numbers.)
    """
    for attempt in range(100):
        task = KINDS[kind](Random(f"{kind} {number} {attempt}"))
        is_small_count = isinstance(task.answer, int) and task.answer < 100
        hidden_from = [task.question] if is_small_count else [task.question, *task.files.values()]
        if task.answer and not stands_in(task.answer, "\n".join(hidden_from)):
            return task
    raise AssertionError(f"no task {number} of the kind {kind}")


def stands_in(answer: float | str, text: str) -> bool:
    """Whether an answer can be read off a text."""
    if isinstance(answer, str):
        return answer.casefold() in text.casefold()
    return any(close(float(number), answer) for number in re.findall(r"\d+(?:\.\d+)?", text))


def tasks() -> dict[str, list[dict[str, Any]]]:
    """All tasks, by split: some of every kind, the easy kinds first."""
    found = {}
    for split, (first, count) in SPLITS.items():
        kinds = list(KINDS)[:1] if split == "demo" else KINDS
        found[split] = [_row(split, kind, number) for kind in kinds for number in range(first, first + count)]
    return found


def _row(split: str, kind: str, number: int) -> dict[str, Any]:
    task = make_task(kind, number)
    decimals = isinstance(task.answer, float)
    rounding = ", a number with two decimals" if decimals else " (a number)" if isinstance(task.answer, int) else ""
    prompt = PROMPT.format(files=", ".join(task.files), question=task.question, rounding=rounding)
    if task.form:
        prompt = MATHEMATICS.format(question=task.question, form=FORMS[task.form])
    row = {
        "task_id": f"analysis-{split}-{kind}-{number}",
        "prompt": prompt,
        "expected_output": task.answer if task.result_file is None else [task.answer, task.content],
        "kind": kind,
        "parameters": task.parameters,
        "files": task.files,
    }
    more = {"result_file": task.result_file, "form": task.form}
    return row | {name: value for name, value in more.items() if value is not None}
