"""The shop, its customer, the player and the tasks; and what an agent earns that is silent, generous or strict."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from harness import Client, LiveServer, Row, played
from paraphrases import PARAPHRASES, STATEMENTS, lines

from customer import TOPICS
from gymkit.rows import data_path, read_rows
from gymkit.scripts import ScriptedUser, heard, read_script
from shop import HANDOVERS, REFUSALS, Shop, Wanted, cents, same, tells
from tasks import MET, TODAY, UNMET, cancel_shipped, damaged, task, tasks, unwanted


def shop_of(made: Row) -> Shop:
    return Shop(made["shop"])


def looked_up(made: Row) -> tuple[Shop, str, str]:
    """A shop in which customer and order have been found; the order's number and its item's."""
    shop = shop_of(made)
    customer, order = made["shop"]["customers"][0], made["shop"]["orders"][0]["id"]
    shop.find_customer(f" {customer['email'].upper()}", customer["postcode"])
    shop.show_order(order.lower())
    return shop, order, next(item["id"] for item in made["shop"]["items"] if item["order"] == order)


# ---------------------------------------------------------------------------------------------------------- the shop


def test_nothing_is_done_before_customer_and_order_are_looked_up() -> None:
    made = task(damaged, 1)
    shop, order = shop_of(made), made["shop"]["orders"][0]["id"]
    with pytest.raises(ValueError, match="Find the customer first"):
        shop.refuse(order, "cancel", "shipped")
    customer = made["shop"]["customers"][0]
    with pytest.raises(ValueError, match="No customer"):
        shop.find_customer(customer["email"], "99999")
    shop.find_customer(customer["email"], customer["postcode"])
    with pytest.raises(ValueError, match="Look the order up first"):
        shop.refuse(order, "cancel", "shipped")
    with pytest.raises(ValueError, match="no such order"):
        shop.show_order(made["shop"]["orders"][2]["id"])
    assert shop.changes() == {}


def test_what_is_done_stands_in_the_changes() -> None:
    shop, order, item = looked_up(task(damaged, 1))
    shop.cancel_order(order)
    shop.change_address(order, " New  Lane 1 ")
    shop.refund_item(item, "damaged", 12.345)
    shop.grant_credit(order, 5)
    shop.hand_over(order, "over_limit")
    assert shop.changes() == {
        "orders": {order: {"status": "cancelled", "address": "New Lane 1"}},
        "refunds": {item: {"item": item, "cause": "damaged", "cents": 1234}},
        "credits": {order: {"order": order, "cents": 500}},
        "handovers": {order: {"order": order, "reason": "over_limit"}},
    }
    with pytest.raises(ValueError, match="stays as it is"):
        shop.refund_item(item, "damaged", 1)


SMALL: Row = {
    "customers": [
        {"id": "C1", "name": "Ada Hill", "email": "ada@mail.example", "postcode": "20095"},
        {"id": "C2", "name": "Ben Low", "email": "ben@mail.example", "postcode": "10115"},
    ],
    "products": [
        {"id": "P01", "name": "Desk lamp", "kind": "lamp", "cents": 1205, "stock": 3},
        {"id": "P02", "name": "Floor lamp", "kind": "lamp", "cents": 10000, "stock": 0},
    ],
    "orders": [
        {
            **{"id": "W1", "customer": "C1", "status": "shipped", "placed": "2030-01-02", "promised": "2030-01-09"},
            **{"shipped": "2030-01-03", "delivered": None, "address": "Mill Lane 7"},
        },
    ],
    "items": [{"id": "I1", "order": "W1", "product": "P01", "cents": 1205}],
}


def test_what_is_looked_up_is_told_as_it_is() -> None:
    shop = Shop(SMALL)
    assert shop.find_customer("ben@mail.example", "10115") == "Ben Low, customer C2. Orders: none."
    assert shop.find_customer("ada@mail.example", "20095") == "Ada Hill, customer C1. Orders: W1."
    assert shop.show_order("W1").splitlines() == [
        "Order W1: shipped.",
        "Placed 2030-01-02, promised for 2030-01-09, shipped 2030-01-03, delivered not yet.",
        "Address: Mill Lane 7.",
        "Item I1: Desk lamp (lamp), 12.05.",
    ]
    said = shop.show_products("lamp").splitlines()
    assert said == ["P01: Desk lamp, 12.05, 3 in stock.", "P02: Floor lamp, 100.00, 0 in stock."]
    with pytest.raises(ValueError, match="The kinds are: lamp"):
        shop.show_products("chair")


@pytest.mark.parametrize("amount", [0, -1, 0.001, 10_000.01, 1e9])
def test_an_amount_is_one(amount: float) -> None:
    with pytest.raises(ValueError, match=r"An amount is more than 0 and at most 10000\.00"):
        cents(amount)


def test_the_smallest_and_the_largest_amount() -> None:
    assert (cents(0.01), cents(10_000)) == (1, 1_000_000)


def test_what_is_said_of_a_row_is_cut() -> None:
    for tables in ({"n" * 999: []}, {"orders": [{"n" * 999: 1}]}):
        with pytest.raises(ValueError) as refusal:
            Shop(tables)
        assert len(str(refusal.value)) == 200


@pytest.mark.parametrize(
    ("table", "value"),
    [("orders", {}), ("none", []), ("customers", [{"id": "C1"}]), ("customers", [7]), ("items", [{"id) --": 1}])],
)
def test_what_is_no_shop_is_refused(table: str, value: Any) -> None:
    with pytest.raises(ValueError, match=table):
        Shop({table: value})


def test_texts_are_compared_without_case_and_punctuation_and_nothing_else() -> None:
    assert same({"a": "Mill Lane 7, 20095 Hamburg"}, {"a": "mill lane 7 20095 hamburg."})
    assert not same({"a": "Mill Lane 7"}, {"a": "Mill Lane 8"})
    assert not same({"a": 1}, {"a": 1, "b": 2})


@pytest.mark.parametrize("said", ["You get 12.50 back.", "EUR 12,5", "It is 12.50."])
def test_an_amount_is_told_in_any_spelling(said: str) -> None:
    assert tells(said, ["12.50"])


@pytest.mark.parametrize("said", ["", "112.50", "12.55", "1.250", "12.5.0"])
def test_another_amount_is_another(said: str) -> None:
    assert not tells(said, ["12.50"])


@pytest.mark.parametrize(
    "value",
    [
        *(None, {}, {"changes": {}, "told": []}, {"changes": {"none": {}}, "told": []}, {"changes": {"orders": {}}}),
        {"changes": {"orders": {}}, "told": [], "more": 1},
        *({"changes": {"orders": {}}, "told": told} for told in ("12.50", ["12.50"], [[]], [["12.50", 7]], [{"a": 1}])),
    ],
)
def test_what_wants_nothing_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="expected_output"):
        Wanted.of(value)


# ------------------------------------------------------------------------------------------------------ the customer


@pytest.mark.parametrize("topic", PARAPHRASES)
def test_a_question_is_understood_in_nineteen_of_twenty_ways(topic: str) -> None:
    ways = lines(PARAPHRASES[topic])
    assert len(set(ways)) == 20
    understood = [way for way in ways if topic in heard(way, TOPICS).topics]
    assert len(understood) >= 19, set(ways) - set(understood)
    # And in capital letters, without marks, and among other sentences.
    assert sum(topic in heard(f"Hello!\n{way.upper()} Thanks in advance.", TOPICS).topics for way in ways) >= 19


def test_what_is_not_asked_for_is_not_understood_so() -> None:
    assert [line for line in lines(STATEMENTS) if heard(line, TOPICS).topics] == []
    private = {"email", "postcode", "order", "name"}
    for topic, ways in PARAPHRASES.items():
        for way in lines(ways):
            assert set(heard(way, TOPICS).topics) & private <= {topic}, way


@pytest.mark.parametrize(
    ("said", "asks", "confirm"),
    [
        ("I need your order number to proceed.", True, False),
        ("Tell me the order number so that I can proceed, please.", True, False),
        ("Is it okay to proceed?", False, True),
        ("Shall I proceed?", False, True),
        ("Shall I cancel the order with this order number?", False, True),
    ],
)
def test_what_is_asked_for_is_no_plan_to_be_confirmed(said: str, asks: bool, confirm: bool) -> None:
    understood = heard(said, TOPICS)
    assert ("order" in understood.topics, understood.confirm) == (asks, confirm)


def customer(made: Row) -> ScriptedUser:
    return ScriptedUser(read_script(made["user"]), TOPICS)


def test_the_customer_tells_what_he_is_asked_for_and_nothing_else() -> None:
    made = task(damaged, 3)
    facts = made["user"]["facts"]
    for topic in facts:
        answer = customer(made).answer(lines(PARAPHRASES[topic])[1])
        assert facts[topic] in answer
        assert [name for name, fact in facts.items() if fact in answer] == [topic]
    for line in lines(STATEMENTS):
        assert not any(fact in customer(made).answer(line) for fact in facts.values())
    assert "do not" in customer(made).answer("What is your phone number?")


def test_the_customer_insists_and_gives_in_and_goes_on() -> None:
    made = task(damaged, 3)
    made["user"]["insists"] = 2
    user = customer(made)
    no = "I am sorry, I cannot do that."
    said = [user.answer(no) for _ in range(6)]
    assert user.over
    assert [made["user"]["wishes"][1] in answer for answer in said] == [False, False, True, False, False, False]


def test_the_customer_is_content_when_all_is_done() -> None:
    user = customer(task(damaged, 3))
    assert "credit" in user.answer("Your money has been refunded. Is there anything else?")
    assert not user.over
    assert "Goodbye" in user.answer("The credit has been granted.")
    assert user.over


def test_the_customer_leaves_when_it_leads_nowhere() -> None:
    for says in ("Hm.", "", "What is your email?", "Is there anything else?", "What can I do for you?"):
        user = customer(task(damaged, 3))
        said = [user.answer(says) for _ in range(6) if not user.over]
        assert user.over, says
        assert len(said) <= 5


def test_the_same_words_make_the_same_answers() -> None:
    said = ["Hello?", "Your email, please?", "I cannot do that.", "It has been refunded."]
    answers = [[user.answer(text) for text in said] for user in (customer(task(unwanted, 5)) for _ in range(2))]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("value", [None, {}, {"opening": "Hi", "facts": {}, "wishes": []}, {"opening": 1}])
def test_what_is_no_script_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="user: "):
        read_script(value)


# --------------------------------------------------------------------------------------------------------- the tasks


def all_rows() -> list[Row]:
    return [row for split in ("example", "validation", "train", "demo") for row in read_rows(data_path(split))]


def test_there_are_enough_tasks_and_a_third_cannot_be_met() -> None:
    made = [each for split in tasks().values() for each in split]
    assert tasks() == tasks()
    assert len(made) >= 60
    unmet = {kind.__name__ for kind in UNMET}
    ends = [each for each in made if each["kind"] in unmet]
    assert len(ends) * 3 >= len(made) - 1  # but for the demo row
    for each in ends:
        [(table, changed)] = each["expected_output"]["changes"].items()
        assert table in ("refusals", "handovers") and len(changed) == 1
    assert {each["kind"] for each in made} == {kind.__name__ for kind in (*MET, *UNMET)}


def test_the_policy_names_the_day_and_the_prompt_no_secret() -> None:
    assert TODAY.isoformat() == "2026-03-14"
    for row in all_rows():
        system, opening = (item["content"] for item in row["responses_create_params"]["input"])
        assert "14 March 2026" in system
        facts = json.dumps(row["user"]["facts"])
        assert row["shop"]["orders"][0]["id"] in facts and row["shop"]["orders"][0]["id"] not in opening
        assert row["shop"]["customers"][0]["email"] not in system + opening


def test_the_player_earns_all_on_every_row(live: LiveServer) -> None:
    def earned(row: Row) -> tuple[str, float, bool]:
        verdict = played(live.client(), row)
        return row["task_id"], verdict["reward"], verdict["mask_sample"]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(earned, all_rows()))
    assert [each for each in results if each[1:] != (1.0, False)] == []


# ------------------------------------------------------------------------------------- who should earn nothing at all


def say(client: Client, text: str) -> Row:
    answer = client.post("/user/turn", json={"text": text})
    assert answer.status_code in (200, 409), answer.text
    return answer.json()


def find(client: Client, row: Row) -> tuple[str, dict[str, Any]]:
    """Find customer and order; the order's number and its item."""
    found, order = row["shop"]["customers"][0], row["shop"]["orders"][0]["id"]
    client.tool("find_customer", email=found["email"], postcode=found["postcode"])
    client.tool("show_order", order=order)
    return order, next(item for item in row["shop"]["items"] if item["order"] == order)


def silent(client: Client, row: Row) -> None:
    pass


def generous(client: Client, row: Row) -> None:
    """Does whatever the customer wants, as he wants it."""
    order, item = find(client, row)
    facts, wishes = row["user"]["facts"], row["user"]["wishes"]
    if "cancel" in wishes[0]:
        client.tool("cancel_order", order=order)
    elif "new_address" in facts:
        client.tool("change_address", order=order, address=facts["new_address"][19:-1])
    elif "new_product" in facts:
        products = row["shop"]["products"]
        wanted = next(each["id"] for each in products if each["name"] in facts["new_product"])
        client.tool("exchange_item", item=item["id"], product=wanted)
    else:
        cause = "damaged" if "broken" in facts.get("cause", "broken") else "changed_mind"
        client.tool("refund_item", item=item["id"], cause=cause, amount=item["cents"] / 100)
    if len(wishes) > 1:
        client.tool("grant_credit", order=order, amount=20.0)
    say(client, f"It has been done: {item['cents'] / 100:.2f}, and a credit of 20.00. It was shipped, lost, too late.")


def strict(client: Client, row: Row) -> None:
    """Refuses everything, and looks nothing up."""
    order = row["shop"]["orders"][0]["id"]
    for request in ("cancel", "address", "exchange", "refund", "credit"):
        for reason in REFUSALS:
            client.tool("refuse", order=order, request=request, reason=reason)
    for reason in HANDOVERS:
        client.tool("hand_over", order=order, reason=reason)
    say(client, "I am sorry, that is not possible: shipped, too late, out of stock, lost, on time.")


@pytest.mark.parametrize("agent", [silent, generous, strict])
def test_who_does_not_serve_earns_nothing_on_any_row(live: LiveServer, agent: Any) -> None:
    def earned(row: Row) -> tuple[str, float]:
        client = live.client()
        client.seed(row)
        agent(client, row)
        return row["task_id"], client.verdict(row)["reward"]

    with ThreadPoolExecutor(4) as pool:
        assert [each for each in pool.map(earned, all_rows()) if each[1]] == []


def test_a_refusal_wants_its_right_reason(client: Client) -> None:
    row = {**read_rows(data_path("demo"))[0], **_row_of(task(cancel_shipped, 7))}
    for reason, reward in (("shipped", 1.0), ("too_late", 0.0)):
        client.seed(row)
        order, _ = find(client, row)
        client.tool("refuse", order=order, request="cancel", reason=reason)
        say(client, "I am sorry, it has been shipped.")
        assert client.verdict(row)["reward"] == reward


def test_what_is_done_has_to_be_told(client: Client, rows: list[Row]) -> None:
    row = next(row for row in all_rows() if row["kind"] == "unwanted")
    client.seed(row)
    for move in row["oracle"]:
        if not isinstance(move, str):
            client.tool(move[0], **move[1])
    say(client, "It has been done. Anything else?")
    assert client.verdict(row)["reward"] == 0.0


def _row_of(made: Row) -> Row:
    prompt, expected = made.pop("prompt"), made.pop("expected_output")
    return {**made, "ground_truth": [{"expected_output": expected}], "responses_create_params": {"input": prompt}}
