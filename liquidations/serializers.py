"""Response formats L, S and M of rest.md."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hyperwatch.api.openapi_texts import EXAMPLE_FACT_TIME, EXAMPLE_HASH, EXAMPLE_STREAM, EXAMPLE_WALLET
from hyperwatch.api.serializers import FactSerializer, HeadSerializer
from liquidations.models import Liquidation, LiquidationMap


def usd(**options: str) -> serializers.DecimalField:
    return serializers.DecimalField(max_digits=40, decimal_places=8, **options)  # type: ignore[arg-type]


class LiquidationSerializer(FactSerializer):
    """A liquidated position. A liquidated LONG is a forced sale."""

    example = {
        "seq": 1234,
        "tx_hash": EXAMPLE_HASH,
        "block_number": 845219034,
        "block_timestamp": EXAMPLE_FACT_TIME,
        "user_address": EXAMPLE_WALLET,
        "coin": "BTC",
        "side": "LONG",
        "liquidated_size": "0.50000000",
        "liquidation_price": "45000.50000000",
        "liquidation_value_usd": "22500.25000000",
        "leverage": "10.00",
        "margin": "2250.02500000",
        "liquidator_address": None,
    }

    class Meta(FactSerializer.Meta):
        model = Liquidation
        fields = [
            "seq",
            "tx_hash",
            "block_number",
            "block_timestamp",
            "user_address",
            "coin",
            "side",
            "liquidated_size",
            "liquidation_price",
            "liquidation_value_usd",
            "leverage",
            "margin",
            "liquidator_address",
        ]


class RecentLiquidationsSerializer(HeadSerializer):
    example = {"liquidations": [LiquidationSerializer.example], **EXAMPLE_STREAM}
    liquidations = LiquidationSerializer(many=True)


class CoinStatsSerializer(serializers.Serializer[object]):
    count = serializers.IntegerField()
    value_usd = usd()


class LiquidationStatsSerializer(HeadSerializer):
    """Numbers and values of liquidations, in total, by side and by coin."""

    example = {
        "total_liquidations": 3,
        "total_liquidation_value_usd": "30500.25000000",
        "long_liquidations": 2,
        "long_liquidation_value_usd": "25500.25000000",
        "short_liquidations": 1,
        "short_liquidation_value_usd": "5000.00000000",
        "by_coin": {
            "BTC": {"count": 1, "value_usd": "22500.25000000"},
            "ETH": {"count": 2, "value_usd": "8000.00000000"},
        },
        "since": EXAMPLE_FACT_TIME,
        **EXAMPLE_STREAM,
    }
    total_liquidations = serializers.IntegerField()
    total_liquidation_value_usd = usd()
    long_liquidations = serializers.IntegerField()
    long_liquidation_value_usd = usd()
    short_liquidations = serializers.IntegerField()
    short_liquidation_value_usd = usd()
    by_coin = serializers.DictField(child=CoinStatsSerializer())
    since = serializers.DateTimeField(allow_null=True, help_text="oldest stored time; null without data")


class PriceLevelSerializer(serializers.Serializer[object]):
    price = usd()
    long_liquidation_value = usd()
    short_liquidation_value = usd()
    long_liquidation_count = serializers.IntegerField()
    short_liquidation_count = serializers.IntegerField()


@extend_schema_field(PriceLevelSerializer(many=True))
class PriceLevelsField(serializers.JSONField):
    pass


class LiquidationMapSerializer(FactSerializer):
    price_levels = PriceLevelsField()

    class Meta(FactSerializer.Meta):
        model = LiquidationMap
        fields = ["seq", "coin", "timestamp", "price_levels"]


class CurrentMapSerializer(HeadSerializer, LiquidationMapSerializer):
    """Open position value of a coin by liquidation price, in levels ascending by price."""

    example = {
        "seq": 1234,
        "coin": "BTC",
        "timestamp": EXAMPLE_FACT_TIME,
        "price_levels": [
            {
                "price": "44000.00000000",
                "long_liquidation_value": "1000.00000000",
                "short_liquidation_value": "0.00000000",
                "long_liquidation_count": 1,
                "short_liquidation_count": 0,
            },
            {
                "price": "46000.50000000",
                "long_liquidation_value": "0.00000000",
                "short_liquidation_value": "2500.00000000",
                "long_liquidation_count": 0,
                "short_liquidation_count": 2,
            },
        ],
        "age_seconds": 5.127,
        **EXAMPLE_STREAM,
    }
    age_seconds = serializers.FloatField(help_text="seconds since `timestamp`")

    class Meta(LiquidationMapSerializer.Meta):
        fields = [*LiquidationMapSerializer.Meta.fields, "age_seconds", "head", "epoch"]
