import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from hashlib import sha256
from itertools import islice, pairwise
from typing import Any

import msgspec
import pytest

from hyperwatch.tests.services.environment import ROOT
from realtime.sources.simulator import Kind, MarketSimulator, OutgoingMessage
from realtime.sources.simulator.derived_messages import bucket
from realtime.sources.simulator.instruments import INSTRUMENTS

START = datetime(2026, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)
MAX_LEVERAGE = {coin.name: coin.max_leverage for coin in INSTRUMENTS}
LIQUIDATIONS = {Kind.LIQUIDATION, Kind.LIQUIDATION_TRANSACTION}
IN_ANOTHER_PROCESS = """
import sys
from realtime.tests.unit.test_market import fingerprint, market
sys.stdout.write(fingerprint(market(), 3_000))
"""


def market(**kwargs: Any) -> MarketSimulator:
    return MarketSimulator(**{"seed": 7, "start": START, "coins": 4, "wallets": 60, **kwargs})


def fingerprint(simulated: MarketSimulator, count: int) -> str:
    digest = sha256()
    for message in islice(simulated.messages(25), count):
        digest.update(f"{message.topic} {message.key} ".encode() + message.value)
    return digest.hexdigest()


def said(message: OutgoingMessage) -> Any:
    """What the message says, as a reader sees it."""
    value = msgspec.json.decode(message.value)
    return value["data"] if message.topic == "hyperliquid.computed_data" else value


def run(simulated: MarketSimulator, count: int, rate: float = 25) -> Iterator[OutgoingMessage]:
    """At least `count` messages, to the end of a block."""
    for block in simulated.blocks(rate):
        yield from block
        count -= len(block)
        if count <= 0:
            return


@cache
def recorded() -> list[OutgoingMessage]:
    """20,000 messages of the default market; a second of simulation for each test that would run its own."""
    return list(run(market(), 20_000))


def test_the_same_seed_and_start_give_the_same_bytes() -> None:
    assert fingerprint(market(), 3_000) == fingerprint(market(), 3_000)


@pytest.mark.parametrize("other", [{"seed": 8}, {"start": START + timedelta(seconds=1)}, {"wallets": 61}])
def test_another_seed_or_start_gives_another_market(other: dict[str, Any]) -> None:
    assert fingerprint(market(), 50) != fingerprint(market(**other), 50)


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_another_process_gives_the_same_bytes(hash_seed: str) -> None:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
    answer = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True, timeout=60)
    assert answer.stdout == fingerprint(market(), 3_000)


def test_wallets_depend_on_seed_and_not_on_start() -> None:
    assert market().whales == market(start=START + timedelta(days=3)).whales
    assert market().whales != market(seed=8).whales


def test_no_identity_comes_twice() -> None:
    stored = Counter((name, m.identity) for m in recorded() for name in streams_of(m.kind))
    assert stored.most_common(1)[0][1] == 1


def streams_of(kind: Kind) -> set[str]:
    if kind is Kind.LIQUIDATION_TRANSACTION:
        return {"liquidations", "transactions"}
    if kind is Kind.LIQUIDATION:
        return {"liquidations"}
    return {kind} if kind in STATES else {"transactions"}


@pytest.mark.parametrize("rate", [5.0, 40.0, 2_000.0])
def test_the_rate_is_kept_on_average(rate: float) -> None:
    last = list(islice(market().messages(rate), 5_000))[-1]
    assert last.time_us / 1_000_000 == pytest.approx(5_000 / rate, rel=0.1)


def test_time_never_goes_back() -> None:
    times = [message.time_us for message in recorded()[:5_000]]
    assert times[0] == 0 and all(earlier <= later for earlier, later in pairwise(times))


def test_positions_are_liquidated_exactly_below_maintenance() -> None:
    simulated = market(coins=3)
    seen = 0
    for block in islice(simulated.blocks(25), 4_000):
        for message in block:
            seen += message.kind in LIQUIDATIONS and is_below_maintenance(said(message))
            assert message.kind not in LIQUIDATIONS or is_below_maintenance(said(message))
        for (coin, address), held in simulated.positions().items():
            mark = marks(simulated)[coin]
            worth = held.margin + held.unrealized_pnl(mark)
            is_safe = worth > abs(held.size) * mark / (2 * MAX_LEVERAGE[coin])
            assert is_safe or address == simulated.vault_address
    assert seen > 50


def is_below_maintenance(taken: dict[str, Any]) -> bool:
    size = Decimal(taken.get("liquidated_size") or taken["size"])
    price = Decimal(taken.get("liquidation_price") or taken["price"])
    worth = Decimal(taken["margin"]) + Decimal(taken["raw_data"]["closedPnl"])
    return worth <= size * price / (2 * MAX_LEVERAGE[taken["coin"]]) + Decimal("0.000001")


def marks(simulated: MarketSimulator) -> dict[str, Decimal]:
    return {coin_market.instrument.name: coin_market.mark for coin_market in simulated.coin_markets}


def test_what_all_parties_hold_and_earn_cancels_exactly() -> None:
    simulated = market()
    earned = {
        coin_market.instrument.name: -value_of_all(simulated, coin_market.instrument.name)
        for coin_market in simulated.coin_markets
    }
    for message in run(simulated, 10_000):
        if message.kind is Kind.ORDER or message.kind in LIQUIDATIONS:
            fact = said(message)
            earned[fact["coin"]] += Decimal(fact["raw_data"]["closedPnl"])
    for coin_market in simulated.coin_markets:
        assert sum(held.size for held in coin_market.positions.values()) + coin_market.external_size == 0
        assert earned[coin_market.instrument.name] + value_of_all(simulated, coin_market.instrument.name) == 0


def value_of_all(simulated: MarketSimulator, coin: str) -> Decimal:
    """Unrealised profits of all parties, with the realised ones of external counterparties."""
    coin_market = next(coin_market for coin_market in simulated.coin_markets if coin_market.instrument.name == coin)
    followed = sum(held.unrealized_pnl(coin_market.mark) for held in coin_market.positions.values())
    return followed + coin_market.external_size * coin_market.mark - coin_market.external_cost


def test_fills_and_liquidations_explain_every_position() -> None:
    simulated = market()
    sizes = defaultdict(Decimal, {place: held.size for place, held in simulated.positions().items()})
    for message in run(simulated, 10_000):
        if message.kind is Kind.ORDER or message.kind in LIQUIDATIONS:
            fact = said(message)
            raw, place = fact["raw_data"], (fact["coin"], fact["user_address"])
            assert Decimal(raw["startPosition"]) == sizes[place]
            sizes[place] += Decimal(raw["sz"]) * (1 if raw["side"] == "B" else -1)
            assert message.kind is Kind.ORDER or sizes[place] == 0
    held = {place: position.size for place, position in simulated.positions().items()}
    assert held == {place: size for place, size in sizes.items() if size}


def test_directions_tell_what_the_fill_did() -> None:
    seen: Counter[str] = Counter()
    for message in recorded()[:10_000]:
        if message.kind is Kind.ORDER:
            fact = said(message)
            raw = fact["raw_data"]
            before = Decimal(raw["startPosition"])
            after = before + Decimal(raw["sz"]) * (1 if raw["side"] == "B" else -1)
            seen[raw["dir"]] += 1
            assert (raw["dir"], fact["side"]) == direction(before, after)
    assert len(seen) == 6


def direction(before: Decimal, after: Decimal) -> tuple[str, str]:
    if before * after < 0:
        return ("Short > Long", "LONG") if after > 0 else ("Long > Short", "SHORT")
    is_long = before + after > 0
    verb = "Open" if abs(after) > abs(before) else "Close"
    return (f"{verb} Long", "LONG") if is_long else (f"{verb} Short", "SHORT")


def test_trade_parties_share_number_and_hash() -> None:
    trades = defaultdict(list)
    for message in recorded()[:10_000]:
        if message.kind is Kind.ORDER or message.kind in LIQUIDATIONS:
            fact = said(message)
            trades[fact["raw_data"]["tid"]].append(fact)
    pairs = [parties for parties in trades.values() if len(parties) == 2]
    assert len(pairs) > 1_000 and max(len(parties) for parties in trades.values()) == 2
    for one, other in pairs:
        assert one["user_address"] != other["user_address"] and one["tx_hash"] == other["tx_hash"]
        assert {one["raw_data"]["side"], other["raw_data"]["side"]} == {"A", "B"}
        assert {one["raw_data"]["crossed"], other["raw_data"]["crossed"]} == {True, False}
        assert one["raw_data"]["sz"] == other["raw_data"]["sz"] and one["raw_data"]["px"] == other["raw_data"]["px"]


def test_one_order_has_several_fills_under_one_hash() -> None:
    orders = [said(m) for m in recorded()[:5_000] if m.kind is Kind.ORDER]
    fills = Counter(order["tx_hash"] for order in orders if order["raw_data"]["crossed"])
    assert set(fills.values()) == {1, 2, 3}


def test_liquidations_take_both_roads_and_each_only_one() -> None:
    kinds = Counter(m.kind for m in recorded() if m.kind in LIQUIDATIONS)
    assert kinds[Kind.LIQUIDATION] > kinds[Kind.LIQUIDATION_TRANSACTION] > 20
    both = [m.identity for m in recorded() if m.kind in LIQUIDATIONS]
    assert len(set(both)) == len(both)


def test_ratio_map_and_summary_of_one_moment_agree() -> None:
    simulated = market(coins=1, wallets=100)
    combined = next(block for block in simulated.blocks(25) if len(states_of(block)) == 3)
    ratio, levels, summary = (states_of(combined)[kind] for kind in STATES)
    held = summary["positions"]
    for side in ("long", "short"):
        values = [value(p) for p in held if p["side"] == side.upper()]
        assert Decimal(ratio[f"{side}_position_value"]) == sum(values)
        assert ratio[f"{side}_accounts"] == len(values)
    total = Decimal(ratio["total_position_value"])
    assert abs(Decimal(str(ratio["long_ratio"])) - Decimal(ratio["long_position_value"]) / total) <= Decimal("0.00005")
    assert_levels(levels["price_levels"], held, simulated.vault_address)


STATES = (Kind.LONG_SHORT_RATIO, Kind.LIQUIDATION_MAP, Kind.POSITION_SUMMARY)


def states_of(block: list[OutgoingMessage]) -> dict[Kind, Any]:
    return {message.kind: said(message) for message in block if message.kind in STATES}


def value(position: dict[str, str]) -> Decimal:
    return Decimal(position["size"]) * Decimal(position["mark_price"])


def assert_levels(levels: list[dict[str, Any]], held: list[dict[str, str]], vault: str) -> None:
    """Longs without leverage and the vault have no liquidation price and no place on the map."""
    for side in ("long", "short"):
        returned = sum(Decimal(level[f"{side}_liquidation_value"]) for level in levels)
        count = sum(level[f"{side}_liquidation_count"] for level in levels)
        threatened = [
            value(p)
            for p in held
            if p["side"] == side.upper() and p["user_address"] != vault and not is_safe_for_ever(p)
        ]
        assert (returned, count) == (sum(threatened), len(threatened))


def is_safe_for_ever(position: dict[str, str]) -> bool:
    cost = Decimal(position["size"]) * Decimal(position["entry_price"])
    return position["side"] == "LONG" and Decimal(position["margin"]) >= cost - Decimal("0.01")


@pytest.mark.parametrize(
    ("price", "level"),
    [("84133", "84000"), ("123456", "123000"), ("0.0051234", "0.0051"), ("1.4449", "1.44"), ("2.51", "2.5")],
)
def test_levels_have_two_or_three_digits(price: str, level: str) -> None:
    assert bucket(Decimal(price)) == Decimal(level)


def test_states_are_staggered_and_regular() -> None:
    returned = defaultdict(list)
    for message in run(market(coins=10), 8_000):
        if message.kind in STATES:
            returned[message.kind, message.key].append(message.time_us / 1_000_000)
    assert len(returned) == 30
    ratios = [times for (kind, _coin), times in returned.items() if kind is Kind.LONG_SHORT_RATIO]
    assert len({round(times[2], 1) for times in ratios}) == 10
    for times in ratios:
        assert times[0] < 6 and all(later - earlier < 13 for earlier, later in pairwise(times))


@pytest.mark.parametrize("wrong", [{"coins": 0}, {"coins": 31}, {"wallets": 1}])
def test_a_market_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"coins|wallets"):
        market(**wrong)


@pytest.mark.parametrize("size", [{"coins": 1, "wallets": 2}, {"coins": 30, "wallets": 200}])
def test_markets_of_all_sizes_run(size: dict[str, int]) -> None:
    messages = list(run(market(**size), 3_000))
    assert {message.kind for message in messages} >= {Kind.ORDER, *STATES}
    assert max(len(message.value) for message in messages) < 512 * 1024
