"""The market's messages against the contract (kafka.md, rest.md), read anew and strictly here."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from itertools import islice
from typing import Any

import pytest

from realtime.sources.simulator import Kind, MarketSimulator, OutgoingMessage

AMOUNT = re.compile(r"(0|[1-9][0-9]{0,21})\.[0-9]{8}")
SIGNED = re.compile(r"-?" + AMOUNT.pattern)
LEVERAGE = re.compile(r"[1-9][0-9]{0,2}\.00")
ADDRESS = re.compile(r"0x[0-9a-f]{40}")
HASH = re.compile(r"0x[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
COIN = re.compile(r"[A-Za-z0-9@/:._-]{1,32}")
RATIO = re.compile(r"[01]\.[0-9]{4}")

Check = Callable[[Any], object]
Shape = dict[str, Check]


def one_of(*allowed: str) -> Check:
    return lambda value: value in allowed


def count(value: object) -> bool:
    return type(value) is int and value >= 0


def or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


SIDE = one_of("LONG", "SHORT")
WHO: Shape = {
    "tx_hash": HASH.fullmatch,
    "block_number": count,
    "block_timestamp": TIME.fullmatch,
    "user_address": ADDRESS.fullmatch,
    "coin": COIN.fullmatch,
    "side": SIDE,
}
LOAN: Shape = {"leverage": LEVERAGE.fullmatch, "margin": AMOUNT.fullmatch}
RAW: Check = lambda value: isinstance(value, dict) and value["simulated"] is True  # noqa: E731
TRANSACTION: Shape = {
    **WHO,
    "size": AMOUNT.fullmatch,
    "price": AMOUNT.fullmatch,
    "fee": AMOUNT.fullmatch,
    "tx_type": one_of("ORDER", "LIQUIDATION", "DEPOSIT", "WITHDRAW"),
    "raw_data": RAW,
}
NO_LOAN: Shape = {"leverage": or_null(AMOUNT.fullmatch), "margin": or_null(AMOUNT.fullmatch)}
LIQUIDATOR: Shape = {
    "liquidator_address": or_null(ADDRESS.fullmatch),
    "liquidation_value_usd": AMOUNT.fullmatch,
}
LEVEL: Shape = {
    "price": AMOUNT.fullmatch,
    "long_liquidation_value": AMOUNT.fullmatch,
    "short_liquidation_value": AMOUNT.fullmatch,
    "long_liquidation_count": count,
    "short_liquidation_count": count,
}
POSITION: Shape = {
    "user_address": ADDRESS.fullmatch,
    "side": SIDE,
    "size": AMOUNT.fullmatch,
    "entry_price": AMOUNT.fullmatch,
    "mark_price": AMOUNT.fullmatch,
    **LOAN,
    "unrealized_pnl": SIGNED.fullmatch,
}
SHAPES: dict[Kind, Shape] = {
    Kind.ORDER: {**TRANSACTION, **LOAN},
    Kind.DEPOSIT: {**TRANSACTION, **NO_LOAN},
    Kind.WITHDRAW: {**TRANSACTION, **NO_LOAN},
    Kind.LIQUIDATION_TRANSACTION: {**TRANSACTION, **LOAN, **LIQUIDATOR},
    Kind.LIQUIDATION: {
        **WHO,
        "liquidated_size": AMOUNT.fullmatch,
        "liquidation_price": AMOUNT.fullmatch,
        **LIQUIDATOR,
        **LOAN,
        "raw_data": RAW,
    },
    Kind.LONG_SHORT_RATIO: {
        "long_ratio": RATIO.fullmatch,
        "short_ratio": RATIO.fullmatch,
        "long_position_value": AMOUNT.fullmatch,
        "short_position_value": AMOUNT.fullmatch,
        "total_position_value": AMOUNT.fullmatch,
        "long_accounts": count,
        "short_accounts": count,
    },
    Kind.LIQUIDATION_MAP: {"price_levels": lambda levels: all(fits(level, LEVEL) for level in levels)},
    Kind.POSITION_SUMMARY: {"positions": lambda held: all(fits(one, POSITION) for one in held)},
}


def fits(value: dict[str, Any], shape: Shape) -> bool:
    assert value.keys() == shape.keys()
    for name, check in shape.items():
        assert check(value[name]), f"{name} is {value[name]!r}"
    return True


@pytest.fixture(scope="module")
def messages() -> list[OutgoingMessage]:
    market = MarketSimulator(seed=3, start=datetime(2026, 5, 1, tzinfo=UTC), coins=30, wallets=150)
    return list(islice(market.messages(200), 12_000))


def decoded(message: OutgoingMessage) -> Any:
    return parsed(message.value)


@cache
def parsed(text: bytes) -> Any:
    # Floats stay text, and NaN and infinity are rejected: neither is JSON.
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_float=str, parse_constant=refuse)


def facts(messages: list[OutgoingMessage], kind: Kind) -> list[Any]:
    values = [decoded(message) for message in messages if message.kind is kind]
    return [value.get("data", value) for value in values]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_exactly_the_contracts_fields(messages: list[OutgoingMessage], kind: Kind) -> None:
    found = facts(messages, kind)
    assert found and all(fits(fact, SHAPES[kind]) for fact in found)


def test_computed_messages_have_the_contracts_envelope(messages: list[OutgoingMessage]) -> None:
    for message in messages:
        if message.topic == "hyperliquid.computed_data":
            value = decoded(message)
            assert list(value) == ["data_type", "coin", "timestamp", "data"]
            assert (value["data_type"], value["coin"]) == (message.kind, message.key)
            assert value["data"].get("block_timestamp", value["timestamp"]) == value["timestamp"]


def test_keys_are_the_address_or_the_coin(messages: list[OutgoingMessage]) -> None:
    for message in messages:
        value = decoded(message)
        named = value["user_address"] if message.topic == "hyperliquid.transactions" else value["coin"]
        assert message.key == named


def test_identities_are_the_contracts(messages: list[OutgoingMessage]) -> None:
    for message in messages:
        value = decoded(message)
        fact = value.get("data", value)
        assert message.identity == identity(value, fact)


def identity(value: Any, fact: Any) -> tuple[Any, ...]:
    if "user_address" not in fact:
        return value["coin"], value["timestamp"]
    place = tuple(fact[name] for name in ("block_timestamp", "coin", "user_address", "side"))
    if "tid" in fact["raw_data"]:
        return (*place, fact["raw_data"]["tid"])
    return (*place, *(fact[name] for name in ("tx_hash", "size", "price", "tx_type")))


def test_nothing_has_the_size_or_price_zero(messages: list[OutgoingMessage]) -> None:
    for kind in (Kind.ORDER, Kind.DEPOSIT, Kind.WITHDRAW, Kind.LIQUIDATION_TRANSACTION):
        assert all(Decimal(f["size"]) > 0 and Decimal(f["price"]) > 0 for f in facts(messages, kind))
    taken = facts(messages, Kind.LIQUIDATION)
    assert all(Decimal(f["liquidated_size"]) * Decimal(f["liquidation_price"]) > 0 for f in taken)


def test_a_liquidations_value_is_its_size_times_its_price(messages: list[OutgoingMessage]) -> None:
    for fact in facts(messages, Kind.LIQUIDATION):
        worth = Decimal(fact["liquidated_size"]) * Decimal(fact["liquidation_price"])
        assert Decimal(fact["liquidation_value_usd"]) == worth


def test_ratios_sum_to_one(messages: list[OutgoingMessage]) -> None:
    for fact in facts(messages, Kind.LONG_SHORT_RATIO):
        assert Decimal(fact["long_ratio"]) + Decimal(fact["short_ratio"]) == 1


def test_map_levels_ascend_and_none_is_empty(messages: list[OutgoingMessage]) -> None:
    for fact in facts(messages, Kind.LIQUIDATION_MAP):
        prices = [Decimal(level["price"]) for level in fact["price_levels"]]
        assert prices == sorted(set(prices)) and prices[0] > 0
        for level in fact["price_levels"]:
            assert level["long_liquidation_count"] + level["short_liquidation_count"] > 0


def test_a_summary_names_each_wallet_once(messages: list[OutgoingMessage]) -> None:
    for fact in facts(messages, Kind.POSITION_SUMMARY):
        wallets = [held["user_address"] for held in fact["positions"]]
        assert len(set(wallets)) == len(wallets)


def test_raw_fills_say_the_same_as_the_transaction(messages: list[OutgoingMessage]) -> None:
    for fact in facts(messages, Kind.ORDER):
        raw = fact["raw_data"]
        for venue, ours in (("px", "price"), ("sz", "size"), ("fee", "fee")):
            assert Decimal(raw[venue]) == Decimal(fact[ours])
        assert (raw["hash"], raw["coin"]) == (fact["tx_hash"], fact["coin"])
        written = datetime.fromtimestamp(raw["time"] / 1000, UTC).isoformat(timespec="milliseconds")
        assert written.replace("+00:00", "Z") == fact["block_timestamp"]


def test_no_movement_of_money_looks_like_a_large_trade(messages: list[OutgoingMessage]) -> None:
    for kind in (Kind.DEPOSIT, Kind.WITHDRAW):
        assert all(Decimal(fact["size"]) < 1_000_000 for fact in facts(messages, kind))
