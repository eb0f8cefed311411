"""That the fast way of a row and its serializer, which the OpenAPI document is made from, tell the same."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from hyperwatch.api import envelope
from hyperwatch.api.serializers import FactSerializer
from hyperwatch.tests.api_client import get
from liquidations.serializers import LiquidationMapSerializer, LiquidationSerializer
from ratios.serializers import RatioSerializer
from realtime.storage.copy_format import row_reader
from realtime.streams import get_stream
from realtime.tests.builders import (
    WALLET,
    liquidation,
    liquidation_map,
    position,
    position_summary,
    ratio,
    stored,
    transaction,
)
from transactions.models import Position
from transactions.serializers import PositionSerializer, TransactionSerializer
from whales.models import WhaleWatch
from whales.serializers import WhaleActivitySerializer

pytestmark = pytest.mark.django_db(transaction=True)

SERIALIZERS: dict[str, type[FactSerializer]] = {
    "transactions": TransactionSerializer,
    "liquidations": LiquidationSerializer,
    "liquidation_map": LiquidationMapSerializer,
    "long_short_ratios": RatioSerializer,
    "whale_activities": WhaleActivitySerializer,
}
NOTHING = {"block_number": None, "leverage": None, "margin": None, "raw_data": None}


def decoded(value: Any) -> Any:
    return msgspec.json.decode(envelope.success_body(value))["data"]


@pytest.mark.parametrize("stream", SERIALIZERS)
def test_row_is_equal_in_stream_and_serializer(stream: str) -> None:
    WhaleWatch.objects.create(wallet_address=WALLET, alias="Fund")
    stored(
        transaction(price="123456789.12345678", block_timestamp="2026-01-10T10:30:00.123456Z", fee="-0.00000001"),
        transaction(coin="@107", fee=None, **NOTHING),
        liquidation(leverage="1000.5"),
        liquidation(coin="PURR/USDC", liquidator_address=None, **NOTHING),
        ratio(long_ratio="0.33335", short_ratio="0.66665"),
        ratio(coin="ETH", long_ratio=1, short_ratio=0),
        liquidation_map(),
        liquidation_map("ETH", levels=[]),
    )
    facts = get_stream(stream).model._default_manager.order_by("id")
    rows = [row_reader(stream).row(values) for values in row_reader(stream).select(facts)]
    assert len(rows) >= 2
    for row, fact in zip(rows, facts, strict=True):
        answer = decoded(row)
        assert answer == decoded(SERIALIZERS[stream](fact).data)
        assert list(answer) == SERIALIZERS[stream].Meta.fields


def test_position_is_equal_in_list_and_serializer() -> None:
    stored(position_summary(positions=[position(), position(side="SHORT", leverage=None, margin="-1", size=0)]))
    positions = Position.objects.order_by("coin", "user_address", "side")
    assert get("/positions")["positions"] == decoded(PositionSerializer(positions, many=True).data)


def test_value_without_wire_form_raises_error() -> None:
    with pytest.raises(TypeError, match="object cannot be encoded"):
        envelope.success_body(object())
    assert decoded({"value": Decimal("1.50")}) == {"value": "1.50"}
