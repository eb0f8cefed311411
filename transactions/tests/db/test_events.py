"""Rows of events as the database stores them."""

from decimal import Decimal

import pytest

from realtime.tests.builders import (
    WALLET,
    position,
    position_summary,
    stored,
    transaction,
)
from realtime.tests.invalid_messages import BARE, bare
from transactions.models import Position, PositionSummary, Transaction


@pytest.mark.django_db(transaction=True)
def test_every_digit_arrives_in_the_table() -> None:
    tiny, huge = "0.00000001", "9999999999999999999999.99999999"
    stored(
        transaction(size="123456789.12345678", price=tiny, fee="-" + huge, margin=huge, leverage="99999999.99"),
        bare(b"123456789.12345678", size=BARE, raw_data={"tid": 2}),
    )
    row, bare_one = Transaction.objects.order_by("id")
    assert (row.size, row.price) == (Decimal("123456789.12345678"), Decimal(tiny))
    assert (row.fee, row.margin, row.leverage) == (Decimal("-" + huge), Decimal(huge), Decimal("99999999.99"))
    assert bare_one.size == row.size


@pytest.mark.django_db(transaction=True)
def test_summary_is_stored_with_and_without_positions() -> None:
    both = [position(), position(side="SHORT", leverage=None, margin=None, unrealized_pnl="-0.00000001")]
    stored(position_summary(positions=both), position_summary(coin="ETH", positions=[]))
    assert [(row.coin, row.id) for row in PositionSummary.objects.order_by("id")] == [("BTC", 1), ("ETH", 2)]
    long, short = Position.objects.order_by("side")
    assert (long.coin, long.user_address, long.timestamp) == (
        "BTC",
        WALLET,
        PositionSummary.objects.get(id=1).timestamp,
    )
    assert (long.size, long.entry_price, long.mark_price) == (Decimal("0.5"), 45000, 45100)
    assert (long.leverage, long.margin, long.unrealized_pnl) == (10, 2250, 50)
    assert (short.leverage, short.margin, short.unrealized_pnl) == (None, None, Decimal("-0.00000001"))
    # The same coin and time again, whatever it says, changes nothing; another time is another summary.
    assert stored(position_summary(positions=[position(size="9")]), position_summary(coin="ETH")) == []
    assert Position.objects.count() == 2
    stored(position_summary(timestamp="2026-01-10T10:31:00Z"))
    assert (Position.objects.count(), PositionSummary.objects.count()) == (3, 3)
