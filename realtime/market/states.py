"""What follows from the positions of one coin: the long/short ratio, the liquidation map, the summary."""

from decimal import ROUND_HALF_EVEN, Decimal

from realtime.market import wire
from realtime.market.book import Book
from realtime.market.events import Block, Kind, OutgoingMessage
from realtime.market.positions import ZERO, SimPosition
from realtime.streams import TopicName

FOUR_PLACES = Decimal("0.0001")
# Below this leading number a bucket has three digits, else two: buckets are 0.4 to 4 % wide.
COARSE_FROM = Decimal("2.5")


def ratio(book: Book) -> wire.SimRatio | None:
    """None while nobody holds anything: then there is no ratio."""
    values: dict[bool, list[Decimal]] = {True: [], False: []}
    for position, value in book.valued():
        values[position.is_long].append(value)
    longs, shorts = sum(values[True], ZERO), sum(values[False], ZERO)
    if not longs + shorts:
        return None
    share = (longs / (longs + shorts)).quantize(FOUR_PLACES, ROUND_HALF_EVEN)
    return wire.SimRatio(
        share,
        1 - share,
        wire.money(longs),
        wire.money(shorts),
        wire.money(longs + shorts),
        len(values[True]),
        len(values[False]),
    )


def liquidation_map(book: Book) -> wire.Map | None:
    """The value that is taken away around each price; None where no price takes anything."""
    levels: dict[Decimal, tuple[list[Decimal], list[Decimal]]] = {}
    for position, value in book.valued():
        if position.liquidation_price is not None:
            sides = levels.setdefault(bucket(position.liquidation_price), ([], []))
            sides[0 if position.is_long else 1].append(value)
    if not levels:
        return None
    return wire.Map([_level(price, *levels[price]) for price in sorted(levels)])


def summary(book: Book) -> wire.Summary:
    """Every followed position, complete; without any it says so."""
    return wire.Summary([_held(address, position, book.mark) for address, position in book.positions.items()])


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
    value = wire.encode(wire.Computed(kind.value, coin, block.timestamp, data))
    return OutgoingMessage(kind, TopicName.COMPUTED_DATA, coin, value, (coin, block.timestamp), block.time_us)


def _level(price: Decimal, longs: list[Decimal], shorts: list[Decimal]) -> wire.Level:
    return wire.Level(
        wire.money(price),
        wire.money(sum(longs, ZERO)),
        wire.money(sum(shorts, ZERO)),
        len(longs),
        len(shorts),
    )


def _held(address: str, position: SimPosition, mark: Decimal) -> wire.Held:
    return wire.Held(
        address,
        position.side,
        wire.money(abs(position.size)),
        wire.money(position.entry_price),
        wire.money(mark),
        wire.leverage(position.leverage),
        wire.money(position.margin),
        wire.money(position.unrealized_pnl(mark)),
    )
