"""Response formats L, S and M of rest.md."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hyperwatch.api.serializers import FactSerializer, HeadSerializer
from liquidations.models import Liquidation, LiquidationMap


def usd(**options: str) -> serializers.DecimalField:
    return serializers.DecimalField(max_digits=40, decimal_places=8, **options)  # type: ignore[arg-type]


class LiquidationSerializer(FactSerializer):
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
    liquidations = LiquidationSerializer(many=True)


class CoinStatsSerializer(serializers.Serializer[object]):
    count = serializers.IntegerField()
    value_usd = usd()


class LiquidationStatsSerializer(HeadSerializer):
    total_liquidations = serializers.IntegerField()
    total_liquidation_value_usd = usd()
    long_liquidations = serializers.IntegerField()
    long_liquidation_value_usd = usd()
    short_liquidations = serializers.IntegerField()
    short_liquidation_value_usd = usd()
    by_coin = serializers.DictField(child=CoinStatsSerializer())
    since = serializers.DateTimeField(allow_null=True, help_text="the oldest time that is kept")


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
    age_seconds = serializers.FloatField()

    class Meta(LiquidationMapSerializer.Meta):
        fields = [*LiquidationMapSerializer.Meta.fields, "age_seconds", "head", "epoch"]
