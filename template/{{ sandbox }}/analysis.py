"""Data analysis: the tasks, their rules, and the notebook of an episode. Plain Python: nothing of HTTP or NeMo Gym.

Each task is made from a seed: small files, a question about them, and the answer, which is computed here from the
numbers that the files were written from. `steps()` solves a task the other way, from the files, by tool calls alone.
"""

import csv
import io
import json
import math
import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from random import Random
from typing import Any

MAX_ANSWER = 200
"""Characters of an answer. A longer one is none."""

NUMBER = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
TOLERANCE = 0.005 + 1e-9
"""Answers are asked for with two decimals."""


class Notebook:
    """One episode: the files it began with, what was run, what was submitted, and what that is worth.

    Args:
        files: Text files by name, which the working folder begins with.
        expected: The answer, a number or a word. With a `result_file`, a list of the answer and the file's content.
        result_file: Name of a CSV or JSON file that has to be in the working folder at the end.

    Raises:
        ValueError: no episode can be made from them.
    """

    def __init__(self, files: Any, expected: Any, result_file: Any = None) -> None:
        if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
            raise ValueError("`files` must hold texts by file name")
        if not all(re.fullmatch(r"\w[\w.-]*", name) for name in files):
            raise ValueError("a file's name in `files` has letters, digits, '.', '-' and '_', and no folder")
        answer, content = (expected, None) if result_file is None else _pair(expected)
        if isinstance(answer, bool) or not isinstance(answer, int | float | str) or answer == "":
            raise ValueError("ground_truth[0].expected_output: a number or a word is wanted")
        if result_file is not None and not (isinstance(result_file, str) and isinstance(content, str)):
            raise ValueError("`result_file` must be a file's name, and its expected content a text")
        self.files: dict[str, str] = files
        self.result_file: str | None = result_file
        self._answer: float | str = answer
        self._content: str | None = content
        self.cells: list[tuple[str, str]] = []
        self.submitted: str | None = None

    def note(self, code: str, output: str) -> None:
        """Keep what was run, and what came of it."""
        self.cells.append((code, output))

    def submit(self, answer: str) -> str:
        """Take the answer. It can be given once, and what it is worth is not said."""
        if self.submitted is not None:
            return "An answer has been submitted before; only the first one counts."
        self.submitted = answer
        return "The answer has been submitted. The episode is over."

    def score(self, result: bytes | None) -> float:
        """1.0 for the right answer, together with the right result file where one is wanted; else 0.0.

        Args:
            result: Content of the result file at the end, None where there is none.
        """
        if self.submitted is None or not same_answer(self.submitted, self._answer):
            return 0.0
        if self.result_file is None or self._content is None:
            return 1.0
        return float(result is not None and same_content(self.result_file, result, self._content))


def _pair(expected: Any) -> tuple[Any, Any]:
    if not isinstance(expected, list) or len(expected) != 2:
        raise ValueError("ground_truth[0].expected_output: a list of answer and content is wanted")
    return expected[0], expected[1]


# ------------------------------------------------------------------------------------------------------- comparing


def same_answer(given: str, expected: float | str) -> bool:
    """Whether a submitted text is the answer: the whole of it, not a part. Numbers may differ by half a hundredth."""
    given = given.strip()
    if len(given) > MAX_ANSWER:
        return False
    if isinstance(expected, str):
        return given.casefold() == expected.casefold()
    if NUMBER.fullmatch(given) is None:
        return False
    return close(float(given.replace(",", "")), expected)


def close(given: float, expected: float) -> bool:
    """Whether two numbers are the same but for rounding. NaN and infinity are the same as nothing."""
    return math.isfinite(given) and abs(given - expected) <= max(TOLERANCE, 1e-9 * abs(expected))


def same_content(name: str, given: bytes, expected: str) -> bool:
    """Whether a CSV or JSON file says the same as another, its numbers but for rounding."""
    try:
        text = given.decode("utf-8-sig")
        if name.endswith(".json"):
            return same_json(json.loads(text), json.loads(expected))
        rows, wanted = list(csv.reader(io.StringIO(text))), list(csv.reader(io.StringIO(expected)))
    except (ValueError, RecursionError, csv.Error):
        return False
    rows = [row for row in rows if row]
    return len(rows) == len(wanted) and all(map(same_row, rows, wanted))


def same_row(row: list[str], wanted: list[str]) -> bool:
    """Whether two rows of a CSV file are the same."""
    if len(row) != len(wanted):
        return False
    return all(
        same_answer(cell, float(value)) if NUMBER.fullmatch(value) else cell.strip() == value
        for cell, value in zip(row, wanted, strict=True)
    )


def same_json(given: Any, expected: Any) -> bool:
    """Whether two JSON values are the same."""
    if isinstance(expected, dict):
        return (
            isinstance(given, dict)
            and given.keys() == expected.keys()
            and all(same_json(given[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return isinstance(given, list) and len(given) == len(expected) and all(map(same_json, given, expected))
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        return isinstance(given, int | float) and not isinstance(given, bool) and close(given, expected)
    return type(given) is type(expected) and given == expected


# ----------------------------------------------------------------------------------------------------------- tasks


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


PROMPT = """You have a computer of your own: a live Python interpreter (run_python; variables stay from call to call), \
a shell (run_shell), and a working folder with these files: {files}.

{question}

Work it out from the files. Then call submit_answer with the answer alone{rounding}; only the first answer counts."""

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
    row = {
        "task_id": f"analysis-{split}-{kind}-{number}",
        "prompt": prompt,
        "expected_output": task.answer if task.result_file is None else [task.answer, task.content],
        "kind": kind,
        "parameters": task.parameters,
        "files": task.files,
    }
    return row if task.result_file is None else row | {"result_file": task.result_file}


# --------------------------------------------------------------------------------------------------------- solving


def steps(kind: str, parameters: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tool calls that solve a task from its files. The last line of the last one's output is the answer."""
    if kind in SHELL:
        command = SHELL[kind]
        for name, value in parameters.items():
            command = command.replace(f"${name}", str(value))
        yield "run_shell", {"command": command}
        return
    yield "run_python", {"code": f"{IMPORTS}\np = {parameters!r}"}
    yield "run_python", {"code": READING[kind]}
    yield "run_python", {"code": SOLVING[kind]}


IMPORTS = "import collections, csv, datetime, glob, heapq, json, statistics"
SHELL = {
    "words": "grep -oE '[A-Za-z]+' text.txt | tr A-Z a-z | awk 'length >= $length' | sort -u | wc -l",
    "acrostic": "awk 'NR % $step == 0 {print substr($0, 1, 1)}' text.txt | tr -d '\\n'",
    "failures": "awk '$5 >= 500 {n[$1]++} END {for (a in n) if (n[a] >= $least) m++; print m + 0}' server.log",
}

READ_SALES = "rows = list(csv.DictReader(open('sales.csv')))"
READING = {
    "total": READ_SALES,
    "best_product": READ_SALES,
    "summary": READ_SALES,
    "median": "rows = list(csv.DictReader(open('readings.csv')))",
    "orders": "orders = json.load(open('orders.json'))",
    "best_city": (
        "city = {c['id']: c['city'] for c in csv.DictReader(open('customers.csv'))}\n"
        "purchases = list(csv.DictReader(open('purchases.csv')))"
    ),
    "longest_gap": "times = sorted(datetime.datetime.fromisoformat(line.strip()) for line in open('stamps.txt'))",
    "shortest_path": "roads = json.load(open('roads.json'))",
    "contacts": "entries = json.load(open('contacts.json'))",
    "ledger": "months = [list(csv.DictReader(open(name))) for name in sorted(glob.glob('2024-*.csv'))]",
}
SOLVING = {
    "total": "print(round(sum(int(r['units']) * float(r['price']) for r in rows if r['region'] == p['region']), 2))",
    "best_product": """
units = collections.Counter()
for r in rows:
    units[r['product']] += int(r['units'])
print(units.most_common(1)[0][1])
""",
    "median": """
values = []
for r in rows:
    try:
        value = float(r['value'])
    except ValueError:
        continue
    values.append((value - 32) * 5 / 9 if r['unit'] == 'F' else value)
print(round(statistics.median(values), 2))
""",
    "orders": """
total = 0
for order in orders:
    if order['status'] == 'paid' and order['customer']['country'] == p['country']:
        total += sum(i['quantity'] * i['price'] for i in order['items']) * (1 - order['discount_percent'] / 100)
print(round(total, 2))
""",
    "best_city": """
bought = collections.Counter()
for purchase in purchases:
    if purchase['customer_id'] in city:
        bought[city[purchase['customer_id']]] += float(purchase['amount'])
print(round(max(bought.values()), 2))
""",
    "longest_gap": "print(int(max(b - a for a, b in zip(times, times[1:])).total_seconds() // 60))",
    "summary": """
found = collections.defaultdict(lambda: [0, 0.0])
for r in rows:
    found[r['region']][0] += int(r['units'])
    found[r['region']][1] += int(r['units']) * float(r['price'])
with open('summary.csv', 'w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(['region', 'units', 'revenue'])
    writer.writerows([region, units, f'{revenue:.2f}'] for region, (units, revenue) in sorted(found.items()))
print(round(sum(revenue for _, revenue in found.values()), 2))
""",
    "shortest_path": """
near = collections.defaultdict(list)
for road in roads:
    one, other = road['between']
    near[one].append((other, road['km']))
    near[other].append((one, road['km']))
queue, done = [(0, p['start'])], {}
while queue:
    km, place = heapq.heappop(queue)
    if place not in done:
        done[place] = km
        for other, more in near[place]:
            heapq.heappush(queue, (km + more, other))
print(done[p['goal']])
""",
    "contacts": """
latest = {}
for entry in sorted(entries, key=lambda entry: entry['year']):
    latest[entry['email'].strip().lower()] = int(entry['age'])
with open('clean.json', 'w') as file:
    json.dump([{'email': email, 'age': age} for email, age in sorted(latest.items())], file)
print(sum(latest.values()))
""",
    "ledger": """
balance = collections.Counter()
for month in months:
    for r in month:
        cents = round(float(r['amount']) * 100)
        if r['kind'] == 'deposit':
            balance[r['account']] += cents
        elif balance[r['account']] >= cents:
            balance[r['account']] -= cents
            if r['kind'] == 'transfer':
                balance[r['to']] += cents
    for account in balance:
        balance[account] += balance[account] // 100
print(balance[p['account']] / 100)
""",
}
