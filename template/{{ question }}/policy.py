"""A player that needs no model: rollout.py's default. It is no solver: it says the answer that is in the row.

Texts under constraints are the exception: a row holds none, and the player writes one that meets them.
"""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import constraints
from constraints import Constraint
from gymkit.rows import expected_output


def play(row: dict[str, Any]) -> Iterator[str]:
    """Say one answer.

    Args:
        row: The data row, its ground truth included.
    """
    yield answer(row)


def answer(row: dict[str, Any]) -> str:
    """The right answer of a row."""
    truth = expected_output(row)
    if row["kind"] == "constraints":
        return compose(constraints.read(truth))
    return rf"The answer is \boxed{{{truth[0] if row['kind'] == 'words' else truth}}}."


# ------------------------------------------------------------------------------------------ a text under constraints

SENTENCES = {
    "en": "the water runs slowly past the old mill; nobody remembers who built the first house here; in spring the "
    "wind comes from the south; a boy counts the boats on his way home; the bell rings twice and then it is quiet; we "
    "should come back when the nights are long",
    "fr": "la rivière coule lentement devant le vieux moulin; personne ne sait qui a construit la première maison; au "
    "printemps le vent vient du sud; un enfant compte les bateaux sur le chemin du retour",
    "de": "der Fluss fließt langsam an der alten Mühle vorbei; niemand weiß mehr wer das erste Haus gebaut hat; im "
    "Frühling kommt der Wind aus dem Süden; ein Kind zählt die Boote auf dem Weg nach Hause",
    "es": "el río corre despacio delante del viejo molino; nadie recuerda quién construyó la primera casa; en "
    "primavera el viento viene del sur; un niño cuenta los barcos en el camino a casa",
    "it": "il fiume scorre lentamente davanti al vecchio mulino; nessuno ricorda chi ha costruito la prima casa; in "
    "primavera il vento viene dal sud; un bambino conta le barche sulla strada di casa",
    "nl": "de rivier stroomt langzaam langs de oude molen; niemand weet meer wie het eerste huis heeft gebouwd; in "
    "de lente komt de wind uit het zuiden; een kind telt de boten op weg naar huis",
}


def compose(wanted: list[Constraint]) -> str:
    """A text that meets constraints: the first that does, of texts of more and more sentences and words; where none
    does, the last of them."""
    by_kind: dict[str, Any] = {each.kind: each for each in wanted}
    text = ""
    for sentences, words, parts in product(range(1, 9), (4, 6, 8, 10), (1, 2, 3, 4)):
        if parts <= sentences:
            text = written(by_kind, sentences, words, parts)
            if not constraints.unmet(wanted, text):
                return text
    return text


def written(kinds: dict[str, Any], sentences: int, words: int, parts: int) -> str:
    """A text of so many sentences, of about so many words each, in so many paragraphs."""
    language = kinds["language"].language if "language" in kinds else "en"
    bank = [sentence.strip().split() for sentence in SENTENCES.get(language, SENTENCES["en"]).split("; ")]
    made = [bank[number % len(bank)][:words] for number in range(sentences)]
    made[0] = [*made[0], *demanded(kinds)]
    lines = [f"{' '.join(line)}.".capitalize() if not demanded(kinds) else f"{' '.join(line)}." for line in made]
    if "json" in kinds:
        keys = kinds["json"].keys or ["answer"]
        text = json.dumps({key: lines[number % len(lines)] for number, key in enumerate(keys)}, ensure_ascii=False)
    else:
        text = in_parts(lines, parts, kinds["paragraphs"].separator if "paragraphs" in kinds else None)
        text = around(text, kinds)
    if "case" in kinds:
        text = text.upper() if kinds["case"].case == "upper" else text.lower()
    if "ends" in kinds:
        text = f"{text} {kinds['ends'].text}"
    return f'"{text}"' if "quoted" in kinds else text


def demanded(kinds: dict[str, Any]) -> list[str]:
    """Words that have to stand in the text."""
    found = list(kinds["keywords"].words) if "keywords" in kinds else []
    for kind, word in (("frequency", ""), ("letters", ""), ("capitals", "LOOK"), ("placeholders", "[name]")):
        if kind in kinds:
            each = kinds[kind]
            found += [word or (each.word if kind == "frequency" else each.letter)] * (each.least or 0)
    if "highlights" in kinds:
        found += ["*there*"] * (kinds["highlights"].least or 0)
    return found


def in_parts(lines: list[str], parts: int, separator: str | None) -> str:
    """Sentences in paragraphs."""
    size = -(-len(lines) // parts)
    paragraphs = [" ".join(lines[start : start + size]) for start in range(0, len(lines), size)]
    return "\n\n".join(paragraphs) if separator is None else f"\n{separator}\n".join(paragraphs)


def around(text: str, kinds: dict[str, Any]) -> str:
    """A text with title, bullets, beginning and postscript."""
    if "bullets" in kinds:
        text += "".join("\n* and then it is quiet" for _ in range(kinds["bullets"].least or 1))
    if "title" in kinds:
        text = f"<<a title>>\n{text}"
    if "begins" in kinds:
        text = f"{kinds['begins'].text} {text}"
    if "postscript" in kinds:
        text = f"{text}\n{kinds['postscript'].marker} And then it is quiet."
    return text
