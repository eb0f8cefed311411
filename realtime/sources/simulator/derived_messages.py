"""Messages computed from the positions of one coin: long/short ratio, liquidation map, position summary."""

from decimal import ROUND_HALF_EVEN, Decimal

from realtime.sources.simulator import message_types
from realtime.sources.simulator.coin_market import CoinMarket
from realtime.sources.simulator.message_builder import Block, Kind, OutgoingMessage
from realtime.sources.simulator.positions import ZERO, SimPosition
from realtime.streams import TopicName

FOUR_PLACES = Decimal("0.0001")
# From this mantissa on a bucket has two significant digits, below it three: buckets are 0.4 to 4 % wide.
TWO_DIGITS_FROM = Decimal("2.5")


def ratio(market: CoinMarket) -> message_types.SimRatio | None:
    """None without positions: the ratio is undefined."""
    values: dict[bool, list[Decimal]] = {True: [], False: []}
    for position, value in market.position_values():
        values[position.is_long].append(value)
    longs, shorts = sum(values[True], ZERO), sum(values[False], ZERO)
    if not longs + shorts:
        return None
    share = (longs / (longs + shorts)).quantize(FOUR_PLACES, ROUND_HALF_EVEN)
    return message_types.SimRatio(
        share,
        1 - share,
        message_types.decimal_text(longs),
        message_types.decimal_text(shorts),
        message_types.decimal_text(longs + shorts),
        len(values[True]),
        len(values[False]),
    )


def liquidation_map(market: CoinMarket) -> message_types.SimLiquidationMap | None:
    """The position value liquidated around each price; None without a liquidation price."""
    levels: dict[Decimal, tuple[list[Decimal], list[Decimal]]] = {}
    for position, value in market.position_values():
        if position.liquidation_price is not None:
            sides = levels.setdefault(bucket(position.liquidation_price), ([], []))
            sides[0 if position.is_long else 1].append(value)
    if not levels:
        return None
    return message_types.SimLiquidationMap([_price_level(price, *levels[price]) for price in sorted(levels)])


def summary(market: CoinMarket) -> message_types.SimPositionSummary:
    """All positions of the simulated wallets; an empty list without any."""
    return message_types.SimPositionSummary(
        [_position_entry(address, position, market.mark) for address, position in market.positions.items()]
    )


def bucket(price: Decimal) -> Decimal:
    mantissa = price.scaleb(-price.adjusted())
    decimals = 1 if mantissa >= TWO_DIGITS_FROM else 2
    return price.quantize(Decimal(1).scaleb(max(-8, price.adjusted() - decimals)))


MESSAGE_BUILDERS = {
    Kind.LONG_SHORT_RATIO: ratio,
    Kind.LIQUIDATION_MAP: liquidation_map,
    Kind.POSITION_SUMMARY: summary,
}


def message(kind: Kind, market: CoinMarket, block: Block) -> OutgoingMessage | None:
    """The state of `kind` as a message; None without data."""
    data = MESSAGE_BUILDERS[kind](market)
    if data is None:
        return None
    coin = market.instrument.name
    value = message_types.encode(message_types.ComputedMessage(kind.value, coin, block.timestamp, data))
    return OutgoingMessage(kind, TopicName.COMPUTED_DATA, coin, value, (coin, block.timestamp), block.time_us)


def _price_level(price: Decimal, longs: list[Decimal], shorts: list[Decimal]) -> message_types.SimPriceLevel:
    return message_types.SimPriceLevel(
        message_types.decimal_text(price),
        message_types.decimal_text(sum(longs, ZERO)),
        message_types.decimal_text(sum(shorts, ZERO)),
        len(longs),
        len(shorts),
    )


def _position_entry(address: str, position: SimPosition, mark: Decimal) -> message_types.SimPositionEntry:
    return message_types.SimPositionEntry(
        address,
        position.side,
        message_types.decimal_text(abs(position.size)),
        message_types.decimal_text(position.entry_price),
        message_types.decimal_text(mark),
        message_types.leverage_text(position.leverage),
        message_types.decimal_text(position.margin),
        message_types.decimal_text(position.unrealized_pnl(mark)),
    )
