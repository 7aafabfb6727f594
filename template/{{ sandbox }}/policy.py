"""A player that needs no model: rollout.py's default. It works the answer out from the files, through the tools."""

from collections.abc import Generator, Iterator, Mapping
from typing import Any


def play(row: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]] | str, str, None]:
    """Play one episode: yield a tool call as `(name, arguments)` and be sent its output, or yield a text to say.

    Args:
        row: The data row. This player looks at its kind and parameters, which say what is asked; not at its answer.
    """
    output = ""
    for name, arguments in steps(row["kind"], row["parameters"]):
        output = yield name, arguments
    yield "submit_answer", {"answer": output.splitlines()[-1]}


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


# Each kind of task has either a command in SHELL, in which `$name` is a parameter of the task, or two cells, in READING
# and in SOLVING, for which `p` holds the parameters.
IMPORTS = "import collections, csv, datetime, glob, heapq, json, statistics\nfrom fractions import Fraction"
SHELL = {
    "words": "grep -oE '[A-Za-z]+' text.txt | tr A-Z a-z | awk 'length >= $length' | sort -u | wc -l",
    "acrostic": "awk 'NR % $step == 0 {print substr($0, 1, 1)}' text.txt | tr -d '\\n'",
    "failures": "awk '$5 >= 500 {n[$1]++} END {for (a in n) if (n[a] >= $least) m++; print m + 0}' server.log",
}

NOTHING = "pass  # There are no files."
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
    **dict.fromkeys(("dice", "series", "determinant", "lattice_paths", "interpolation", "collector"), NOTHING),
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
    "dice": """
sums = collections.Counter({0: 1})
for _ in range(p['count']):
    thrown = collections.Counter()
    for total, ways in sums.items():
        for face in range(1, p['sides'] + 1):
            thrown[total + face] += ways
    sums = thrown
good = sum(ways for total, ways in sums.items() if total % p['divisor'] == 0)
print(Fraction(good, p['sides'] ** p['count']))
""",
    "series": "print(sum(Fraction(1, k * (k + p['step'])) for k in range(1, p['terms'] + 1)))",
    "determinant": """
def determinant(m):
    if not m:
        return 1
    minors = ([row[:c] + row[c + 1:] for row in m[1:]] for c in range(len(m)))
    return sum((-1) ** c * m[0][c] * determinant(minor) for c, minor in enumerate(minors))
print(determinant(p['matrix']))
""",
    "lattice_paths": """
line = [0] * (p['size'] + 1)
for y in range(p['size'] + 1):
    for x in range(p['size'] + 1):
        line[x] = 0 if [x, y] in p['holes'] else 1 if x == y == 0 else line[x] + (line[x - 1] if x else 0)
print(line[-1])
""",
    "interpolation": """
total = [Fraction(0)] * 5  # from the constant up
for x, y in p['points']:
    basis = [Fraction(y)]
    for other, _ in p['points']:
        if other != x:
            raised, kept = [Fraction(0), *basis], [*(b * other for b in basis), Fraction(0)]
            basis = [(one - two) / (x - other) for one, two in zip(raised, kept)]
    total = [one + two for one, two in zip(total, basis)]
print(' '.join(f'{int(f):+d}*x^{n}' for n, f in reversed(list(enumerate(total)))).replace('*x^0', '').lstrip('+'))
""",
    "collector": "print(sum(Fraction(p['kinds'], p['kinds'] - have) for have in range(p['wanted'])))",
}
