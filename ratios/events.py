"""Input messages (kafka.md) and output rows (R of rest.md) of long/short ratios."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Raw

from hyperwatch.formats import Decimals, utc
from realtime.streams import Fact, Row
from realtime.structs.input_types import Amount, Coin, Count, InputTime, Ratio, decoder
from realtime.structs.output_types import AmountText, CoinText, JsonOf, RatioNumber, Time

RATIO_DECIMALS = Decimals(10, 4)
RATIO_SUM_TOLERANCE = Decimal("0.0001")


class LongShortRatioRow(Row, frozen=True, kw_only=True):
    """Long and short shares of a coin's open positions at one time. `short_ratio` is 1 - `long_ratio`."""

    coin: CoinText
    timestamp: Time
    long_ratio: Annotated[Raw, JsonOf(RatioNumber)]
    short_ratio: Annotated[Raw, JsonOf(RatioNumber)]
    long_position_value: AmountText
    short_position_value: AmountText
    total_position_value: AmountText
    long_accounts: Count
    short_accounts: Count


class _RatioData(msgspec.Struct):
    long_ratio: Ratio
    short_ratio: Ratio
    long_position_value: Amount
    short_position_value: Amount
    total_position_value: Amount
    long_accounts: Count
    short_accounts: Count


class _RatioMessage(msgspec.Struct):
    coin: Coin
    timestamp: InputTime
    data: _RatioData


_decode = decoder(_RatioMessage)


def from_computed(message: bytes) -> Sequence[LongShortRatioRow]:
    """Decodes a LONG_SHORT_RATIO message. Raises ValueError if the sum differs from 1 by more than 0.0001."""
    envelope = _decode(message)
    data = envelope.data
    long, short = Decimal(data.long_ratio), Decimal(data.short_ratio)
    if abs(1 - long - short) > RATIO_SUM_TOLERANCE:
        raise ValueError(f"long_ratio {long.normalize()} and short_ratio {short.normalize()} do not make 1")
    long_ratio = RATIO_DECIMALS.rounded(long)
    return [
        LongShortRatioRow(
            coin=envelope.coin,
            timestamp=utc(envelope.timestamp),
            long_ratio=Raw(long_ratio.encode()),
            short_ratio=Raw(RATIO_DECIMALS.fixed(1 - Decimal(long_ratio)).encode()),
            long_position_value=data.long_position_value,
            short_position_value=data.short_position_value,
            total_position_value=data.total_position_value,
            long_accounts=data.long_accounts,
            short_accounts=data.short_accounts,
        )
    ]


def identity(row: LongShortRatioRow) -> tuple[object, ...]:
    return (row.coin, row.timestamp)


def fact(row: LongShortRatioRow) -> Fact:
    return Fact(time=row.timestamp, coin=row.coin)
