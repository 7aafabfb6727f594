"""The tasks and their answers, by split. The server never imports this file, and it is not part of an image or a Space.

`uv run gymkit data` writes the rows in data/ from it; `uv run gymkit data --from FILE` makes rows of a data set, each
of which goes through `imported()`.
"""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from math import isqrt
from random import Random
from typing import Any

import constraints

Task = dict[str, Any]

BOX = r"Think as long as you like. End with {what} in a box, as \boxed{{...}}, and write no other box."


def tasks() -> dict[str, list[Task]]:
    """All tasks, by split: some of every kind. A task is made from its number, and is always the same."""
    kinds = {
        "choice": choices(),
        "math": problems(),
        "constraints": texts(),
        "words": short_texts(),
    }
    found: dict[str, list[Task]] = {"demo": [], "example": [], "validation": [], "train": []}
    for kind, tasks_of_kind in kinds.items():
        made = list({task["prompt"]: task for task in tasks_of_kind}.values())  # Two numbers may give the same.
        Random(f"the splits of {kind}").shuffle(made)
        third = len(made[3:]) // 3
        parts = {"demo": made[:1], "example": made[1:3], "validation": made[3 : 3 + third], "train": made[3 + third :]}
        for split, part in parts.items():
            found[split] += [
                {"task_id": f"{kind}-{split}-{number:02d}", "kind": kind, **task} for number, task in enumerate(part)
            ]
    found["demo"] = found["demo"][:1]  # One is public.
    return found


# ---------------------------------------------------------------------------------------------------- a choice of four

CAPITALS = """
Norway Oslo, Peru Lima, Kenya Nairobi, Japan Tokyo, Ghana Accra, Chile Santiago, Nepal Kathmandu, Egypt Cairo
Cuba Havana, Laos Vientiane, Qatar Doha, Togo Lome, Mali Bamako, Fiji Suva, Iceland Reykjavik, Jordan Amman
Latvia Riga, Malta Valletta
"""
METALS = """
Na sodium, K potassium, Fe iron, Ag silver, Au gold, Pb lead, Sn tin, Hg mercury, W tungsten, Cu copper, Zn zinc
Mg magnesium, Mn manganese, Ni nickel, Pt platinum, Li lithium
"""
EXPRESSIONS = """
sorted("bca")[0] ; "abc"[-1] * 2 ; len({1, 1, 2}) ; 7 // 2 ; -7 // 2 ; 7 % 3 ; 2 ** 3 ** 2 ; bool([0]) ; sum(range(5))
5 & 6 ; [1, 2, 3][1:] ; "x".join("ab") ; int("11", 2) ; max("hello") ; 0.1 + 0.2 == 0.3 ; 1 and 2 ; 0 or 3
min([3, 1], [2, 9])
"""
VALUES = ["0", "1", "2", "3", "4", "-4", "-3", "9", "64", "512", "True", "False", "'a'", "'b'", "'cc'", "[2, 3]", "[3]"]


def choices() -> Iterator[Task]:
    """Questions with four options, whose order is drawn by the question."""
    for question, pairs in (("What is the capital of {}?", CAPITALS), ("Which metal has the symbol {}?", METALS)):
        known = [pair.split(" ", 1) for pair in pairs.strip().replace("\n", ", ").split(", ")]
        answers = [answer for _, answer in known]
        for name, answer in known:
            yield choice_of(question.format(name), answer, [other for other in answers if other != answer])
    for expression in EXPRESSIONS.strip().replace("\n", " ; ").split(" ; "):
        question = f"What is the value of this expression in Python?\n\n    {expression}"
        yield choice_of(question, repr(eval(expression)), VALUES)


def choice_of(question: str, answer: str, others: list[str]) -> Task:
    random = Random(question)
    options = [answer, *random.sample([other for other in others if other != answer], 3)]
    random.shuffle(options)
    return choice_task(question, options, options.index(answer), "text" if random.random() < 0.3 else "letter")


def choice_task(question: str, options: list[str], right: int, asked: str = "letter") -> Task:
    """A task of the kind `choice`.

    Args:
        question: Without the options.
        options: Their texts, in order.
        right: The place of the right one, from 0.
        asked: Whether the answer is to be the option's `letter` or its `text`; a grader takes both.
    """
    lines = "\n".join(f"{chr(65 + number)}. {option}" for number, option in enumerate(options))
    what = "the letter of the right option" if asked == "letter" else "the text of the right option"
    prompt = f"{question}\n\n{lines}\n\n{BOX.format(what=what)}"
    return {"kind": "choice", "prompt": prompt, "expected_output": chr(65 + right), "options": options}


# --------------------------------------------------------------------------------------------------------- mathematics

FORMS = {
    "any": "the answer",
    "integer": "the answer, an integer,",
    "decimal": "the answer, a decimal number,",
    "number": "the answer, a number,",
    "fraction": "the answer, a fraction in lowest terms,",
    "polynomial": "the answer, written out and collected,",
    "root": r"the answer in the form a\sqrt{b}, b without square factors,",
    "set": r"the answer as a set, as \{1, 2\},",
    "interval": "the answer as an interval, as (1, 2],",
}


def problems() -> Iterator[Task]:
    """Seven problems of each kind."""
    for make in (remainder, invested, sum_of_fractions, probability, product, derivative, diagonal, roots, distance):
        for number in range(7):
            question, answer, form = make(Random(f"{make.__name__} {number}"))
            yield math_task(question, answer, form)


def math_task(question: str, answer: str, form: str = "any") -> Task:
    """A task of the kind `math`; `form` is one of those in questions.py."""
    prompt = f"{question}\n\n{BOX.format(what=FORMS[form])}"
    return {"kind": "math", "prompt": prompt, "expected_output": answer, "form": form}


def remainder(random: Random) -> tuple[str, str, str]:
    base, power, modulus = random.randint(3, 19), random.randint(20, 90), random.randint(13, 97)
    return (
        f"What is the remainder of {base}^{{{power}}} on division by {modulus}?",
        str(pow(base, power, modulus)),
        "integer",
    )


def invested(random: Random) -> tuple[str, str, str]:
    amount, percent, years = 100 * random.randint(3, 90), random.choice([2, 4, 5, 10]), random.randint(2, 3)
    value = amount * Fraction(100 + percent, 100) ** years
    question = f"An amount of {amount} grows by {percent} percent a year. What is it after {years} years? Do not round."
    return question, str(int(value)) if value.denominator == 1 else str(float(value)), "decimal"


def sum_of_fractions(random: Random) -> tuple[str, str, str]:
    one = Fraction(random.randint(1, 11), random.choice([3, 4, 7, 9]))
    other = Fraction(random.randint(1, 11), random.choice([5, 8, 11, 13]))
    return (
        rf"What is \frac{{{one.numerator}}}{{{one.denominator}}} + \frac{{{other.numerator}}}{{{other.denominator}}}?",
        (latex(one + other)),
        "fraction",
    )


def probability(random: Random) -> tuple[str, str, str]:
    red, blue = random.randint(3, 9), random.randint(3, 9)
    chance = Fraction(red * (red - 1), (red + blue) * (red + blue - 1))
    question = (
        f"A bag holds {red} red and {blue} blue balls. Two are drawn, without putting the first one back. What is the "
    )
    return question + "probability that both are red?", latex(chance), "fraction"


def latex(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def product(random: Random) -> tuple[str, str, str]:
    a, b, c, d = (random.choice([-5, -4, -3, -2, 2, 3, 4, 5]) for _ in range(4))
    answer = polynomial([a * c, a * d + b * c, b * d])
    return f"Expand ({polynomial([a, b])})({polynomial([c, d])}).", answer, "polynomial"


def derivative(random: Random) -> tuple[str, str, str]:
    factors = [random.choice([-4, -3, -2, 2, 3, 5]) for _ in range(4)]
    answer = polynomial([3 * factors[0], 2 * factors[1], factors[2]])
    return f"What is the derivative of {polynomial(factors)} with respect to x?", answer, "polynomial"


def polynomial(factors: list[int]) -> str:
    """A polynomial in x, with its highest power first."""
    text = ""
    for place, factor in enumerate(factors):
        power = len(factors) - 1 - place
        letter = "" if power == 0 else "x" if power == 1 else f"x^{power}"
        size = "" if abs(factor) == 1 and letter else str(abs(factor))
        if factor:
            text += (" - " if factor < 0 else " + ") + size + letter
    return text.removeprefix(" + ").replace(" - ", "-", 1) if text.startswith(" - ") else text.removeprefix(" + ")


def diagonal(random: Random) -> tuple[str, str, str]:
    while True:
        one, other = random.randint(2, 14), random.randint(2, 14)
        square = one * one + other * other
        outside = max(part for part in range(1, isqrt(square) + 1) if square % (part * part) == 0)
        inside = square // outside**2
        if inside > 1 and outside > 1:
            break
    return f"How long is the diagonal of a rectangle of {one} by {other}?", rf"{outside}\sqrt{{{inside}}}", "root"


def roots(random: Random) -> tuple[str, str, str]:
    one, other = random.sample([number for number in range(-9, 10) if number], 2)
    equation = polynomial([1, -one - other, one * other])
    return f"Which x solve {equation} = 0?", rf"\{{{min(one, other)}, {max(one, other)}\}}", "set"


def distance(random: Random) -> tuple[str, str, str]:
    centre, width = random.randint(2, 9), random.randint(1, 9)
    sign, left, right = random.choice([("<", "(", ")"), (r"\le", "[", "]")])
    return (
        f"Which real x have |x - {centre}| {sign} {width}?",
        f"{left}{centre - width}, {centre + width}{right}",
        "interval",
    )


# --------------------------------------------------------------------------------------------- texts under constraints

TOPICS = "a river, an old bridge, the first snow, a night train, a market in the morning, a lost key, a small harbour"
WORDS = "window garden winter stone paper engine mountain letter island lantern harbour thunder copper violin".split()


def texts() -> Iterator[Task]:
    """Seven texts of each of the ten kinds."""
    for number in range(7):
        for make in RECIPES:
            random = Random(f"{make.__name__} {number}")
            topic = TOPICS.split(", ")[number]
            yield constraints_task(f"Write about {topic}.", make(random))


def constraints_task(request: str, wanted: list[Task]) -> Task:
    """A task of the kind `constraints`, which are told in the prompt."""
    lines = "\n".join(f"- {each.wanted()}" for each in constraints.read(wanted))
    prompt = (
        f"{request} Your answer has to meet all of these conditions; what does not belong to it, leave out.\n\n{lines}"
    )
    return {"kind": "constraints", "prompt": prompt, "expected_output": wanted}


def about(random: Random) -> list[Task]:
    least = random.randint(30, 60)
    one, two, three, four = random.sample(WORDS, 4)
    return [
        {"kind": "words", "least": least, "most": least + 15},
        {"kind": "keywords", "words": [one, two]},
        {"kind": "forbidden", "words": [three, four]},
        {"kind": "no_commas"},
    ]


def listed(random: Random) -> list[Task]:
    count = random.randint(3, 6)
    return [
        {"kind": "title"},
        {"kind": "bullets", "least": count, "most": count},
        {"kind": "capitals", "least": random.randint(2, 4)},
    ]


def in_json(random: Random) -> list[Task]:
    keys = random.sample(["title", "summary", "mood", "place", "season"], 3)
    one, two = random.sample(WORDS, 2)
    return [
        {"kind": "json", "keys": keys},
        {"kind": "keywords", "words": [one]},
        {"kind": "forbidden", "words": [two]},
    ]


def in_a_language(random: Random) -> list[Task]:
    return [
        {"kind": "language", "language": random.choice(["fr", "de", "es", "it", "nl"])},
        {"kind": "sentences", "least": random.randint(3, 5)},
        {"kind": "words", "least": 30},
    ]


def in_one_case(random: Random) -> list[Task]:
    case, count = random.choice(["upper", "lower"]), random.randint(2, 5)
    end = f"and so it {random.choice(['ends', 'stays', 'goes'])}."
    return [
        {"kind": "case", "case": case},
        {"kind": "sentences", "least": count, "most": count},
        {"kind": "ends", "text": end.upper() if case == "upper" else end},
    ]


def in_quotes(random: Random) -> list[Task]:
    count = random.randint(2, 4)
    return [
        {"kind": "quoted"},
        {"kind": "frequency", "word": random.choice(WORDS), "least": count, "most": count},
        {"kind": "words", "most": random.randint(30, 50)},
    ]


def in_paragraphs(random: Random) -> list[Task]:
    count = random.randint(2, 4)
    return [
        {"kind": "begins", "text": random.choice(["It was late", "Nobody knew", "Far away"])},
        {"kind": "paragraphs", "least": count, "most": count},
        {"kind": "keywords", "words": random.sample(WORDS, 2)},
    ]


def as_a_letter(random: Random) -> list[Task]:
    return [
        {"kind": "placeholders", "least": random.randint(2, 4)},
        {"kind": "postscript", "marker": random.choice(["P.S.", "P.P.S."])},
        {"kind": "words", "least": random.randint(20, 40)},
    ]


def with_letters(random: Random) -> list[Task]:
    return [
        {"kind": "letters", "letter": random.choice("zqxk"), "least": random.randint(3, 6)},
        {"kind": "sentences", "least": 2, "most": random.randint(3, 5)},
        {"kind": "no_commas"},
    ]


def highlighted(random: Random) -> list[Task]:
    return [
        {"kind": "highlights", "least": random.randint(2, 3)},
        {"kind": "words", "least": 20, "most": random.randint(40, 60)},
        {"kind": "paragraphs", "least": 2, "most": 2, "separator": "***"},
    ]


RECIPES: tuple[Callable[[Random], list[Task]], ...] = (
    *(
        about,
        listed,
        in_json,
        in_a_language,
        in_one_case,
        in_quotes,
        in_paragraphs,
        as_a_letter,
        with_letters,
        highlighted,
    ),
)


# --------------------------------------------------------------------------------------------------------- a few words

FACTS = """
Which process turns light, water and carbon dioxide into sugar in plants? = photosynthesis
Which gas do plants take in to make sugar? = carbon dioxide | CO2
What is the change of a liquid into a gas called? = evaporation | vaporization | vaporisation
Which force keeps the planets in their orbits? = gravity | gravitation | the gravitational force
What is the point on the earth's surface above the origin of an earthquake called? = the epicentre | epicenter
Which organ pumps blood through the body? = the heart
What is an animal called that eats plants alone? = a herbivore
Which layer of the atmosphere holds most of the ozone? = the stratosphere
What does a seismograph record? = earthquakes | ground motion | vibrations of the ground
What is the study of the weather called? = meteorology
Which instrument measures the pressure of the air? = a barometer
What is the hard outer layer of a tooth called? = enamel | tooth enamel
What is molten rock below the earth's surface called? = magma
Which planet is the largest of the solar system? = Jupiter
What is a shape with five sides called? = a pentagon
What is the line called that goes through the centre of a circle, from edge to edge? = the diameter
Which number system has the digits 0 and 1 alone? = binary | the binary system
What is the place called where a river meets the sea? = the mouth | river mouth | estuary
Which sense has its organ in the nose? = smell | the sense of smell
What is the young of a horse called? = a foal
Which metal is liquid at room temperature? = mercury | quicksilver
What is a word that means the opposite of another called? = an antonym
Which material is made from wood pulp, and used for writing? = paper
What do bees collect from flowers to make honey? = nectar
What is the science of living things called? = biology
Which part of an eye changes its size with the light? = the pupil
What is water in the form of a gas called? = steam | water vapour | water vapor
What is the skeleton of an insect called, which is on its outside? = an exoskeleton
Which star is nearest to the earth? = the sun
What is a story of one's own life called? = an autobiography
What is a triangle with three equal sides called? = equilateral | an equilateral triangle
Which ocean lies between Africa and Australia? = the Indian Ocean
What is the time called that a planet takes to go round its star? = a year | orbital period
Which blood vessels carry blood away from the heart? = arteries
What is frozen rain in the form of balls of ice called? = hail
"""


def short_texts() -> Iterator[Task]:
    """Questions with an answer in a few words."""
    for line in FACTS.strip().splitlines():
        question, _, answers = line.partition(" = ")
        yield words_task(question, [answer.strip() for answer in answers.split("|")])


def words_task(question: str, answers: list[str]) -> Task:
    """A task of the kind `words`; the best answer comes first."""
    prompt = f"{question}\n\nAnswer in a few words. {BOX.format(what='the answer')}"
    return {"kind": "words", "prompt": prompt, "expected_output": answers}


# ------------------------------------------------------------------------------------------------ data sets of others


def imported(fields: Mapping[str, Any]) -> Task:
    """The task that a record of a data set makes (`uv run gymkit data --from`).

    Args:
        fields: `question`, and of `answer`, `options`, `constraints`, `arguments` those that the record has.

    Raises:
        ValueError: it makes none; the message says why.
    """
    question, answer = fields.get("question"), fields.get("answer")
    if not isinstance(question, str) or not question.strip():
        raise ValueError("question: a text is wanted")
    if "constraints" in fields:
        found = fields["constraints"]
        if "arguments" in fields:
            found = from_ifeval(found, fields["arguments"])
        constraints.read(found)
        return {"kind": "constraints", "prompt": question, "expected_output": found}  # The prompt tells them.
    if "options" in fields:
        options = fields["options"]
        if isinstance(options, str):
            options = [option.strip() for option in options.strip("[]").split("|")]
        if not isinstance(options, list):
            raise ValueError("options: a list of texts is wanted")
        options = [str(option) for option in options]
        return choice_task(question, options, place_of(answer, options))
    if answer is None or isinstance(answer, bool | dict | list):
        raise ValueError("answer: a text or a number is wanted")
    text = str(answer).rpartition("####")[2].strip()  # GSM8K has the way to the answer before it.
    return math_task(question, text)


def place_of(answer: Any, options: list[str]) -> int:
    """The place of an answer that is a number from 0, a letter, or an option's text."""
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(options):
        return answer
    text = str(answer).strip()
    if text in options:
        return options.index(text)
    if len(text) == 1 and 0 <= ord(text.upper()) - 65 < len(options):
        return ord(text.upper()) - 65
    raise ValueError(f"answer: {text!r} is none of the {len(options)} options"[:200])


def from_ifeval(names: Any, arguments: Any) -> list[Task]:
    """Constraints as IFEval has them (`instruction_id_list` and `kwargs`), as those of constraints.py."""
    if not isinstance(names, list) or not isinstance(arguments, list) or len(names) != len(arguments):
        raise ValueError("constraints: as many arguments as constraints are wanted")
    found: list[Task] = []
    for name, given in zip(names, arguments, strict=True):
        if name not in IFEVAL:
            raise ValueError(f"constraints: there is no {name!r} here")
        given = {key: value for key, value in (given or {}).items() if value is not None}
        try:
            found.append(IFEVAL[name](given))
        except KeyError as missing:
            raise ValueError(f"constraints: {name} lacks its argument {missing}") from None
    return found


def bounds(count: int, relation: str) -> Task:
    """IFEval's `at least` and `less than`."""
    return {"most": count - 1} if relation == "less than" else {"least": count}


def exactly(count: int) -> Task:
    return {"least": count, "most": count}


IFEVAL: dict[str, Callable[[Mapping[str, Any]], Task]] = {
    "keywords:existence": lambda a: {"kind": "keywords", "words": a["keywords"]},
    "keywords:forbidden_words": lambda a: {"kind": "forbidden", "words": a["forbidden_words"]},
    "keywords:frequency": lambda a: {
        "kind": "frequency",
        "word": a["keyword"],
        **bounds(a["frequency"], a["relation"]),
    },
    "keywords:letter_frequency": lambda a: {
        "kind": "letters",
        "letter": a["letter"],
        **bounds(a["let_frequency"], a["let_relation"]),
    },
    "language:response_language": lambda a: {"kind": "language", "language": a["language"]},
    "length_constraints:number_words": lambda a: {"kind": "words", **bounds(a["num_words"], a["relation"])},
    "length_constraints:number_sentences": lambda a: {"kind": "sentences", **bounds(a["num_sentences"], a["relation"])},
    "length_constraints:number_paragraphs": lambda a: {
        "kind": "paragraphs",
        "separator": "***",
        **exactly(a["num_paragraphs"]),
    },
    "detectable_content:number_placeholders": lambda a: {"kind": "placeholders", "least": a["num_placeholders"]},
    "detectable_content:postscript": lambda a: {"kind": "postscript", "marker": a["postscript_marker"]},
    "detectable_format:number_bullet_lists": lambda a: {"kind": "bullets", **exactly(a["num_bullets"])},
    "detectable_format:number_highlighted_sections": lambda a: {"kind": "highlights", "least": a["num_highlights"]},
    "detectable_format:json_format": lambda a: {"kind": "json", "keys": []},
    "detectable_format:title": lambda a: {"kind": "title"},
    "startend:end_checker": lambda a: {"kind": "ends", "text": a["end_phrase"]},
    "startend:quotation": lambda a: {"kind": "quoted"},
    "change_case:capital_word_frequency": lambda a: {
        "kind": "capitals",
        **bounds(a["capital_frequency"], a["capital_relation"]),
    },
    "change_case:english_capital": lambda a: {"kind": "case", "case": "upper"},
    "change_case:english_lowercase": lambda a: {"kind": "case", "case": "lower"},
    "punctuation:no_comma": lambda a: {"kind": "no_commas"},
}
