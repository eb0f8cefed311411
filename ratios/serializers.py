"""Response format R of rest.md."""

from rest_framework import serializers

from hyperwatch.api.openapi_texts import EXAMPLE_FACT_TIME, EXAMPLE_STREAM
from hyperwatch.api.serializers import FactSerializer, HeadSerializer
from ratios.models import LongShortRatio


class RatioSerializer(FactSerializer):
    """Long and short shares of a coin's open positions at one time."""

    example = {
        "seq": 1234,
        "coin": "BTC",
        "timestamp": EXAMPLE_FACT_TIME,
        "long_ratio": 0.5124,
        "short_ratio": 0.4876,
        "long_position_value": "91374.54465000",
        "short_position_value": "86955.70298000",
        "total_position_value": "178330.24763000",
        "long_accounts": 3,
        "short_accounts": 6,
    }

    class Meta(FactSerializer.Meta):
        model = LongShortRatio
        fields = [
            "seq",
            "coin",
            "timestamp",
            "long_ratio",
            "short_ratio",
            "long_position_value",
            "short_position_value",
            "total_position_value",
            "long_accounts",
            "short_accounts",
        ]


class CurrentRatioSerializer(RatioSerializer):
    example = {**RatioSerializer.example, "age_seconds": 5.127}
    age_seconds = serializers.FloatField(help_text="seconds since `timestamp`")

    class Meta(RatioSerializer.Meta):
        fields = [*RatioSerializer.Meta.fields, "age_seconds"]


class CurrentRatiosSerializer(HeadSerializer):
    example = {"ratios": [CurrentRatioSerializer.example], **EXAMPLE_STREAM}
    ratios = CurrentRatioSerializer(many=True)
