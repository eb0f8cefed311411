"""Response formats T and P of rest.md."""

from rest_framework import serializers

from hyperwatch.api.openapi_texts import EXAMPLE_FACT_TIME, EXAMPLE_HASH, EXAMPLE_STREAM, EXAMPLE_WALLET
from hyperwatch.api.serializers import FactSerializer, HeadSerializer, PageSerializer
from transactions.models import POSITION_FIELDS, Position, Transaction


class TransactionSerializer(FactSerializer):
    """A fill, transfer, deposit or withdrawal. A negative fee is a rebate; `raw_data` is the venue's record."""

    example = {
        "seq": 1234,
        "tx_hash": EXAMPLE_HASH,
        "block_number": 845219034,
        "block_timestamp": EXAMPLE_FACT_TIME,
        "user_address": EXAMPLE_WALLET,
        "coin": "BTC",
        "side": "LONG",
        "size": "0.50000000",
        "price": "45000.50000000",
        "leverage": "10.00",
        "margin": "2250.02500000",
        "fee": "-1.25000000",
        "tx_type": "ORDER",
        "raw_data": {"tid": 118906512037719, "dir": "Open Long"},
    }

    class Meta(FactSerializer.Meta):
        model = Transaction
        fields = [
            "seq",
            "tx_hash",
            "block_number",
            "block_timestamp",
            "user_address",
            "coin",
            "side",
            "size",
            "price",
            "leverage",
            "margin",
            "fee",
            "tx_type",
            "raw_data",
        ]


class FillsSerializer(HeadSerializer, TransactionSerializer):
    """The fill with the lowest `seq`, and all fills of the transaction in order of `seq`, at most 1,000."""

    example = {
        **TransactionSerializer.example,
        "fills": [TransactionSerializer.example],
        "fills_total": 1,
        **EXAMPLE_STREAM,
    }
    fills = TransactionSerializer(many=True)
    fills_total = serializers.IntegerField()

    class Meta(TransactionSerializer.Meta):
        fields = [*TransactionSerializer.Meta.fields, "fills", "fills_total", "head", "epoch"]


class PositionSerializer(serializers.ModelSerializer[Position]):
    """An open position of a wallet."""

    example = {
        "user_address": EXAMPLE_WALLET,
        "coin": "BTC",
        "side": "LONG",
        "size": "0.50000000",
        "entry_price": "45000.00000000",
        "mark_price": "45100.00000000",
        "leverage": "10.00",
        "margin": "2250.00000000",
        "unrealized_pnl": "50.00000000",
        "timestamp": EXAMPLE_FACT_TIME,
    }

    class Meta:
        model = Position
        fields = POSITION_FIELDS


class PositionsSerializer(serializers.Serializer[object]):
    example = {
        "positions": [PositionSerializer.example],
        "as_of": {"BTC": EXAMPLE_FACT_TIME},
        "pagination": PageSerializer.example,
    }
    positions = PositionSerializer(many=True)
    as_of = serializers.DictField(child=serializers.DateTimeField(), help_text="time of the latest positions by coin")
    pagination = PageSerializer()
