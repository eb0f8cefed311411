"""What follows from the positions of one coin: the long/short ratio, the liquidation map, the summary."""

from decimal import ROUND_HALF_EVEN, Decimal

from realtime.sources.simulator import message_types
from realtime.sources.simulator.coin_market import Book
from realtime.sources.simulator.message_builder import Block, Kind, OutgoingMessage
from realtime.sources.simulator.positions import ZERO, SimPosition
from realtime.streams import TopicName

FOUR_PLACES = Decimal("0.0001")
# Below this leading number a bucket has three digits, else two: buckets are 0.4 to 4 % wide.
COARSE_FROM = Decimal("2.5")


def ratio(book: Book) -> message_types.SimRatio | None:
    """None while nobody holds anything: then there is no ratio."""
    values: dict[bool, list[Decimal]] = {True: [], False: []}
    for position, value in book.valued():
        values[position.is_long].append(value)
    longs, shorts = sum(values[True], ZERO), sum(values[False], ZERO)
    if not longs + shorts:
        return None
    share = (longs / (longs + shorts)).quantize(FOUR_PLACES, ROUND_HALF_EVEN)
    return message_types.SimRatio(
        share,
        1 - share,
        message_types.money(longs),
        message_types.money(shorts),
        message_types.money(longs + shorts),
        len(values[True]),
        len(values[False]),
    )


def liquidation_map(book: Book) -> message_types.Map | None:
    """The value that is taken away around each price; None where no price takes anything."""
    levels: dict[Decimal, tuple[list[Decimal], list[Decimal]]] = {}
    for position, value in book.valued():
        if position.liquidation_price is not None:
            sides = levels.setdefault(bucket(position.liquidation_price), ([], []))
            sides[0 if position.is_long else 1].append(value)
    if not levels:
        return None
    return message_types.Map([_level(price, *levels[price]) for price in sorted(levels)])


def summary(book: Book) -> message_types.Summary:
    """Every followed position, complete; without any it says so."""
    return message_types.Summary([_held(address, position, book.mark) for address, position in book.positions.items()])


def bucket(price: Decimal) -> Decimal:
    leading = price.scaleb(-price.adjusted())
    digits = 1 if leading >= COARSE_FROM else 2
    return price.quantize(Decimal(1).scaleb(max(-8, price.adjusted() - digits)))


MAKERS = {
    Kind.LONG_SHORT_RATIO: ratio,
    Kind.LIQUIDATION_MAP: liquidation_map,
    Kind.POSITION_SUMMARY: summary,
}


def message(kind: Kind, book: Book, block: Block) -> OutgoingMessage | None:
    """The state of `kind` as a message; None where there is nothing to say."""
    data = MAKERS[kind](book)
    if data is None:
        return None
    coin = book.coin.name
    value = message_types.encode(message_types.Computed(kind.value, coin, block.timestamp, data))
    return OutgoingMessage(kind, TopicName.COMPUTED_DATA, coin, value, (coin, block.timestamp), block.time_us)


def _level(price: Decimal, longs: list[Decimal], shorts: list[Decimal]) -> message_types.Level:
    return message_types.Level(
        message_types.money(price),
        message_types.money(sum(longs, ZERO)),
        message_types.money(sum(shorts, ZERO)),
        len(longs),
        len(shorts),
    )


def _held(address: str, position: SimPosition, mark: Decimal) -> message_types.Held:
    return message_types.Held(
        address,
        position.side,
        message_types.money(abs(position.size)),
        message_types.money(position.entry_price),
        message_types.money(mark),
        message_types.leverage(position.leverage),
        message_types.money(position.margin),
        message_types.money(position.unrealized_pnl(mark)),
    )
