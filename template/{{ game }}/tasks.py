"""The tasks and their answers, by split. The server never imports this file, and it is not part of an image or a Space.

`uv run gymkit data` writes the rows in data/ from it.
"""

from collections.abc import Iterator
from random import Random

from wordle import ABSENT, MAX_GUESSES, PRESENT, RIGHT

DEMO_SECRET = "piano"
"""The word of the public demo row. No other task uses it."""

PROMPT = f"""Let us play Wordle. I am thinking of an English word with five letters. Find it in {MAX_GUESSES} tries: \
call the tool guess with a five-letter word, read the feedback, and go on until the word is found or no try is left.

The feedback gives each letter of your guess a mark:
{RIGHT} the letter is in the word, at this place
{PRESENT} the letter is in the word, at another place
{ABSENT} the letter is not in the word, or not once more

When the game is over, say in one sentence how it went."""


def tasks() -> dict[str, list[dict[str, str]]]:
    """All tasks, by split: every word of the list is the secret of one task. The order is shuffled once, for good."""
    words = [word for word in WORDS if word != DEMO_SECRET]
    Random(20240229).shuffle(words)
    splits = {"example": words[:5], "validation": words[5:69], "train": words[69:], "demo": [DEMO_SECRET]}
    return {split: list(_tasks(split, secrets)) for split, secrets in splits.items()}


def _tasks(split: str, secrets: list[str]) -> Iterator[dict[str, str]]:
    for number, secret in enumerate(secrets):
        yield {"task_id": f"wordle-{split}-{number:03d}", "prompt": PROMPT, "expected_output": secret}


WORDS = tuple(
    """
about above actor acute admit adopt adult after again agent agree ahead alarm album alert alike alive allow alone
along alter among anger angle angry ankle apart apple apply april arena argue arise armor aroma arrow aside asset
atlas attic audio avoid awake award aware bacon badge baker basic basin batch beach beard beast begin below bench
berry birch birth black blade blame blank blaze blend bless blind block bloom blunt board boast bonus boost booth
bound brain brake brand brass brave bread break brick bride brief bring brisk broad broom brown brush build bunch
burst cabin cable camel canal candy canoe cargo carry carve catch cause cedar chain chair chalk charm chart chase
cheap check cheek cheer chess chest chief child chili choir chord civic civil claim class clean clear clerk click
cliff climb cloak clock close cloth cloud clown coach coast cocoa comet coral couch count court cover crack craft
crane crash cream creek crest crisp cross crowd crown crumb crust curve cycle daily dairy daisy dance debut delay
depth diary digit diner ditch diver dizzy dough draft drain drama dream dress drift drill drink drive drove eager
eagle early earth easel eight elbow elder elect elite empty enemy enjoy enter entry equal equip error essay event
exact exist extra fable faint fairy faith false fancy feast fence ferry fetch fever fiber field fifty final flame
flash fleet flint float flock flood floor flour fluid flute focus force forge forty found frame fresh front frost
fruit fully funny gauge ghost giant glade glass gleam globe glory glove goose grace grade grain grand grant grape
graph grass great green greet grill group grove guard guess guest guide habit happy harsh haste hatch heart heavy
hedge hello hinge hobby honey honor horse hotel house human humor hurry icing ideal image index inner input ivory
jelly jewel joint jolly judge juice kayak kiosk knife knock label labor ladle large laser later laugh layer learn
lemon level light lilac limit linen liver local lodge logic lucky lunar lunch lyric magic major mango manor maple
march marsh match maybe mayor medal melon mercy merge merit merry metal meter might minor mixer model moist money
month moral motor mount mouse mouth movie music nerve never niece night noble noise north novel nurse oasis ocean
offer olive onion opera orbit order organ other otter outer owner paint panel paper party pasta patch pause peace
peach pearl pedal penny piano piece pilot pinch pizza place plain plane plant plate plaza plumb point polar porch
pouch pound power press price pride prime print prize proof proud pulse pupil purse queen quest quick quiet quilt
quite radio raise ranch range rapid raven reach ready realm reign relax reply rider ridge right rival river roast
robin robot rocky round route royal ruler rural salad salsa scale scarf scene scent scoop score scout screw seven
shade shake shape share sharp sheep sheet shelf shell shift shine shirt shore short shown sight silky since skate
skill slate sleep slice slide slope small smart smile smoke snack snail solar solid solve sound south space spare
spark speak spell spend spice spine spoon sport spray squad stack staff stage stair stamp stand start state steam
steel stern stick still stone stool storm story stove straw strip study sugar sunny sweet swift swing sword syrup
table taste teach tempo thank theme thick thing think third three throw thumb tiger timer title toast today token
topic torch total touch tower track trade trail train treat trend trial tribe trick truck trust truth tulip uncle
under union unity until upper urban usual valid value vault video vinyl visit vital vivid vocal voice wagon waist
watch water wheat wheel while white whole widow width world worth wound woven wrist write yacht yearn yeast yield
young youth zebra
""".split()
)
