"""Rows of events as the database stores them."""

from decimal import Decimal
from typing import Any

import pytest

from liquidations.models import Liquidation
from realtime.kafka.consumer import KafkaMessage
from realtime.tests.builders import (
    HASH,
    OTHER_WALLET,
    WALLET,
    liquidation,
    stored,
    transaction,
)
from transactions.models import Transaction


def on_the_other_topic(**fields: Any) -> KafkaMessage:
    answer = {"tx_type": "LIQUIDATION", "liquidator_address": OTHER_WALLET, "liquidation_value_usd": "22500.25"}
    return transaction(**{**answer, **fields})


@pytest.mark.django_db(transaction=True)
def test_liquidation_on_both_topics_is_stored_once_exactly() -> None:
    exact = {
        "size": "123456789.12345678",
        "price": "0.00000001",
        "liquidation_value_usd": ...,
        "tx_hash": HASH.upper().replace("X", "x"),
    }
    stored(on_the_other_topic(**exact))
    stored(liquidation(liquidated_size="123456789.12345678", liquidation_price=1e-8))
    row = Liquidation.objects.get()
    assert (row.liquidated_size, row.liquidation_price) == (Decimal("123456789.12345678"), Decimal("1e-8"))
    assert (row.liquidation_value_usd, row.tx_hash, row.user_address) == (Decimal("1.23456789"), HASH, WALLET)
    assert row.raw_data == {"tid": 1, "dir": "Open Long"}
    assert Transaction.objects.get().tx_type == "LIQUIDATION"
