"""The shop, its customer, the player and the tasks; and what an agent earns that is silent, generous or strict."""

from typing import Any

import pytest
from paraphrases import PARAPHRASES, STATEMENTS, lines

from customer import TOPICS
from gymkit.scripts import ScriptedUser, heard, read_script
from harness import Row
from shop import Shop, Wanted, cents, same, tells
from tasks import damaged, task, unwanted


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


@pytest.mark.parametrize("amount", [0, -1, 0.001, 1e9])
def test_an_amount_is_one(amount: float) -> None:
    with pytest.raises(ValueError, match="An amount is"):
        cents(amount)


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
    "value", [None, {}, {"changes": {}, "told": []}, {"changes": {"none": {}}, "told": []}, {"changes": {"orders": {}}}]
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
