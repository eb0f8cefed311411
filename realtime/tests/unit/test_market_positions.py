from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from realtime.sources.simulator.instruments import INSTRUMENTS
from realtime.sources.simulator.positions import SimPosition

CENTS = st.integers(1, 10_000_000).map(lambda cents: Decimal(cents) / 100)
SIZES = st.integers(1, 1_000_000).map(lambda lots: Decimal(lots) / 1000)
SIDES = st.sampled_from([1, -1])
TOLERANCE = Decimal("0.0000001")


def opened(side: int, size: Decimal, price: Decimal, leverage: int, max_leverage: int) -> SimPosition:
    position = SimPosition(leverage, 1 / Decimal(2 * max_leverage))
    position.trade(side * size, price)
    return position


@given(SIDES, SIZES, CENTS, st.data())
def test_liquidation_price_follows_the_venue_formula(
    side: int, size: Decimal, price: Decimal, data: st.DataObject
) -> None:
    max_leverage = data.draw(st.sampled_from([3, 5, 10, 20, 25, 40]))
    leverage = data.draw(st.integers(1, max_leverage))
    position = opened(side, size, price, leverage, max_leverage)
    ratio = 1 / Decimal(2 * max_leverage)
    available = position.margin - size * price * ratio
    expected = price - side * available / size / (1 - ratio * side)
    if position.liquidation_price is None:
        assert expected <= TOLERANCE
    else:
        assert abs(position.liquidation_price - expected) < TOLERANCE * price


@given(SIDES, SIZES, CENTS, st.integers(2, 40))
def test_account_at_liquidation_price_equals_maintenance_margin(
    side: int, size: Decimal, price: Decimal, leverage: int
) -> None:
    position = opened(side, size, price, leverage, 40)
    assert position.liquidation_price is not None
    mark = position.liquidation_price
    worth = position.margin + position.unrealized_pnl(mark)
    assert abs(worth - size * mark / 80) < TOLERANCE * price * size + TOLERANCE


def test_a_long_without_leverage_is_never_liquidated() -> None:
    assert opened(1, Decimal(2), Decimal(100), 1, 40).liquidation_price is None


def test_short_without_leverage_liquidates_below_double_price() -> None:
    price = opened(-1, Decimal(2), Decimal(100), 1, 10).liquidation_price
    assert price is not None and Decimal(190) < price < Decimal(191)


def test_adding_averages_the_entry_price() -> None:
    position = opened(1, Decimal(2), Decimal(100), 10, 40)
    change = position.trade(Decimal(1), Decimal(130))
    assert (position.size, position.entry_price) == (Decimal(3), Decimal(110))
    assert (change.pnl, change.margin, position.margin) == (Decimal(0), Decimal(13), Decimal(33))


def test_reducing_realises_its_part_and_keeps_the_entry_price() -> None:
    position = opened(-1, Decimal(4), Decimal(100), 10, 40)
    before = position.liquidation_price
    change = position.trade(Decimal(1), Decimal(90))
    assert (change.pnl, change.margin) == (Decimal(10), Decimal(-10))
    assert (position.size, position.entry_price) == (Decimal(-3), Decimal(100))
    assert position.liquidation_price == before


@given(st.lists(st.tuples(SIDES, SIZES, CENTS), min_size=1, max_size=12), CENTS)
def test_profits_equal_received_less_paid(trades: list[tuple[int, Decimal, Decimal]], mark: Decimal) -> None:
    position, realised, received = SimPosition(5, Decimal("0.05")), Decimal(0), Decimal(0)
    for side, size, price in trades:
        delta = side * size
        if position.size * delta < 0 and abs(delta) > abs(position.size):
            delta = -position.size
        realised += position.trade(delta, price).pnl
        received -= delta * price
    assert realised + position.unrealized_pnl(mark) == received + position.size * mark


def test_prices_are_what_the_venue_would_quote() -> None:
    for coin in INSTRUMENTS:
        for factor in (0.31, 0.999987654321, 1.0, 3.3333333):
            price = coin.price(coin.anchor * factor)
            digits = len(price.normalize().as_tuple().digits)
            places = -int(price.normalize().as_tuple().exponent)
            assert digits <= 5 or places <= 0, (coin.name, price)
            assert places <= 6 - coin.size_decimals and price > 0
