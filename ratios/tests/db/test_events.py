"""Rows of events as the database stores them."""

from decimal import Decimal

import pytest

from ratios.models import LongShortRatio
from realtime.tests.builders import ratio, stored


@pytest.mark.django_db(transaction=True)
def test_a_ratio_is_stored_exactly() -> None:
    stored(ratio(long_ratio="0.33335", short_ratio="0.66665", total_position_value="123456789.12345678"))
    row = LongShortRatio.objects.get()
    assert (str(row.long_ratio), str(row.short_ratio)) == ("0.3334", "0.6666")
    assert row.total_position_value == Decimal("123456789.12345678")
    assert (row.long_accounts, row.short_accounts) == (3, 6)
