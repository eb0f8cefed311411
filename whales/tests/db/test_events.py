"""Activities of watched wallets: each once, and of no other wallet."""

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from realtime.kafka.consumer import KafkaMessage
from realtime.tests.builders import OTHER_WALLET, WALLET, liquidation, stored, transaction
from whales.models import WhaleActivity, WhaleWatch

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = {"size": "1000", "price": "1000"}


def watch(**fields: Any) -> WhaleWatch:
    return WhaleWatch.objects.create(**{"wallet_address": WALLET, "alias": "whale", **fields})


def a_hash(number: int) -> str:
    return f"0x{number:064x}"


def moved(direction: str | None, **fields: Any) -> dict[str, Any]:
    return {"raw_data": {"tid": 1, "dir": direction}, **fields}


CASES: list[tuple[dict[str, Any], list[str]]] = [
    (moved("Open Long"), ["OPEN"]),
    (moved("Open Short", side="SHORT"), ["OPEN"]),
    (moved("Close Long"), ["CLOSE"]),
    (moved("Close Short"), ["CLOSE"]),
    (moved("Long > Short"), ["CLOSE", "OPEN"]),
    (moved("Short > Long"), ["CLOSE", "OPEN"]),
    (moved("Buy"), []),
    (moved("Liquidated Isolated Long"), []),
    (moved("Opening"), []),
    (moved(None), []),
    ({"raw_data": None}, []),
    (moved(None, side="OPEN"), ["OPEN"]),
    (moved(None, side="CLOSE"), ["CLOSE"]),
    (moved("Close Long", side="OPEN"), ["OPEN"]),
    (moved("Long > Short", side="CLOSE"), ["CLOSE"]),
    (moved("Open Long", **LARGE), ["OPEN", "LARGE_TRADE"]),
    (moved("Long > Short", **LARGE), ["CLOSE", "OPEN", "LARGE_TRADE"]),
    (moved("Buy", **LARGE), ["LARGE_TRADE"]),
    (moved("Buy", size="1000", price="999.99999999"), []),
    (moved(None, side="CLOSE", size="1e-8", price="1e21", tx_type="ORDER"), ["CLOSE", "LARGE_TRADE"]),
    (moved(None, tx_type="TRANSFER", **LARGE), []),
    (moved(None, tx_type="DEPOSIT", **LARGE), []),
    (moved(None, tx_type="WITHDRAW", **LARGE), []),
]


def test_whale_transaction_creates_the_documented_activities() -> None:
    watch()
    stored(
        *[transaction(tx_hash=a_hash(number), coin=f"C{number}", **fields) for number, (fields, _) in enumerate(CASES)]
    )
    made: dict[str, list[str]] = {}
    for activity in WhaleActivity.objects.order_by("id"):
        made.setdefault(activity.tx_hash, []).append(activity.activity_type)
    expected = {a_hash(number): kinds for number, (_, kinds) in enumerate(CASES) if kinds}
    assert made == expected


def test_the_size_of_a_large_trade_is_a_setting(settings: Settings) -> None:
    settings.WHALE_LARGE_TRADE_USD = 100
    watch()
    stored(
        transaction(size="1", price="100", raw_data={"tid": 1}), transaction(size="1", price="99", raw_data={"tid": 2})
    )
    assert WhaleActivity.objects.get().activity_type == "LARGE_TRADE"


def in_both_ways() -> tuple[KafkaMessage, KafkaMessage]:
    return transaction(tx_type="LIQUIDATION", raw_data={"tid": 1, "dir": "Close Long"}, **LARGE), liquidation(
        liquidated_size="1000", liquidation_price="1000", liquidation_value_usd=..., raw_data={"tid": 1}
    )


@pytest.mark.parametrize("first", [0, 1])
def test_liquidation_creates_one_activity_from_either_topic(first: int) -> None:
    watch()
    messages = in_both_ways()
    stored(messages[first])
    stored(messages[1 - first])
    stored(*messages)
    activity = WhaleActivity.objects.get()
    assert activity.activity_type == "LIQUIDATION"
    assert (activity.size, activity.value_usd) == (1000, 1_000_000)


def test_an_activity_says_who_what_and_when() -> None:
    whale = watch(alias='The "Whale"\t\\')
    stored(transaction(raw_data={"tid": 1, "dir": "Open Long"}))
    activity = WhaleActivity.objects.get()
    assert (activity.whale_id, activity.wallet_address, activity.alias) == (whale.pk, WALLET, 'The "Whale"\t\\')
    assert (activity.coin, str(activity.size), str(activity.value_usd)) == ("BTC", "0.50000000", "22500.25000000")
    assert activity.details == {"side": "LONG", "price": "45000.50000000", "dir": "Open Long"}
    assert activity.timestamp.isoformat() == "2026-01-10T10:30:00+00:00"


def test_a_fact_that_comes_again_is_no_other_activity() -> None:
    watch()
    one = transaction(raw_data={"tid": 1, "dir": "Long > Short"})
    stored(one, one)
    assert stored(one) == []
    (_, activities) = sorted(
        stored(transaction(raw_data={"tid": 2, "dir": "Open Long"}), one), key=lambda new: new.stream.name
    )
    assert [row.seq for row in activities.rows] == [3]


def test_unwatched_and_inactive_wallets_create_no_activity() -> None:
    watch(is_active=False)
    stored(transaction(), transaction(user_address=OTHER_WALLET), liquidation())
    assert not WhaleActivity.objects.exists()


def test_nothing_is_made_up_for_the_past() -> None:
    old = [transaction(raw_data={"tid": 1, "dir": "Open Long"}), liquidation(raw_data={"tid": 9})]
    stored(*old)
    watch()
    stored(*old)
    assert not WhaleActivity.objects.exists()
    stored(*old, transaction(raw_data={"tid": 2, "dir": "Open Long"}))
    assert WhaleActivity.objects.count() == 1


def test_what_becomes_of_a_watch_touches_no_activity() -> None:
    whale = watch()
    first = transaction(raw_data={"tid": 1, "dir": "Open Long"})
    stored(first)
    whale.alias = "renamed"
    whale.save()
    stored(first, transaction(raw_data={"tid": 2, "dir": "Open Long"}))
    first_id = whale.pk
    whale.delete()
    stored(first, transaction(raw_data={"tid": 3, "dir": "Open Long"}))
    again = watch(alias="again")
    stored(first, transaction(raw_data={"tid": 4, "dir": "Open Long"}))
    made = WhaleActivity.objects.order_by("id").values_list("id", "alias", "whale_id")
    assert list(made) == [(1, "whale", first_id), (2, "renamed", first_id), (3, "again", again.pk)]
